"""yael_nn: exact nearest neighbours by squared L2 distance, many queries in one matrix product.

faiss finds candidates with float32 matrix products, whose last digits depend on how many queries were asked
at once. So candidates too close to tell apart, and those at distances too small for that formula, are
measured again in float64 as sums of squared differences. Which ids come back, and in which order, then
depends on the two vectors alone; equal distances (as float32) come lowest id first.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError
from matlab_compat.faiss_library import load_faiss

HALF_BYTES = 1 << 28  # of a float16 matrix that are held as float32 at a time
SPARE = 16  # candidates beyond k, so that ties at the end of the list can be seen
BLOCK_BYTES = 1 << 20  # of float64 differences at a time and thread: they stay in the cache


def yael_nn(v: Any, q: Any, k: int = 1, distype: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of v (N, D) for each row of q (Q, D): (ids (Q, k) int64, distances (Q, k) float32).

    Rows are vectors, ids are 0-based, distances are squared L2, ascending; ties: lowest id first.
    v may be memory-mapped; it is read as it is needed. distype: 2 is the only one, as in the original's
    substitute. Errors: ArgumentError for other shapes, k above N, or vectors with NaN or infinity.
    Ported from: netvlad/yael_dummy/yael_nn.m
    """
    if distype != 2:
        raise ArgumentError(f"distype must be 2 (squared L2), not {distype!r}")
    vectors, queries = float_rows(v, "v", half=True), float_rows(q, "q")
    if vectors.shape[1] != queries.shape[1]:
        raise ArgumentError(
            f"v has {vectors.shape[1]} dimensions, q has {queries.shape[1]}: rows are vectors (N, D), (Q, D)"
        )
    if not 1 <= k <= len(vectors):
        raise ArgumentError(f"k must be 1 to {len(vectors)} (the number of rows of v), not {k!r}")
    largest = max(squared_norms(vectors, "v").max(), squared_norms(queries, "q").max(initial=0))
    return search_checked(vectors, queries, int(k), float(largest))


def search_checked(
    vectors: np.ndarray, queries: np.ndarray, k: int, largest: float
) -> tuple[np.ndarray, np.ndarray]:
    """yael_nn for checked arguments: float32 rows (vectors: float16 too), finite, `largest` squared norm.

    One block of queries at a time; deepibl.search divides many queries into blocks. `vectors` may be anything
    that has len, shape, dtype and gives rows for a slice or an array of ids; it is read in blocks.
    """
    doubt = doubtful_difference(vectors.shape[1], largest)
    ids = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float32)
    pending, count = np.arange(len(queries)), min(k + SPARE, len(vectors))
    while len(pending):
        rough, candidates = _candidates(vectors, queries[pending], count)
        candidates, exact = _settle(vectors, queries[pending], rough, candidates, doubt)
        # whoever is not a candidate is at least as far as the last one, give or take the doubt
        sure = exact[:, k - 1] + doubt < rough[:, -1] if count < len(vectors) else np.ones(len(pending), bool)
        ids[pending[sure]] = candidates[sure, :k]
        distances[pending[sure]] = exact[sure, :k]
        pending, count = pending[~sure], min(count * 4, len(vectors))
    return ids, distances


def squared_norms(rows: np.ndarray, what: str) -> np.ndarray:
    """Squared norms (N,) float32 of float32 or float16 rows. Errors: ArgumentError for NaN, infinity,
    overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [np.einsum("ij,ij->i", part, part) for _, part in _float32_blocks(rows)]
    norms = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    wrong = np.flatnonzero(~np.isfinite(norms))
    if len(wrong):
        raise ArgumentError(
            f"{len(wrong)} of {len(rows)} rows of {what} hold NaN or infinity, the first is row {wrong[0]}: "
            "compute these features again"
        )
    return norms


def doubtful_difference(dimensions: int, largest: float) -> float:
    """Twice the error that a float32 |q|^2 + |v|^2 - 2 q.v may have, for squared norms up to `largest`."""
    # the rounding error of a blocked float32 product grows about as the root of its length; tests measure it
    return float(np.finfo(np.float32).eps) * (8 + 0.5 * dimensions**0.5) * largest * 2


def float_rows(array: Any, what: str, half: bool = False) -> np.ndarray:
    """A matrix as C-ordered float32, uncopied where it is that. Errors: ArgumentError naming `what`.

    half: float16 stays float16, so that a large memory-mapped one need not fit into memory.
    """
    rows = np.asanyarray(array)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise ArgumentError(
            f"{what}: expected a matrix (N, D) of numbers, one vector a row, found {rows.dtype} {rows.shape}"
        )
    return np.ascontiguousarray(rows, np.float16 if half and rows.dtype == np.float16 else np.float32)


def _float32_blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows as float32) of the whole matrix: at once if it is that already, else in blocks."""
    whole = isinstance(rows, np.ndarray) and rows.dtype == np.float32
    step = len(rows) if whole else max(1, HALF_BYTES // (4 * max(1, rows.shape[1])))
    for start in range(0, len(rows), max(1, step)):
        yield start, rows[start : start + step].astype(np.float32, copy=False)


def _candidates(vectors: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest by float32 products, nearest first: (distances, ids)."""
    faiss = load_faiss()
    queries = np.ascontiguousarray(queries)
    found: tuple[np.ndarray, np.ndarray] | None = None
    for start, block in _float32_blocks(vectors):
        distances, ids = faiss.knn(queries, block, min(count, len(block)))
        ids += start
        if found is not None:
            distances, ids = np.hstack([found[0], distances]), np.hstack([found[1], ids])
            order = np.argsort(distances, axis=1, kind="stable")[:, :count]
            distances, ids = np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)
        found = distances, ids
    assert found is not None
    return found


def _settle(
    vectors: np.ndarray, queries: np.ndarray, rough: np.ndarray, ids: np.ndarray, doubt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Measures doubtful candidates again and sorts: (ids, distances float32), the shape of `rough`."""
    close = np.diff(rough, axis=1) <= doubt
    doubtful = rough <= 1000 * doubt
    doubtful[:, :-1] |= close
    doubtful[:, 1:] |= close
    settled = np.maximum(rough, 0)
    row, column = np.nonzero(doubtful)
    step = max(1, BLOCK_BYTES // (8 * vectors.shape[1]))

    def measure(start: int) -> None:
        r, c = row[start : start + step], column[start : start + step]
        difference = vectors[ids[r, c]].astype(np.float64)
        difference -= queries[r]
        settled[r, c] = np.einsum("ij,ij->i", difference, difference)

    if len(row) <= step:
        measure(0)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(measure, range(0, len(row), step)))
    order = np.lexsort((ids, settled), axis=1)
    return np.take_along_axis(ids, order, 1), np.take_along_axis(settled, order, 1)
