"""Principal components, and the whitening layer that they become."""

import numpy as np
import pytest
import torch

from deepibl.networks.build import add_pca, append_pca
from matlab_compat.errors import ArgumentError
from matlab_compat.relja import relja_PCA
from matlab_compat.simplenn.network import SimpleNN


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
    # difference: pca-signs
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
    with pytest.raises(ArgumentError, match=f"10 points of 4 numbers have 1 to 4 components; got {count}"):
        relja_PCA(points(10, 4), count)


def test_one_point_is_refused():
    with pytest.raises(ArgumentError, match="at least two"):
        relja_PCA(points(1, 4))


def test_integers_are_refused():
    with pytest.raises(ArgumentError, match="int"):
        relja_PCA(np.ones((4, 3), np.int64))


def base() -> SimpleNN:
    """A network without layers whose output is then whatever is put in."""
    return SimpleNN([], {"sessionID": "session", "epoch": np.zeros((1, 1))})


def layers_of(net: SimpleNN, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(features)[:, :, None, None]).flatten(1).numpy()


@pytest.mark.parametrize(("n", "dims"), [(80, 12), (10, 40)])
def test_whitened_training_features_are_uncorrelated_before_they_are_normalised(n, dims):
    x = points(n, dims)
    net = add_pca(base(), x, dim=5)
    with torch.no_grad():
        white = net(torch.from_numpy(x)[:, :, None, None], stop="WPCA").flatten(1).numpy()
    assert np.allclose(np.cov(white, rowvar=False), np.eye(5), atol=1e-3)
    assert np.allclose(white.mean(axis=0), 0, atol=1e-4)


def test_without_whitening_features_keep_their_variances():
    x = points(80, 12)
    net = add_pca(base(), x, dim=5, whiten=False)
    assert net.names == ["PCA", "finalL2"]
    with torch.no_grad():
        turned = net(torch.from_numpy(x)[:, :, None, None], stop="PCA").flatten(1).numpy()
    assert np.allclose(turned.var(axis=0, ddof=1), relja_PCA(x, 5).lams, rtol=1e-3)


def test_descriptors_are_unit_vectors_and_fewer_dimensions_are_the_first_ones_normalised_again():
    x = points(80, 12)
    six, three = (layers_of(add_pca(base(), x, dim=dim), x) for dim in (6, 3))
    assert np.allclose(np.linalg.norm(six, axis=1), 1, atol=1e-6)
    first = six[:, :3] / np.linalg.norm(six[:, :3], axis=1, keepdims=True)
    assert np.allclose(three, first, atol=1e-5)


@pytest.mark.parametrize("names", [["WPCA", "finalL2"], ["PCA"]])
def test_a_second_pca_is_refused(names):
    # difference: addpca-twice
    x = points(80, 12)
    net = add_pca(base(), x, dim=5, whiten=names[0] == "WPCA")
    net = net.with_layers(list(net)[: len(names)])
    with pytest.raises(ArgumentError, match="already ends in PCA"):
        add_pca(net, points(80, 5), dim=2)


@pytest.mark.parametrize(
    ("n", "dims", "dim", "message"),
    [
        (100, 12, 12, "less than the features' 12 dimensions"),
        (10, 40, 10, "10 training images determine at most 9"),
        (10, 40, 0, "must be 1 to 9"),
    ],
)
def test_dimensions_that_the_features_cannot_give_are_refused(n, dims, dim, message):
    # difference: addpca-dimension
    with pytest.raises(ArgumentError, match=message):
        add_pca(base(), points(n, dims), dim=dim)


def test_appending_more_components_than_there_are_is_refused():
    with pytest.raises(ArgumentError, match=r"dim must be 1 to 5, .*; got 9"):
        append_pca(base(), relja_PCA(points(80, 12), 5), dim=9)
