"""MATLAB's functions along a dimension, of sets and of matrices, for migrated scripts.

Dimensions count from 1; without one it is the first of more than one element.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.functions import isempty, isrow, numel, sqrt
from matlab_compat.language.operators import _computed, times
from matlab_compat.language.values import (
    Array,
    Cell,
    as_np,
    at,
    axis_of,
    cast,
    element_function,
    named,
    refuse,
    shape_of,
    trimmed,
    whole,
    wrap,
)


def _along(function: Callable[..., np.ndarray], empty: float, kind: str = "keep") -> Any:
    def reduced(x: Any, dimension: Any = None, *unused: Any) -> Any:
        if unused:
            raise refuse(f"{function.__name__} with the option {unused[0]!r}")
        data = as_np(x)
        if isinstance(dimension, str):
            raise refuse(f"{function.__name__} with the option {dimension!r}")
        if kind == "truth":  # any passes over NaN
            data = (data != 0) & (data == data) if function.__name__ == "any" else data != 0
        elif data.dtype.kind == "b" or (kind == "float" and data.dtype.kind in "iu"):
            data = data.astype(np.float64)
        if dimension is None and data.shape == (0, 0):
            return wrap(np.array([[empty]], bool if kind == "truth" else np.float64))
        axis = axis_of(data, dimension)
        if axis >= data.ndim:
            data = data.reshape(data.shape + (1,) * (axis + 1 - data.ndim))
        with np.errstate(all="ignore"):
            return wrap(trimmed(cast(function(data, axis), bool if kind == "truth" else data.dtype)))

    return reduced


def _keepdims(name: str) -> Callable[..., np.ndarray]:
    numpy_function = getattr(np, name)

    def function(data: np.ndarray, axis: int) -> np.ndarray:
        if data.dtype.kind in "iu":
            return np.asarray(numpy_function(data.astype(np.float64), axis=axis, keepdims=True))
        if data.shape[axis] == 0 and name in ("mean", "median"):
            shape = list(data.shape)
            shape[axis] = 1
            return np.full(shape, np.nan)
        return np.asarray(numpy_function(data, axis=axis, keepdims=True))

    function.__name__ = name
    return function


def _mode(data: np.ndarray, axis: int) -> np.ndarray:
    def most(column: np.ndarray) -> Any:
        values, counts = np.unique(column, return_counts=True)
        return values[np.argmax(counts)] if len(values) else np.nan

    return np.expand_dims(np.apply_along_axis(most, axis, data), axis)


sum_ = _along(_keepdims("sum"), 0)
prod = _along(_keepdims("prod"), 1)
mean = _along(_keepdims("mean"), math.nan, "float")
median = _along(_keepdims("median"), math.nan, "float")
mode = _along(_mode, math.nan)
any_ = _along(_keepdims("any"), 0, "truth")
all_ = _along(_keepdims("all"), 1, "truth")
cumsum = _along(lambda data, axis: np.cumsum(data, axis), 0)
cumprod = _along(lambda data, axis: np.cumprod(data, axis), 0)


def _same_empty(function: Any) -> Any:
    return lambda x, dimension=None: Array() if shape_of(x) == (0, 0) else function(x, dimension)


cumsum, cumprod = _same_empty(cumsum), _same_empty(cumprod)


def var(x: Any, weight: Any = 0, dimension: Any = None) -> Any:
    """The variance along a dimension, by N-1, or by N where weight is 1."""
    data = as_np(x)
    if isempty(x) and data.shape == (0, 0):
        return math.nan
    axis = axis_of(data, dimension)
    by_n = 0 if isempty(weight) else whole(weight)
    if axis >= data.ndim or data.shape[axis] == 1:
        return wrap(
            np.where(np.isfinite(data), 0.0, np.nan).astype(data.dtype if data.dtype.kind == "f" else float)
        )
    return wrap(
        np.asarray(
            np.var(
                data if data.dtype.kind == "f" else data.astype(float),
                axis=axis,
                ddof=1 - by_n,
                keepdims=True,
            )
        )
    )


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


def _extreme(x: Any, y: Any, dimension: Any, nargout: int, largest: bool) -> Any:
    if not isempty(y):
        if nargout > 1:
            raise refuse("two outputs of the larger of two arrays")
        return wrap(_computed(np.fmax if largest else np.fmin, x, y))
    data = as_np(x)
    data = data.astype(np.float64) if data.dtype.kind == "b" else data
    if data.shape == (0, 0) or data.size == 0:
        return (Array(), Array()) if nargout > 1 else Array()
    axis = axis_of(data, dimension)
    if axis >= data.ndim:
        where = np.zeros(data.shape, int)
        values = data
    else:
        filled = data
        if data.dtype.kind == "f":
            filled = np.where(np.isnan(data), -np.inf if largest else np.inf, data)
            only_nan = np.isnan(data).all(axis=axis, keepdims=True)
            first = np.expand_dims(np.argmin(np.isnan(data), axis=axis), axis)
        where = np.expand_dims((np.argmax if largest else np.argmin)(filled, axis=axis), axis)
        if data.dtype.kind == "f":  # of NaN and an infinity the latter
            chosen_nan = np.isnan(np.take_along_axis(data, where, axis))
            where = np.where(chosen_nan & ~only_nan, first, where)
        values = np.take_along_axis(data, where, axis)
    return (wrap(trimmed(values)), wrap(trimmed(where + 1.0))) if nargout > 1 else wrap(trimmed(values))


def max_(x: Any, y: Any = None, dimension: Any = None, nargout: int = 1) -> Any:
    """The largest along a dimension and where it is, or the larger of two; NaN is passed over."""
    return _extreme(x, y, dimension, nargout, True)


def min_(x: Any, y: Any = None, dimension: Any = None, nargout: int = 1) -> Any:
    """The smallest along a dimension and where it is, or the smaller of two; NaN is passed over."""
    return _extreme(x, y, dimension, nargout, False)


def sort(x: Any, *arguments: Any, nargout: int = 1) -> Any:
    """Sorted along a dimension ('descend' for descending), and where each was; cell arrays of strings,
    too."""
    down = any_text(arguments, "descend")
    numbers = [value for value in arguments if not isinstance(value, str)]
    if isinstance(x, Cell | str):
        items = list(x)
        order = sorted(range(len(items)), key=lambda i: items[i])
        if down:
            order = sorted(range(len(items)), key=lambda i: items[i], reverse=True)
        places = Array(np.array(order, float).reshape(1, -1) + 1)
        found: Any = at(x, places if not isinstance(x, Cell) or x.shape[0] == 1 else places.T)
        places = places.T if isinstance(x, Cell) and x.shape[0] != 1 else places
        return (found, places) if nargout > 1 else found
    data = as_np(x)
    if data.size == 0:
        return (Array(data), Array(data)) if nargout > 1 else Array(data)
    axis = axis_of(data, numbers[0] if numbers else None)
    if down:
        order_array = (
            data.shape[axis] - 1 - np.flip(np.argsort(np.flip(data, axis), axis=axis, kind="stable"), axis)
        )
    else:
        order_array = np.argsort(data, axis=axis, kind="stable")
    values = wrap(np.take_along_axis(data, order_array, axis))
    return (values, wrap(order_array + 1.0)) if nargout > 1 else values


def any_text(arguments: Any, word: str) -> bool:
    """Whether a word is among the arguments."""
    return any(isinstance(value, str) and value.lower() == word for value in arguments)


def issorted(x: Any) -> bool:
    """Whether values ascend."""
    flat = list(x) if isinstance(x, Cell) else list(as_np(x).ravel(order="F"))
    return all(a <= b for a, b in itertools.pairwise(flat))


def _as_rows(values: np.ndarray, *inputs: Any) -> Any:
    row = all(shape_of(x)[0] == 1 or numel(x) == 0 for x in inputs) and not all(isempty(x) for x in inputs)
    return values.reshape(1, -1) if row else values.reshape(-1, 1)


def unique(x: Any, *options: str, nargout: int = 1) -> Any:
    """The different values, sorted ('stable': in their order; 'rows': of rows), where each is first, and
    which each is."""
    if isinstance(x, Cell):
        items: Any = np.array([str(item) for item in x] + [None], object)[:-1]
    else:
        items = as_np(x) if "rows" in options else as_np(x).ravel(order="F")
    if "rows" in options:
        values, first, inverse = np.unique(items, return_index=True, return_inverse=True, axis=0)
    else:
        values, first, inverse = np.unique(items, return_index=True, return_inverse=True, equal_nan=False)
    if "stable" in options:
        order = np.argsort(first, kind="stable")
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order))
        values, first, inverse = values[order], first[order], rank[inverse]
    if isinstance(x, Cell):
        found: Any = Cell.of(values.reshape(1, -1) if isrow(x) and len(values) else values.reshape(-1, 1))
    elif isinstance(x, str):
        found = "".join(chr(int(code)) for code in values)
    else:
        found = wrap(
            values
            if "rows" in options
            else values.reshape(1, -1)
            if isrow(x)
            else values.reshape(-1, 1)
            if items.size
            else items.reshape(shape_of(x))
        )
    if nargout < 2:
        return found
    return (found, wrap(first.reshape(-1, 1) + 1.0), wrap(inverse.reshape(-1, 1) + 1.0))[:nargout]


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

    if nargout < 2:
        return shaped(places)
    rows = data.shape[0]
    return shaped(places % max(rows, 1)), shaped(places // max(rows, 1))


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
    for place, item in enumerate(
        _items(values) if not (isinstance(values, str) and isinstance(x, str)) else values
    ):
        places.setdefault(item, place + 1.0)
    if isinstance(x, str) and isinstance(values, Cell):
        found = places.get(x, 0.0)
        return (found > 0, found) if nargout > 1 else found > 0
    where = np.array([places.get(item, 0.0) for item in (x if isinstance(x, str) else _items(x))]).reshape(
        shape_of(x), order="F"
    )
    return (wrap(where > 0), wrap(where)) if nargout > 1 else wrap(where > 0)


def _set_of(x: Any, y: Any, keep: Callable[[list[Any], list[Any]], list[Any]]) -> Any:
    values = sorted(set(keep(_items(x), _items(y))))
    if isinstance(x, Cell) or isinstance(y, Cell):
        box = np.array([*values, None], object)[:-1]
        return Cell.of(_as_rows(box, x, y))
    return wrap(_as_rows(np.array(values, np.result_type(as_np(x), as_np(y)) if values else float), x, y))


def setdiff(x: Any, y: Any) -> Any:
    """The different values of x that y does not have, sorted."""
    return _set_of(x, y, lambda a, b: [item for item in a if item not in set(b)])


def intersect(x: Any, y: Any) -> Any:
    """The different values of both, sorted."""
    return _set_of(x, y, lambda a, b: [item for item in a if item in set(b)])


def union(x: Any, y: Any) -> Any:
    """The different values of either, sorted."""
    return _set_of(x, y, lambda a, b: [*a, *b])


def histc(x: Any, edges: Any) -> Any:
    """How many values are between edges; the last counts those equal to the last edge."""
    values, bounds = as_np(x).ravel(order="F"), as_np(edges).ravel(order="F")
    inside = values[(values >= bounds[0]) & (values <= bounds[-1])]
    counts = np.bincount(np.searchsorted(bounds, inside, side="right") - 1, minlength=len(bounds)).astype(
        float
    )
    return wrap(counts.reshape((1, -1) if isrow(x) else (-1, 1)))


def accumarray(places: Any, values: Any) -> Any:
    """Sums of values by their place, a column."""
    data = as_np(places)
    if data.ndim > 2 or data.shape[1] != 1:
        raise refuse("accumarray of more than one column of places")
    where = data.ravel().astype(int) - 1
    weights = np.broadcast_to(as_np(values).ravel(order="F"), where.shape)
    return wrap(np.bincount(where, weights=weights).reshape(-1, 1))


def sub2ind(shape: Any, *places: Any) -> Any:
    """Linear indices of subscripts."""
    dims = [whole(n) for n in as_np(shape).flat]
    each = [as_np(place).astype(int) - 1 for place in places]
    if any(np.any(place < 0) or np.any(place >= n) for place, n in zip(each, dims, strict=True)):
        raise refuse("sub2ind: index out of range")
    return wrap(np.ravel_multi_index(tuple(each), tuple(dims), order="F") + 1.0)


def ind2sub(shape: Any, places: Any, nargout: int = 1) -> Any:
    """Subscripts of linear indices."""
    dims = [whole(n) for n in as_np(shape).flat]
    if nargout < 2:
        return places
    dims = [*dims[: nargout - 1], math.prod(dims[nargout - 1 :])]
    return tuple(
        wrap(part + 1.0) for part in np.unravel_index(as_np(places).astype(int) - 1, dims, order="F")
    )


def norm(x: Any, kind: Any = 2) -> Any:
    """A vector's or matrix's norm: 2, 1, Inf or 'fro'."""
    data = as_np(x)
    if data.size == 0:
        return 0.0
    vector = 1 in data.shape and data.ndim == 2
    named_orders: dict[Any, Any] = {"fro": 2 if vector else "fro", "inf": np.inf, "Inf": np.inf}
    order = named_orders.get(kind, kind) if isinstance(kind, str) else float(kind)
    found = np.linalg.norm(data.ravel() if vector else data, order)
    return wrap(np.full((1, 1), found, np.float32 if data.dtype == np.float32 else np.float64))


def dot(a: Any, b: Any, dimension: Any = None) -> Any:
    """The sum of products."""
    x, y = as_np(a), as_np(b)
    if x.ndim == 2 and 1 in x.shape and 1 in y.shape and x.shape != y.shape:
        return dot(Array(x.reshape(-1, 1, order="F")), Array(y.reshape(-1, 1, order="F")))
    return sum_(times(a, b), dimension)


def _linear(function: Callable[..., Any]) -> Any:
    return lambda *values: wrap(
        np.atleast_2d(np.asarray(function(*(as_np(v).astype(np.float64) for v in values))))
    )


kron = _linear(np.kron)
trace = _linear(np.trace)
det = _linear(np.linalg.det)
rank = _linear(lambda data: float(np.linalg.matrix_rank(data)))


def inv(x: Any) -> Any:
    """The inverse matrix. Raises ArgumentError for a singular one."""
    if np.linalg.cond(as_np(x)) > 1e15:
        raise refuse("the matrix is singular to working precision")
    return _linear(np.linalg.inv)(x)


def factorial(n: Any) -> Any:
    """The product of 1 to n."""
    return element_function(np.vectorize(lambda k: float(math.factorial(whole(float(k))))), n)


def cross(a: Any, b: Any) -> Any:
    """The cross product of two vectors of three numbers."""
    return wrap(np.cross(as_np(a).ravel(), as_np(b).ravel()).reshape(shape_of(a)))


def polyval(coefficients: Any, x: Any) -> Any:
    """A polynomial's values."""
    return element_function(lambda data: np.polyval(as_np(coefficients).ravel(), data), x)


def interp1(x: Any, y: Any, at_x: Any, method: str = "linear") -> Any:
    """Values between known ones; NaN outside."""
    if method != "linear":
        raise refuse(f"interp1 by {method}")
    known, values = as_np(x).ravel(), as_np(y).ravel()
    return element_function(lambda q: np.interp(q, known, values, np.nan, np.nan), at_x)


def nchoosek(n: Any, k: Any) -> Any:
    """The number of ways to choose k of n."""
    return float(math.comb(whole(n), whole(k)))


def gcd(a: Any, b: Any) -> Any:
    """The greatest common divisor."""
    return wrap(_computed(lambda x, y: np.gcd(x.astype(int), y.astype(int)).astype(float), a, b))


def lcm(a: Any, b: Any) -> Any:
    """The least common multiple."""
    return wrap(_computed(lambda x, y: np.lcm(x.astype(int), y.astype(int)).astype(float), a, b))


def bitand(a: Any, b: Any) -> Any:
    """The bits of both."""
    return wrap(_computed(lambda x, y: (x.astype(int) & y.astype(int)).astype(float), a, b))


def bitor(a: Any, b: Any) -> Any:
    """The bits of either."""
    return wrap(_computed(lambda x, y: (x.astype(int) | y.astype(int)).astype(float), a, b))
