"""K-means as yael runs it: its choice of first points, single-precision Lloyd steps, its way with empty
clusters.

Reproduced exactly: glibc's `rand_r`, the points that are chosen first, which cluster is split when one is
empty, the order of summation, when it stops. Not reproduced: the last bits of the distances, which depend on
the BLAS in use, and the normal numbers (of relative size 1e-7) that push the two halves of a split cluster
apart.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matlab_compat.errors import ArgumentError

_BLOCK_BYTES = 64 * 2**20  # distances are computed for as many points at once as fit in here
_RAND_MAX = 2**31 - 1


class KMeans(NamedTuple):
    """What `yael_kmeans` returns.

    centroids: (k, D) float32; assignment: (N,) int32, 0-based; distances: (N,) float32, squared L2 to the
    centroid that each point was assigned to in the last step; counts: (k,) int32, points a cluster.
    """

    centroids: NDArray[np.float32]
    assignment: NDArray[np.int32]
    distances: NDArray[np.float32]
    counts: NDArray[np.int32]


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
        return self.next() / (_RAND_MAX + 1.0)


def first_points(n: int, k: int, seed: int) -> NDArray[np.int64]:
    """The k distinct points (0-based, of n) that yael's k-means starts from.

    `seed` is the one given to `yael_kmeans`: the state that the shuffle runs on is the first number that it
    yields.
    """
    numbers = GlibcRand(GlibcRand(seed).next())
    ids = np.arange(n)
    for i in range(min(k, n - 1)):  # later swaps never touch the first k
        j = i + numbers.next() % (n - i)
        ids[[i, j]] = ids[[j, i]]
    return ids[:k].copy()


def yael_kmeans(
    v: ArrayLike,
    k: int,
    *,
    niter: int = 50,
    redo: int = 1,
    seed: int = 0,
    init: int = 0,
    verbose: int = 0,
) -> KMeans:
    """Clusters the rows of v (N, D) into k groups; the best of `redo` runs.

    niter: Lloyd steps at most (0: until nothing changes); it stops earlier when the total distance stays the
    same. seed: 0 is what yael takes from an unseeded process. init: 0, random points (yael's 1, k-means++, is
    not ported). verbose: 1 prints the mean squared distance of every step.

    Raises ArgumentError for fewer points than clusters, for values that are not finite, for init other than
    0, and when the points are so few or so alike that clusters stay empty however often they are filled.

    Ported from: yael kmeans.c (called from netvlad/getClusters.m)
    """
    points = np.ascontiguousarray(v, dtype=np.float32)
    _check(points, k, init)
    seeds = GlibcRand(seed)
    runs = []
    for _ in range(max(redo, 1)):
        # Each run takes two numbers: the first starts the choice of points, the second the splitting.
        start = points[first_points(len(points), k, seeds.state)]
        seeds.next()
        runs.append(_lloyd(points, start, niter or 1_000_000, seeds.next(), bool(verbose)))
        runs = [min(runs, key=lambda run: run[1])]
    return runs[0][0]


def _check(points: NDArray[np.float32], k: int, init: int) -> None:
    if points.ndim != 2:
        raise ArgumentError(
            f"yael_kmeans takes points as (N, D), one a row; got an array of shape {points.shape}"
        )
    if not 1 <= k <= len(points):
        raise ArgumentError(
            f"yael_kmeans was asked for {k} clusters of {len(points)} points; give 1 <= k <= points"
        )
    if init != 0:
        raise ArgumentError(f"yael_kmeans with init={init}: only 0 (random points) is ported")
    if not np.isfinite(points).all():
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        raise ArgumentError(f"yael_kmeans: {len(bad)} points hold NaN or Inf, the first is row {bad[0]}")


def _lloyd(
    points: NDArray[np.float32], centroids: NDArray[np.float32], niter: int, seed: int, verbose: bool
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
                f"yael_kmeans: clusters stayed empty {splits} times in {step} steps; "
                f"the {n} points hold too few different ones for {k} clusters"
            )
        error, previous = float(distances.sum(dtype=np.float64)), error
        if verbose:
            print(f"step {step}: mean squared distance {error / n:.6g}, {split} clusters split")
        if error == previous and not split:
            break
    return KMeans(centroids, assignment, distances, counts), error


def _nearest(
    points: NDArray[np.float32], norms: NDArray[np.float32], centroids: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """For every point its nearest centroid (the lowest id of equals) and the squared distance to it."""
    assignment = np.empty(len(points), np.int32)
    distances = np.empty(len(points), np.float32)
    centroid_norms = np.einsum("kd,kd->k", centroids, centroids)
    block = max(1, _BLOCK_BYTES // (4 * len(centroids)))
    for first in range(0, len(points), block):
        rows = slice(first, first + block)
        squared = centroid_norms - 2 * (points[rows] @ centroids.T)
        assignment[rows] = squared.argmin(axis=1)
        distances[rows] = squared.min(axis=1) + norms[rows]
    return assignment, np.maximum(distances, 0)


def _means(
    points: NDArray[np.float32], assignment: NDArray[np.int32], counts: NDArray[np.int32]
) -> NDArray[np.float32]:
    """(k, D) means; an empty cluster gets zeros. Sums run in single precision in the order of the points."""
    from scipy.sparse import csr_matrix

    n = len(points)
    members = csr_matrix((np.ones(n, np.float32), (assignment, np.arange(n))), shape=(len(counts), n))
    sums = members @ points
    return (sums * (1.0 / np.maximum(counts, 1))[:, None]).astype(np.float32)


def _split_for_empty(centroids: NDArray[np.float32], counts: NDArray[np.int32], seed: int) -> int:
    """Puts each empty cluster beside a big one, in place; returns how many there were.

    A cluster of m points is chosen with a probability in proportion to m**2 - 1, once at most in a step.
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
