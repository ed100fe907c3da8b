"""Principal components as relja_matlab computes them: by the covariance or, with fewer points than
dimensions, by the Gram matrix ("dual")."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matlab_compat.errors import ArgumentError

_SMALLEST_VARIANCE = 1e-9


class PCA(NamedTuple):
    """What `relja_PCA` returns, in the original's order; projected rows are `(x - mu) @ U`.

    U: (D, n), one component a column; lams: (n,) float64, variances, descending; mu: (D,) the mean (zeros
    when it was not subtracted); Utmu: (n,) = U.T @ mu.
    """

    U: NDArray[Any]
    lams: NDArray[np.float64]
    mu: NDArray[Any]
    Utmu: NDArray[Any]


def relja_PCA(x: ArrayLike, nPCs: int | None = None, subtractMean: bool = True) -> PCA:
    """The first nPCs principal components (default: all) of the rows of x (N, D), float32 or float64.

    The covariance (divided by N-1) is computed in the class of x, its eigenvectors in float64. With D <= N
    they are returned so; with D > N, U is in the class of x, and its last columns are noise when nPCs reaches
    the rank of the data (N-1 points after the mean is subtracted). Each column's sign is such that its
    largest entry is positive; MATLAB's signs are arbitrary.

    Raises ArgumentError when nPCs is above min(N, D) or there are fewer than two points.

    Ported from: relja_matlab/relja_PCA.m
    """
    points = np.array(x, copy=subtractMean)
    _check(points, nPCs)
    n, dims = points.shape
    mu = points.mean(axis=0)
    if subtractMean:
        points -= mu
    else:
        mu = np.zeros_like(mu)

    dual = dims > n
    products = (points @ points.T if dual else points.T @ points).astype(np.float64) / (n - 1)
    lams, vectors = _largest_eigenpairs(products, min(n, dims) if nPCs is None else nPCs)
    if dual:
        scales = np.sqrt(np.maximum(lams, _SMALLEST_VARIANCE)) * np.sqrt(n - 1)
        vectors = points.T @ (vectors / scales).astype(points.dtype)
    vectors *= _signs(vectors)
    return PCA(vectors, lams, mu, vectors.T.astype(mu.dtype) @ mu)


def _check(points: NDArray[Any], count: int | None) -> None:
    if points.ndim != 2 or points.dtype not in (np.float32, np.float64):
        raise ArgumentError(
            f"relja_PCA takes points as (N, D) float32 or float64; got {points.dtype} of shape {points.shape}"
        )
    n, dims = points.shape
    if n < 2:
        raise ArgumentError(f"relja_PCA needs at least two points; got {n}")
    if count is not None and not 1 <= count <= min(n, dims):
        raise ArgumentError(
            f"relja_PCA was asked for {count} components of {n} points in {dims} dimensions; "
            f"give 1 to {min(n, dims)}"
        )


def _largest_eigenpairs(
    symmetric: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The `count` largest eigenvalues, descending, and their vectors as columns."""
    from scipy.linalg import eigh

    size = len(symmetric)
    values, vectors = eigh(
        symmetric, subset_by_index=(size - count, size - 1), overwrite_a=True, check_finite=True
    )
    return values[::-1].copy(), np.ascontiguousarray(vectors[:, ::-1])


def _signs(vectors: NDArray[Any]) -> NDArray[Any]:
    largest = np.abs(vectors).argmax(axis=0)
    return np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1, 1).astype(vectors.dtype)
