"""The original's evaluation under its own names, with what it prints.

Features are (N, D), one row for each image; ids are 0-based. `generator` is a generator whose state is kept:
evaluation seeds it with 43 and restores it. By default evaluation uses a generator of its own.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.place import PlaceSet
from deepibl.evaluation import measures
from deepibl.matlab.prints import evaluating, print_result
from deepibl.networks.identity import Extractor
from matlab_compat.arguments import name_value
from matlab_compat.files import StrPath
from matlab_compat.relja import relja_display
from matlab_compat.rng import Generator
from matlab_compat.yael import yael_nn


def _drawn(count: float, generator: Generator | None) -> dict[str, Any]:
    return {"n_sample": count, "generator": generator, "report": evaluating()}


def recallAtN(
    searcher: Callable[[int, int], Any],
    nQueries: int,
    isPos: Callable[[int, Any], Any],
    ns: Sequence[int],
    printN: int,
    nSample: float = np.inf,
    *,
    generator: Generator | None = None,
) -> tuple[float, np.ndarray]:
    """Recall@printN and every query's recall at ns, (T, len(ns)) float64; prints progress and the table.

    searcher(iQuery, nTop) returns ranked ids, possibly fewer than nTop; isPos(iQuery, ids) which of them are
    positives. nSample: how many random queries to test.
    Ported from: netvlad/recallAtN.m
    """
    result = measures.recall_of_searcher(
        searcher, nQueries, isPos, ns, print_n=printN, **_drawn(nSample, generator)
    )
    print_result(result)
    return result.recall_print, result.found.astype(np.float64)


@name_value()
def testCore(
    db: PlaceSet,
    qFeat: ArrayLike,
    dbFeat: ArrayLike,
    *,
    nTestSample: float = np.inf,
    recallNs: Sequence[int] = measures.RECALL_NS,
    printN: int = measures.PRINT_N,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Recall at recallNs, (len,), and each query's, (T, len) float64; prints progress and the table.

    qFeat (Q, D), dbFeat (N, D): one row for each image; may be memory-mapped. nTestSample: how many random
    queries to test.
    Ported from: netvlad/testCore.m
    """
    result = measures.recall_at_n(
        qFeat, dbFeat, db, recallNs, print_n=printN, **_drawn(nTestSample, generator)
    )
    print_result(result)
    return result.recalls, result.found.astype(np.float64)


@name_value()
def testCoreRank(
    db: PlaceSet,
    qFeat: ArrayLike,
    dbFeat: ArrayLike,
    margin: float,
    nNegChoice: int,
    *,
    nTestSample: float = 1000,
    recallNs: Sequence[int] = measures.RECALL_NS,
    printN: int = measures.PRINT_N,
    generator: Generator | None = None,
) -> tuple[float, np.ndarray]:
    """The mean rank loss and each query's, (T,), over queries with positives; prints progress and the loss.

    nNegChoice: the number of random negatives of a query. nTestSample: how many random queries to test.
    recallNs, printN: unused, as in the original.
    Ported from: netvlad/testCoreRank.m
    """
    result = measures.rank_loss(qFeat, dbFeat, db, margin, nNegChoice, **_drawn(nTestSample, generator))
    print_result(result)
    return result.loss, result.losses


@name_value(struct="opts")
def testFromFn(
    db: PlaceSet,
    dbFeatFn: StrPath,
    qFeatFn: StrPath,
    opts: Mapping[str, Any] | SimpleNamespace | None = None,
    *,
    nTestRankSample: int = 0,
    nTestSample: float = np.inf,
    recallNs: Sequence[int] = measures.RECALL_NS,
    margin: float = 0.1,
    nNegChoice: int = 1000,
    cropToDim: int = 0,
    generator: Generator | None = None,
) -> tuple[np.ndarray, float | None, np.ndarray, SimpleNamespace]:
    """Recall from the .bin files of serialAllFeats: (recall, rankloss, allRecalls, opts).

    opts: a struct (of a training run) whose fields replace the defaults of the options. nTestRankSample: how
    many queries to test for the rank loss (0: none, and rankloss is None). cropToDim: how many of the first
    dimensions to keep, normalised again (0: all). The others are those of testCore and testCoreRank.
    Raises FeatureFileError for files that do not fit the data set. Ported from: netvlad/testFromFn.m
    """
    relja_display("testFromFn:\n%s\n%s", os.fspath(dbFeatFn), os.fspath(qFeatFn))
    qFeat, dbFeat = measures.read_feature_pair(db, dbFeatFn, qFeatFn, int(cropToDim))
    rankloss = None
    drawn: Any = {"generator": generator}
    features = db, qFeat, dbFeat
    if nTestRankSample > 0:
        rankloss = testCoreRank(*features, margin, nNegChoice, nTestSample=nTestRankSample, **drawn)[0]
    recall, allRecalls = testCore(*features, nTestSample=nTestSample, recallNs=recallNs, **drawn)
    fields = dict(opts if isinstance(opts, Mapping) else vars(opts or SimpleNamespace()))
    fields |= {"nTestRankSample": nTestRankSample, "nTestSample": nTestSample, "recallNs": recallNs}
    fields |= {"margin": margin, "nNegChoice": nNegChoice, "cropToDim": cropToDim}
    return recall, rankloss, allRecalls, SimpleNamespace(**fields)


def testNet(
    db: PlaceSet,
    net: Extractor,
    opts: SimpleNamespace,
    ID: str,
    qFeat: ArrayLike,
    dbFeat: ArrayLike,
    *,
    generator: Generator | None = None,
) -> tuple[np.ndarray, float]:
    """Recall and rank loss during a training run, by the run's opts: (recall, rankloss). net is unused.

    opts: sessionID, margin, nNegChoice, nTestRankSample, nTestSample, recallNs. ID: printed ('train', 'val').
    Ported from: netvlad/testNet.m
    """
    relja_display("testNet: %s %s", opts.sessionID, ID)
    features = db, qFeat, dbFeat
    drawn: dict[str, Any] = {"nTestSample": opts.nTestRankSample, "generator": generator}
    rankloss, _ = testCoreRank(*features, opts.margin, opts.nNegChoice, **drawn)
    drawn["nTestSample"] = opts.nTestSample
    return testCore(*features, recallNs=opts.recallNs, **drawn)[0], rankloss


def rawNnSearch(q: ArrayLike, db: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """yael_nn with swapped arguments and k limited to the database: ids and squared distances (Q, k).

    q: (Q, D), or one query (D,), for which ids and distances are (k,). db: (N, D).
    Ported from: netvlad/rawNnSearch.m
    """
    queries = np.asarray(q)
    ids, distances = yael_nn(db, np.atleast_2d(queries), min(k, len(db)))
    return (ids[0], distances[0]) if queries.ndim == 1 else (ids, distances)


def getBestEpoch(recalls: ArrayLike, recallNs: Sequence[int], N: int = 5) -> int:
    """The best epoch, counted from 1 as in file names (ep000001); recalls: (len(recallNs), epochs).

    Ported from: netvlad/getBestEpoch.m
    """
    return measures.best_epoch(recalls, recallNs, N) + 1
