"""yael's k-means: its numbers, its first points, and what it converges to."""

import numpy as np
import pytest

from matlab_compat.errors import ArgumentError
from matlab_compat.yael import GlibcRand, first_points, yael_kmeans


def blobs(per_blob: int = 30, seed: int = 0) -> np.ndarray:
    state = np.random.RandomState(seed)
    centres = 10 * np.eye(4, 6)
    points = centres[:, None] + 0.1 * state.randn(4, per_blob, 6)
    return points.reshape(-1, 6).astype(np.float32)[state.permutation(4 * per_blob)]


def naive_lloyd(points: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    """Lloyd's algorithm by loops, in float64."""
    points, centroids = points.astype(np.float64), start.astype(np.float64)
    for _ in range(steps):
        nearest = [int(np.argmin([((p - c) ** 2).sum() for c in centroids])) for p in points]
        centroids = np.array([points[np.equal(nearest, k)].mean(axis=0) for k in range(len(centroids))])
    return centroids


def test_first_numbers_are_glibcs():
    # rand_r of glibc 2.36, seed 1: printed by a C program
    numbers = GlibcRand(1)
    assert [numbers.next() for _ in range(3)] == [476707713, 1186278907, 505671508]


def test_first_points_are_those_documented_for_50000_points():
    want = [27207, 22711, 11921, 4281, 15378, 32476, 5842, 48628]
    assert first_points(50000, 64, 43)[:8].tolist() == want


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (100, 7)])
def test_first_points_are_distinct(n, k):
    ids = first_points(n, k, 43)
    assert len(set(ids.tolist())) == k
    assert ids.min() >= 0
    assert ids.max() < n


def test_steps_are_lloyds():
    points = np.random.RandomState(1).randn(80, 5).astype(np.float32)
    start = points[first_points(80, 4, 43)]
    for steps in (1, 2, 3):
        got = yael_kmeans(points, 4, niter=steps, seed=43).centroids
        assert np.allclose(got, naive_lloyd(points, start, steps), atol=1e-5)


def test_distances_are_those_to_the_assigned_centroid_before_the_last_averaging():
    points = blobs()
    result = yael_kmeans(points, 4, niter=100, seed=43)
    direct = ((points - result.centroids[result.assignment]) ** 2).sum(axis=1)
    assert np.allclose(result.distances, direct, atol=1e-3)
    assert result.counts.tolist() == np.bincount(result.assignment, minlength=4).tolist()


def test_more_runs_never_give_a_worse_result():
    points = np.random.RandomState(3).randn(200, 3).astype(np.float32)
    totals = [yael_kmeans(points, 6, niter=20, seed=5, redo=redo).distances.sum() for redo in (1, 4, 8)]
    assert totals[0] >= totals[1] >= totals[2]


def test_an_empty_cluster_is_filled_by_splitting_a_big_one():
    # difference: kmeans-split
    # the starting points are equal ones, so at first all but one cluster stay without points
    points = np.concatenate([np.ones((54, 2)), np.eye(2)[[0, 1, 0, 1, 0, 1]] * 50]).astype(np.float32)
    assert len(np.unique(points[first_points(60, 3, 43)], axis=0)) == 1
    assert len(np.unique(yael_kmeans(points, 3, niter=1, seed=43).assignment)) == 1
    result = yael_kmeans(points, 3, niter=50, seed=43)
    assert len(np.unique(result.centroids.round(2), axis=0)) == 3
    assert np.isfinite(result.centroids).all()


def test_the_same_seed_gives_the_same_clusters():
    points = np.random.RandomState(3).randn(300, 8).astype(np.float32)
    first, second = (yael_kmeans(points, 16, seed=43).centroids for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, yael_kmeans(points, 16, seed=44).centroids)


def test_too_few_different_points_are_an_error_that_says_so():
    # difference: kmeans-abandon
    with pytest.raises(ArgumentError, match="too few of the"):
        yael_kmeans(np.ones((100, 3), np.float32), 40, niter=1000)


@pytest.mark.parametrize(
    ("points", "k", "options", "message"),
    [
        (np.ones((3, 2)), 4, {}, "must be 1 to 3.*got 4"),
        (np.ones(3), 1, {}, r"\(N, D\)"),
        (np.array([[1.0, np.nan]]), 1, {}, "row 0"),
        (np.ones((3, 2)), 2, {"init": 2}, "only random points"),
    ],
)
def test_bad_input_is_refused_by_name(points, k, options, message):
    with pytest.raises(ArgumentError, match=message):
        yael_kmeans(points, k, **options)
