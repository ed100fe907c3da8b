"""yael's exact nearest neighbours and its k-means.

yael_nn: faiss finds candidates by float32 matrix products, whose last digits depend on the number of queries;
those that are too close to each other, or too near for that formula, are computed again in float64. Ids and
their order then depend on the vectors alone; of equal distances (as float32), the lowest id comes first.

yael_kmeans: single-precision Lloyd steps with yael's initial points, splits of empty clusters, order of
summation and stopping rule. Not reproduced: the last bits of the distances, which depend on the BLAS, and the
normal numbers (of relative size 1e-7) that separate the halves of a split cluster.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matlab_compat.arguments import name_value
from matlab_compat.errors import ArgumentError
from matlab_compat.faiss_library import load_faiss

HALF_BYTES = 1 << 28  # of a float16 matrix that are converted to float32 at a time
SPARE = 16  # candidates beyond k, to detect ties at the end of the list
BLOCK_BYTES = 1 << 20  # of float64 differences per thread at a time: they stay in the cache


def yael_nn(v: Any, q: Any, k: int = 1, distype: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of v (N, D) for each row of q (Q, D): (ids (Q, k) int64, distances (Q, k) float32).

    Rows are vectors, ids are 0-based, distances are squared L2, ascending; of ties, the lowest id comes
    first. v may be memory-mapped and is read in blocks. distype: 2 only, as in the original's substitute for
    yael.
    Raises ArgumentError for other shapes, k above N, or vectors with NaN or infinity.
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
    """yael_nn for checked arguments: float32 rows (vectors: or float16), finite; `largest`: squared norm.

    All queries form one block; deepibl.search divides many into blocks. `vectors` may be anything with len,
    shape and dtype that returns rows for a slice or an array of ids; it is read in blocks.
    """
    doubt = doubtful_difference(vectors.shape[1], largest)
    ids = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float32)
    pending, count = np.arange(len(queries)), min(k + SPARE, len(vectors))
    while len(pending):
        rough, candidates = _candidates(vectors, queries[pending], count)
        candidates, exact = _settle(vectors, queries[pending], rough, candidates, doubt)
        # a vector that is not a candidate is at least as far as the last candidate, up to the doubt
        sure = exact[:, k - 1] + doubt < rough[:, -1] if count < len(vectors) else np.ones(len(pending), bool)
        ids[pending[sure]] = candidates[sure, :k]
        distances[pending[sure]] = exact[sure, :k]
        pending, count = pending[~sure], min(count * 4, len(vectors))
    return ids, distances


def squared_norms(rows: np.ndarray, what: str) -> np.ndarray:
    """Squared norms (N,) float32 of float32 or float16 rows. ArgumentError for NaN, infinity, overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [np.einsum("ij,ij->i", part, part) for _, part in _float32_blocks(rows)]
    norms = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    wrong = np.flatnonzero(~np.isfinite(norms))
    if len(wrong):
        raise ArgumentError(
            f"{len(wrong)} of {len(rows)} rows of {what} hold NaN or infinity, the first is row {wrong[0]}"
        )
    return norms


def doubtful_difference(dimensions: int, largest: float) -> float:
    """Twice the error that a float32 |q|^2 + |v|^2 - 2 q.v may have, for squared norms up to `largest`."""
    # the rounding error of a blocked float32 product grows about as the root of its length (measured by a
    # test)
    return float(np.finfo(np.float32).eps) * (8 + 0.5 * dimensions**0.5) * largest * 2


def float_rows(array: Any, what: str, half: bool = False) -> np.ndarray:
    """A matrix as C-ordered float32, uncopied where it is that. Raises ArgumentError naming `what`.

    half: float16 stays float16, so that a large memory-mapped one need not fit into memory.
    """
    rows = np.asanyarray(array)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise ArgumentError(f"{what}: expected a matrix (N, D) of numbers; got {rows.dtype} {rows.shape}")
    return np.ascontiguousarray(rows, np.float16 if half and rows.dtype == np.float16 else np.float32)


def _float32_blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows as float32) of the whole matrix: at once if it is float32 already, else in blocks."""
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
    """Computes doubtful candidates again and sorts: (ids, distances float32), of the shape of `rough`."""
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


_BLOCK_BYTES = 2**20  # of distances that are computed at a time: they stay in the cache
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class KMeans(NamedTuple):
    """The result of `yael_kmeans`.

    centroids: (k, D) float32; assignment: (N,) int32, 0-based; distances: (N,) float32, squared L2 to the
    centroid that each point was assigned to in the last step; counts: (k,) int32, points per cluster.
    """

    centroids: Floats
    assignment: Ints
    distances: Floats
    counts: Ints


class GlibcRand:
    """glibc's `rand_r`: 31-bit numbers from a 32-bit state, three steps of a linear congruence each."""

    def __init__(self, seed: int):
        self.state = seed & 0xFFFFFFFF

    def _bits(self, n: int) -> int:
        self.state = (self.state * 1103515245 + 12345) & 0xFFFFFFFF
        return (self.state >> 16) & ((1 << n) - 1)

    def next(self) -> int:
        """The next number, 0 <= number < 2**31."""
        high, middle, low = self._bits(11), self._bits(10), self._bits(10)
        return (high << 20) ^ (middle << 10) ^ low

    def uniform(self) -> float:
        """The next number scaled to [0, 1)."""
        return self.next() / 2**31


def first_points(n: int, k: int, seed: int) -> NDArray[np.int64]:
    """The k distinct points (0-based, of n) from which yael's k-means starts.

    `seed`: that of `yael_kmeans`; the first number drawn from it seeds the shuffle.
    """
    numbers = GlibcRand(GlibcRand(seed).next())
    ids = np.arange(n)
    for i in range(min(k, n - 1)):  # later swaps never touch the first k
        j = i + numbers.next() % (n - i)
        ids[[i, j]] = ids[[j, i]]
    return ids[:k].copy()


@name_value()
def yael_kmeans(
    v: ArrayLike,
    k: int,
    *,
    niter: int = 50,
    redo: int = 1,
    seed: int = 0,
    init: int = 1,
    verbose: int = 1,
    nargout: int = 4,
    each_step: Callable[[int, int], object] | None = None,
) -> Any:
    """Clusters the rows of v (N, D) into k groups; the best of `redo` runs.

    niter: the most Lloyd steps (0: no limit); it stops earlier when the total distance stays the same. seed:
    0 is yael's in an unseeded process. init: 1 or 0, random points (k-means++ is not ported). verbose: 1
    prints the mean squared distance of every step. each_step: called with (steps done, niter).
    Returns a `KMeans`; with nargout 2 (centroids, assignment), as [C, I] of MATLAB, with 1 the centroids.

    Raises ArgumentError for fewer points than clusters, values that are not finite, another init, and points
    so few or so alike that clusters stay empty.
    Ported from: yael kmeans.c (called from netvlad/getClusters.m)
    """
    points = np.ascontiguousarray(v, dtype=np.float32)
    if points.ndim != 2:
        raise ArgumentError(f"yael_kmeans takes points as (N, D), one per row; got shape {points.shape}")
    if not 1 <= k <= len(points):
        raise ArgumentError(f"the number of clusters must be 1 to {len(points)}, that of points; got {k}")
    if init not in (0, 1):
        raise ArgumentError(f"yael_kmeans with init={init}: only random points (0 or 1) are ported")
    if not np.isfinite(points).all():
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        raise ArgumentError(f"yael_kmeans: {len(bad)} points hold NaN or Inf, the first is row {bad[0]}")
    seeds = GlibcRand(seed)
    runs = []
    for _ in range(max(redo, 1)):
        # Each run draws two seeds: the first for the initial points, the second for splitting.
        start = points[first_points(len(points), k, seeds.state)]
        seeds.next()
        runs.append(_lloyd(points, start, niter or 1_000_000, seeds.next(), bool(verbose), each_step))
        runs = [min(runs, key=lambda run: run[1])]
    found = runs[0][0]
    return found.centroids if nargout == 1 else found[:2] if nargout == 2 else found


def _lloyd(
    points: Floats,
    centroids: Floats,
    niter: int,
    seed: int,
    verbose: bool,
    each_step: Callable[[int, int], object] | None,
) -> tuple[KMeans, float]:
    """Assign and average until the total distance stays the same; empty clusters are filled by splitting."""
    n, k = len(points), len(centroids)
    seeds = GlibcRand(seed)
    norms = np.einsum("nd,nd->n", points, points)
    error, splits = np.inf, 0
    for step in range(1, niter + 1):
        assignment, distances = _nearest(points, norms, centroids)
        counts = np.bincount(assignment, minlength=k).astype(np.int32)
        centroids = _means(points, assignment, counts)
        split = _split_for_empty(centroids, counts, seeds.next())
        splits += split
        if splits > max(n // 100, 1000):
            raise ArgumentError(
                f"yael_kmeans: clusters stayed empty: too few of the {n} points differ for {k} clusters"
            )
        error, previous = float(distances.sum(dtype=np.float64)), error
        if verbose:
            print(f"step {step}: mean squared distance {error / n:.6g}, {split} clusters split")
        if each_step is not None:
            each_step(step, niter)
        if error == previous and not split:
            break
    return KMeans(centroids, assignment, distances, counts), error


def _nearest(points: Floats, norms: Floats, centroids: Floats) -> tuple[Ints, Floats]:
    """For every point its nearest centroid (of equal ones the lowest id) and the squared distance to it."""
    assignment = np.empty(len(points), np.int32)
    distances = np.empty(len(points), np.float32)
    centroid_norms = np.einsum("kd,kd->k", centroids, centroids)
    block = max(1, _BLOCK_BYTES // (4 * len(centroids)))
    for first in range(0, len(points), block):
        rows = slice(first, first + block)
        squared = points[rows] @ centroids.T
        squared *= -2
        squared += centroid_norms
        nearest = squared.argmin(axis=1)
        assignment[rows] = nearest
        distances[rows] = np.take_along_axis(squared, nearest[:, None], 1)[:, 0] + norms[rows]
    return assignment, np.maximum(distances, 0)


def _means(points: Floats, assignment: Ints, counts: Ints) -> Floats:
    """(k, D) means; an empty cluster gets zeros. Sums run in single precision in the order of the points."""
    from scipy.sparse import csr_matrix

    n = len(points)
    members = csr_matrix((np.ones(n, np.float32), (assignment, np.arange(n))), shape=(len(counts), n))
    step = -(-len(counts) // (os.cpu_count() or 1))
    with ThreadPoolExecutor() as pool:
        firsts = range(0, len(counts), step)
        sums = np.concatenate([*pool.map(lambda first: members[first : first + step] @ points, firsts)])
    return (sums * (1.0 / np.maximum(counts, 1))[:, None]).astype(np.float32)


def _split_for_empty(centroids: Floats, counts: Ints, seed: int) -> int:
    """Places each empty cluster beside a large one, in place; returns the number of empty ones.

    A cluster of m points is chosen with probability proportional to m**2 - 1, at most once per step.
    """
    seeds = GlibcRand(seed)
    sizes = counts.astype(np.float64)
    weights = np.where(counts < 2, 0, sizes**2 - 1)
    empty = np.flatnonzero(counts == 0)
    for target in empty:
        draw = seeds.uniform() * weights.sum()
        source = min(int(np.searchsorted(np.cumsum(weights), draw, side="right")), len(counts) - 1)
        size = 1e-7 * float(np.linalg.norm(centroids[source]))
        push = size * np.random.RandomState(seeds.next()).standard_normal(centroids.shape[1])
        original = centroids[source].copy()
        centroids[source] = original + push
        centroids[target] = original - push
        weights[source] = 0
    return len(empty)
