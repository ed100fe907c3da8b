"""Reading the images of tuples ahead of their use, in threads."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from deepibl.images import read_image
from deepibl.mining import MinedTuple
from deepibl.training.options import TrainingOptions
from deepibl.training.trunk import Trunk
from deepibl.trunk_cache import Fetched
from matlab_compat.numeric import round_half_away

Read = tuple[MinedTuple, list[Fetched]]


class TupleReader:
    """Reads the images of tuples ahead of their use, with `numThreads` threads.

    dataset: has dbPath, dbImageFns, qPath, qImageFns. trunk: fetches an image. Use as a context manager.
    """

    def __init__(self, dataset: Any, options: TrainingOptions, trunk: Trunk) -> None:
        self._dataset, self._scales, self._trunk = dataset, options.jitterScale, trunk
        self._pool = ThreadPoolExecutor(options.numThreads)
        self._side = min(read_image(self._database(0)).shape[-2:]) if options.jitterScale else 0

    def __enter__(self) -> "TupleReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ahead(self, tuples: Iterable[MinedTuple]) -> Iterable[Read]:
        """Each tuple with its images: query, positive, negatives.

        While one is used the next is read. Raises ImageReadError naming an image that cannot be read.
        """
        waiting: list[tuple[MinedTuple, list[Future[Any]]]] = []
        for mined in tuples:
            waiting.append((mined, self._start(mined)))
            if len(waiting) > 1:
                yield _finish(*waiting.pop(0))
        for mined, images in waiting:
            yield _finish(mined, images)

    def _start(self, mined: MinedTuple) -> list[Future[Any]]:
        resize = None
        if mined.scale is not None:
            resize = int(round_half_away(self._scales[mined.scale] * self._side))
        paths = [self.query(mined.query), *map(self._database, [mined.positive, *mined.negatives])]
        return [self._pool.submit(self._trunk.fetch, path, mined.flip, resize) for path in paths]

    def query(self, query: int) -> str:
        """The path of a query's image."""
        return os.path.join(self._dataset.qPath, self._dataset.qImageFns[query])

    def _database(self, image: int) -> str:
        return os.path.join(self._dataset.dbPath, self._dataset.dbImageFns[image])


def _finish(mined: MinedTuple, images: Sequence[Future[Any]]) -> Read:
    return mined, [image.result() for image in images]
