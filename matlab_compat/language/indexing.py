"""Indices of MATLAB on NumPy arrays: from 1, by columns; reading, assigning with growth, removing.

A key is one index or a tuple of several; an index a number, an array of numbers or logicals, or `ALL`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError

ALL = slice(None)  # the index `:`


def refuse(what: str) -> ArgumentError:
    """The error for what MATLAB refuses too, or has no counterpart here."""
    return ArgumentError(what)


def sides(shape: tuple[int, ...]) -> str:
    """A size as MATLAB writes it: 2x3."""
    return "x".join(map(str, shape))


def trimmed(data: np.ndarray) -> np.ndarray:
    """The array with at least two dimensions, and no last ones of size 1 beyond these."""
    data = data.reshape(1, -1) if data.ndim < 2 else data
    while data.ndim > 2 and data.shape[-1] == 1:
        data = data[..., 0]
    return data


def folded(data: np.ndarray, count: int) -> np.ndarray:
    """The array seen with this number of dimensions."""
    shape = (*data.shape, *(1,) * (count - data.ndim))
    return data.reshape((*shape[: count - 1], math.prod(shape[count - 1 :])), order="F")


def _positions(index: Any, size: int) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """Positions from 0, and the shape of the index, None for `:`."""
    if isinstance(index, slice) or (isinstance(index, str) and index == ":"):
        return np.arange(size), None
    plain = isinstance(index, np.ndarray | np.generic | bool | int | float)
    values = (
        list(map(ord, index))
        if isinstance(index, str)
        else index
        if plain
        else getattr(index, "data", [None])
    )
    data = trimmed(np.asarray(values))
    if data.dtype.kind not in "biuf":
        raise refuse("an index must be numbers or logicals")
    if data.dtype.kind == "b":
        found = np.flatnonzero(data.ravel(order="F"))
        return found, (1, len(found)) if data.shape[0] == 1 and data.ndim == 2 else (len(found), 1)
    flat = data.ravel(order="F")
    wrong = flat[(flat != np.floor(flat)) | (flat < 1)]
    if wrong.size:
        where = f"index ({wrong[0]:g}): out of bound; value {wrong[0]:g} out of bound {size}"
        raise refuse(f"{where}; indices are 1, 2, 3 …")
    return flat.astype(np.int64) - 1, data.shape


def _inside(index: Any, size: int) -> np.ndarray:
    found = _positions(index, size)[0]
    if found.size and found.max() >= size:
        raise refuse(f"index ({found.max() + 1}): out of bound {size}")
    return found


def pick(data: np.ndarray, key: Any) -> np.ndarray:
    """data(key), of MATLAB's shape."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) > 1:
        seen = folded(data, len(keys))
        return trimmed(seen[np.ix_(*(_inside(k, n) for k, n in zip(keys, seen.shape, strict=True)))])
    shape = _positions(keys[0], data.size)[1]
    taken = data.ravel(order="F")[_inside(keys[0], data.size)]
    if shape is None:
        return taken.reshape(-1, 1)
    if data.ndim == 2 and 1 in data.shape and data.size != 1 and len(shape) == 2 and 1 in shape:
        shape = (1, -1) if data.shape[0] == 1 else (-1, 1)
    return taken.reshape(shape, order="F")


def _grown(data: np.ndarray, shape: tuple[int, ...], fill: Any) -> np.ndarray:
    larger = np.zeros(shape, data.dtype) if data.dtype != object else np.empty(shape, object)
    for place in np.ndindex(*shape) if data.dtype == object else ():
        larger[place] = fill()
    larger[tuple(slice(n) for n in data.shape)] = data
    return larger


def assign(data: np.ndarray, key: Any, value: np.ndarray, fill: Callable[[], Any] = int) -> np.ndarray:
    """data(key) = value, in place where it need not grow; fill makes what growth adds to cells."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1:
        return _assign_flat(data, keys[0], value, fill)
    if len(keys) < data.ndim:
        seen = assign(np.array(folded(data, len(keys))), key, value, fill)
        if seen.size != data.size:
            raise refuse("an array of more dimensions than indices cannot grow")
        return seen.reshape(data.shape, order="F")
    old = (*data.shape, *(1,) * (len(keys) - data.ndim))
    given = [n for n in value.shape if n != 1]
    places = []
    for axis, (index, size) in enumerate(zip(keys, old, strict=True)):
        found, shape = _positions(index, size)
        if shape is None and data.size == 0 and size == 0 and value.size:  # x = []; x(:, 1) = column
            matrix = len(keys) == 2 and value.ndim == 2
            found = np.arange(value.shape[axis] if matrix else (given.pop(0) if given else 1))
        places.append(found)
    counts = tuple(map(len, places))
    if value.size != 1 and [n for n in counts if n != 1] != [n for n in value.shape if n != 1]:
        what = f"{sides(counts)} places, {sides(value.shape)} values"
        raise refuse(f"A(I,J,...) = X: dimensions mismatch: {what}")
    need = tuple(max(n, int(at.max(initial=-1)) + 1) for n, at in zip(old, places, strict=True))
    data = data.reshape(old)
    data = _grown(data, need, fill) if need != old and value.size else data
    data[np.ix_(*places)] = value.item() if value.size == 1 else value.reshape(counts, order="F")
    return trimmed(data)


def _assign_flat(data: np.ndarray, index: Any, value: np.ndarray, fill: Callable[[], Any]) -> np.ndarray:
    found = _positions(index, data.size)[0]
    if value.size not in (1, found.size):
        what = f"{found.size} places, {value.size} values"
        raise refuse(f"A(I) = X: X must have the same size as I; {what}")
    last = int(found.max()) + 1 if found.size else 0
    if last > data.size:
        if data.ndim > 2 or (1 not in data.shape and data.size):
            raise refuse(f"index ({last}): out of bound {data.size}: a matrix cannot grow by one index")
        column = data.shape[1] == 1 and data.shape[0] > 1
        data = _grown(data if data.size else data.reshape(0, 0), (last, 1) if column else (1, last), fill)
    data[np.unravel_index(found, data.shape, order="F")] = value.ravel(order="F")
    return data


def remove(data: np.ndarray, key: Any) -> np.ndarray:
    """data(key) = []: without these elements, rows or columns."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1:
        found = _inside(keys[0], data.size)
        if found.size == 0 or isinstance(keys[0], slice):
            return data[:0, :0] if found.size else data
        if data.ndim > 2 or 1 not in data.shape:
            raise refuse("a null assignment can have only one non-colon index")
        row = data.shape[1] != 1 or data.shape[0] == 1
        return np.delete(data.ravel(order="F"), found).reshape((1, -1) if row else (-1, 1))
    seen = folded(data, len(keys))
    places = [_inside(k, n) for k, n in zip(keys, seen.shape, strict=True)]
    partial = [axis for axis, n in enumerate(seen.shape) if len(np.unique(places[axis])) < n]
    if len(partial) > 1:
        raise refuse("a null assignment can have only one non-colon index")
    named = [axis for axis, k in enumerate(keys) if not isinstance(k, slice)]
    axis = (partial or named or [0])[0]
    return trimmed(np.delete(seen, places[axis], axis=axis))
