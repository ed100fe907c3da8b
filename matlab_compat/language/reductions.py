"""MATLAB's functions along a dimension, of sets and of matrices, for migrated scripts.

Dimensions count from 1; without one it is the first of more than one element.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.classes import cast
from matlab_compat.language.definitions import axis_of, integers, named
from matlab_compat.language.functions import isempty, isrow, numel, sqrt
from matlab_compat.language.indexing import refuse, trimmed
from matlab_compat.language.operators import computed, times
from matlab_compat.language.parts import at
from matlab_compat.language.values import Array, Cell, as_np, shape_of, whole, wrap


def _along(name: str, empty: float, kind: str = "keep") -> Any:
    """NumPy's function of this name along a dimension.

    empty: its value of []. kind: 'truth' gives logicals, 'float' takes integer classes as double, 'running'
    gives as many values as it is given.
    """
    from_numpy = getattr(np, name, None)

    def compute(data: np.ndarray, axis: int) -> np.ndarray:
        data = data.astype(np.float64) if data.dtype.kind in "iu" else data
        if data.shape[axis] == 0 and name in ("mean", "median"):
            return np.full([1 if i == axis else n for i, n in enumerate(data.shape)], np.nan)
        return np.asarray(from_numpy(data, axis=axis, **({} if kind == "running" else {"keepdims": True})))  # type: ignore[misc]

    def reduced(x: Any, dimension: Any = None, *unused: Any) -> Any:
        if unused or isinstance(dimension, str):
            raise refuse(f"{name} with the option {unused[0] if unused else dimension!r}")
        data = as_np(x)
        if kind == "truth":  # any passes over NaN
            data = (data != 0) & (data == data) if name == "any" else data != 0
        elif data.dtype.kind == "b" or (kind == "float" and data.dtype.kind in "iu"):
            data = data.astype(np.float64)
        if dimension is None and data.shape == (0, 0):
            kept = data.dtype if kind == "truth" else float
            return Array() if kind == "running" else wrap(np.array([[empty]], kept))
        axis = axis_of(data, dimension)
        data = data.reshape(data.shape + (1,) * (axis + 1 - data.ndim))
        with np.errstate(all="ignore"):
            return wrap(trimmed(cast(compute(data, axis), data.dtype)))

    return named(name, f"{name} along a dimension.", reduced)


sum_, prod = _along("sum", 0), _along("prod", 1)
mean, median = _along("mean", math.nan, "float"), _along("median", math.nan, "float")
any_, all_ = _along("any", 0, "truth"), _along("all", 1, "truth")
cumsum, cumprod = _along("cumsum", 0, "running"), _along("cumprod", 0, "running")


def var(x: Any, weight: Any = 0, dimension: Any = None) -> Any:
    """The variance along a dimension, by N-1, or by N where weight is 1."""
    data = as_np(x)
    if data.shape == (0, 0):
        return math.nan
    data = data if data.dtype.kind == "f" else data.astype(float)
    axis = axis_of(data, dimension)
    if axis >= data.ndim or data.shape[axis] == 1:
        return wrap(np.where(np.isfinite(data), 0.0, np.nan).astype(data.dtype))
    by_n = 0 if isempty(weight) else whole(weight)
    return wrap(np.asarray(np.var(data, axis=axis, ddof=1 - by_n, keepdims=True)))


def std(x: Any, weight: Any = 0, dimension: Any = None) -> Any:
    """The standard deviation along a dimension, by N-1, or by N where weight is 1."""
    return sqrt(var(x, weight, dimension))


def diff(x: Any, order: Any = 1, dimension: Any = None) -> Any:
    """Differences of neighbours."""
    data = as_np(x)
    data = data.astype(np.float64) if data.dtype.kind == "b" else data
    if data.size < 2 and dimension is None:
        return Array(np.zeros((0, 0)))
    return wrap(np.diff(data, whole(order), axis=axis_of(data, dimension)))


def _extreme(name: str, pairwise: Any, chosen: Any, least: float) -> Any:
    """max_ or min_: NaN is passed over."""

    def found(x: Any, y: Any = None, dimension: Any = None, nargout: int = 1) -> Any:
        if not isempty(y):
            if nargout > 1:
                raise refuse("two outputs of the larger of two arrays")
            return wrap(computed(pairwise, x, y))
        data = as_np(x)
        data = data.astype(np.float64) if data.dtype.kind == "b" else data
        if data.size == 0:
            return (Array(), Array()) if nargout > 1 else Array()
        axis = axis_of(data, dimension)
        values, where = data, np.zeros(data.shape, int)
        if axis < data.ndim:
            missing = np.isnan(data) if data.dtype.kind == "f" else np.zeros(data.shape, bool)
            where = np.expand_dims(
                chosen(np.where(missing, least, data) if missing.any() else data, axis=axis), axis
            )
            first = np.expand_dims(np.argmin(missing, axis=axis), axis)  # of NaN and an infinity the latter
            where = np.where(np.take_along_axis(missing, where, axis), first, where)
            values = np.take_along_axis(data, where, axis)
        return (wrap(trimmed(values)), wrap(trimmed(where + 1.0))) if nargout > 1 else wrap(trimmed(values))

    doc = f"The {name} along a dimension and where it is, or of two arrays; NaN is passed over."
    return named(f"{name}_", doc, found)


max_, min_ = _extreme("max", np.fmax, np.argmax, -np.inf), _extreme("min", np.fmin, np.argmin, np.inf)


def sort(x: Any, *arguments: Any, nargout: int = 1) -> Any:
    """Sorted along a dimension ('descend'), and where each was; cell arrays of strings, too."""
    down = any(isinstance(value, str) and value.lower() == "descend" for value in arguments)
    numbers = [value for value in arguments if not isinstance(value, str)]
    if isinstance(x, Cell | str):
        items = list(x)
        order = sorted(range(len(items)), key=lambda i: items[i], reverse=down)
        places = Array(np.array(order, float).reshape(1, -1) + 1)
        places = places.T if isinstance(x, Cell) and x.shape[0] != 1 else places
        found: Any = at(x, places)
        return (found, places) if nargout > 1 else found
    data = as_np(x)
    if data.size == 0:
        return (Array(data), Array(data)) if nargout > 1 else Array(data)
    axis = axis_of(data, numbers[0] if numbers else None)
    if down:
        turned = np.argsort(np.flip(data, axis), axis=axis, kind="stable")
        where = data.shape[axis] - 1 - np.flip(turned, axis)
    else:
        where = np.argsort(data, axis=axis, kind="stable")
    values = wrap(np.take_along_axis(data, where, axis))
    return (values, wrap(where + 1.0)) if nargout > 1 else values


def issorted(x: Any) -> bool:
    """Whether values ascend."""
    return all(a <= b for a, b in itertools.pairwise(_items(x)))


def unique(x: Any, *options: str, nargout: int = 1) -> Any:
    """The different values, sorted, where each is first, and which each is.

    options: 'stable' keeps their order, 'rows' takes rows.
    """
    rows = "rows" in options
    items: Any = _boxed([str(item) for item in x]) if isinstance(x, Cell) else as_np(x)
    items = items if rows else items.ravel(order="F")
    kind: Any = {"axis": 0} if rows else {"equal_nan": False}
    values, first, inverse = np.unique(items, return_index=True, return_inverse=True, **kind)
    if "stable" in options:
        order = np.argsort(first, kind="stable")
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order))
        values, first, inverse = values[order], first[order], rank[inverse]
    if isinstance(x, str):
        found: Any = "".join(chr(int(code)) for code in values)
    elif rows or not (items.size or isinstance(x, Cell)):
        found = wrap(values if rows else items.reshape(shape_of(x)))
    else:
        found = _like(values.reshape((1, -1) if isrow(x) and len(values) else (-1, 1)))
    if nargout < 2:
        return found
    return (found, wrap(first.reshape(-1, 1) + 1.0), wrap(inverse.reshape(-1, 1) + 1.0))[:nargout]


def _boxed(items: list[Any]) -> np.ndarray:
    return np.array([*items, None], object)[:-1]


def _like(values: np.ndarray) -> Any:
    return Cell.of(values) if values.dtype == object else wrap(values)


def find(x: Any, count: Any = None, which: str = "first", nargout: int = 1) -> Any:
    """The places, from 1, of elements other than 0; with two outputs their rows and columns."""
    data = as_np(x)
    places = np.flatnonzero(data.ravel(order="F"))
    if count is not None:
        places = places[: whole(count)] if which == "first" else places[len(places) - whole(count) :]

    def shaped(values: np.ndarray) -> Any:
        if data.shape == (0, 0) or (data.size == 1 and not values.size):
            return Array(np.zeros((0, 0)))
        row = data.ndim == 2 and data.shape[0] == 1 and data.shape[1] != 1
        return wrap((values + 1.0).reshape((1, -1) if row else (-1, 1)))

    rows = max(data.shape[0], 1)
    return shaped(places) if nargout < 2 else (shaped(places % rows), shaped(places // rows))


nnz = named("nnz", "The number of elements other than 0.", lambda x: int(np.count_nonzero(as_np(x))))


def _items(x: Any) -> list[Any]:
    if isinstance(x, Cell):
        return list(x)
    return [x] if isinstance(x, str) else as_np(x).ravel(order="F").tolist()


def ismember(x: Any, values: Any, *options: str, nargout: int = 1) -> Any:
    """Which elements (or whether a string) are among values, and where first, 0 where not."""
    if options:
        raise refuse(f"ismember with {options[0]!r}")
    places: dict[Any, float] = {}
    of_letters = isinstance(values, str) and isinstance(x, str)
    for place, item in enumerate(values if of_letters else _items(values)):
        places.setdefault(item, place + 1.0)
    if isinstance(x, str) and isinstance(values, Cell):
        found = places.get(x, 0.0)
        return (found > 0, found) if nargout > 1 else found > 0
    each = [places.get(item, 0.0) for item in (x if isinstance(x, str) else _items(x))]
    where = np.array(each).reshape(shape_of(x), order="F")
    return (wrap(where > 0), wrap(where)) if nargout > 1 else wrap(where > 0)


def _set_of(name: str, keep: Callable[[list[Any], list[Any]], list[Any]]) -> Any:
    def found(x: Any, y: Any) -> Any:
        values = sorted(set(keep(_items(x), _items(y))))
        row = all(shape_of(v)[0] == 1 or numel(v) == 0 for v in (x, y)) and not (isempty(x) and isempty(y))
        if isinstance(x, Cell) or isinstance(y, Cell):
            made = _boxed(values)
        else:
            made = np.array(values, np.result_type(as_np(x), as_np(y)) if values else float)
        return _like(made.reshape((1, -1) if row else (-1, 1)))

    return named(name, f"{name} of two sets: the different values, sorted.", found)


setdiff = _set_of("setdiff", lambda a, b: [item for item in a if item not in set(b)])
intersect = _set_of("intersect", lambda a, b: [item for item in a if item in set(b)])
union = _set_of("union", lambda a, b: [*a, *b])


def histc(x: Any, edges: Any) -> Any:
    """How many values are between edges; the last counts those equal to the last edge."""
    values, bounds = as_np(x).ravel(order="F"), as_np(edges).ravel(order="F")
    inside = values[(values >= bounds[0]) & (values <= bounds[-1])]
    counts = np.bincount(np.searchsorted(bounds, inside, side="right") - 1, minlength=len(bounds))
    return wrap(counts.astype(float).reshape((1, -1) if isrow(x) else (-1, 1)))


def accumarray(places: Any, values: Any) -> Any:
    """Sums of values by their place, a column."""
    if as_np(places).ndim > 2 or as_np(places).shape[1] != 1:
        raise refuse("accumarray of more than one column of places")
    where = np.array(integers(places)) - 1
    weights = np.broadcast_to(as_np(values).ravel(order="F"), where.shape)
    return wrap(np.bincount(where, weights=weights).reshape(-1, 1))


def sub2ind(shape: Any, *places: Any) -> Any:
    """Linear indices of subscripts."""
    dims = integers(shape)
    each = [as_np(place).astype(int) - 1 for place in places]
    if any(np.any(place < 0) or np.any(place >= n) for place, n in zip(each, dims, strict=True)):
        raise refuse("sub2ind: index out of range")
    return wrap(np.ravel_multi_index(tuple(each), tuple(dims), order="F") + 1.0)


def ind2sub(shape: Any, places: Any, nargout: int = 1) -> Any:
    """Subscripts of linear indices."""
    if nargout < 2:
        return places
    dims = integers(shape)
    dims = [*dims[: nargout - 1], math.prod(dims[nargout - 1 :])]
    found = np.unravel_index(as_np(places).astype(int) - 1, dims, order="F")
    return tuple(wrap(part + 1.0) for part in found)


def norm(x: Any, kind: Any = 2) -> Any:
    """A vector's or matrix's norm: 2, 1, Inf or 'fro'."""
    data = as_np(x)
    if data.size == 0:
        return 0.0
    vector = 1 in data.shape and data.ndim == 2
    known: dict[Any, Any] = {"fro": 2 if vector else "fro", "inf": np.inf, "Inf": np.inf}
    order = known.get(kind, kind) if isinstance(kind, str) else float(kind)
    found = np.linalg.norm(data.ravel() if vector else data, order)
    return wrap(np.full((1, 1), found, np.float32 if data.dtype == np.float32 else np.float64))


def dot(a: Any, b: Any, dimension: Any = None) -> Any:
    """The sum of products."""
    x, y = as_np(a), as_np(b)
    if x.ndim == 2 and 1 in x.shape and 1 in y.shape and x.shape != y.shape:
        a, b = Array(x.reshape(-1, 1, order="F")), Array(y.reshape(-1, 1, order="F"))
    return sum_(times(a, b), dimension)


def inv(x: Any) -> Any:
    """The inverse matrix. Raises ArgumentError for a singular one."""
    if np.linalg.cond(as_np(x)) > 1e15:
        raise refuse("the matrix is singular to working precision")
    return wrap(np.linalg.inv(as_np(x)))
