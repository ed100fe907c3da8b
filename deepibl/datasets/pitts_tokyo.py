"""The Tokyo data sets, which differ from a plain PlaceDataset (Pittsburgh does not)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.place import Neighbours, PlaceDataset
from deepibl.errors import DatasetError
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import Generator, rng

TINY_IMAGES = 120
TINY_SEED = 43
_PATIENCE = 1000


# by protocol: the shorter side of query images in pixels; None: as they are. deepIBL's README scales them,
# NetVLAD's demo.m does not; figures are comparable only within a protocol
PROTOCOLS = {"deepibl": 640, "netvlad": None}


class Tokyo247(PlaceDataset):
    """Tokyo 24/7 with version 2 of its queries (315): of a panorama's images only the best ranked counts.

    Ported from: netvlad/datasets/dbTokyo247.m
    """

    query_resize = PROTOCOLS["deepibl"]
    cutouts = 12  # database images cut from one panorama, one after the other
    lights = ("day", "sunset", "night")  # of the queries, in turn

    def follow(self, protocol: str) -> None:
        """Evaluates by another of `PROTOCOLS`: 'deepibl' (the default) or 'netvlad'."""
        if protocol not in PROTOCOLS:
            raise ArgumentError(f"the protocols of Tokyo 24/7 are {', '.join(PROTOCOLS)}; got {protocol!r}")
        self.query_resize = PROTOCOLS[protocol]

    def search_depth(self, top: int) -> int:
        return top * self.cutouts

    def rank_matches(self, searcher: Callable[[int, int], Neighbours], query: int, top: int) -> Neighbours:
        ids, distances = searcher(query, self.search_depth(top))
        _, first = np.unique(np.asarray(ids) // self.cutouts, return_index=True)
        kept = np.sort(first)[:top]
        return ids[kept], distances[kept]

    def query_groups(self) -> dict[str, np.ndarray]:
        turns, all_queries = len(self.lights), np.arange(self.query_count)
        return {light: all_queries[turn::turns] for turn, light in enumerate(self.lights)}


class TokyoTimeMachine(PlaceDataset):
    """Tokyo Time Machine: images of the query's own year and month are neither positives nor matches.

    database_times, query_times: (N,) the times of database and query images; rows or columns in the file.
    Raises DatasetError for missing time stamps, and for another number of them.
    Ported from: netvlad/datasets/dbTokyoTimeMachine.m
    """

    depth_factor = 10  # about five panoramas of other times at a place, at most

    def __init__(
        self,
        name: str,
        *args: Any,
        database_times: ArrayLike | None = None,
        query_times: ArrayLike | None = None,
        **fields: Any,
    ):
        super().__init__(name, *args, **fields)
        self.database_times = self._stamps(database_times, self.database_size, "database")
        self.query_times = self._stamps(query_times, self.query_count, "query")

    def nontrivial_positives(self, query: int) -> np.ndarray:
        ids = super().nontrivial_positives(query)
        return ids[self.database_times[ids] != self.query_times[query]]

    def nontrivial_neighbours(self, image: int) -> np.ndarray:
        ids = super().nontrivial_neighbours(image)
        return ids[self.database_times[ids] != self.database_times[image]]

    def search_depth(self, top: int) -> int:
        return top * self.depth_factor

    def rank_matches(self, searcher: Callable[[int, int], Neighbours], query: int, top: int) -> Neighbours:
        ids, distances = searcher(query, self.search_depth(top))
        kept = np.flatnonzero(self.database_times[ids] != self.query_times[query])[:top]
        return ids[kept], distances[kept]

    def _stamps(self, stamps: ArrayLike | None, count: int, what: str) -> np.ndarray:
        if stamps is None or np.size(stamps) != count:
            found = "none" if stamps is None else f"{np.size(stamps)}"
            wanted = f"one time stamp for each of {count} {what} images"
            raise DatasetError(f"{self.name}: there must be {wanted}; found {found}")
        return np.asarray(stamps).ravel()


class TinyTokyo(PlaceDataset):
    """A tiny part of Tokyo Time Machine for trials; training uses all positives within its limit.

    Ported from: netvlad/datasets/dbTiny.m
    """

    def _nontrivial(self, ids: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return ids[squared <= self.nontrivial_distance_squared]


def tiny_tokyo(whole: PlaceDataset, name: str, generator: Generator | None = None) -> TinyTokyo:
    """Draws places until there are 120 database images: 12 of each place, and 6 others as queries.

    generator: by default MATLAB's after rng(43). A place may be drawn twice, as in the original; places with
    13 to 23 images, on which the original stops, are skipped.
    Raises DatasetError when no place with enough images is found.
    """
    generator = generator or rng(TINY_SEED)
    database: list[int] = []
    queries: list[int] = []
    misses = 0
    while len(database) < TINY_IMAGES:
        drawn = whole.database_positions[generator.randsample(whole.database_size, 1)[0]]
        place = np.flatnonzero(((whole.database_positions - drawn) ** 2).sum(axis=1) < 5).tolist()
        if len(place) >= 24:
            queries += place[:6]
            database += place[12:24]
        elif (misses := misses + 1) >= _PATIENCE:
            drawn_so_far = f"{_PATIENCE} images drawn, but too few places with 24 images or more"
            raise DatasetError(f"{whole.name}: {drawn_so_far}")
    return TinyTokyo(
        name,
        [whole.database_names[image] for image in database],
        whole.database_positions[database],
        [whole.database_names[image] for image in queries],
        whole.database_positions[queries],
        **whole.shared_arguments(),
    )
