"""Describing a group of consecutive images: batches by size, rows in order, failures by name."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.decoding import HostDecoder, Loaded
from deepibl.describe import check_precision, describe_prepared, to_batch
from deepibl.engine import Engine
from deepibl.errors import ExtractionError
from deepibl.failure import Failure
from deepibl.loader import SizeBatcher, Taken
from matlab_compat.errors import ImageReadError, MatlabCompatError

Batch = list[tuple[int, Loaded]]


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

    def load(self, number: int) -> Loaded:
        """Image `number` as the decoder loads it. Raises ImageReadError."""
        return self._decoder.load(self._paths[number], self._resize)

    def describe(
        self, stream: Iterator[Taken], length: int, advance: Callable[[int], None]
    ) -> tuple[list[int], np.ndarray, list[Failure]]:
        """The next `length` images of the stream: ascending ids, rows (n, D) float32, and failures.

        advance: called with the number of images that are through. On CUDA the rows are fetched once, at the
        end, so that the device never waits.
        """
        batcher = SizeBatcher(self._batch_size)
        failures: list[Failure] = []
        described: list[tuple[list[int], Tensor]] = []

        def run(batch: Batch) -> None:
            ids, images = self._finished(batch, failures)
            features = self._describe_batch(images) if images else ""
            if isinstance(features, Tensor):
                described.append((ids, features))
            else:
                failures.extend(self._failure(number, f"{self._paths[number]}: {features}") for number in ids)
            advance(len(batch))

        for number, image in islice(stream, length):
            if isinstance(image, ImageReadError):
                failures.append(self._failure(number, str(image)))
                advance(1)
            elif batch := batcher.add(number, image):
                run(batch)
        for batch in batcher.rest():
            run(batch)
        return self._in_order(described, failures)

    def _finished(self, batch: Batch, failures: list[Failure]) -> tuple[list[int], list[Tensor]]:
        """Ids and pixels of a batch's images; those that cannot be decoded are added to the failures."""
        ids, images = [], []
        for (number, _), image in zip(batch, self._decoder.finish([i for _, i in batch]), strict=True):
            if isinstance(image, ImageReadError):
                failures.append(self._failure(number, str(image)))
            else:
                ids.append(number)
                images.append(image)
        return ids, images

    def _describe_batch(self, images: list[Tensor]) -> Tensor | str:
        """Rows (n, D), or why the network cannot take images of this size."""
        prepared = self._net.prepare(to_batch(images, self._device))  # type: ignore[operator]
        try:
            features = describe_prepared(self._net, prepared, self._precision, self._engine)
        except torch.OutOfMemoryError as error:
            raise ExtractionError(
                f"out of memory on {self._device} with {len(images)} images of {_size(prepared)}; "
                f"give a batch_size below {self._batch_size}, or resize: {error}"
            ) from error
        except (MatlabCompatError, RuntimeError) as error:
            if _is_device_error(error):
                raise
            return f"the network cannot take an image of {_size(prepared)}: {error}"
        if self._dim is None:
            self._dim = features.shape[1]
        if features.shape[1] != self._dim:
            raise ExtractionError(
                f"the network gives {features.shape[1]} numbers for an image of {_size(prepared)} and "
                f"{self._dim} for others: end it with a pooling layer, or give resize=(height, width)"
            )
        return features

    def _in_order(
        self, described: list[tuple[list[int], Tensor]], failures: list[Failure]
    ) -> tuple[list[int], np.ndarray, list[Failure]]:
        """Rows by ascending id; those with numbers that are not finite become failures."""
        if not described:
            return [], np.zeros((0, self._dim or 0), dtype=np.float32), _sorted(failures)
        ids = np.concatenate([np.asarray(part) for part, _ in described])
        rows = torch.cat([part for _, part in described]).cpu().numpy()
        order = np.argsort(ids)
        ids, rows = ids[order], rows[order]
        good = np.isfinite(rows).all(axis=1)
        for number in ids[~good].tolist():
            reason = f"{self._paths[number]}: the network's output is not finite"
            failures.append(self._failure(number, reason))
        return ids[good].tolist(), rows[good], _sorted(failures)

    def _failure(self, number: int, reason: str) -> Failure:
        return Failure(number, self._paths[number], reason)


def _sorted(failures: list[Failure]) -> list[Failure]:
    return sorted(failures, key=lambda failure: failure.index)


def _size(batch: Tensor) -> str:
    return f"{batch.shape[3]} x {batch.shape[2]} pixels"


def _is_device_error(error: Exception) -> bool:
    """Whether the device itself failed, so that no other image can be computed either."""
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or "CUDA error" in str(error)
