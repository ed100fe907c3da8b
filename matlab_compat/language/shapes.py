"""MATLAB's functions that make arrays and change their shape, for migrated scripts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.classes import CLASSES, letters, mapped, objects
from matlab_compat.language.definitions import axis_of, integers, named
from matlab_compat.language.functions import isempty
from matlab_compat.language.indexing import refuse, sides, trimmed
from matlab_compat.language.values import Array, Cell, Struct, StructArray, as_np, spread, whole, wrap


def sizes_of(arguments: Any) -> tuple[int, ...]:
    """The sizes that zeros, rand and others are given."""
    return _sizes(arguments)[0]


def _sizes(arguments: Any) -> tuple[tuple[int, ...], Any]:
    given = list(spread(arguments))
    kind: Any = np.float64
    if len(given) > 1 and isinstance(given[-2], str) and given[-2] == "like":
        kind = as_np(given[-1]).dtype
        given = given[:-2]
    if given and isinstance(given[-1], str):
        kind = CLASSES[given.pop()]
    numbers = [n for value in given for n in integers(value)]
    return tuple(max(0, n) for n in numbers * (2 if len(numbers) == 1 else 1)) or (1, 1), kind


def _filled(name: str, value: float, kind: Any = None) -> Any:
    """A function that makes arrays of a value: sizes, and a class's name."""

    def made(*arguments: Any) -> Array:
        shape, given = _sizes(arguments)
        return Array(np.full(shape, value, kind or given))

    return named(name, f"An array of {name}: sizes, and a class's name.", made)


zeros, ones = _filled("zeros", 0), _filled("ones", 1)
nan, inf = _filled("nan", math.nan), _filled("inf", math.inf)
true, false = _filled("true", 1, bool), _filled("false", 0, bool)
_eye: Any = np.eye
eye = named("eye", "The identity matrix.", lambda *sizes: Array(_eye(*_sizes(sizes)[0][:2])))


def cell(*arguments: Any) -> Cell:
    """A cell array of empty arrays, of this size."""
    return Cell.of(mapped(lambda _: Array(), np.empty(_sizes(arguments)[0], object)))


def linspace(first: Any, last: Any, count: Any = 100) -> Array:
    """A row of numbers at equal distances."""
    return Array(np.linspace(float(first), float(last), whole(count)).reshape(1, -1))


def repmat(x: Any, *times_each: Any) -> Any:
    """Copies of a value beside and below each other."""
    counts = _sizes(times_each)[0]
    if isinstance(x, str):
        if counts[0] != 1:
            raise refuse("strings below each other: character matrices are not migrated; use a cell array")
        return x * counts[1]
    if isinstance(x, Cell):
        return Cell.of(np.tile(x.data, counts))
    if isinstance(x, Struct | StructArray):
        return StructArray(np.tile(objects([[x]]) if isinstance(x, Struct) else x.data, counts))
    data = as_np(x)
    full = data.reshape(data.shape + (1,) * (len(counts) - data.ndim))
    return wrap(trimmed(np.tile(full, counts + (1,) * (full.ndim - len(counts)))))


def reshape(x: Any, *shape: Any) -> Any:
    """The elements, by columns, in another shape; one size may be []."""
    given = list(spread(shape))
    target = integers(given[0]) if len(given) == 1 else [-1 if isempty(n) else whole(n) for n in given]
    data = x.data if isinstance(x, Cell) else as_np(x)
    known = math.prod(n for n in target if n != -1)
    fits = known > 0 and data.size % known == 0 if -1 in target else known == data.size
    if not fits:
        raise refuse(
            f"reshape: can't reshape {sides(data.shape)} array to {'x'.join(map(str, target))} array"
        )
    moved = trimmed(data.reshape(target, order="F"))
    if isinstance(x, str):
        return letters(moved)
    return Cell.of(moved) if isinstance(x, Cell) else wrap(moved)


def _moved(name: str, function: Callable[..., np.ndarray]) -> Any:
    """A function that moves the elements of arrays, strings and cell arrays."""

    def applied(x: Any, *arguments: Any) -> Any:
        found = trimmed(function(x.data if isinstance(x, Cell) else as_np(x), *arguments))
        return (
            letters(found) if isinstance(x, str) else Cell.of(found) if isinstance(x, Cell) else wrap(found)
        )

    return named(name, f"{name} of an array, string or cell array.", applied)


def _permute(data: np.ndarray, order: Any) -> np.ndarray:
    places = [n - 1 for n in integers(order)]
    return data.reshape(data.shape + (1,) * (len(places) - data.ndim)).transpose(places)


def _squeeze(data: np.ndarray) -> np.ndarray:
    left = [n for n in data.shape if n != 1]
    return data if data.ndim < 3 else data.reshape(left if len(left) > 1 else [*left, 1, 1][:2])


fliplr, flipud = _moved("fliplr", np.fliplr), _moved("flipud", np.flipud)
flip = _moved("flip", lambda data, dimension=None: np.flip(data, axis_of(data, dimension)))
permute, squeeze = _moved("permute", _permute), _moved("squeeze", _squeeze)


def diag(x: Any) -> Any:
    """A diagonal matrix of a vector, or the diagonal of a matrix as a column."""
    data = as_np(x)
    return wrap(np.diag(data.ravel())) if 1 in data.shape else wrap(np.diag(data).reshape(-1, 1))
