"""Geo-tagged image sets: database and query images, their positions, and who is a positive of whom.

`PlaceDataset` is the original's dbBase with its names; the known sets are in dataset_pitts_tokyo,
dataset_listed and dataset_retrieval, sets made of photos in dataset_folder, and `open_dataset` finds a set
by name (dataset_catalog).

Data sets whose ground truth lists the correct images of each query, as San Francisco's (Sf-0) does.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.dbstruct import write_dbstruct
from deepibl.datasets.positions import ClosePosition, as_positions
from deepibl.errors import DatasetError, MissingImageError
from matlab_compat.numeric import round_half_away
from matlab_compat.rng import Generator

Neighbours = tuple[np.ndarray, np.ndarray]

_log = logging.getLogger(__name__)

_SHOWN = 5  # names in a message about missing images


class PlaceDataset:
    """Database and query images with UTM positions; all ids are 0-based, positions (N, 2) float64 in metres.

    dbImageFns, qImageFns: file names below the roots dbPath and qPath. posDistThr: metres (inclusive) within
    which a database image is a positive; nonTrivPosDistSqThr: squared metres for positives used in training.
    utm_zone: '17N' and the like, where known. advice: how to get the images, for error messages.
    query_resize: the shorter side that query images are scaled to before they are described (None: as they
    are). To make a set of your own, give its lists to this class, or write a dbStruct file (see
    deepibl.datasets.dbstruct); subclass it and override `nontrivialPosQ` or `nnSearchPostprocess` for other rules.
    Errors: DatasetError for lists that do not fit together. Ported from: netvlad/datasets/dbBase.m
    """

    query_resize: int | None = None

    def __init__(
        self,
        name: str,
        dbImageFns: Sequence[str],
        utmDb: Any,
        qImageFns: Sequence[str],
        utmQ: Any,
        *,
        dbPath: str | os.PathLike[str] = "",
        qPath: str | os.PathLike[str] = "",
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
        self.utmDb = as_positions(utmDb, f"{name}: utmDb", self.numImages)
        self.utmQ = as_positions(utmQ, f"{name}: utmQ", self.numQueries)
        self.posDistThr = float(posDistThr)
        self.posDistSqThr = self.posDistThr**2
        self.nonTrivPosDistSqThr = float(nonTrivPosDistSqThr)
        self.utm_zone, self.advice, self.extra = utm_zone, advice, dict(extra or {})
        self.cp = ClosePosition(self.utmDb, self.posDistThr)
        self._told_of_few_negatives = False

    def shared_arguments(self) -> dict[str, Any]:
        """The arguments of the whole set, none of single images: for a set made of this one's images."""
        names = "dbPath qPath posDistThr nonTrivPosDistSqThr whichSet utm_zone advice"
        return {name: getattr(self, name) for name in names.split()}

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name}: {self.numImages} database images, {self.numQueries} queries>"

    # who is a positive of whom

    def getPosIDs(self, iQuery: int) -> np.ndarray:
        """Ids (M,) of all positives of a query, in the order of closePosition's cells."""
        return self.cp.getPosIDs(self.utmQ[iQuery])[0]

    def isPosQ(self, iQuery: int, iDb: Any) -> np.ndarray:
        """For each database id, whether it is a positive of the query: bool, shape of iDb."""
        return self.cp.isPos(self.utmQ[iQuery], iDb)

    def isPosDb(self, iDbQuery: int, iDb: Any) -> np.ndarray:
        """As isPosQ, for a database image as the query."""
        return self.cp.isPos(self.utmDb[iDbQuery], iDb)

    def posDb(self, iDb: int) -> np.ndarray:
        """Ids (M,) of all database images near a database image, itself included."""
        return self.cp.getPosDbIDs(iDb)[0]

    def nontrivialPosQ(self, iQuery: int) -> np.ndarray:
        """Positives of a query that training uses: more than 1 m away, within nonTrivPosDistSqThr."""
        return self._nontrivial(*self.cp.getPosIDs(self.utmQ[iQuery]))

    def nontrivialPosDb(self, iDb: int) -> np.ndarray:
        """As nontrivialPosQ, for a database image as the query."""
        return self._nontrivial(*self.cp.getPosDbIDs(iDb))

    def _nontrivial(self, ids: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return ids[(squared > 1) & (squared <= self.nonTrivPosDistSqThr)]

    # random negatives

    def sampleNegsQ(self, iQuery: int, n: int, generator: Generator) -> np.ndarray:
        """n random database ids that are no positives of a query; see sampleNegs."""
        return self._sample_negatives(self.getPosIDs(iQuery), n, generator)

    def sampleNegsDb(self, iDb: int, n: int, generator: Generator) -> np.ndarray:
        """n random database ids that are not near a database image; see sampleNegs."""
        return self._sample_negatives(self.posDb(iDb), n, generator)

    def sampleNegs(self, utm: Any, n: int, generator: Generator) -> np.ndarray:
        """n random database ids farther than posDistThr from a position (2,), (n,) int64, no id twice.

        Draws as MATLAB does: round(1.1 n) images at a time until n negatives are known; sorted when these
        are exactly n, shuffled otherwise. Where the database has no n negatives all of them come back,
        which is logged once; where it has fewer than round(1.1 n) images, n of all negatives are drawn.
        """
        return self._sample_negatives(self.cp.getPosIDs(utm)[0], n, generator)

    def _sample_negatives(self, positives: np.ndarray, n: int, generator: Generator) -> np.ndarray:
        available = self.numImages - len(np.unique(positives))
        if available < n:
            self._tell_of_few_negatives(available, n)
            return np.setdiff1d(np.arange(self.numImages), positives)
        draw = round_half_away(n * 1.1)
        negatives = np.zeros(0, np.int64)
        if draw > self.numImages:
            negatives = np.setdiff1d(np.arange(self.numImages), positives)
        while len(negatives) < n:
            drawn = generator.randsample(self.numImages, draw)
            negatives = np.union1d(negatives, drawn[~np.isin(drawn, positives)])
        return generator.randsample(negatives, n) if len(negatives) > n else negatives

    def _tell_of_few_negatives(self, available: int, n: int) -> None:
        if not self._told_of_few_negatives:
            _log.warning(
                "%s: %d negatives asked for, a query has %d: using all of them", self.name, n, available
            )
            self._told_of_few_negatives = True

    # evaluation

    def nnSearchPostprocess(
        self, searcher: Callable[[int, int], Neighbours], iQuery: int, nTop: int
    ) -> Neighbours:
        """The ranked ids and distances that count for evaluation, at most nTop: here the search's own.

        searcher(iQuery, k) gives the k nearest database ids and their squared distances.
        """
        return searcher(iQuery, nTop)

    def search_depth(self, nTop: int) -> int:
        """How many neighbours nnSearchPostprocess asks its searcher for; evaluation prepares that many."""
        return nTop

    def query_groups(self) -> dict[str, np.ndarray]:
        """Named groups of query ids whose recall is reported apart as well; none here."""
        return {}

    # files

    def image_paths(self, which: str) -> list[str]:
        """Paths of the database images (which='db') or the query images ('q')."""
        names, root = self._images(which)
        return [os.path.join(root, name) for name in names]

    def check_images(self, which: Sequence[str] = ("db", "q")) -> None:
        """Raises MissingImageError (which, how many, under which root, how to get them) unless all exist."""
        problems = [text for kind in which if (text := self._missing(kind))]
        if problems:
            raise MissingImageError("\n".join([*problems, *([self.advice] if self.advice else [])]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the set as a dbStruct .mat file (v7) that MATLAB, Octave and read_dbstruct load."""
        save_dbstruct(self, path)

    def _images(self, which: str) -> tuple[list[str], str]:
        if which not in ("db", "q"):
            raise DatasetError(f"images are 'db' (database) or 'q' (queries), not {which!r}")
        return (self.dbImageFns, self.dbPath) if which == "db" else (self.qImageFns, self.qPath)

    def _missing(self, which: str) -> str | None:
        names, root = self._images(which)
        kind = "database" if which == "db" else "query"
        if root and not os.path.isdir(root):
            return f"{self.name}: the folder of its {len(names)} {kind} images is not there: {root}"
        missing = [name for name in names if not os.path.exists(os.path.join(root, name))]
        if not missing:
            return None
        more = f" … and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        text = (
            f"{self.name}: {len(missing)} of {len(names)} {kind} images are missing under {root or '.'}: "
            f"{', '.join(missing[:_SHOWN])}{more}"
        )
        if any(Path(root, name).with_suffix(".png").exists() for name in missing[:_SHOWN]):
            text += f"\nThey are there as .png: convert them with `deepibl convert-png {root}`"
        return text


def save_dbstruct(dataset: PlaceDataset, path: str | os.PathLike[str]) -> None:
    """Writes a data set as a dbStruct .mat file in MATLAB's types; the roots are not stored."""
    skip = {"dbPath", "qPath", "name"}
    write_dbstruct(path, {k: v for k, v in vars(dataset).items() if k not in skip}, dataset.utm_zone)


class ListedPositives(PlaceDataset):
    """A data set that lists the positives of each query; who is near a database image still goes by position.

    posIDs: for each query its positives' 0-based ids, in the order in which training takes them.
    Errors: DatasetError for another number of lists than queries, or ids that no image has.
    """

    def __init__(self, name: str, *args: Any, posIDs: Sequence[Any], **fields: Any) -> None:
        super().__init__(name, *args, **fields)
        self.posIDs = [np.asarray(ids, dtype=np.int64).ravel() for ids in posIDs]
        if len(self.posIDs) != self.numQueries:
            raise DatasetError(f"{name}: posIDs holds {len(self.posIDs)} lists for {self.numQueries} queries")
        for query, ids in enumerate(self.posIDs):
            if ids.size and not 0 <= ids.min() <= ids.max() < self.numImages:
                raise DatasetError(
                    f"{name}: query {query} ({self.qImageFns[query]}) lists an id outside "
                    f"0 … {self.numImages - 1} (in a .mat file ids start at 1)"
                )

    def getPosIDs(self, iQuery: int) -> np.ndarray:
        return self.posIDs[iQuery]

    def isPosQ(self, iQuery: int, iDb: Any) -> np.ndarray:
        return np.isin(np.asarray(iDb), self.posIDs[iQuery])

    def nontrivialPosQ(self, iQuery: int) -> np.ndarray:
        return self.posIDs[iQuery]
