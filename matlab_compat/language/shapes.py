"""MATLAB's functions that make arrays and change their shape, for migrated scripts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.functions import isempty
from matlab_compat.language.values import (
    CLASSES,
    Array,
    Cell,
    Struct,
    StructArray,
    as_np,
    at,
    axis_of,
    named,
    objects,
    refuse,
    sides,
    spread,
    trimmed,
    whole,
    wrap,
)


def _sizes(arguments: Any) -> tuple[tuple[int, ...], Any]:
    given = list(spread(arguments))
    kind: Any = np.float64
    if len(given) > 1 and isinstance(given[-2], str) and given[-2] == "like":
        kind = as_np(given[-1]).dtype
        given = given[:-2]
    if given and isinstance(given[-1], str):
        kind = CLASSES[given.pop()]
    numbers = [whole(x) for value in given for x in as_np(value).flat]
    if len(numbers) == 1:
        numbers *= 2
    return tuple(max(0, n) for n in numbers) or (1, 1), kind


def zeros(*arguments: Any) -> Array:
    """An array of zeros: sizes, and a class's name."""
    return Array(np.zeros(*_sizes(arguments)))


ones = named("ones", "An array of ones.", lambda *arguments: Array(np.ones(*_sizes(arguments))))


def nan(*arguments: Any) -> Any:
    """NaN, or an array of it."""
    return Array(np.full(_sizes(arguments)[0], np.nan)) if arguments else math.nan


def inf(*arguments: Any) -> Any:
    """Inf, or an array of it."""
    return Array(np.full(_sizes(arguments)[0], np.inf)) if arguments else math.inf


true = named("true", "An array of trues.", lambda *arguments: Array(np.ones(_sizes(arguments)[0], bool)))
false = named("false", "An array of falses.", lambda *arguments: Array(np.zeros(_sizes(arguments)[0], bool)))
eye = named(
    "eye",
    "The identity matrix.",
    lambda *arguments: Array(np.eye(_sizes(arguments)[0][0], _sizes(arguments)[0][1])),
)


def cell(*arguments: Any) -> Cell:
    """A cell array of empty arrays, of this size."""
    shape = _sizes(arguments)[0]
    return Cell.of(np.array([Array() for _ in range(math.prod(shape))] + [None], object)[:-1].reshape(shape))


def linspace(first: Any, last: Any, count: Any = 100) -> Array:
    """A row of numbers at equal distances."""
    return Array(np.linspace(float(first), float(last), whole(count)).reshape(1, -1))


def repmat(x: Any, *times_each: Any) -> Any:
    """Copies of a value beside and below each other."""
    counts = _sizes(times_each)[0]
    if isinstance(x, str):
        if counts[0] != 1:
            raise refuse(
                "strings below each other: matrices of characters are not migrated; use a cell array"
            )
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
    if len(given) == 1:
        target = [whole(n) for n in as_np(given[0]).flat]
    else:
        target = [-1 if isempty(n) else whole(n) for n in given]
    data = x.data if isinstance(x, Cell) else as_np(x)
    known = math.prod(n for n in target if n != -1)
    fits = data.size % known == 0 if -1 in target and known else known == data.size
    if not fits or (-1 in target and not known):
        raise refuse(
            f"reshape: can't reshape {sides(data.shape)} array to {'x'.join(map(str, target))} array"
        )
    moved = trimmed(data.reshape(target, order="F"))
    if isinstance(x, str):
        return at(x, Array(np.arange(1.0, len(x) + 1).reshape(moved.shape, order="F")))
    return Cell.of(moved) if isinstance(x, Cell) else wrap(moved)


def _moved(function: Callable[..., np.ndarray]) -> Any:
    def applied(x: Any, *arguments: Any) -> Any:
        if isinstance(x, str):
            moved = function(as_np(x), *arguments)
            return "".join(chr(int(code)) for code in moved.flat)
        if isinstance(x, Cell):
            return Cell.of(function(x.data, *arguments))
        return wrap(trimmed(function(as_np(x), *arguments)))

    return applied


def _flip(data: np.ndarray, dimension: Any = None) -> np.ndarray:
    return np.flip(data, axis_of(data, dimension))


def _shift(data: np.ndarray, by: Any, dimension: Any = None) -> np.ndarray:
    steps = [whole(n) for n in as_np(by).flat]
    if len(steps) > 1:
        return np.roll(data, steps, axis=tuple(range(len(steps))))
    return np.roll(data, steps[0], axis_of(data, dimension))


def _permute(data: np.ndarray, order: Any) -> np.ndarray:
    places = [whole(n) - 1 for n in as_np(order).flat]
    return data.reshape(data.shape + (1,) * (len(places) - data.ndim)).transpose(places)


fliplr = _moved(np.fliplr)
flipud = _moved(np.flipud)
flip = _moved(_flip)
circshift = _moved(_shift)
permute = _moved(_permute)
squeeze = _moved(lambda data: data if data.ndim < 3 else trimmed(_squeezed(data)))
triu = _moved(lambda data, k=0: np.triu(data, int(k)))
tril = _moved(lambda data, k=0: np.tril(data, int(k)))
rot90 = _moved(lambda data, k=1: np.rot90(data, int(k)))


def _squeezed(data: np.ndarray) -> np.ndarray:
    left = [n for n in data.shape if n != 1]
    return data.reshape(left if len(left) > 1 else [*left, 1] if left else [1, 1])


def diag(x: Any) -> Any:
    """A diagonal matrix of a vector, or the diagonal of a matrix as a column."""
    data = as_np(x)
    return wrap(np.diag(data.ravel())) if 1 in data.shape else wrap(np.diag(data).reshape(-1, 1))


def meshgrid(x: Any, y: Any = None, nargout: int = 1) -> Any:
    """The coordinates of a grid."""
    grids = np.meshgrid(as_np(x).ravel(order="F"), as_np(x if y is None else y).ravel(order="F"))
    return tuple(map(wrap, grids)) if nargout > 1 else wrap(grids[0])
