"""The small helpers of relja_matlab: messages, progress, names of files, normalisation.

Its functions for networks are in simplenn_edit, relja_PCA in relja_pca, relja_retrievalMAP in retrieval.
"""

import math
import os
import time
from datetime import datetime
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError
from matlab_compat.rng import Generator, rng

EPSILON = 1e-12


def relja_display(text: str, *values: Any) -> None:
    """Prints a text; values fill its C-style % places.

    Ported from: relja_matlab/relja_display.m
    """
    print(text % values if values else text, flush=True)


def relja_hrminsec(seconds: float) -> str:
    """A duration as hh:mm:ss, cut to whole seconds; a negative one is 00:00:00.

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
    """The present, for relja_progress to count from: seconds of a clock that never goes back."""
    return time.perf_counter()


def relja_progress(i: int, n: int, prefix: str | None = None, progressID: float | None = None) -> None:
    """Prints how far a loop of n steps is at step i (from 1), with time passed, left and a step's average.

    Prints only at the first four steps, every tenth of n, powers of two and the last step.
    prefix: printed first; progressID: tic() before the loop (None: now).
    Ported from: relja_matlab/relja_progress.m
    """
    if not _is_reported(i, n):
        return
    start = "" if prefix is None else f"{prefix} "
    elapsed = 0.0 if progressID is None else tic() - progressID
    line = f"{start}{_now()} {i} / {n}"
    if i > 1:
        average = elapsed / (i - 1)
        left = average * n - elapsed
        line += f"; time {relja_hrminsec(elapsed)}; left {relja_hrminsec(left)}; avg {average:.4f} s"
    relja_display(line)


def _is_reported(i: int, n: int) -> bool:
    tenth = n // 10
    return i < 5 or i == n or (tenth > 0 and i % tenth == 0) or i & (i - 1) == 0


def _now() -> str:
    now = datetime.now()
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return f"{now:%d}-{months[now.month - 1]}-{now:%Y %H:%M:%S}"


def relja_randomHex(n: int, generator: Generator | None = None) -> str:
    """n hexadecimal digits drawn as MATLAB draws them; generator: None draws from the clock, to name things.

    Ported from: relja_matlab/relja_randomHex.m
    """
    return (generator or rng(time.time_ns() % 2**32)).random_hex(n)


def relja_startsWith(bigString: str, smallString: str) -> bool:
    """Whether a text begins with another.

    Ported from: relja_matlab/relja_startsWith.m
    """
    return bigString.startswith(smallString)


def relja_endsWith(s: str, se: str) -> bool:
    """Whether a text ends with another.

    Ported from: relja_matlab/relja_endsWith.m
    """
    return s.endswith(se)


def relja_dir(dirname: str | os.PathLike[str]) -> list[str]:
    """The names in a folder, hidden ones too, sorted by their characters' codes.

    A missing folder gives [], as in the original.  Ported from: relja_matlab/relja_dir.m
    """
    return sorted(os.listdir(dirname)) if os.path.isdir(dirname) else []


def relja_expandUser(fn: str) -> str:
    """A path whose leading ~ is replaced by the user's home folder.

    Ported from: relja_matlab/relja_expandUser.m
    """
    return os.path.expanduser("~") + fn[1:] if fn.startswith("~") else fn


def relja_l2normalize_col(X: Any) -> np.ndarray:
    """Features divided by (their L2 norm + 1e-12): here (N, D), so it normalises ROWS; the class is kept.

    MATLAB's features are D x N, hence the name. A zero row stays zero.
    Errors: ArgumentError unless X is a matrix.  Ported from: relja_matlab/relja_l2normalize_col.m
    """
    features = np.asarray(X)
    if features.ndim != 2:
        raise ArgumentError(f"features must be (N, D), not of shape {features.shape}")
    if features.dtype.kind != "f":
        features = features.astype(np.float64)
    norms = np.sqrt(np.sum(features**2, axis=1, keepdims=True))
    return features / (norms + features.dtype.type(EPSILON))
