"""MATLAB's classes in NumPy: their dtypes, conversion between them; arrays of objects, of character codes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.indexing import refuse, sides

CLASSES = {"double": np.float64, "single": np.float32, "logical": np.bool_} | {
    f"{sign}int{bits}": getattr(np, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)
}
CLASS_NAMES = {np.dtype(kind): name for name, kind in CLASSES.items()}


def cast(data: np.ndarray, dtype: Any) -> np.ndarray:
    """The array in another class: integers are rounded (halves away from zero) and limited, NaN is 0."""
    target = np.dtype(dtype)
    if target.kind in "iu" and data.dtype != target:
        info = np.iinfo(target)
        if data.dtype.kind != "f":
            data = data if data.dtype == np.uint64 else data.astype(np.int64)
            return np.clip(data, info.min, info.max).astype(target)
        rounded = np.trunc(data + np.copysign(0.5, data))
        data = np.nan_to_num(rounded, nan=0, posinf=info.max, neginf=info.min)
        low, high = data <= info.min, data >= info.max
        inside = np.where(low | high, 0, data).astype(target)
        return np.where(low, info.min, np.where(high, info.max, inside)).astype(target)
    if target.kind == "b" and data.dtype.kind == "f" and np.isnan(data).any():
        raise refuse("NaN is neither true nor false")
    return data.astype(target, copy=False)


def only(data: np.ndarray) -> Any:
    """The one element. Raises ArgumentError where there are more or none."""
    if data.size != 1:
        raise refuse(f"one number is needed; found an array of size {sides(data.shape)}")
    return data.item()


def objects(rows: list[list[Any]]) -> np.ndarray:
    """An object array with these rows; a list of values stays one value."""
    data = np.empty((len(rows), len(rows[0]) if rows else 0), object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            data[i, j] = value
    return data


def mapped(function: Callable[..., Any], *data: np.ndarray) -> np.ndarray:
    """An object array of function's values for the elements of arrays of one shape."""
    made = np.empty(data[0].shape, object)
    for place in np.ndindex(*made.shape):
        made[place] = function(*(each[place] for each in data))
    return made


def letters(codes: np.ndarray) -> str:
    """The string of character codes, a row. Raises ArgumentError for a column."""
    if codes.shape[0] != 1 and codes.size > 1:
        raise refuse("a column of characters: strings are rows here")
    return "".join(chr(int(code)) for code in codes.flat)
