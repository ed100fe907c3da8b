"""Describing a group of consecutive images: batches by size, rows in order, failures by name.

Describing images from the maps of a network's lower layers, which may have been kept.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.engine.choose import Engine, choose_engine
from deepibl.engine.describe import describe_prepared
from deepibl.errors import ExtractionError, Failure
from deepibl.features.trunk_cache import Fetched, TrunkCache
from deepibl.images import HostDecoder, Loaded, Pixels, SizeBatcher
from deepibl.runtime.devices import check_precision, to_batch
from matlab_compat.errors import ImageReadError, MatlabCompatError

Batch = list[tuple[int, Pixels]]


def group_length(batch_size: int) -> int:
    """Images of a group: what a killed run loses at most, and what is sorted into batches by size."""
    return max(64, 8 * batch_size)


class GroupDescriber:
    """Loads and describes images by their position in `paths`, on one device, with fixed settings."""

    def __init__(
        self,
        net: nn.Module,
        device: torch.device,
        paths: Sequence[str],
        batch_size: int,
        precision: str,
        resize: int | Sequence[int] | None,
        engine: Engine | None = None,
        decoder: HostDecoder | None = None,
    ) -> None:
        check_precision(precision)
        self._decoder = decoder or HostDecoder(device)
        self._engine = engine
        self._net = net
        self._device = device
        self._paths = paths
        self._batch_size = batch_size
        self._precision = precision
        self._resize = resize
        self._dim: int | None = None

    def load(self, number: int) -> Any:
        """Image `number` as the decoder loads it. Raises ImageReadError."""
        return self._decoder.load(self._paths[number], self._resize)

    def ready(self, loaded: Any) -> Any:
        """What `load` gave as what is put into batches by its size, (C, H, W)."""
        return loaded

    def batch(self, ready: list[Tensor]) -> Tensor:
        """A batch of one size as the network's input (N, C, H, W)."""
        return self._net.prepare(to_batch(ready, self._device))  # type: ignore[operator]

    def describe(
        self, stream: Iterator[Loaded[Any]], length: int, advance: Callable[[int], None]
    ) -> tuple[list[int], np.ndarray, list[Failure]]:
        """The next `length` images of the stream: ascending ids, rows (n, D) float32, and failures.

        advance: called with the number of images that are through. On CUDA the rows are fetched once, at the
        end, so that the device never waits.
        """
        batcher = SizeBatcher(self._batch_size)
        failures: list[Failure] = []
        described: list[tuple[list[int], Tensor]] = []

        def fail(ids: list[int], reasons: list[str]) -> None:
            failures.extend(map(self._failure, ids, reasons))
            if ids:
                advance(len(ids))

        def run(batch: Batch) -> None:
            ids, images, lost = self._finished(batch)
            fail(list(lost), list(lost.values()))
            features = self._describe_batch(images) if images else ""
            if isinstance(features, Tensor):
                described.append((ids, features))
                advance(len(ids))
            else:
                fail(ids, [f"{self._paths[number]}: {features}" for number in ids])

        for number, loaded in islice(stream, length):
            if isinstance(loaded, ImageReadError):
                fail([number], [str(loaded)])
                continue
            ready = self._attempt(partial(self.ready, loaded), 1)
            if isinstance(ready, str):
                fail([number], [f"{self._paths[number]}: {ready}"])
            elif batch := batcher.add(number, ready):
                run(batch)
        for batch in batcher.rest():
            run(batch)
        return self._in_order(described, failures)

    def _finished(self, batch: Batch) -> tuple[list[int], list[Tensor], dict[int, str]]:
        """Ids and pixels of a batch's images, and why others have none, by id."""
        images: dict[int, Tensor] = {}
        lost: dict[int, str] = {}
        for (number, _), image in zip(batch, self._decoder.finish([i for _, i in batch]), strict=True):
            if isinstance(image, ImageReadError):
                lost[number] = str(image)
            else:
                images[number] = image
        return list(images), list(images.values()), lost

    def _describe_batch(self, images: list[Tensor]) -> Tensor | str:
        """Rows (n, D), or why the network cannot take images of this size."""
        size = f"{images[0].shape[2]} x {images[0].shape[1]} pixels"
        features = self._attempt(
            lambda: describe_prepared(self._net, self.batch(images), self._precision, self._engine),
            len(images),
            f" of {size}",
        )
        if isinstance(features, str):
            return features
        if self._dim is None:
            self._dim = features.shape[1]
        if features.shape[1] != self._dim:
            raise ExtractionError(
                f"the network gives {features.shape[1]} numbers for an image of {size} and "
                f"{self._dim} for others: end it with a pooling layer, or give resize=(height, width)"
            )
        return features

    def _attempt(self, compute: Callable[[], Tensor], count: int, size: str = "") -> Tensor | str:
        """What is computed from `count` images, or why the network cannot take them."""
        try:
            return compute()
        except torch.OutOfMemoryError as error:
            raise ExtractionError(
                f"out of memory on {self._device} with {count} images{size}; "
                f"give a batch_size below {self._batch_size}, or resize: {error}"
            ) from error
        except (MatlabCompatError, RuntimeError) as error:
            if _is_device_error(error):
                raise
            return f"the network cannot take an image{size}: {error}"

    def _in_order(
        self, described: list[tuple[list[int], Tensor]], failures: list[Failure]
    ) -> tuple[list[int], np.ndarray, list[Failure]]:
        """Rows by ascending id; those with numbers that are not finite become failures."""
        if not described:
            return [], np.zeros((0, self._dim or 0), dtype=np.float32), _sorted(failures)
        ids = np.concatenate([np.asarray(part) for part, _ in described])
        rows = torch.cat([part for _, part in described]).cpu().numpy()
        if (np.diff(ids) < 0).any():  # copies are spared where images came in order and all are good
            order = np.argsort(ids)
            ids, rows = ids[order], rows[order]
        good = np.isfinite(rows).all(axis=1)
        if good.all():
            return ids.tolist(), rows, _sorted(failures)
        for number in ids[~good].tolist():
            reason = f"{self._paths[number]}: the network's output is not finite"
            failures.append(self._failure(number, reason))
        return ids[good].tolist(), rows[good], _sorted(failures)

    def _failure(self, number: int, reason: str) -> Failure:
        return Failure(number, self._paths[number], reason)


def _sorted(failures: list[Failure]) -> list[Failure]:
    return sorted(failures, key=lambda failure: failure.index)


def _is_device_error(error: Exception) -> bool:
    """Whether the device itself failed, so that no other image can be computed either."""
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or "CUDA error" in str(error)


class TrunkDescriber(GroupDescriber):
    """A `GroupDescriber` whose images come as maps of the trunk, and go through the layers above it.

    The maps decide the batches, so these, and the descriptors' bits, are the same whatever was kept.
    The weights above the trunk are read here.
    """

    def __init__(
        self, trunk: TrunkCache, paths: Sequence[str], batch_size: int, precision: str, engine: str
    ) -> None:
        head = trunk.net.with_layers(list(trunk.net)[trunk.first :])
        chosen = choose_engine(head, engine, precision, trunk.device, channels=trunk.channels)
        super().__init__(head, trunk.device, paths, batch_size, precision, None, chosen)
        self._trunk = trunk

    def load(self, number: int) -> Fetched:
        """Image `number`, or its maps. Raises ImageReadError."""
        return self._trunk.fetch(self._paths[number])

    def ready(self, loaded: Fetched) -> Tensor:
        """Its maps (C, H, W)."""
        return self._trunk.maps_of(loaded)

    def batch(self, ready: list[Tensor]) -> Tensor:
        """Maps (N, C, H, W) float32."""
        return self._trunk.join(ready)
