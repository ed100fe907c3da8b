"""The base class of SimpleNN and DagNN networks; the forms of weights: MATLAB's arrays, torch's tensors."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.matfile.values import describe
from matlab_compat.numeric import filters_to_matlab, filters_to_torch, vector_to_torch


class ImageNetwork(nn.Module):
    """A MatConvNet network: `layers`, `meta` and `extra` (other top-level fields), plain MATLAB values."""

    layers: nn.ModuleList
    meta: dict[str, Any]
    extra: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The layers' MATLAB names."""
        return [str(layer.name) for layer in self.layers]

    @property
    def types(self) -> list[str]:
        """The layers' MATLAB types: in a SimpleNN 'custom' for class objects, in a DagNN as 'dagnn.Conv'."""
        return [str(layer.type) for layer in self.layers]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def mean_pixel(self) -> Tensor:
        """The pixel that is subtracted from images 0..255, (3,) or (1,): averageImage's top left one.

        Raises NetworkFormatError where meta has no normalization.averageImage (or, in old files, imageMean).
        """
        mean = self._pixel("averageImage")
        if mean is None:
            raise NetworkFormatError(
                "the network's meta has no mean to subtract from images: set net.meta['normalization'] = "
                "{'averageImage': a 1 x 1 x 3 array} (zeros for none)"
            )
        return mean * self._unit()

    @property
    def pixel_std(self) -> Tensor | None:
        """What images 0..255 minus the mean are divided by, (3,) or (1,): imageStd; None where meta has none.

        Networks that come from torch have a mean and a deviation of images scaled to 0..1, which shows.
        Raises NetworkFormatError where it does not, and for a deviation without a mean.
        """
        std = self._pixel("imageStd")
        return None if std is None else std * self._unit()

    def _unit(self) -> float:
        """What meta's values are multiplied by: 255 where they are those of images 0..1."""
        std, mean = self._pixel("imageStd"), self._pixel("averageImage")
        if std is None:
            return 1.0
        if mean is not None and bool((std > 0).all() and mean.isfinite().all()):
            small, most = bool((mean.abs() <= 1).all()), float(std.max())
            if small and most < 1:
                return 255.0
            if (most >= 1 and not small) or (most > 1 and not mean.any()):
                return 1.0
        raise NetworkFormatError(
            f"meta.normalization.imageStd is {std.tolist()} and averageImage "
            f"{None if mean is None else mean.tolist()}: expected positive numbers, both for images 0..255 "
            "or both for 0..1; set net.meta['normalization'], without imageStd to leave it out"
        )

    def _pixel(self, name: str) -> Tensor | None:
        """A pixel of meta.normalization, (3,) or (1,); None where it is not there."""
        normalization = self.meta.get("normalization")
        image = normalization.get(name) if isinstance(normalization, Mapping) else None
        image = self.extra.get("imageMean") if image is None and name == "averageImage" else image
        if image is None or not np.size(image):
            return None
        try:
            array = np.asarray(image, dtype=np.float32)
        except (TypeError, ValueError):
            raise NetworkFormatError(
                f"meta.normalization.{name} holds no numbers: {describe(image)}"
            ) from None
        pixel = array[0, 0] if array.ndim > 2 else array.ravel()[: 3 if array.size == 3 else 1]
        return torch.tensor(np.atleast_1d(pixel).ravel())

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, minus the mean pixel, divided by imageStd where meta has one.

        (N, 1, H, W) get three channels.
        """
        mean = self.mean_pixel.to(images.device, non_blocking=True)  # otherwise each batch waits for the copy
        std = self.pixel_std
        if 1 not in (len(mean), images.shape[1]) and len(mean) != images.shape[1]:
            raise NetworkFormatError(
                f"meta.normalization.averageImage has {len(mean)} channels, the images have {images.shape[1]}"
            )
        centred = images - mean[:, None, None]
        return centred if std is None else centred / std.to(images.device, non_blocking=True)[:, None, None]


class WeightKind(NamedTuple):
    """Converts a weight from MATLAB's array to a tensor, and back to an array of a given shape if it fits."""

    to_torch: Callable[[np.ndarray], Tensor]
    to_matlab: Callable[[Tensor, tuple[int, ...]], np.ndarray]


def drop_trailing_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as MATLAB reports it: at least two sides, the last of more than two above 1."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _filters_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    array = filters_to_matlab(tensor)
    same = shape + (1,) * (4 - len(shape)) == array.shape
    return array.reshape(shape if same else drop_trailing_ones(array.shape), order="F")


def _vector_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    array = filters_to_matlab(tensor.reshape(1, -1, 1, 1)).ravel()
    return array.reshape(shape if array.size == np.prod(shape) else (1, -1), order="F")


def _as_it_is(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"expected a numeric array, found {describe(array)}")
    return torch.from_numpy(np.array(array, dtype=None if array.dtype.kind == "f" else np.float64))


def _matrix_to_torch(array: np.ndarray) -> Tensor:
    return filters_to_torch(array)[0, 0]


def _matrix_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return filters_to_matlab(tensor[None, None]).reshape(tuple(tensor.shape), order="F")


FILTERS = WeightKind(filters_to_torch, _filters_back)  # H x W x C x K <-> (K, C, H, W)
VECTOR = WeightKind(vector_to_torch, _vector_back)  # row, column or 1 x 1 x K <-> (K,)
MATRIX = WeightKind(_matrix_to_torch, _matrix_back)  # rows x columns, as it is
AS_IT_IS = WeightKind(_as_it_is, lambda tensor, shape: tensor.detach().cpu().numpy())  # of unknown layers


class WeightSpec(NamedTuple):
    """One weight of a layer type: its name in Python, its form, and whether it is trained."""

    name: str
    kind: WeightKind
    trainable: bool = True
