"""Geo-tagged image sets: database and query images, their positions, and which images are positives.

`PlaceDataset` is the base class. `ListedPositives` is for data sets whose ground truth lists the correct
images of each query, such as San Francisco (Sf-0). Other known sets are in `deepibl.datasets.pitts_tokyo` and
`deepibl.datasets.retrieval`, sets made of photos in `deepibl.datasets.folder`; `open_dataset` (of
`deepibl.datasets.catalog`) opens a set by its name.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.dbstruct import FIELDS, write_dbstruct
from deepibl.datasets.geo import DEGREES, arc, in_space, zone_of
from deepibl.datasets.positions import ClosePosition, GlobePositions, as_positions, refuse_degrees
from deepibl.errors import DatasetError, MissingImageError
from matlab_compat.files import StrPath
from matlab_compat.numeric import round_half_away
from matlab_compat.rng import Generator, rng

Neighbours = tuple[np.ndarray, np.ndarray]  # ids (M,) and squared distances (M,), nearest first
# what a training draws from, for overrides of sampling that do not take a generator
DRAWING: ContextVar[Generator | None] = ContextVar("the generator in use", default=None)
_log = logging.getLogger(__name__)
_SHOWN = 5  # names in a message about missing images


class PlaceSet(Protocol):
    """What extraction, evaluation and training need of a data set; `PlaceDataset` has it. Ids are 0-based."""

    name: str
    database_root: str
    query_root: str
    database_names: list[str]
    query_names: list[str]
    database_size: int
    query_count: int
    query_resize: int | None

    def positives(self, query: int, /) -> np.ndarray: ...
    def is_positive(self, query: int, images: ArrayLike, /) -> np.ndarray: ...
    def nontrivial_positives(self, query: int, /) -> np.ndarray: ...
    def sample_negatives(self, query: int, n: int, generator: Generator, /) -> np.ndarray: ...
    def rank_matches(
        self, searcher: Callable[[int, int], Neighbours], query: int, top: int, /
    ) -> Neighbours: ...
    def search_depth(self, top: int, /) -> int: ...
    def query_groups(self) -> dict[str, np.ndarray]: ...


class PlaceDataset:
    """Database and query images with positions (N, 2) float64, by default in metres; all ids are 0-based.

    For a set of your own, give its lists to this class or write a dbStruct file (see
    `deepibl.datasets.dbstruct`). For other rules, derive a class and override `nontrivial_positives` or
    `rank_matches`.
    name: of the set.
    database_names, query_names: names of the database and query images, below the two roots.
    database_positions, query_positions: positions (N, 2), east and north, or latitude and longitude.
    positive_distance: metres (inclusive) within which a database image is a positive.
    nontrivial_distance_squared: squared metres within which a positive is used in training.
    split: 'train', 'val' or 'test'.
    frame: of the positions (see `deepibl.datasets.geo`): a UTM zone such as '17N', None for metres whose
        zone is not known, 'degrees' for places so far apart that no zone has true distances for all.
    advice: how to get the images, for error messages.
    extra: other fields of the dbStruct file.

    Attributes: the arguments; `database_size`, `query_count`; `query_resize`, the shorter side in pixels that
    query images are scaled to before extraction (None: not scaled); `as_stored`, whether images are
    read as the original reads them, False for own photos, which are turned upright and scaled.
    Raises DatasetError for lists that do not fit together, and for degrees given as metres.
    Ported from: netvlad/datasets/dbBase.m
    """

    query_resize: int | None = None
    as_stored: bool = True

    def __init__(
        self,
        name: str,
        database_names: Sequence[str],
        database_positions: ArrayLike,
        query_names: Sequence[str],
        query_positions: ArrayLike,
        *,
        database_root: StrPath = "",
        query_root: StrPath = "",
        positive_distance: float = 25,
        nontrivial_distance_squared: float = 100,
        split: str = "",
        frame: str | None = None,
        advice: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.split = name, split
        self.database_names, self.query_names = list(database_names), list(query_names)
        roots = database_root, query_root
        self.database_root, self.query_root = (os.path.expanduser(os.fspath(path)) for path in roots)
        self.database_size, self.query_count = len(self.database_names), len(self.query_names)
        what = f"{name}: the database", f"{name}: the query set"
        self.database_positions = as_positions(database_positions, what[0], self.database_size)
        self.query_positions = as_positions(query_positions, what[1], self.query_count)
        self.positive_distance = float(positive_distance)
        self.positive_distance_squared = self.positive_distance**2
        self.nontrivial_distance_squared = float(nontrivial_distance_squared)
        self.frame, self.advice, self.extra = frame, advice, dict(extra or {})
        if frame != DEGREES:
            everything = np.concatenate([self.database_positions, self.query_positions])
            refuse_degrees(name, everything, self.positive_distance)
        search = GlobePositions if frame == DEGREES else ClosePosition
        self.close_positions = search(self.database_positions, self.positive_distance)
        self._logged_few_negatives = False

    def shared_arguments(self) -> dict[str, Any]:
        """The arguments that do not concern single images, for a set made of some of this one's images."""
        names = (
            *("database_root", "query_root", "positive_distance", "nontrivial_distance_squared"),
            *("split", "frame", "advice"),
        )
        return {name: getattr(self, name) for name in names}

    def subset(self, database: Sequence[int], queries: Sequence[int], kind: Any = None) -> Any:
        """The set of some of these images, by id: a `kind`, a class (default: PlaceDataset)."""
        made = (kind or PlaceDataset)(
            self.name,
            [self.database_names[i] for i in database],
            self.database_positions[list(database)],
            [self.query_names[i] for i in queries],
            self.query_positions[list(queries)],
            **self.shared_arguments(),
        )
        made.as_stored = self.as_stored
        return made

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name}: {self.database_size} database images, {self.query_count} queries>"

    # positives

    def positives(self, query: int) -> np.ndarray:
        """Ids (M,) of all positives of a query, in the order of ClosePosition's cells."""
        return self.close_positions.positives(self.query_positions[query])[0]

    def is_positive(self, query: int, images: ArrayLike) -> np.ndarray:
        """For each database id, whether it is a positive of the query: bool, shape of images."""
        return self.close_positions.near(self.query_positions[query], images)

    def is_neighbour(self, image: int, images: ArrayLike) -> np.ndarray:
        """As is_positive, for a database image instead of a query."""
        return self.close_positions.near(self.database_positions[image], images)

    def neighbours(self, image: int) -> np.ndarray:
        """Ids (M,) of all database images near a database image, itself included."""
        return self.close_positions.positives_of_image(image)[0]

    def nontrivial_positives(self, query: int) -> np.ndarray:
        """Positives of a query that training uses: more than 1 m away, within nontrivial_distance_squared."""
        return self._nontrivial(*self.close_positions.positives(self.query_positions[query]))

    def nontrivial_neighbours(self, image: int) -> np.ndarray:
        """As nontrivial_positives, for a database image instead of a query."""
        return self._nontrivial(*self.close_positions.positives_of_image(image))

    def _nontrivial(self, ids: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return ids[(squared > 1) & (squared <= self.nontrivial_distance_squared)]

    def nearest_metres(self) -> np.ndarray:
        """Metres (Q,) from each query to the nearest database image; NaN where that is not known."""
        from scipy.spatial import cKDTree

        positions = self.database_positions, self.query_positions
        database, queries = (in_space(each, self.frame) for each in positions)
        metres = np.full(self.query_count, np.nan)
        known, asked = (np.isfinite(points).all(axis=1) for points in (database, queries))
        if known.any() and asked.any():
            metres[asked] = arc(cKDTree(database[known]).query(queries[asked])[0], self.frame)
        return metres

    # random negatives

    def sample_negatives(self, query: int, n: int, generator: Generator | None = None) -> np.ndarray:
        """n random database ids that are not positives of a query; see sample_negatives_at."""
        return self._sample(self.positives(query), n, generator)

    def sample_non_neighbours(self, image: int, n: int, generator: Generator | None = None) -> np.ndarray:
        """n random database ids that are not near a database image; see sample_negatives_at."""
        return self._sample(self.neighbours(image), n, generator)

    def sample_negatives_at(
        self, position: ArrayLike, n: int, generator: Generator | None = None
    ) -> np.ndarray:
        """n distinct random database ids farther than positive_distance from a position (2,): (n,) int64.

        Draws as MATLAB does: round(1.1 n) images at a time until n negatives are known; sorted when these
        are exactly n, shuffled otherwise. Where the database has fewer than n negatives, all of them are
        returned, which is logged once; where it has fewer than round(1.1 n) images, n of all negatives are
        drawn. generator: by default that of the training that is drawing, else the data set's own (MATLAB's
        after start-up).
        """
        return self._sample(self.close_positions.positives(position)[0], n, generator)

    def _sample(self, positives: np.ndarray, n: int, generator: Generator | None) -> np.ndarray:
        generator = generator or DRAWING.get() or self.__dict__.setdefault("_generator", rng())
        available = self.database_size - len(np.unique(positives))
        if available < n:
            if not self._logged_few_negatives:
                text = "%s: %d negatives requested, a query has %d: using all of them"
                _log.warning(text, self.name, n, available)
            self._logged_few_negatives = True
            return np.setdiff1d(np.arange(self.database_size), positives)
        draw = round_half_away(n * 1.1)
        negatives = np.zeros(0, np.int64)
        if draw > self.database_size:
            negatives = np.setdiff1d(np.arange(self.database_size), positives)
        while len(negatives) < n:
            drawn = generator.randsample(self.database_size, draw)
            negatives = np.union1d(negatives, drawn[~np.isin(drawn, positives)])
        return generator.randsample(negatives, n) if len(negatives) > n else negatives

    # evaluation

    def rank_matches(self, searcher: Callable[[int, int], Neighbours], query: int, top: int) -> Neighbours:
        """The ranked ids and distances that count in evaluation, at most `top`: here the search's own.

        searcher(query, k) returns the k nearest database ids and their squared distances.
        """
        return searcher(query, top)

    def search_depth(self, top: int) -> int:
        """The number of neighbours that rank_matches asks its searcher for."""
        return top

    def query_groups(self) -> dict[str, np.ndarray]:
        """Named groups of query ids whose recall is reported separately, too; here none."""
        return {}

    # files

    def image_paths(self, which: str) -> list[str]:
        """Paths of the database images (which='db') or the query images ('q')."""
        names, root = self._images(which)
        return [os.path.join(root, name) for name in names]

    def check_images(self, which: Sequence[str] = ("db", "q")) -> None:
        """Raises MissingImageError, with names, number, root and advice, unless all images exist."""
        problems = [text for kind in which if (text := self._missing(kind))]
        if problems:
            raise MissingImageError("\n".join([*problems, *([self.advice] if self.advice else [])]))

    def save(self, path: StrPath) -> None:
        """Writes the set as a dbStruct .mat file (v7) that MATLAB, Octave and read_dbstruct load."""
        save_dbstruct(self, path)

    def _images(self, which: str) -> tuple[list[str], str]:
        if which not in ("db", "q"):
            raise DatasetError(f"which must be 'db' (database) or 'q' (queries); got {which!r}")
        kind = "database" if which == "db" else "query"
        return getattr(self, f"{kind}_names"), getattr(self, f"{kind}_root")

    def _missing(self, which: str) -> str | None:
        names, root = self._images(which)
        kind = "database" if which == "db" else "query"
        if root and not os.path.isdir(root):
            return f"{self.name}: the folder of its {len(names)} {kind} images does not exist: {root}"
        missing = [name for name in names if not os.path.exists(os.path.join(root, name))]
        if not missing:
            return None
        more = f" … and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        text = (
            f"{self.name}: {len(missing)} of {len(names)} {kind} images are missing under "
            f"{root or '. (no root was given)'}: {', '.join(missing[:_SHOWN])}{more}"
        )
        if any(Path(root, name).with_suffix(".png").exists() for name in missing[:_SHOWN]):
            text += f"\nThey exist as .png: convert them with `deepibl convert-png {root}`"
        return text


def save_dbstruct(dataset: PlaceDataset, path: StrPath) -> None:
    """Writes a data set as a dbStruct .mat file in MATLAB's types; the roots are not stored.

    Raises DatasetError for positions in degrees: a dbStruct's metres are those of one plane.
    """
    if dataset.frame == DEGREES:
        places = np.concatenate([dataset.database_positions, dataset.query_positions]).tolist()
        names = dataset.database_names + dataset.query_names
        zones = {zone_of(*place): name for place, name in zip(places[::-1], names[::-1], strict=True)}
        listed = [f"  {zone or 'beyond latitudes -80 and 84'}: {name}" for zone, name in zones.items()]
        raise DatasetError(
            f"{dataset.name}: a dbStruct has metres of one plane, and none has true distances for all of "
            "these. Make a dbStruct of each city's images, from a folder or CSV of its own; index, evaluate "
            "and train need none: they take photos as they are. UTM zones, each with an image:\n"
            + "\n".join(listed)
        )
    fields = {matlab: getattr(dataset, python, None) for matlab, python in FIELDS.items()}
    write_dbstruct(path, {**fields, "extra": dataset.extra}, dataset.frame)


class ListedPositives(PlaceDataset):
    """A data set that lists the positives of each query; neighbours of database images follow from positions.

    positive_ids: for each query its positives' 0-based ids, in the order in which training takes them.
    ignored_ids: for each query the ids of images that are neither right nor wrong: they are left out of its
    ranked matches, and are no negatives.
    Raises DatasetError for another number of lists than queries, and for ids that no image has.
    """

    def __init__(
        self,
        name: str,
        *args: Any,
        positive_ids: Sequence[ArrayLike],
        ignored_ids: Sequence[ArrayLike] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name, *args, **fields)
        self.positive_ids = self._lists(positive_ids, "positives")
        self.ignored_ids = None if ignored_ids is None else self._lists(ignored_ids, "ignored images")

    def _lists(self, lists: Sequence[ArrayLike], what: str) -> list[np.ndarray]:
        name, found = self.name, [np.asarray(ids, dtype=np.int64).ravel() for ids in lists]
        if len(found) != self.query_count:
            raise DatasetError(f"{name}: {len(found)} lists of {what} for {self.query_count} queries")
        for query, ids in enumerate(found):
            if ids.size and not 0 <= ids.min() <= ids.max() < self.database_size:
                raise DatasetError(
                    f"{name}: query {query} ({self.query_names[query]}) lists an id outside "
                    f"0 … {self.database_size - 1} (in a .mat file ids start at 1)"
                )
        return found

    def sample_negatives(self, query: int, n: int, generator: Generator | None = None) -> np.ndarray:
        return self._sample(np.concatenate([self.positives(query), self._ignored(query)]), n, generator)

    def search_depth(self, top: int) -> int:
        return top + max(map(len, self.ignored_ids or []), default=0)

    def rank_matches(self, searcher: Callable[[int, int], Neighbours], query: int, top: int) -> Neighbours:
        ids, distances = searcher(query, self.search_depth(top))
        kept = np.flatnonzero(~np.isin(ids, self._ignored(query)))[:top]
        return ids[kept], distances[kept]

    def _ignored(self, query: int) -> np.ndarray:
        return self.ignored_ids[query] if self.ignored_ids is not None else np.zeros(0, np.int64)

    def positives(self, query: int) -> np.ndarray:
        return self.positive_ids[query]

    def is_positive(self, query: int, images: ArrayLike) -> np.ndarray:
        return np.isin(np.asarray(images), self.positive_ids[query])

    def nontrivial_positives(self, query: int) -> np.ndarray:
        return self.positive_ids[query]
