"""MATLAB's operators on the values of migrated scripts: arithmetic, comparisons, logic, ranges, [a, b; c, d].

Classes combine as in MATLAB: an integer class wins, rounds and saturates; single wins over double; logicals
and
strings count as double. Arrays of sizes that fit are expanded. Raises ArgumentError for what does not fit,
and for
results that are complex.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.values import (
    Array,
    Cell,
    Struct,
    StructArray,
    as_np,
    cast,
    class_of,
    named,
    objects,
    only,
    refuse,
    sides,
    spread,
    trimmed,
    wrap,
)

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _result_class(x: np.ndarray, y: np.ndarray) -> Any:
    integers = {data.dtype for data in (x, y) if data.dtype.kind in "iu"}
    if len(integers) > 1:
        raise refuse(f"binary operator not implemented for {x.dtype} by {y.dtype} operations")
    if integers:
        return integers.pop()
    return np.float32 if np.float32 in (x.dtype, y.dtype) else np.float64


def _aligned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim != y.ndim:  # MATLAB adds dimensions at the end, NumPy at the front
        sizes = max(x.ndim, y.ndim)
        x, y = (data.reshape(data.shape + (1,) * (sizes - data.ndim)) for data in (x, y))
    if any(m != n and 1 not in (m, n) for m, n in zip(x.shape, y.shape, strict=True)):
        raise refuse(f"nonconformant arguments (op1 is {sides(x.shape)}, op2 is {sides(y.shape)})")
    return x, y


def _computed(function: Operation, a: Any, b: Any) -> np.ndarray:
    x, y = as_np(a), as_np(b)
    kind = _result_class(x, y)
    inner = np.float64 if np.dtype(kind).kind in "iu" else kind
    x, y = _aligned(x.astype(inner, copy=False), y.astype(inner, copy=False))
    with np.errstate(all="ignore"):
        return cast(trimmed(function(x, y)), kind)


def _compared(function: Operation, a: Any, b: Any) -> np.ndarray:
    if any(isinstance(value, Cell | Struct | StructArray) for value in (a, b)):
        raise refuse(f"comparison of a {class_of(a)} and a {class_of(b)}: use isequal or strcmp")
    return trimmed(function(*_aligned(as_np(a), as_np(b))))


def _truths(value: Any) -> np.ndarray:
    data = as_np(value)
    if data.dtype.kind == "f" and np.isnan(data).any():
        raise refuse("NaN is neither true nor false")
    return data != 0


def _logic(function: Operation, a: Any, b: Any) -> np.ndarray:
    return trimmed(function(*_aligned(_truths(a), _truths(b))))


def _power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if np.any((x < 0) & (y != np.floor(y)) & np.isfinite(y)):
        raise refuse("a negative number to a power that is not an integer is complex, which is not migrated")
    return np.power(x, y)


_ARITHMETIC: dict[str, Operation] = {
    "plus": np.add, "minus": np.subtract, "times": np.multiply, "divide": np.divide, "power": _power,
}  # fmt: skip
_COMPARISONS: dict[str, Operation] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip


plus = named("plus", "a + b.", lambda a, b: wrap(_computed(np.add, a, b)))
minus = named("minus", "a - b.", lambda a, b: wrap(_computed(np.subtract, a, b)))
times = named("times", "a .* b.", lambda a, b: wrap(_computed(np.multiply, a, b)))


def divide(a: Any, b: Any) -> Any:
    """a ./ b; what is divided by 0 is Inf, -Inf or NaN."""
    return wrap(_computed(np.divide, a, b))


power = named("power", "a .^ b.", lambda a, b: wrap(_computed(_power, a, b)))


def mtimes(a: Any, b: Any) -> Any:
    """a * b: the matrix product, element by element where one is a number."""
    x, y = as_np(a), as_np(b)
    if 1 in (x.size, y.size):
        return times(a, b)
    if x.ndim > 2 or y.ndim > 2 or x.shape[1] != y.shape[0]:
        raise refuse(
            f"operator *: nonconformant arguments (op1 is {sides(x.shape)}, op2 is {sides(y.shape)})"
        )
    kind = _result_class(x, y)
    if np.dtype(kind).kind in "iu":
        raise refuse("a matrix product of integer classes")
    with np.errstate(all="ignore"):
        return wrap(x.astype(kind, copy=False) @ y.astype(kind, copy=False))


def mldivide(a: Any, b: Any) -> Any:
    """a \\ b: the solution x of a*x = b, by least squares where a is not square."""
    x, y = as_np(a), as_np(b)
    if x.size == 1:
        return divide(b, a)
    if x.ndim > 2 or y.ndim > 2 or x.shape[0] != y.shape[0]:
        raise refuse(
            f"operator \\: nonconformant arguments (op1 is {sides(x.shape)}, op2 is {sides(y.shape)})"
        )
    if x.shape[0] != x.shape[1]:
        return wrap(np.linalg.lstsq(x, y, rcond=None)[0])
    if np.linalg.cond(x) > 1e15:
        raise refuse("the matrix is singular to working precision")
    return wrap(np.linalg.solve(x, y))


def mrdivide(a: Any, b: Any) -> Any:
    """a / b: divided by a number, or the solution x of x*b = a."""
    if as_np(b).size == 1:
        return divide(a, b)
    return transposed(mldivide(transposed(b), transposed(a)))


def mpower(a: Any, b: Any) -> Any:
    """a ^ b: of two numbers, or a square matrix to an integer."""
    x, y = as_np(a), as_np(b)
    if x.size == 1 and y.size == 1:
        return power(a, b)
    if y.size != 1 or x.ndim > 2 or x.shape[0] != x.shape[1] or only(y) != int(only(y)):
        raise refuse("^ takes numbers, or a square matrix and an integer: use .^ for element by element")
    return wrap(np.linalg.matrix_power(x.astype(np.result_type(x, np.float32)), int(only(y))))


def negative(a: Any) -> Any:
    """-a."""
    data = as_np(a)
    return wrap(
        cast(0 - data.astype(np.float64), data.dtype)
        if data.dtype.kind in "iu"
        else -data.astype(_number(data))
    )


def _number(data: np.ndarray) -> Any:
    return data.dtype if data.dtype.kind in "iuf" else np.float64


def transposed(a: Any) -> Any:
    """a'."""
    if isinstance(a, Array | Cell | StructArray):
        return a.T
    if isinstance(a, str) and len(a) > 1:
        raise refuse("a column of characters: strings are rows here")
    return a


eq = named("eq", "a == b.", lambda a, b: wrap(_compared(np.equal, a, b)))
ne = named("ne", "a ~= b.", lambda a, b: wrap(_compared(np.not_equal, a, b)))
lt = named("lt", "a < b.", lambda a, b: wrap(_compared(np.less, a, b)))
le = named("le", "a <= b.", lambda a, b: wrap(_compared(np.less_equal, a, b)))
gt = named("gt", "a > b.", lambda a, b: wrap(_compared(np.greater, a, b)))
ge = named("ge", "a >= b.", lambda a, b: wrap(_compared(np.greater_equal, a, b)))
and_ = named("and_", "a & b, element by element.", lambda a, b: wrap(_logic(np.logical_and, a, b)))
or_ = named("or_", "a | b, element by element.", lambda a, b: wrap(_logic(np.logical_or, a, b)))
not_ = named("not_", "~a, element by element.", lambda a: wrap(~_truths(a)))


def istrue(a: Any) -> bool:
    """Whether a condition holds: all elements are other than 0, and there is one."""
    truths = _truths(a)
    return truths.size > 0 and bool(truths.all())


def _dunders() -> None:
    """Array's operators."""

    def forward(rule: Any, function: Operation) -> Any:
        return lambda self, other: Array(rule(function, self, other))

    def backward(rule: Any, function: Operation) -> Any:
        return lambda self, other: Array(rule(function, other, self))

    names = {"plus": "add", "minus": "sub", "times": "mul", "divide": "truediv", "power": "pow"}
    for name, short in names.items():
        setattr(Array, f"__{short}__", forward(_computed, _ARITHMETIC[name]))
        setattr(Array, f"__r{short}__", backward(_computed, _ARITHMETIC[name]))
    for name, function in _COMPARISONS.items():
        setattr(Array, f"__{name}__", forward(_compared, function))
    for name, function in {"and": np.logical_and, "or": np.logical_or}.items():
        setattr(Array, f"__{name}__", forward(_logic, function))
        setattr(Array, f"__r{name}__", backward(_logic, function))
    more: dict[str, Any] = {
        "__invert__": lambda self: Array(~_truths(self)),
        "__neg__": lambda self: Array(as_np(negative(self))),
        "__pos__": lambda self: self,
        "__matmul__": mtimes,
        "__rmatmul__": lambda self, other: mtimes(other, self),
    }
    for name, method in more.items():
        setattr(Array, name, method)


_dunders()


def colon(first: Any, step: Any, last: Any = None) -> Array:
    """first:last, or first:step:last, with MATLAB's number of elements: rounding does not lose the last.

    >>> colon(1, 3), colon(0, 0.1, 0.3).shape
    (Array([[1.0, 2.0, 3.0]]), (1, 4))
    """
    if last is None:
        step, last = 1, step
    kinds = [as_np(value).dtype for value in (first, step, last) if as_np(value).dtype.kind in "iu"]
    if any(as_np(value).size == 0 for value in (first, step, last)):
        return Array(np.zeros((1, 0)))
    begin, by, end = (float(as_np(value).flat[0]) for value in (first, step, last))
    if not all(map(math.isfinite, (begin, by, end))):
        raise refuse(f"the range {begin:g}:{by:g}:{end:g}")
    count = 0 if by == 0 else math.floor((end - begin) / by * (1 + 7e-16)) + 1
    values = begin + by * np.arange(max(0, count))
    if count > 0 and (values[-1] - end) * by > 0:
        values[-1] = end
    return Array(values.reshape(1, -1), kinds[0] if kinds else None)


def _joined_class(parts: list[np.ndarray]) -> Any:
    kinds = [part.dtype for part in parts]
    integers = [kind for kind in kinds if kind.kind in "iu"]
    if integers:
        return integers[0]
    if np.dtype(np.float32) in kinds:
        return np.float32
    return np.bool_ if kinds and all(kind.kind == "b" for kind in kinds) else np.float64


def joined(axis: int, values: Any) -> Any:
    """The values one after another along a dimension (0 is down, 1 is to the right)."""
    parts = list(spread(values))
    if any(isinstance(part, Cell) for part in parts):
        boxes = [p.data if isinstance(p, Cell) else objects([[p]]) for p in parts if not _is_empty(p)]
        boxes = [box for box in boxes if box.size] or boxes
        return Cell.of(_stacked(boxes, axis)) if boxes else Cell()
    if any(isinstance(part, Struct | StructArray) for part in parts):
        kept = [part for part in parts if not _is_empty(part)]
        boxes = [p.data if isinstance(p, StructArray) else objects([[p]]) for p in kept]
        if not boxes:
            return StructArray(None, next((p.fields for p in parts if isinstance(p, StructArray)), ()))
        if len({frozenset(item) for box in boxes for item in box.flat}) > 1:
            raise refuse("structs with different fields cannot be joined")
        data = _stacked(boxes, axis)
        return data.item() if data.size == 1 else StructArray(data)
    if any(isinstance(part, str) for part in parts):
        kept = [part for part in parts if not _is_empty(part)]
        if len(kept) > 1 and axis != 1:
            raise refuse(
                "strings below each other: matrices of characters are not migrated; use a cell array"
            )
        return "".join(_letters(part) for part in kept)
    arrays = [as_np(part) for part in parts]
    kind = _joined_class(arrays)
    kept = [cast(data, kind) for data in arrays if data.shape != (0, 0)]
    if len(kept) > 1:
        kept = [data for data in kept if data.size or data.shape[1 - axis if axis < 2 else 0] > 1] or kept[:1]
    return wrap(_stacked(kept, axis)) if kept else Array(np.zeros((0, 0), kind))


def _letters(part: Any) -> str:
    if isinstance(part, str):
        return part
    data = as_np(part)
    if data.shape[0] != 1 or np.any(data < 0) or np.any(data != np.floor(data)):
        raise refuse(f"a string and an array of size {sides(data.shape)} in one row")
    return "".join(chr(int(code)) for code in data.flat)


def _is_empty(part: Any) -> bool:
    if isinstance(part, str | Cell | StructArray):
        return part == "" if isinstance(part, str) else part.data.size == 0
    return isinstance(part, Array) and part.data.size == 0


def _stacked(parts: list[np.ndarray], axis: int) -> np.ndarray:
    count = max(axis + 1, *(part.ndim for part in parts))
    full = [part.reshape(part.shape + (1,) * (count - part.ndim)) for part in parts]
    try:
        return trimmed(np.concatenate(full, axis=axis))
    except ValueError:
        name = ("vertical", "horizontal")[axis] if axis < 2 else "concatenation"
        found = " and ".join(sides(part.shape) for part in parts)
        raise refuse(f"{name} dimensions mismatch ({found})") from None


def horzcat(*values: Any) -> Any:
    """[a, b, …]: arrays, strings, cell arrays or structs beside each other.

    >>> horzcat("a", "bc"), horzcat(1, Array([2, 3]))
    ('abc', Array([[1.0, 2.0, 3.0]]))
    """
    return joined(1, values)


def vertcat(*values: Any) -> Any:
    """[a; b; …]: arrays, cell arrays or structs below each other."""
    return joined(0, values)


cat = named("cat", "cat(dimension, a, b, …).", lambda dimension, *values: joined(int(dimension) - 1, values))


def bsxfun(function: Any, a: Any, b: Any) -> Any:
    """bsxfun(f, a, b): the operators expand by themselves."""
    return function(a, b)
