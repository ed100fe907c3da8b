"""The Tokyo data sets, which differ from a plain PlaceDataset (Pittsburgh does not)."""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Tokyo247Protocol:
    """An evaluation protocol of Tokyo 24/7; figures are comparable only if all of it is followed.

    name: of `PROTOCOLS`. version: of the query set (315 queries). query_resize: shorter side of query images
    in pixels, None: as they are (database images are not scaled). cutouts: database images cut from one
    panorama, of which only the best ranked counts. lights: the light of the queries, in turn.
    """

    name: str = "deepibl"
    version: int = 2
    query_resize: int | None = 640
    cutouts: int = 12
    lights: tuple[str, ...] = ("day", "sunset", "night")

    def suppress(self, ids: np.ndarray, distances: np.ndarray, top: int) -> Neighbours:
        """The first image of each panorama in ranked ids (M,), at most `top`, with its distance."""
        _, first = np.unique(np.asarray(ids) // self.cutouts, return_index=True)
        kept = np.sort(first)[:top]
        return ids[kept], distances[kept]

    def groups(self, queries: int) -> dict[str, np.ndarray]:
        """Query ids by light."""
        return {light: np.arange(turn, queries, len(self.lights)) for turn, light in enumerate(self.lights)}


TOKYO247 = Tokyo247Protocol()
# deepIBL's README scales queries to 640 pixels, NetVLAD's demo.m does not scale them
PROTOCOLS = {each.name: each for each in (TOKYO247, Tokyo247Protocol("netvlad", query_resize=None))}


class Tokyo247(PlaceDataset):
    """Tokyo 24/7, evaluated by its protocol. Ported from: netvlad/datasets/dbTokyo247.m"""

    protocol = TOKYO247
    query_resize = TOKYO247.query_resize

    def follow(self, protocol: str) -> None:
        """Evaluates by another of `PROTOCOLS`: 'deepibl' (the default) or 'netvlad'."""
        if protocol not in PROTOCOLS:
            raise ArgumentError(f"the protocols of Tokyo 24/7 are {', '.join(PROTOCOLS)}; got {protocol!r}")
        self.protocol = PROTOCOLS[protocol]
        self.query_resize = self.protocol.query_resize

    def search_depth(self, top: int) -> int:
        return top * self.protocol.cutouts

    def rank_matches(self, searcher: Callable[[int, int], Neighbours], query: int, top: int) -> Neighbours:
        return self.protocol.suppress(*searcher(query, self.search_depth(top)), top)

    def query_groups(self) -> dict[str, np.ndarray]:
        return self.protocol.groups(self.query_count)


class TokyoTimeMachine(PlaceDataset):
    """Tokyo Time Machine: images of the query's own year and month are neither positives nor matches.

    database_times, query_times: (N,) the times of database and query images; rows or columns in the file.
    Raises DatasetError for missing time stamps, and for another number of them.
    Ported from: netvlad/datasets/dbTokyoTimeMachine.m
    """

    depth_factor = 10  # about five panoramas of other times at a place, at most

    def __init__(
        self, name: str, *args: Any, database_times: ArrayLike | None = None,
        query_times: ArrayLike | None = None, **fields: Any,
    ):  # fmt: skip
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
            raise DatasetError(
                f"{self.name}: there must be one time stamp for each of {count} {what} images; found {found}"
            )
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
            raise DatasetError(
                f"{whole.name}: {_PATIENCE} images drawn, but too few places with 24 images or more"
            )
    return TinyTokyo(
        name,
        [whole.database_names[image] for image in database], whole.database_positions[database],
        [whole.database_names[image] for image in queries], whole.database_positions[queries],
        **whole.shared_arguments(),
    )  # fmt: skip
