"""Reading images in background threads while the network computes, a bounded number ahead, in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from deepibl.decoding import Pixels
from matlab_compat.errors import ImageReadError

Item = TypeVar("Item")
Loaded = tuple[int, Item | ImageReadError]


def default_threads() -> int:
    """Decoding threads that keep a GPU busy without crowding a small machine: the CPUs, at most 8."""
    return min(8, os.cpu_count() or 1)


def load_in_order(
    load: Callable[[int], Item], ids: Iterable[int], num_threads: int, look_ahead: int
) -> Generator[Loaded[Item], None, None]:
    """Yields (id, load(id)) in the order of `ids`; where load raises ImageReadError, that error instead.

    At most `look_ahead` images that nobody has taken yet are held or being read. Any other exception of
    `load` is raised here. Leaving the loop early, by an exception too, stops the threads.
    """
    remaining = iter(ids)
    waiting: deque[tuple[int, Future[Item]]] = deque()
    pool = ThreadPoolExecutor(max(1, num_threads), thread_name_prefix="deepibl-loader")
    try:
        for number in islice(remaining, max(1, look_ahead)):
            waiting.append((number, pool.submit(load, number)))
        while waiting:
            number, future = waiting.popleft()
            try:
                result: Item | ImageReadError = future.result()
            except ImageReadError as error:
                result = error
            for following in islice(remaining, 1):
                waiting.append((following, pool.submit(load, following)))
            yield number, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class SizeBatcher:
    """Collects images into batches of equal size; what comes out depends on their order alone.

    batch_size: images of a batch; hold: images that may wait in all, of whatever sizes: beyond that the
    largest batch there is goes out.

    >>> batcher = SizeBatcher(2)
    >>> batcher.add(0, torch.zeros(3, 4, 4)), batcher.add(1, torch.zeros(3, 5, 4))
    (None, None)
    >>> [number for number, _ in batcher.add(2, torch.zeros(3, 4, 4))]
    [0, 2]
    >>> [[number for number, _ in batch] for batch in batcher.rest()]
    [[1]]
    """

    def __init__(self, batch_size: int, hold: int | None = None) -> None:
        self._batch_size = batch_size
        self._hold = hold if hold is not None else 4 * batch_size
        self._waiting: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}

    def add(self, number: int, image: Pixels) -> list[tuple[int, Pixels]] | None:
        """Takes an image (C, H, W); gives the batch [(number, image), …] that is now due, if one is."""
        size = tuple(image.shape[1:])
        batch = self._waiting.setdefault(size, [])
        batch.append((number, image))
        if len(batch) < self._batch_size:
            if sum(map(len, self._waiting.values())) <= self._hold:
                return None
            size = max(self._waiting, key=lambda key: len(self._waiting[key]))
        return self._waiting.pop(size)

    def rest(self) -> Iterator[list[tuple[int, Pixels]]]:
        """The batches that are not full, oldest first; empties the batcher."""
        while self._waiting:
            yield self._waiting.pop(next(iter(self._waiting)))
