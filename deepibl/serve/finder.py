"""A network and its index: places that look like an image in memory, and heatmaps of a match."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.engine.batch import extract_prepared
from deepibl.engine.choose import choose_engine
from deepibl.engine.scales import Scales, identity_of
from deepibl.images import pixels_of_photo
from deepibl.report.cells import has_vlad
from deepibl.report.heatmap import fit, relus_of
from deepibl.report.overlay import beside
from deepibl.report.sheet import as_photo, draw
from deepibl.runtime.devices import check_precision, inference, to_batch
from deepibl.search.answer import Answer
from deepibl.search.index import PlaceIndex
from matlab_compat.errors import ArgumentError, ImageReadError, MatlabCompatError

METHODS = ("cells", "guided", "gradient")
_UNIT = 1e-3


class PlaceFinder:
    """Searches one index with its own network, by the weights that it has now; threads take turns.

    >>> finder = PlaceFinder(net, deepibl.PlaceIndex.load("city.idx"))  # doctest: +SKIP
    >>> finder.find(frame[..., ::-1]).summary  # of OpenCV: BGR  # doctest: +SKIP

    net: on `device`, in eval mode afterwards. precision, engine, scales: as in `deepibl.extract`.
    unit: whether the index's descriptors are unit vectors, whose distances are 2 - 2 cosine.
    Raises NetworkMismatchError for another network's index, ArgumentError for settings out of range.
    """

    def __init__(
        self,
        net: nn.Module,
        index: PlaceIndex,
        *,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        engine: str = "auto",
        scales: Scales | None = None,
    ) -> None:
        check_precision(precision)
        index.require_network(identity_of(net, scales))
        self.net, self.index, self.precision = net.to(device).eval(), index, precision
        self._device, self._lock = torch.device(device), Lock()
        self._engine = choose_engine(net, engine, precision, self._device, scales=scales)
        lengths = np.linalg.norm(np.asarray(index.descriptors[:256], np.float32), axis=1)
        self.unit = bool(len(lengths) and (np.abs(lengths - 1) < _UNIT).all())

    @property
    def engine(self) -> str:
        """The engine that computes the backbone, and why it was chosen."""
        return str(self._engine)

    @property
    def methods(self) -> tuple[str, ...]:
        """The heatmaps that can be drawn with this network."""
        able = {"cells": has_vlad(self.net), "guided": bool(relus_of(self.net))}
        return tuple(method for method in METHODS if able.get(method, True))

    def describe(self, photo: Any) -> np.ndarray:
        """The descriptor (1, D) float32 of a photo.

        photo: what `deepibl.images.pixels_of_photo` takes, to be read as the index's images; or what that
        gives, (1 or 3, H, W). Raises ArgumentError for another, ImageReadError if the network cannot take it.
        """
        tensor = isinstance(photo, Tensor) and photo.ndim == 3 and photo.shape[0] in (1, 3)
        image = photo if tensor else pixels_of_photo(photo, self.index.reading)
        if image.is_floating_point() and 0 < image.max() <= 1:
            warnings.warn("no value of the photo is above 1: they must be 0–255", stacklevel=2)
        size = f"{image.shape[2]} x {image.shape[1]}"
        with self._lock, inference(self.net), _taking(f"a photo of {size} pixels"):
            prepared = self.net.prepare(to_batch([image], self._device))  # type: ignore[operator]
            rows = extract_prepared(self.net, prepared, self.precision, self._engine).cpu().numpy()
        if rows.shape[1] != self.index.dim or not np.isfinite(rows).all():
            raise ImageReadError(f"the network gives no usable descriptor for a photo of {size} pixels")
        return rows

    def find(
        self, photo: Any, top: int = 5, near: tuple[float, float] | None = None, within: float | None = None
    ) -> Answer:
        """The answer of a photo: `top` places, nearest first; only those `within` metres of a position.

        Raises what `describe` and `PlaceIndex.search` raise.
        """
        return self.index.search(self.describe(photo), top, near=near, within=within)[0]

    def heatmap(self, image: Tensor, other: Tensor, method: str, pixels: int) -> np.ndarray:
        """What makes two images alike: both side by side, with heatmaps and their scale, (h, w, 3) uint8.

        Images are (1 or 3, H, W), scaled down to `pixels` each. method: of `methods`; 'cells' (of NetVLAD)
        frames matching parts, too. Raises ArgumentError for another method, and ImageReadError for a size
        that the network cannot take.
        """
        if method not in self.methods:
            raise ArgumentError(f"method must be one of {', '.join(self.methods)}; got {method!r}")
        pair = [fit(picture.float().expand(3, -1, -1), pixels).to(self._device) for picture in (image, other)]
        with self._lock, _taking("this photo"):
            drawn = draw(self.net, method, pair, [as_photo(picture) for picture in pair])
        return beside([drawing.picture for drawing in drawn])


@contextmanager
def _taking(what: str) -> Iterator[None]:
    """Turns what a network raises for a size that it cannot take into ImageReadError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (MatlabCompatError, RuntimeError) as problem:
        reason = str(problem).splitlines()[0]
        raise ImageReadError(f"the network cannot take {what}: {reason}") from problem
