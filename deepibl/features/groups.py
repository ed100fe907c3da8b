"""From image files to descriptors, a batch at a time: by the whole network, or from maps of its backbone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from deepibl.engine.batch import extract_prepared
from deepibl.engine.choose import choose_engine
from deepibl.engine.memory import BatchMemory
from deepibl.engine.settings import ExtractionSettings
from deepibl.errors import ExtractionError
from deepibl.features.backbone_cache import BackboneCache, Fetched
from deepibl.images import load_pixels
from deepibl.runtime.devices import to_batch
from matlab_compat.errors import ImageReadError, MatlabCompatError


class BatchExtractor:
    """Reads image files and extracts their descriptors on one device, with the net's weights of now."""

    def __init__(self, net: nn.Module, device: torch.device, settings: ExtractionSettings) -> None:
        self.engine = choose_engine(net, settings.engine, settings.precision, device, scales=settings.scales)
        self._memory: BatchMemory | None = BatchMemory(net, device)
        self._net, self._device, self._settings = net, device, settings
        self._dim: int | None = None

    def load(self, path: str) -> Any:
        """An image (1 or 3, H, W), for a GPU in pinned memory; called in threads. Raises ImageReadError."""
        pixels = load_pixels(path, self._settings.reading)
        return pixels.pin_memory() if self._device.type == "cuda" else pixels

    def ready(self, loaded: Any, path: str) -> Any:
        """What `load` gave, or its ImageReadError, as what is put into batches by its size: (C, H, W)."""
        return loaded

    def fitting(self, height: int, width: int) -> int:
        return self._memory.fitting(height, width) if self._memory else self._settings.batch_size

    def extract(self, images: list[Tensor]) -> Tensor:
        """Descriptors (n, D) float32, on the device, of images (C, H, W) of one size.

        Raises ImageReadError if the network cannot take this size or the memory is too small for one image,
        ExtractionError if it runs out of memory or gives descriptors of another length than before.
        """
        if self._memory is not None:  # what is no map yet
            self._memory.require(*images[0].shape[1:])
        size = f"{images[0].shape[2]} x {images[0].shape[1]} pixels"
        with self._refusals(len(images), f" of {size}"):
            rows = self._compute(images)
        self._dim = rows.shape[1] if self._dim is None else self._dim
        if rows.shape[1] != self._dim:
            raise ExtractionError(
                f"the network gives {rows.shape[1]} numbers for an image of {size} and {self._dim} for "
                "others: end it with a pooling layer, or give resize=(height, width)"
            )
        return rows

    def _compute(self, images: list[Tensor]) -> Tensor:
        prepared = self._net.prepare(to_batch(images, self._device))  # type: ignore[operator]
        return extract_prepared(self._net, prepared, self._settings.precision, self.engine)

    @contextmanager
    def _refusals(self, count: int, size: str = "") -> Iterator[None]:
        """Turns what the network raises into an ImageReadError, but for a failed device and full memory."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise ExtractionError(
                f"out of memory on {self._device} with {count} images{size}; give a batch size below "
                f"{self._settings.batch_size}, or smaller images: {error}"
            ) from error
        except (MatlabCompatError, RuntimeError) as error:
            kind = getattr(torch, "AcceleratorError", None)
            if (kind is not None and isinstance(error, kind)) or "CUDA error" in str(error):
                raise
            raise ImageReadError(f"the network cannot take an image{size}: {error}") from error


class MapExtractor(BatchExtractor):
    """The same from maps of the layers below, kept or computed now (`BackboneCache`), by the layers above.

    The maps decide the batches, so these, and the descriptors' bits, are the same whatever was kept.
    """

    def __init__(self, backbone: BackboneCache, settings: ExtractionSettings) -> None:
        head = backbone.net.with_layers(list(backbone.net)[backbone.first :])
        self.engine = choose_engine(
            head, settings.engine, settings.precision, backbone.device, channels=backbone.channels
        )
        self._net, self._device, self._settings = head, backbone.device, settings
        self._dim = self._memory = None
        self._backbone = backbone

    def load(self, path: str) -> Fetched:
        """An image's maps where they are kept, else the image. Raises ImageReadError."""
        return self._backbone.fetch(path)

    def ready(self, loaded: Fetched | ImageReadError, path: str) -> Tensor | ImageReadError:
        """The image's maps (C, h, w), computed if they were not kept."""
        if isinstance(loaded, ImageReadError):
            return loaded
        try:
            with self._refusals(1):
                return self._backbone.maps_of(loaded)
        except ImageReadError as error:
            return ImageReadError(f"{path}: {error}")

    def _compute(self, images: list[Tensor]) -> Tensor:
        maps = self._backbone.join(images)
        return extract_prepared(self._net, maps, self._settings.precision, self.engine)
