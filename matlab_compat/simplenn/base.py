"""The base class of SimpleNN and DagNN networks; the forms of weights: MATLAB's arrays, torch's tensors."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from matlab_compat.errors import NetworkFormatError
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
        """The pixel that is subtracted from images, (3,) or (1,): averageImage's top left one.

        Raises NetworkFormatError where meta has no normalization.averageImage (or, in old files, imageMean).
        """
        normalization = self.meta.get("normalization")
        average = normalization.get("averageImage") if isinstance(normalization, Mapping) else None
        average = self.extra.get("imageMean") if average is None else average
        if average is None or not np.size(average):
            raise NetworkFormatError(
                "the network's meta has no mean to subtract from images: set net.meta['normalization'] = "
                "{'averageImage': a 1 x 1 x 3 array} (zeros for none)"
            )
        try:
            array = np.asarray(average, dtype=np.float32)
        except (TypeError, ValueError):
            found = describe(average)
            raise NetworkFormatError(f"meta.normalization.averageImage holds no numbers: {found}") from None
        pixel = array[0, 0] if array.ndim > 2 else array.ravel()[: 3 if array.size == 3 else 1]
        return torch.tensor(np.atleast_1d(pixel).ravel())

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, minus the mean pixel; (N, 1, H, W) get three channels."""
        mean = self.mean_pixel.to(images.device, non_blocking=True)  # otherwise each batch waits for the copy
        if 1 not in (len(mean), images.shape[1]) and len(mean) != images.shape[1]:
            raise NetworkFormatError(
                f"meta.normalization.averageImage has {len(mean)} channels, the images have {images.shape[1]}"
            )
        return images - mean[:, None, None]


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


def _matrix_to_torch(array: np.ndarray) -> Tensor:
    return filters_to_torch(array)[0, 0]


def _matrix_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return filters_to_matlab(tensor[None, None]).reshape(tuple(tensor.shape), order="F")


FILTERS = WeightKind(filters_to_torch, _filters_back)  # H x W x C x K <-> (K, C, H, W)
VECTOR = WeightKind(vector_to_torch, _vector_back)  # row, column or 1 x 1 x K <-> (K,)
MATRIX = WeightKind(_matrix_to_torch, _matrix_back)  # rows x columns, as it is


class WeightSpec(NamedTuple):
    """One weight of a layer type: its name in Python, its form, and whether it is trained."""

    name: str
    kind: WeightKind
    trainable: bool = True
