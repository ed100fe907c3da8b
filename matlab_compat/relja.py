"""relja_matlab: messages, progress, file names, normalisation, principal components, mean average precision.

Its functions for networks are in simplenn.edit.
"""

import math
import os
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.language import sprintf
from matlab_compat.rng import Generator, rng
from matlab_compat.yael import yael_nn

EPSILON = 1e-12


def relja_display(text: str, *values: Any) -> None:
    """Prints a message, a format with values as for `matlab_compat.language.sprintf`; a value may be a path.

    Ported from: relja_matlab/relja_display.m
    """
    plain = [os.fspath(value) if isinstance(value, os.PathLike) else value for value in values]
    print(sprintf(text, *plain), flush=True)


def relja_hrminsec(seconds: float) -> str:
    """A duration in seconds as hh:mm:ss, rounded down; a negative one is 00:00:00.

    >>> relja_hrminsec(3661.9)
    '01:01:01'

    Ported from: relja_matlab/relja_hrminsec.m
    """
    whole = max(0, math.floor(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def relja_displayDateTime() -> None:
    """Prints the date and time as MATLAB's datestr does: 23-Nov-2026 00:52:10.

    Ported from: relja_matlab/relja_displayDateTime.m
    """
    relja_display(_now())


def tic() -> float:
    """The current time, for relja_progress, in seconds of a monotonic clock."""
    return time.perf_counter()


def relja_progress(i: int, n: int, prefix: str | None = None, progressID: float | None = None) -> None:
    """Prints the progress of a loop of n steps at step i (from 1): time passed, time left, average per step.

    Prints only at the first four steps, every tenth of n, powers of two and the last step.
    prefix: printed first; progressID: tic() before the loop (None: now).
    Ported from: relja_matlab/relja_progress.m
    """
    tenth = n // 10
    if not (i < 5 or i == n or (tenth > 0 and i % tenth == 0) or i & (i - 1) == 0):
        return
    start = "" if prefix is None else f"{prefix} "
    elapsed = 0.0 if progressID is None else tic() - progressID
    line = f"{start}{_now()} {i} / {n}"
    if i > 1:
        average = elapsed / (i - 1)
        left = average * n - elapsed
        line += f"; time {relja_hrminsec(elapsed)}; left {relja_hrminsec(left)}; avg {average:.4f} s"
    relja_display("%s", line)


def _now() -> str:
    now = datetime.now()
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return f"{now:%d}-{months[now.month - 1]}-{now:%Y %H:%M:%S}"


def relja_randomHex(n: int, generator: Generator | None = None) -> str:
    """n hexadecimal digits drawn as in MATLAB; generator: None is seeded by the clock, for unique names.

    Ported from: relja_matlab/relja_randomHex.m
    """
    return (generator or rng(time.time_ns() % 2**32)).random_hex(n)


def relja_startsWith(bigString: str, smallString: str) -> bool:
    """Whether a string begins with another.

    Ported from: relja_matlab/relja_startsWith.m
    """
    return bigString.startswith(smallString)


def relja_endsWith(s: str, se: str) -> bool:
    """Whether a string ends with another.

    Ported from: relja_matlab/relja_endsWith.m
    """
    return s.endswith(se)


def relja_dir(dirname: StrPath) -> list[str]:
    """The names in a folder, including hidden ones, sorted by character codes; [] for a missing folder.

    Ported from: relja_matlab/relja_dir.m
    """
    return sorted(os.listdir(dirname)) if os.path.isdir(dirname) else []


def relja_expandUser(fn: str) -> str:
    """A path with a leading ~ replaced by the user's home folder.

    Ported from: relja_matlab/relja_expandUser.m
    """
    return os.path.expanduser("~") + fn[1:] if fn.startswith("~") else fn


def relja_l2normalize_col(X: Any) -> np.ndarray:
    """Features (N, D), each ROW divided by (its L2 norm + 1e-12); the class is kept, a zero row stays zero.

    In MATLAB features are D x N, hence the name.
    Raises ArgumentError unless X is a matrix.  Ported from: relja_matlab/relja_l2normalize_col.m
    """
    features = np.asarray(X)
    if features.ndim != 2:
        raise ArgumentError(f"features must be (N, D); got shape {features.shape}")
    if features.dtype.kind != "f":
        features = features.astype(np.float64)
    norms = np.sqrt(np.sum(features**2, axis=1, keepdims=True))
    return features / (norms + features.dtype.type(EPSILON))


_SMALLEST_VARIANCE = 1e-9


class PCA(NamedTuple):
    """The result of `relja_PCA`, in the original's order; projected rows are `(x - mu) @ U`.

    U: (D, n), one component per column; lams: (n,) float64, variances, descending; mu: (D,) the mean (zeros
    if it is not subtracted); Utmu: (n,) = U.T @ mu.
    """

    U: NDArray[Any]
    lams: NDArray[np.float64]
    mu: NDArray[Any]
    Utmu: NDArray[Any]


def relja_PCA(x: ArrayLike, nPCs: int | None = None, subtractMean: bool = True) -> PCA:
    """The first nPCs principal components (default: all) of the rows of x (N, D), float32 or float64.

    The covariance (divided by N-1) is computed in the class of x, its eigenvectors in float64, which is U's
    class with D <= N. With D > N, where the Gram matrix ("dual") replaces it, U has the class of x, and its
    last columns are noise where nPCs exceeds the rank of the data (N-1 after the mean is subtracted). Each
    column's sign makes its largest entry positive; MATLAB's signs are arbitrary.

    Raises ArgumentError when nPCs is above min(N, D) or there are fewer than two points.
    Ported from: relja_matlab/relja_PCA.m
    """
    from scipy.linalg import eigh

    points = np.array(x, copy=subtractMean)
    if points.ndim != 2 or points.dtype not in (np.float32, np.float64):
        raise ArgumentError(f"points must be (N, D) float32 or float64; got {points.dtype} {points.shape}")
    n, dims = points.shape
    if n < 2:
        raise ArgumentError(f"relja_PCA needs at least two points; got {n}")
    count = min(n, dims) if nPCs is None else int(nPCs)
    if not 1 <= count <= min(n, dims):
        raise ArgumentError(f"{n} points of {dims} numbers have 1 to {min(n, dims)} components; got {count}")
    mu = points.mean(axis=0)
    if subtractMean:
        points -= mu
    else:
        mu = np.zeros_like(mu)

    dual = dims > n
    products = (points @ points.T if dual else points.T @ points).astype(np.float64) / (n - 1)
    size = len(products)
    values, vectors = eigh(products, subset_by_index=(size - count, size - 1), overwrite_a=True)
    lams, vectors = values[::-1].copy(), np.ascontiguousarray(vectors[:, ::-1])  # descending
    if dual:
        scales = np.sqrt(np.maximum(lams, _SMALLEST_VARIANCE)) * np.sqrt(n - 1)
        vectors = points.T @ (vectors / scales).astype(points.dtype)
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(vectors[largest, np.arange(count)] < 0, -1, 1).astype(vectors.dtype)
    return PCA(vectors, lams, mu, vectors.T.astype(mu.dtype) @ mu)


def relja_retrievalMAP(
    db: Any, searcher: Any, verbose: bool = True, kTop: int = 10000
) -> tuple[float, np.ndarray]:
    """Mean average precision over all queries, and each query's: (mAP, APs (numQueries,) float64).

    db: has numQueries, posIDs and ignoreIDs (for each query the 0-based ids to find, and those to ignore).
    searcher: searcher(iQuery) returns ranked ids, or a dict with 'db' (N, D) and 'qs' (Q, D), whose rows are
    ranked by distance. An id in posIDs that no image has (-1) still counts as one to find.
    verbose: prints progress; the result is always printed. kTop has no effect, as in the original.
    Raises ArgumentError for another searcher.
    Ported from: relja_matlab/relja_retrievalMAP.m
    """
    if callable(searcher):
        rank = searcher
    elif isinstance(searcher, Mapping) and {"db", "qs"} <= searcher.keys():
        rank = yael_nn(searcher["db"], searcher["qs"], len(searcher["db"]))[0].__getitem__
    else:
        raise ArgumentError(
            f"searcher must be a function of ids, or a dict of 'db' (N, D), 'qs' (Q, D); got {searcher!r:.80}"
        )
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

    positives: the ids to find; ignored: ids that are removed from the list first. NaN without positives.
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


def _four_digits(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.4f}"
