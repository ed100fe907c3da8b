"""Small numeric functions that MATLAB defines differently from numpy."""

from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError


def round_half_away(x: Any) -> Any:
    """MATLAB's round: halves go away from zero (2.5 -> 3, -2.5 -> -3).

    x: a number or an array; a Python int or float gives an int, an array an array of the same type.

    >>> round_half_away(2.5), round_half_away(-0.5)
    (3, -1)
    """
    array = np.asarray(x)
    if array.dtype.kind in "biu":
        return int(x) if isinstance(x, bool | int) else array[()]
    fraction, whole = np.modf(array)
    rounded = whole + np.copysign(np.abs(fraction) >= 0.5, array).astype(array.dtype)
    if isinstance(x, float):
        return int(rounded) if np.isfinite(rounded) else x
    return rounded if array.ndim else rounded[()]


def smooth(y: Any, w: int = 5) -> np.ndarray:
    """MATLAB's smooth(y, w): a moving average, (n,) float64.

    w: the window; an even one is reduced by one, one longer than y to y's length. Near the ends the
    window shrinks symmetrically, so the first and last values stay.
    """
    values = np.asarray(y, dtype=np.float64).ravel()
    if int(w) != w or w < 1:
        raise ArgumentError(f"the window must be an integer of at least 1, not {w!r}")
    n = values.size
    window = min(int(w), n)
    most = (window - 1 + window % 2) // 2
    half = np.minimum(most, np.minimum(np.arange(n), np.arange(n)[::-1]))
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[np.arange(n) + half + 1] - total[np.arange(n) - half]) / (2 * half + 1)
