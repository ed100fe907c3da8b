"""MATLAB's operators on the values of migrated scripts: arithmetic, comparisons, logic, ranges, [a, b; c, d].

Classes combine as in MATLAB: an integer class wins, rounds and keeps to its limits; single wins over double;
logicals and strings count as double. Arrays of sizes that fit are expanded. Raises ArgumentError for what
does not fit, and for results that are complex.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.classes import cast, objects, only
from matlab_compat.language.definitions import named
from matlab_compat.language.indexing import refuse, sides, trimmed
from matlab_compat.language.values import Array, Cell, Struct, StructArray, as_np, class_of, spread, wrap

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _result_class(x: np.ndarray, y: np.ndarray) -> Any:
    integers = {data.dtype for data in (x, y) if data.dtype.kind in "iu"}
    if len(integers) > 1:
        raise refuse(f"binary operator not implemented for {x.dtype} by {y.dtype} operations")
    return integers.pop() if integers else np.float32 if np.float32 in (x.dtype, y.dtype) else np.float64


def _aligned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim != y.ndim:  # MATLAB adds dimensions at the end, NumPy at the front
        count = max(x.ndim, y.ndim)
        x, y = (data.reshape(data.shape + (1,) * (count - data.ndim)) for data in (x, y))
    if any(m != n and 1 not in (m, n) for m, n in zip(x.shape, y.shape, strict=True)):
        raise refuse(f"nonconformant arguments (op1 is {sides(x.shape)}, op2 is {sides(y.shape)})")
    return x, y


def computed(function: Operation, a: Any, b: Any) -> np.ndarray:
    """function of two values, element by element, in MATLAB's class."""
    x, y = as_np(a), as_np(b)
    kind = _result_class(x, y)
    inner = np.float64 if np.dtype(kind).kind in "iu" else kind
    x, y = _aligned(x.astype(inner, copy=False), y.astype(inner, copy=False))
    with np.errstate(all="ignore"):
        return cast(trimmed(function(x, y)), kind)


def _compared(function: Operation, a: Any, b: Any) -> np.ndarray:
    if any(isinstance(value, Cell | Struct | StructArray) for value in (a, b)):
        raise refuse(f"comparison of a {class_of(a)} and a {class_of(b)}: use isequal or strcmp")
    x, y = as_np(a), as_np(b)
    if np.float32 in (x.dtype, y.dtype) and "f" == x.dtype.kind == y.dtype.kind:  # single(0.1) is 0.1
        x, y = x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)
    return trimmed(function(*_aligned(x, y)))


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


def _operator(name: str, sign: str, rule: Any, function: Any, short: str, backward: bool = False) -> Any:
    """The function `name` of an operator, which is also Array's."""
    setattr(Array, f"__{short}__", lambda self, other: Array(rule(function, self, other)))
    if backward:
        setattr(Array, f"__r{short}__", lambda self, other: Array(rule(function, other, self)))
    return named(name, f"a {sign} b, element by element.", lambda a, b: wrap(rule(function, a, b)))


plus = _operator("plus", "+", computed, np.add, "add", True)
minus = _operator("minus", "-", computed, np.subtract, "sub", True)
times = _operator("times", ".*", computed, np.multiply, "mul", True)
divide = _operator("divide", "./", computed, np.divide, "truediv", True)
power = _operator("power", ".^", computed, _power, "pow", True)
and_ = _operator("and_", "&", _logic, np.logical_and, "and", True)
or_ = _operator("or_", "|", _logic, np.logical_or, "or", True)
eq = _operator("eq", "==", _compared, np.equal, "eq")
ne = _operator("ne", "~=", _compared, np.not_equal, "ne")
lt = _operator("lt", "<", _compared, np.less, "lt")
le = _operator("le", "<=", _compared, np.less_equal, "le")
gt = _operator("gt", ">", _compared, np.greater, "gt")
ge = _operator("ge", ">=", _compared, np.greater_equal, "ge")
not_ = named("not_", "~a, element by element.", lambda a: wrap(~_truths(a)))


def mtimes(a: Any, b: Any) -> Any:
    """a * b: the matrix product, element by element where one is a number."""
    x, y = as_np(a), as_np(b)
    if 1 in (x.size, y.size):
        return times(a, b)
    _inner_sides("*", x, y, x.shape[-1], y.shape[0])
    kind = _result_class(x, y)
    if np.dtype(kind).kind in "iu":
        raise refuse("a matrix product of integer classes")
    with np.errstate(all="ignore"):
        return wrap(x.astype(kind, copy=False) @ y.astype(kind, copy=False))


def _inner_sides(sign: str, x: np.ndarray, y: np.ndarray, one: int, other: int) -> None:
    if x.ndim > 2 or y.ndim > 2 or one != other:
        found = f"op1 is {sides(x.shape)}, op2 is {sides(y.shape)}"
        raise refuse(f"operator {sign}: nonconformant arguments ({found})")


def mldivide(a: Any, b: Any) -> Any:
    """a \\ b: the solution x of a*x = b, by least squares where a is not square."""
    x, y = as_np(a), as_np(b)
    if x.size == 1:
        return divide(b, a)
    _inner_sides("\\", x, y, x.shape[0], y.shape[0])
    if x.shape[0] != x.shape[1]:
        return wrap(np.linalg.lstsq(x, y, rcond=None)[0])
    if np.linalg.cond(x) > 1e15:
        raise refuse("the matrix is singular to working precision")
    return wrap(np.linalg.solve(x, y))


def mrdivide(a: Any, b: Any) -> Any:
    """a / b: divided by a number, or the solution x of x*b = a."""
    return divide(a, b) if as_np(b).size == 1 else transposed(mldivide(transposed(b), transposed(a)))


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
    if data.dtype.kind in "iu":
        return wrap(cast(-data.astype(np.float64), data.dtype))
    return wrap(-(data if data.dtype.kind == "f" else data.astype(np.float64)))


def transposed(a: Any) -> Any:
    """a'."""
    if isinstance(a, str) and len(a) > 1:
        raise refuse("a column of characters: strings are rows here")
    return a.T if isinstance(a, Array | Cell | StructArray) else a


def istrue(a: Any) -> bool:
    """Whether a condition holds: all elements are other than 0, and there is one."""
    truths = _truths(a)
    return truths.size > 0 and bool(truths.all())


for _name, _method in {
    "invert": lambda self: Array(~_truths(self)),
    "neg": lambda self: Array(as_np(negative(self))),
    "pos": lambda self: self,
    "matmul": mtimes,
    "rmatmul": lambda self, other: mtimes(other, self),
}.items():
    setattr(Array, f"__{_name}__", _method)


def colon(first: Any, step: Any, last: Any = None) -> Any:
    """first:last, or first:step:last, with MATLAB's number of elements: rounding does not lose the last.

    Of two letters it is a string.

    >>> colon(1, 3), colon(0, 0.1, 0.3).shape, colon("a", "e")
    (Array([[1.0, 2.0, 3.0]]), (1, 4), 'abcde')
    """
    given = (first, 1, step) if last is None else (first, step, last)
    parts = [as_np(value) for value in given]
    if any(part.size == 0 for part in parts):
        return Array(np.zeros((1, 0)))
    begin, by, end = (float(part.flat[0]) for part in parts)
    if not all(map(math.isfinite, (begin, by, end))):
        raise refuse(f"the range {begin:g}:{by:g}:{end:g}")
    count = 0 if by == 0 else math.floor((end - begin) / by * (1 + 7e-16)) + 1
    values = begin + by * np.arange(max(0, count))
    if count > 0 and (values[-1] - end) * by > 0:
        values[-1] = end
    if isinstance(first, str) and isinstance(given[2], str):
        return "".join(chr(int(code)) for code in values)
    kind = next((part.dtype for part in parts if part.dtype.kind in "iu"), None)
    return Array(values.reshape(1, -1), kind)


def _joined_class(parts: list[np.ndarray]) -> Any:
    kinds = [part.dtype for part in parts]
    if integers := [kind for kind in kinds if kind.kind in "iu"]:
        return integers[0]
    if np.dtype(np.float32) in kinds:
        return np.float32
    return np.bool_ if kinds and all(kind.kind == "b" for kind in kinds) else np.float64


def joined(axis: int, values: Any) -> Any:
    """The values one after another along a dimension (0 is down, 1 is to the right)."""
    parts = list(spread(values))
    with_size = str | Array | Cell | StructArray
    kept = [part for part in parts if not isinstance(part, with_size) or len(part)]
    if any(isinstance(part, Cell) for part in parts):
        boxes = [part.data if isinstance(part, Cell) else objects([[part]]) for part in kept]
        return Cell.of(_stacked(boxes, axis)) if boxes else Cell()
    if any(isinstance(part, Struct | StructArray) for part in parts):
        boxes = [part.data if isinstance(part, StructArray) else objects([[part]]) for part in kept]
        if not boxes:
            return StructArray(None, next((p.fields for p in parts if isinstance(p, StructArray)), ()))
        if len({frozenset(item) for box in boxes for item in box.flat}) > 1:
            raise refuse("structs with different fields cannot be joined")
        data = _stacked(boxes, axis)
        return data.item() if data.size == 1 else StructArray(data)
    if any(isinstance(part, str) for part in parts):
        if len(kept) > 1 and axis != 1:
            raise refuse("strings below each other: character matrices are not migrated; use a cell array")
        return "".join(_letters(part) for part in kept)
    arrays = [as_np(part) for part in parts]
    kind = _joined_class(arrays)
    full = [cast(data, kind) for data in arrays if data.shape != (0, 0)]
    if len(full) > 1:
        full = [data for data in full if data.size or data.shape[1 - axis if axis < 2 else 0] > 1] or full[:1]
    return wrap(_stacked(full, axis)) if full else Array(np.zeros((0, 0), kind))


def _letters(part: Any) -> str:
    data = as_np(part)
    if data.shape[0] != 1 or np.any(data < 0) or np.any(data != np.floor(data)):
        raise refuse(f"a string and an array of size {sides(data.shape)} in one row")
    return part if isinstance(part, str) else "".join(chr(int(code)) for code in data.flat)


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
bsxfun = named("bsxfun", "f(a, b): operators expand anyway.", lambda function, a, b: function(a, b))
