"""Principal components, and the whitening layer that they become."""

import numpy as np
import pytest

from matlab_compat.errors import ArgumentError
from matlab_compat.relja_pca import relja_PCA


def points(n: int, dims: int, seed: int = 0) -> np.ndarray:
    state = np.random.RandomState(seed)
    return (state.randn(n, dims) * np.linspace(3, 0.5, dims) + state.randn(dims)).astype(np.float32)


@pytest.mark.parametrize(("n", "dims"), [(50, 8), (8, 50), (20, 20)])
def test_components_are_orthonormal_and_ordered(n, dims):
    pca = relja_PCA(points(n, dims), 5)
    assert np.allclose(pca.U.T @ pca.U, np.eye(5), atol=1e-5)
    assert (np.diff(pca.lams) <= 0).all()


def test_the_dual_way_gives_what_the_primal_way_gives():
    x = points(12, 30)
    dual = relja_PCA(x, 6)
    wide = np.cov(x.astype(np.float64), rowvar=False)
    values, vectors = np.linalg.eigh(wide)
    values, vectors = values[::-1][:6], vectors[:, ::-1][:, :6]
    assert np.allclose(dual.lams, values, rtol=1e-5)
    assert np.allclose(np.abs((dual.U * vectors).sum(axis=0)), 1, atol=1e-4)


def test_variance_along_each_component_is_its_eigenvalue():
    x = points(60, 7)
    pca = relja_PCA(x)
    assert np.allclose(((x - pca.mu) @ pca.U).var(axis=0, ddof=1), pca.lams, rtol=1e-4)


def test_the_largest_entry_of_every_component_is_positive():
    vectors = relja_PCA(points(30, 9)).U
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(9)] > 0).all()


def test_the_callers_points_are_not_changed():
    x = points(10, 4)
    before = x.copy()
    relja_PCA(x, 2)
    relja_PCA(x, 2, False)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("count", [0, 5, -1])
def test_too_many_components_are_refused_with_the_numbers(count):
    with pytest.raises(ArgumentError, match=f"{count} components of 10 points in 4 dimensions"):
        relja_PCA(points(10, 4), count)


def test_one_point_is_refused():
    with pytest.raises(ArgumentError, match="at least two"):
        relja_PCA(points(1, 4))


def test_integers_are_refused():
    with pytest.raises(ArgumentError, match="int"):
        relja_PCA(np.ones((4, 3), np.int64))
