"""The original's evaluation under its own names, with what it prints.

Features are (N, D), one row an image; ids are 0-based. `generator` is the generator of the caller whose
state is kept: evaluation seeds it with 43 and puts it back. Without one, evaluation draws from a generator
of its own."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from deepibl.datasets.place import PlaceDataset
from deepibl.evaluation import measures as evaluation
from deepibl.evaluation.measures import rank_loss
from matlab_compat.arguments import options
from matlab_compat.relja import relja_display, relja_progress, tic
from matlab_compat.rng import Generator
from matlab_compat.yael import yael_nn


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

    searcher(iQuery, nTop) gives ranked ids; isPos(iQuery, ids) which of them are positives. nSample: how many
    random queries to test. Fewer ids than printN are no error here.
    Ported from: netvlad/recallAtN.m
    """
    result = evaluation.recall_of_searcher(
        searcher,
        nQueries,
        isPos,
        ns,
        print_n=printN,
        n_sample=nSample,
        generator=generator,
        report=_progress(),
    )
    _print_recall(result)
    return result.recall_print, result.found.astype(np.float64)


def testCore(
    db: PlaceDataset, qFeat: Any, dbFeat: Any, *args: Any, generator: Generator | None = None, **kwargs: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Recall at opts.recallNs (len,), and each query's (T, len) float64; prints progress and the table.

    qFeat (numQueries, D), dbFeat (numImages, D), which may be memory-mapped.
    Options: nTestSample (inf: all queries), recallNs (1:5, 10:5:100), printN (10).
    Ported from: netvlad/testCore.m
    """
    opts = options({"nTestSample": np.inf, **_RECALL_OPTIONS}, args, kwargs)
    result = evaluation.recall_at_n(
        qFeat,
        dbFeat,
        db,
        opts.recallNs,
        print_n=opts.printN,
        n_sample=opts.nTestSample,
        generator=generator,
        report=_progress(),
    )
    _print_recall(result)
    return result.recalls, result.found.astype(np.float64)


def testCoreRank(
    db: PlaceDataset,
    qFeat: Any,
    dbFeat: Any,
    margin: float,
    nNegChoice: int,
    *args: Any,
    generator: Generator | None = None,
    **kwargs: Any,
) -> tuple[float, np.ndarray]:
    """The mean rank loss and each query's, (T,), over queries with positives; prints progress and the loss.

    Options: nTestSample (1000), recallNs and printN (unused, as in the original).
    Ported from: netvlad/testCoreRank.m
    """
    opts = options({"nTestSample": 1000, **_RECALL_OPTIONS}, args, kwargs)
    result = rank_loss(
        qFeat,
        dbFeat,
        db,
        margin,
        nNegChoice,
        n_sample=opts.nTestSample,
        generator=generator,
        report=_progress(),
    )
    relja_display(
        "\n\tloss= %.4f, margin= %.4f, time= %.4f s, avgTime= %.4f ms\n",
        result.loss,
        margin,
        result.seconds,
        result.seconds * 1000 / result.tested,
    )
    return result.loss, result.losses


def testFromFn(
    db: PlaceDataset,
    dbFeatFn: str | os.PathLike[str],
    qFeatFn: str | os.PathLike[str],
    opts: Mapping[str, Any] | SimpleNamespace | None = None,
    *args: Any,
    generator: Generator | None = None,
    **kwargs: Any,
) -> tuple[np.ndarray, float | None, np.ndarray, SimpleNamespace]:
    """Recall from the .bin files of serialAllFeats: (recall, rankloss, allRecalls, opts).

    Options: nTestRankSample (0: no rank loss, None comes back for it), nTestSample (inf), recallNs, margin
    (0.1), nNegChoice (1000), cropToDim (0: all dimensions; otherwise the first ones, normalised again).
    opts: replaces these defaults, as from a training run. Errors: FeatureFileError for files of another
    size than the data set asks for. Ported from: netvlad/testFromFn.m
    """
    given = vars(opts) if isinstance(opts, SimpleNamespace) else opts
    used = options(given or _FROM_FN_OPTIONS, args, kwargs)
    relja_display("testFromFn:\n%s\n%s", os.fspath(dbFeatFn), os.fspath(qFeatFn))
    crop = int(getattr(used, "cropToDim", 0))
    qFeat, dbFeat = evaluation.read_feature_pair(db, dbFeatFn, qFeatFn, crop)
    rankloss = None
    if used.nTestRankSample > 0:
        rankloss = _rank_loss(db, qFeat, dbFeat, used, generator)
    recall, allRecalls = testCore(
        db, qFeat, dbFeat, nTestSample=used.nTestSample, recallNs=used.recallNs, generator=generator
    )
    return recall, rankloss, allRecalls, used


def testNet(
    db: PlaceDataset,
    net: Any,
    opts: SimpleNamespace,
    ID: str,
    qFeat: Any,
    dbFeat: Any,
    *,
    generator: Generator | None = None,
) -> tuple[np.ndarray, float]:
    """Recall and rank loss during a training run, by the run's opts: (recall, rankloss). net is unused.

    opts: sessionID, margin, nNegChoice, nTestRankSample, nTestSample, recallNs. ID: printed ('train', 'val').
    Ported from: netvlad/testNet.m
    """
    relja_display("testNet: %s %s", opts.sessionID, ID)
    rankloss = _rank_loss(db, qFeat, dbFeat, opts, generator)
    recall, _ = testCore(
        db, qFeat, dbFeat, nTestSample=opts.nTestSample, recallNs=opts.recallNs, generator=generator
    )
    return recall, rankloss


def rawNnSearch(q: Any, db: Any, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """yael_nn with the arguments exchanged and k limited to the database: ids and squared distances (Q, k).

    q (Q, D) or one query (D,), whose ids and distances are then (k,); db (N, D).
    Ported from: netvlad/rawNnSearch.m
    """
    queries = np.asarray(q)
    ids, distances = yael_nn(db, np.atleast_2d(queries), min(k, len(db)))
    return (ids[0], distances[0]) if queries.ndim == 1 else (ids, distances)


def getBestEpoch(recalls: Any, recallNs: Sequence[int], N: int = 5) -> int:
    """The best epoch, counted from 1 as in file names (ep000001); recalls: (len(recallNs), epochs).

    Ported from: netvlad/getBestEpoch.m
    """
    return evaluation.best_epoch(recalls, recallNs, N) + 1


_RECALL_OPTIONS = {"recallNs": list(evaluation.RECALL_NS), "printN": evaluation.PRINT_N}

_FROM_FN_OPTIONS = {
    "nTestRankSample": 0,
    "nTestSample": np.inf,
    "recallNs": list(evaluation.RECALL_NS),
    "margin": 0.1,
    "nNegChoice": 1000,
    "cropToDim": 0,
}


def _rank_loss(
    db: PlaceDataset, qFeat: Any, dbFeat: Any, opts: SimpleNamespace, generator: Generator | None
) -> float:
    """testCoreRank's loss by a training run's options."""
    sample = opts.nTestRankSample
    return testCoreRank(
        db, qFeat, dbFeat, opts.margin, opts.nNegChoice, nTestSample=sample, generator=generator
    )[0]


def _progress() -> evaluation.Report:
    started = tic()

    def show(i: int, n: int, mean: float) -> None:
        relja_progress(i, n, "NaN" if np.isnan(mean) else f"{mean:.4f}", started)

    return show


def _print_recall(result: evaluation.RecallResult) -> None:
    tested = max(1, len(result.query_ids))
    relja_display(
        "\n\trec@%d= %.4f, time= %.4f s, avgTime= %.4f ms\n",
        result.print_n,
        result.recall_print,
        result.seconds,
        result.seconds * 1000 / tested,
    )
    relja_display("%s", result.table())
