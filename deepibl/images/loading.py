"""Reading ahead in threads while the network computes, and batches of images of one size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from matlab_compat.errors import ImageReadError

Item = TypeVar("Item")
Loaded = tuple[int, Item | ImageReadError]


def default_threads() -> int:
    """Decoding threads that keep a GPU busy without crowding a small machine: the CPUs, at most 8."""
    return min(8, os.cpu_count() or 1)


AHEAD_BYTES = 2**28  # of images that wait to be taken


def load_in_order(
    load: Callable[[int], Item], ids: Iterable[int], num_threads: int, look_ahead: int
) -> Generator[Loaded[Item], None, None]:
    """Yields (id, load(id)) in the order of `ids`, or (id, error) where load raises an ImageReadError.

    At most `look_ahead` images, and AHEAD_BYTES, are held or being read before they are taken. Any other
    exception of `load` is raised here. Leaving the loop early stops the threads.
    """
    remaining = iter(ids)
    waiting: deque[tuple[int, Future[Item]]] = deque()
    threads = max(1, num_threads)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="deepibl-loader")
    size, room = 1, min(threads, max(1, look_ahead))
    try:
        for number in islice(remaining, room):
            waiting.append((number, pool.submit(load, number)))
        while waiting:
            number, future = waiting.popleft()
            try:
                result: Item | ImageReadError = future.result()
                size = max(1, _bytes(future))
            except ImageReadError as error:
                result = error
            held = sum(_bytes(each) if each.done() else size for _, each in waiting)
            room = min(max(1, look_ahead) - len(waiting), (AHEAD_BYTES - held) // size)
            for following in islice(remaining, max(room, 0 if waiting else 1)):
                waiting.append((following, pool.submit(load, following)))
            yield number, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _bytes(future: Future[Any]) -> int:
    """Bytes of an image that has been read; 0 of one that failed."""
    return 0 if future.exception() else int(getattr(future.result(), "nbytes", 0))


def batches_by_size(
    images: Iterable[Loaded[Any]],
    batch_size: int,
    hold: int | None = None,
    fitting: Callable[[int, int], int] | None = None,
) -> Iterator[list[tuple[int, Any]]]:
    """Collects (id, image) into batches of images of one size; they depend on the order of the images alone.

    An image has the shape (C, H, W); an ImageReadError in its place comes as a batch of its own at once.
    hold: images of whatever sizes that may wait (default 4 * batch_size); beyond, the largest batch is given.
    fitting: (H, W) -> the most images of that size in a batch; as many for each image in it may wait.

    >>> import torch
    >>> a, b = torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)
    >>> [[number for number, _ in batch] for batch in batches_by_size([(0, a), (1, b), (2, a)], 2)]
    [[0, 2], [1]]
    """
    waiting: dict[tuple[int, int], list[tuple[int, Any]]] = {}
    most: dict[tuple[int, int], int] = {}
    hold = 4 * batch_size if hold is None else hold
    for number, image in images:
        if isinstance(image, ImageReadError):
            yield [(number, image)]
            continue
        size = image.shape[1], image.shape[2]
        most[size] = max(1, min(batch_size, fitting(*size))) if fitting else batch_size
        waiting.setdefault(size, []).append((number, image))
        if len(waiting[size]) >= most[size]:
            yield waiting.pop(size)
        # an image of which fewer fit into a batch counts for more
        elif sum(len(batch) * batch_size / most[each] for each, batch in waiting.items()) > hold:
            yield waiting.pop(max(waiting, key=lambda key: len(waiting[key])))
    while waiting:
        yield waiting.pop(next(iter(waiting)))
