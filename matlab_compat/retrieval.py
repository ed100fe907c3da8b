"""relja_retrievalMAP: mean average precision of a retrieval benchmark (Oxford, Paris, Holidays)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError
from matlab_compat.relja import relja_display, relja_progress
from matlab_compat.yael import yael_nn


def relja_retrievalMAP(
    db: Any, searcher: Any, verbose: bool = True, kTop: int = 10000
) -> tuple[float, np.ndarray]:
    """Mean average precision over all queries, and each query's: (mAP, APs (numQueries,) float64).

    db: has numQueries, posIDs and ignoreIDs (for each query the 0-based ids to find, and those to leave out).
    searcher: searcher(iQuery) gives ranked ids, or a dict with 'db' (N, D) and 'qs' (Q, D), whose rows are
    then ranked by distance. An id listed in posIDs that no image has (-1) still counts as one to be found.
    verbose: prints progress; the result is printed always. kTop does nothing, as in the original.
    Errors: ArgumentError for a searcher that is neither.
    Ported from: relja_matlab/relja_retrievalMAP.m
    """
    rank = _ranker(searcher)
    precisions = np.zeros(int(db.numQueries))
    started = time.perf_counter()
    for query in range(len(precisions)):
        if verbose:
            so_far = precisions[:query].mean() if query else np.nan
            relja_progress(query + 1, len(precisions), _four_digits(so_far), started)
        ids = np.asarray(rank(query)).ravel()
        precisions[query] = average_precision(ids, db.posIDs[query], db.ignoreIDs[query])
    mean = float(precisions.mean()) if len(precisions) else float("nan")
    relja_display("%s", _four_digits(mean))
    return mean, precisions


def average_precision(ranked: np.ndarray, positives: Any, ignored: Any = ()) -> float:
    """The area under the precision-recall curve of one ranked list (n,), by trapezoids.

    positives: the ids to find, ignored: ids that are taken out of the list first. NaN without positives.
    """
    ranked = ranked[~np.isin(ranked, ignored)]
    total = np.size(positives)
    if total == 0:
        return float("nan")
    found = np.cumsum(np.isin(ranked, positives))
    precision = found / np.arange(1, len(ranked) + 1)
    recall = found / total
    before = np.concatenate([[1.0], precision[:-1]])[: len(ranked)]
    return float(np.diff(recall, prepend=0.0) @ (before + precision) / 2)


def _ranker(searcher: Any) -> Callable[[int], Any]:
    if callable(searcher):
        return searcher
    if isinstance(searcher, Mapping) and {"db", "qs"} <= searcher.keys():
        ids, _ = yael_nn(searcher["db"], searcher["qs"], len(searcher["db"]))
        return lambda query: ids[query]
    raise ArgumentError(
        "searcher must be a function of the query's id or a dict with 'db' (N, D) and 'qs' (Q, D), "
        f"not {type(searcher).__name__}"
    )


def _four_digits(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.4f}"
