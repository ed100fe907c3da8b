"""Geo-tagged image sets: database and query images, their positions, and which images are positives.

`PlaceDataset` is the base class; the known sets are in dataset_pitts_tokyo, dataset_listed and
dataset_retrieval, sets made of photos in dataset_folder, and `open_dataset` opens a set by its name.

Data sets whose ground truth lists the correct images of each query, as for San Francisco (Sf-0).
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.dbstruct import FIELDS, write_dbstruct
from deepibl.datasets.positions import ClosePosition, as_positions
from deepibl.errors import DatasetError, MissingImageError
from matlab_compat.numeric import round_half_away
from matlab_compat.rng import Generator

Neighbours = tuple[np.ndarray, np.ndarray]  # ids (M,) and squared distances (M,), nearest first

StrPath = str | os.PathLike[str]

_log = logging.getLogger(__name__)

_SHOWN = 5  # names in a message about missing images


class PlaceSet(Protocol):
    """What extraction, evaluation and training need of a data set; `PlaceDataset` has it. Ids are 0-based."""

    name: str
    dbPath: str
    qPath: str
    dbImageFns: list[str]
    qImageFns: list[str]
    numImages: int
    numQueries: int
    query_resize: int | None

    def getPosIDs(self, query: int, /) -> np.ndarray: ...
    def isPosQ(self, query: int, images: ArrayLike, /) -> np.ndarray: ...
    def nontrivialPosQ(self, query: int, /) -> np.ndarray: ...
    def sampleNegsQ(self, query: int, n: int, generator: Generator, /) -> np.ndarray: ...
    def nnSearchPostprocess(
        self, searcher: Callable[[int, int], Neighbours], query: int, top: int, /
    ) -> Neighbours: ...
    def search_depth(self, top: int, /) -> int: ...
    def query_groups(self) -> dict[str, np.ndarray]: ...


class PlaceDataset:
    """Database and query images with UTM positions; all ids are 0-based, positions (N, 2) float64 in metres.

    For a set of your own, give its lists to this class or write a dbStruct file (see deepibl.datasets.dbstruct). For
    other rules, derive a class and override `nontrivialPosQ` or `nnSearchPostprocess`.

    Args:
        name: of the set.
        dbImageFns, qImageFns: names of the database and query images, below the two roots.
        utmDb, utmQ: positions (N, 2), east and north.
        posDistThr: metres (inclusive) within which a database image is a positive.
        nonTrivPosDistSqThr: squared metres within which a positive is used in training.
        whichSet: 'train', 'val' or 'test'.
        utm_zone: '17N' and the like, where known.
        advice: how to get the images, for error messages.
        extra: other fields of the dbStruct file.

    Attributes: the arguments; `numImages`, `numQueries`; `query_resize`, the shorter side in pixels that
    query images are scaled to before extraction (None: not scaled).

    Raises DatasetError for lists that do not fit together. Ported from: netvlad/datasets/dbBase.m
    """

    query_resize: int | None = None

    def __init__(
        self,
        name: str,
        dbImageFns: Sequence[str],
        utmDb: ArrayLike,
        qImageFns: Sequence[str],
        utmQ: ArrayLike,
        *,
        dbPath: StrPath = "",
        qPath: StrPath = "",
        posDistThr: float = 25,
        nonTrivPosDistSqThr: float = 100,
        whichSet: str = "",
        utm_zone: str | None = None,
        advice: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.whichSet = name, whichSet
        self.dbImageFns, self.qImageFns = list(dbImageFns), list(qImageFns)
        self.dbPath, self.qPath = (os.path.expanduser(os.fspath(path)) for path in (dbPath, qPath))
        self.numImages, self.numQueries = len(self.dbImageFns), len(self.qImageFns)
        self.utmDb = as_positions(utmDb, f"{name}: the database", self.numImages)
        self.utmQ = as_positions(utmQ, f"{name}: the query set", self.numQueries)
        self.posDistThr = float(posDistThr)
        self.posDistSqThr = self.posDistThr**2
        self.nonTrivPosDistSqThr = float(nonTrivPosDistSqThr)
        self.utm_zone, self.advice, self.extra = utm_zone, advice, dict(extra or {})
        self.close_positions = ClosePosition(self.utmDb, self.posDistThr)
        self._logged_few_negatives = False

    def shared_arguments(self) -> dict[str, Any]:
        """The arguments that do not concern single images, for a set made of some of this one's images."""
        return dict(  # noqa: C408
            dbPath=self.dbPath,
            qPath=self.qPath,
            posDistThr=self.posDistThr,
            nonTrivPosDistSqThr=self.nonTrivPosDistSqThr,
            whichSet=self.whichSet,
            utm_zone=self.utm_zone,
            advice=self.advice,
        )

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name}: {self.numImages} database images, {self.numQueries} queries>"

    # positives

    def getPosIDs(self, query: int) -> np.ndarray:
        """Ids (M,) of all positives of a query, in the order of ClosePosition's cells."""
        return self.close_positions.getPosIDs(self.utmQ[query])[0]

    def isPosQ(self, query: int, images: ArrayLike) -> np.ndarray:
        """For each database id, whether it is a positive of the query: bool, shape of images."""
        return self.close_positions.near(self.utmQ[query], images)

    def isPosDb(self, image: int, images: ArrayLike) -> np.ndarray:
        """As isPosQ, for a database image instead of a query."""
        return self.close_positions.near(self.utmDb[image], images)

    def posDb(self, image: int) -> np.ndarray:
        """Ids (M,) of all database images near a database image, itself included."""
        return self.close_positions.getPosDbIDs(image)[0]

    def nontrivialPosQ(self, query: int) -> np.ndarray:
        """Positives of a query that training uses: more than 1 m away, within nonTrivPosDistSqThr."""
        return self._nontrivial(*self.close_positions.getPosIDs(self.utmQ[query]))

    def nontrivialPosDb(self, image: int) -> np.ndarray:
        """As nontrivialPosQ, for a database image instead of a query."""
        return self._nontrivial(*self.close_positions.getPosDbIDs(image))

    def _nontrivial(self, ids: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return ids[(squared > 1) & (squared <= self.nonTrivPosDistSqThr)]

    # random negatives

    def sampleNegsQ(self, query: int, n: int, generator: Generator) -> np.ndarray:
        """n random database ids that are not positives of a query; see sampleNegs."""
        return self._sample(self.getPosIDs(query), n, generator)

    def sampleNegsDb(self, image: int, n: int, generator: Generator) -> np.ndarray:
        """n random database ids that are not near a database image; see sampleNegs."""
        return self._sample(self.posDb(image), n, generator)

    def sampleNegs(self, position: ArrayLike, n: int, generator: Generator) -> np.ndarray:
        """n distinct random database ids farther than posDistThr from a position (2,): (n,) int64.

        Draws as MATLAB does: round(1.1 n) images at a time until n negatives are known; sorted when these
        are exactly n, shuffled otherwise. Where the database has fewer than n negatives, all of them are
        returned, which is logged once; where it has fewer than round(1.1 n) images, n of all negatives are
        drawn.
        """
        return self._sample(self.close_positions.getPosIDs(position)[0], n, generator)

    def _sample(self, positives: np.ndarray, n: int, generator: Generator) -> np.ndarray:
        available = self.numImages - len(np.unique(positives))
        if available < n:
            if not self._logged_few_negatives:
                _log.warning(
                    "%s: %d negatives asked for, a query has %d: using all of them", self.name, n, available
                )
            self._logged_few_negatives = True
            return np.setdiff1d(np.arange(self.numImages), positives)
        draw = round_half_away(n * 1.1)
        negatives = np.zeros(0, np.int64)
        if draw > self.numImages:
            negatives = np.setdiff1d(np.arange(self.numImages), positives)
        while len(negatives) < n:
            drawn = generator.randsample(self.numImages, draw)
            negatives = np.union1d(negatives, drawn[~np.isin(drawn, positives)])
        return generator.randsample(negatives, n) if len(negatives) > n else negatives

    # evaluation

    def nnSearchPostprocess(
        self, searcher: Callable[[int, int], Neighbours], query: int, top: int
    ) -> Neighbours:
        """The ranked ids and distances that count in evaluation, at most `top`: here the search's own.

        searcher(query, k) returns the k nearest database ids and their squared distances.
        """
        return searcher(query, top)

    def search_depth(self, top: int) -> int:
        """The number of neighbours that nnSearchPostprocess asks its searcher for."""
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
        return (self.dbImageFns, self.dbPath) if which == "db" else (self.qImageFns, self.qPath)

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
            f"{self.name}: {len(missing)} of {len(names)} {kind} images are missing under {root or '.'}: "
            f"{', '.join(missing[:_SHOWN])}{more}"
        )
        if any(Path(root, name).with_suffix(".png").exists() for name in missing[:_SHOWN]):
            text += f"\nThey exist as .png: convert them with `deepibl convert-png {root}`"
        return text


def save_dbstruct(dataset: PlaceDataset, path: StrPath) -> None:
    """Writes a data set as a dbStruct .mat file in MATLAB's types; the roots are not stored."""
    fields = {matlab: getattr(dataset, matlab, None) for matlab in FIELDS}  # codemod: save_dbstruct
    write_dbstruct(path, {**fields, "extra": dataset.extra}, dataset.utm_zone)


class ListedPositives(PlaceDataset):
    """A data set that lists the positives of each query; neighbours of database images follow from positions.

    posIDs: for each query its positives' 0-based ids, in the order in which training takes them.
    Raises DatasetError for another number of lists than queries, and for ids that no image has.
    """

    def __init__(self, name: str, *args: Any, posIDs: Sequence[ArrayLike], **fields: Any) -> None:
        super().__init__(name, *args, **fields)
        self.posIDs = [np.asarray(ids, dtype=np.int64).ravel() for ids in posIDs]
        if len(self.posIDs) != self.numQueries:
            lists = len(self.posIDs)
            raise DatasetError(f"{name}: {lists} lists of positives for {self.numQueries} queries")
        for query, ids in enumerate(self.posIDs):
            if ids.size and not 0 <= ids.min() <= ids.max() < self.numImages:
                raise DatasetError(
                    f"{name}: query {query} ({self.qImageFns[query]}) lists an id outside "
                    f"0 … {self.numImages - 1} (in a .mat file ids start at 1)"
                )

    def getPosIDs(self, query: int) -> np.ndarray:
        return self.posIDs[query]

    def isPosQ(self, query: int, images: ArrayLike) -> np.ndarray:
        return np.isin(np.asarray(images), self.posIDs[query])

    def nontrivialPosQ(self, query: int) -> np.ndarray:
        return self.posIDs[query]
