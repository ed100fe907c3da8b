"""Pittsburgh and the Tokyo sets: what each does differently from a plain PlaceDataset."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepibl.datasets.place import Neighbours, PlaceDataset
from deepibl.errors import DatasetError
from matlab_compat.rng import Generator, rng

TINY_IMAGES = 120

TINY_SEED = 43

_PATIENCE = 1000


@dataclass(frozen=True)
class Tokyo247Protocol:
    """How Tokyo 24/7 is evaluated: its figures are not comparable with others unless all of this is done.

    version: of the query set (315 queries). query_resize: shorter side of query images in pixels (database
    images stay as they are). cutouts: database images cut from one panorama; only the best ranked of each
    panorama counts. lights: the light of the queries, in turn.
    """

    version: int = 2
    query_resize: int = 640
    cutouts: int = 12
    lights: tuple[str, ...] = ("day", "sunset", "night")

    def suppress(self, ids: np.ndarray, distances: np.ndarray, nTop: int) -> Neighbours:
        """The first of each panorama in ranked ids (M,), at most nTop, with its distances."""
        _, first = np.unique(np.asarray(ids) // self.cutouts, return_index=True)
        kept = np.sort(first)[:nTop]
        return ids[kept], distances[kept]

    def groups(self, numQueries: int) -> dict[str, np.ndarray]:
        """Query ids by light."""
        every = len(self.lights)
        return {light: np.arange(turn, numQueries, every) for turn, light in enumerate(self.lights)}


TOKYO247 = Tokyo247Protocol()


class Tokyo247(PlaceDataset):
    """Tokyo 24/7, evaluated by its protocol. Ported from: netvlad/datasets/dbTokyo247.m"""

    protocol = TOKYO247
    query_resize = TOKYO247.query_resize

    def search_depth(self, nTop: int) -> int:
        return nTop * self.protocol.cutouts

    def nnSearchPostprocess(
        self, searcher: Callable[[int, int], Neighbours], iQuery: int, nTop: int
    ) -> Neighbours:
        return self.protocol.suppress(*searcher(iQuery, self.search_depth(nTop)), nTop)

    def query_groups(self) -> dict[str, np.ndarray]:
        return self.protocol.groups(self.numQueries)


class TokyoTimeMachine(PlaceDataset):
    """Tokyo Time Machine: images of the query's own time (year and month) are no positives and no answers.

    dbTimeStamp (numImages,), qTimeStamp (numQueries,): rows or columns in the file.
    Errors: DatasetError for time stamps that are missing or of another number.
    Ported from: netvlad/datasets/dbTokyoTimeMachine.m
    """

    depth_factor = 10  # there are up to about five panoramas of other times at a place

    def __init__(self, name: str, *args: Any, dbTimeStamp: Any = None, qTimeStamp: Any = None, **fields: Any):
        super().__init__(name, *args, **fields)
        self.dbTimeStamp = self._stamps(dbTimeStamp, self.numImages, "dbTimeStamp")
        self.qTimeStamp = self._stamps(qTimeStamp, self.numQueries, "qTimeStamp")

    def nontrivialPosQ(self, iQuery: int) -> np.ndarray:
        ids = super().nontrivialPosQ(iQuery)
        return ids[self.dbTimeStamp[ids] != self.qTimeStamp[iQuery]]

    def nontrivialPosDb(self, iDb: int) -> np.ndarray:
        ids = super().nontrivialPosDb(iDb)
        return ids[self.dbTimeStamp[ids] != self.dbTimeStamp[iDb]]

    def search_depth(self, nTop: int) -> int:
        return nTop * self.depth_factor

    def nnSearchPostprocess(
        self, searcher: Callable[[int, int], Neighbours], iQuery: int, nTop: int
    ) -> Neighbours:
        ids, distances = searcher(iQuery, self.search_depth(nTop))
        kept = np.flatnonzero(self.dbTimeStamp[ids] != self.qTimeStamp[iQuery])[:nTop]
        return ids[kept], distances[kept]

    def _stamps(self, stamps: Any, count: int, what: str) -> np.ndarray:
        if stamps is None or np.size(stamps) != count:
            found = "none" if stamps is None else f"{np.size(stamps)}"
            raise DatasetError(
                f"{self.name}: {what} must hold one time stamp for each of {count} images, found {found}"
            )
        return np.asarray(stamps).ravel()


class TinyTokyo(PlaceDataset):
    """A tiny excerpt of Tokyo Time Machine to try things out on: all positives within the limit are used.

    Ported from: netvlad/datasets/dbTiny.m
    """

    def _nontrivial(self, ids: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return ids[squared <= self.nonTrivPosDistSqThr]


def tiny_tokyo(whole: PlaceDataset, name: str, generator: Generator | None = None) -> TinyTokyo:
    """Draws places until 120 database images are found: 12 images each, and 6 others of the place as queries.

    generator: what MATLAB has after rng(43), by default. A place may come twice, as in the original; places
    with 13 to 23 images, on which the original stops, are passed over.
    Errors: DatasetError when no place with enough images is found.
    """
    generator = generator or rng(TINY_SEED)
    database: list[int] = []
    queries: list[int] = []
    misses = 0
    while len(database) < TINY_IMAGES:
        drawn = whole.utmDb[generator.randsample(whole.numImages, 1)[0]]
        place = np.flatnonzero(((whole.utmDb - drawn) ** 2).sum(axis=1) < 5).tolist()
        if len(place) >= 24:
            queries += place[:6]
            database += place[12:24]
        elif (misses := misses + 1) >= _PATIENCE:
            raise DatasetError(
                f"{whole.name}: {_PATIENCE} images drawn, but too few places with 24 images or more"
            )
    return TinyTokyo(
        name,
        [whole.dbImageFns[image] for image in database],
        whole.utmDb[database],
        [whole.dbImageFns[image] for image in queries],
        whole.utmDb[queries],
        **whole.shared_arguments(),
    )
