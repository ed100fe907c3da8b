"""MATLAB's functions of arrays, cell arrays and structs, for migrated scripts; names of Python's own end in
`_`.

Functions with several outputs take `nargout` and return a tuple where it is more than one. Dimensions count
from
1. Raises ArgumentError for arguments that MATLAB refuses, or that are not migrated.
"""

import inspect
import itertools
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matlab_compat.errors import MatlabCompatError, NotMigratedError
from matlab_compat.language.operators import _computed, divide, joined, ne, not_, times, vertcat
from matlab_compat.language.text import sprintf
from matlab_compat.language.values import (
    CLASSES,
    Array,
    Cell,
    Struct,
    StructArray,
    as_np,
    at,
    cast,
    class_of,
    element_function,
    named,
    objects,
    refuse,
    shape_of,
    sides,
    spread,
    trimmed,
    whole,
    wrap,
)


class ScriptError(MatlabCompatError):
    """An error that a script raises by error(…); identifier: 'my:id', or ''."""

    def __init__(self, message: str, identifier: str = "") -> None:
        super().__init__(message)
        self.identifier = identifier


def error(*arguments: Any) -> Any:
    """Raises ScriptError: error(message), error(format, …), error(identifier, format, …) or error(caught)."""
    raise _error_of(*arguments)


def _error_of(*arguments: Any) -> ScriptError:
    values = list(spread(arguments))
    if values and isinstance(values[0], Mapping):
        return ScriptError(values[0]["message"], values[0].get("identifier", ""))
    name = values[0] if values else ""
    has_id = len(values) > 1 and ":" in name and not any(c in name for c in " %\n\t")
    identifier = values.pop(0) if has_id else ""
    return ScriptError(sprintf(*values) if values else "", identifier)


def warning(*arguments: Any) -> None:
    """Prints a warning to standard error; warning('off', …) and the like do nothing."""
    if arguments and arguments[0] not in ("on", "off", "error", "query"):
        print(f"warning: {_error_of(*arguments)}", file=sys.stderr)


def assert_(condition: Any, *message: Any) -> None:
    """Raises ScriptError where a condition does not hold."""
    data = as_np(condition)
    if data.size == 0 or not np.all(data != 0):
        raise _error_of(*message) if message else ScriptError("assert (cond) failed")


def caught(problem: BaseException) -> Struct:
    """The exception of a catch: a struct with message, identifier and stack.

    What the script did not raise itself, or MATLAB would not have refused, is raised again.
    """
    if isinstance(problem, NotMigratedError) or not isinstance(
        problem, MatlabCompatError | OSError | ValueError | NameError | AttributeError | LookupError
    ):
        raise problem
    return Struct(message=str(problem), identifier=getattr(problem, "identifier", ""), stack=Struct())


def rethrow(problem: Any) -> Any:
    """Raises a caught exception again."""
    raise ScriptError(problem["message"], problem.get("identifier", ""))


def several(function: Any, count: int, *arguments: Any) -> tuple[Any, ...]:
    """The first `count` outputs of a function handle."""
    if count == 1:
        return (function(*arguments),)
    try:
        takes = "nargout" in inspect.signature(function).parameters
    except ValueError:
        takes = False
    result = function(*arguments, nargout=count) if takes else function(*arguments)
    if not isinstance(result, tuple) or len(result) < count:
        raise refuse("the function gives fewer outputs than are asked for")
    return result[:count]


def returned(variables: Mapping[str, Any], nargout: int, *names: str) -> Any:
    """A function's outputs: the variables of these names, one value or a tuple. ArgumentError where one is
    undefined."""
    found = []
    for name in names[: max(1, nargout)]:
        if variables.get(name) is None:
            if nargout == 0:
                return None
            raise refuse(f"value for the output '{name.rstrip('_')}' of the function is not defined")
        found.append(variables[name])
    return found[0] if len(found) == 1 and nargout < 2 else tuple(found)


def given(*values: Any) -> int:
    """nargin: how many of a function's arguments were given."""
    return sum(value is not None for value in values)


def matches(value: Any, case: Any) -> bool:
    """Whether a switch takes this case: an equal string or number, or one of a cell array's."""
    if isinstance(case, Cell):
        return builtin_any(matches(value, item) for item in case)
    if isinstance(value, str) or isinstance(case, str):
        return isinstance(value, str) and isinstance(case, str) and value == case
    if isempty(value) or isempty(case):
        return isempty(value) and isempty(case)
    return bool(as_np(value).item() == as_np(case).item())


# ---- element by element


def _real(function: Callable[[np.ndarray], np.ndarray], low: float, name: str) -> Any:
    def checked(x: Any) -> Any:
        data = as_np(x)
        if np.any(data < low):
            raise refuse(f"{name} of a number below {low:g} is complex, which is not migrated")
        return _floats(function)(x)

    return checked


def _floats(function: Callable[[np.ndarray], np.ndarray]) -> Any:
    def applied(x: Any) -> Any:
        data = as_np(x)
        if data.dtype.kind in "iu":
            raise refuse(f"{function.__name__} of an integer class")
        kind = np.float32 if data.dtype == np.float32 else np.float64
        return element_function(function, Array(data.astype(kind)))

    return applied


def _keeping(function: Callable[[np.ndarray], np.ndarray]) -> Any:
    def applied(x: Any) -> Any:
        data = as_np(x)
        if data.dtype.kind == "b":
            data = data.astype(np.float64)
        return wrap(function(data)) if data.dtype.kind == "f" or function in (np.abs, np.sign) else wrap(data)

    return applied


def _round(x: np.ndarray) -> np.ndarray:
    whole_part = np.trunc(x)
    return whole_part + np.where(np.abs(x - whole_part) >= 0.5, np.sign(x), 0)


abs_ = _keeping(np.abs)
sign = _keeping(np.sign)
floor = _keeping(np.floor)
ceil = _keeping(np.ceil)
fix = _keeping(np.trunc)
exp, sin, cos, tan, tanh, atan = map(_floats, (np.exp, np.sin, np.cos, np.tan, np.tanh, np.arctan))
sinh, cosh = map(_floats, (np.sinh, np.cosh))
sqrt = _real(np.sqrt, 0, "sqrt")
log = _real(np.log, 0, "log")
log2 = _real(np.log2, 0, "log2")
log10 = _real(np.log10, 0, "log10")
log1p = _real(np.log1p, -1, "log1p")
expm1 = _floats(np.expm1)


def round_(x: Any, digits: Any = None) -> Any:
    """Rounded, halves away from zero; to a number of decimals where that is given."""
    if digits is None:
        return _keeping(_round)(x)
    return divide(_keeping(_round)(times(x, 10.0 ** whole(digits))), 10.0 ** whole(digits))


def mod(a: Any, b: Any) -> Any:
    """The remainder with the sign of b; mod(x, 0) is x."""
    return wrap(
        _computed(
            lambda x, y: np.where(y == 0, x, np.where(np.isfinite(y), np.mod(x, y), np.mod(x, y))), a, b
        )
    )


def rem(a: Any, b: Any) -> Any:
    """The remainder with the sign of a; rem(x, 0) is NaN."""
    return wrap(_computed(np.fmod, a, b))


atan2 = named("atan2", "The angle of the points (b, a).", lambda a, b: wrap(_computed(np.arctan2, a, b)))
hypot = named("hypot", "sqrt(a.^2 + b.^2).", lambda a, b: wrap(_computed(np.hypot, a, b)))


def idivide(a: Any, b: Any, how: str = "fix") -> Any:
    """Division of integer classes (of ids: a double is taken as int32), rounded as `how` says."""
    kinds = [as_np(v).dtype for v in (a, b) if as_np(v).dtype.kind in "iu"]
    if not kinds:
        raise refuse("idivide: at least one argument must be an integer class")
    rules = {"fix": np.trunc, "floor": np.floor, "ceil": np.ceil, "round": _round}
    x, y = (Array(as_np(v).astype(np.float64)) for v in (a, b))
    return wrap(cast(rules[how](_computed(np.divide, x, y)), kinds[0]))


xor = named("xor", "Whether exactly one of two is other than 0.", lambda a, b: ne(not_(a), not_(b)))


def isnan(x: Any) -> Any:
    """Which elements are NaN."""
    return False if isinstance(x, Cell | Struct) else element_function(np.isnan, x)


isinf = named("isinf", "Which elements are infinite.", lambda x: element_function(np.isinf, x))


def isfinite(x: Any) -> Any:
    """Which elements are neither infinite nor NaN."""
    return element_function(np.isfinite, x)


def _converter(name: str) -> Any:
    def convert(x: Any) -> Any:
        return wrap(cast(as_np(x), CLASSES[name]))

    convert.__doc__ = f"The values in the class {name}."
    convert.__name__ = name
    return convert


double, single, logical = map(_converter, ("double", "single", "logical"))
int8, int16, int32, int64 = map(_converter, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(_converter, ("uint8", "uint16", "uint32", "uint64"))


cast_ = named("cast_", "The values in the class of this name.", lambda x, name: _converter(name)(x))
gather = named("gather", "The value itself: arrays are on the CPU.", lambda x: x)


gpuArray = gather

# ---- sizes and kinds


def size(x: Any, *dimension: Any, nargout: int = 1) -> Any:
    """The sizes of all dimensions, or of one; with several outputs the last one takes the product of the
    rest."""
    shape = shape_of(x)
    if dimension:
        places = [int(d) for d in as_np(dimension[0]).flat]
        found = [float(shape[d - 1]) if d <= len(shape) else 1.0 for d in places]
        return int(found[0]) if len(found) == 1 else Array([found])
    if nargout < 2:
        return Array([list(shape)])
    full = [*shape, *[1] * (nargout - len(shape))]
    return (*full[: nargout - 1], math.prod(full[nargout - 1 :]))


numel = named("numel", "The number of elements.", lambda x: math.prod(shape_of(x)))


def length(x: Any) -> int:
    """The longest side; 0 for an empty array."""
    return 0 if 0 in shape_of(x) else max(shape_of(x))


def end_of(x: Any, place: int, count: int) -> int:
    """What `end` means as index number `place` of `count`."""
    shape = (*shape_of(x), *(1,) * count)
    return math.prod(shape[place - 1 :]) if place == count else shape[place - 1]


ndims = named("ndims", "The number of dimensions, at least 2.", lambda x: len(shape_of(x)))
isempty = named("isempty", "Whether a value has no elements.", lambda x: 0 in shape_of(x))
isscalar = named("isscalar", "Whether a value has one element.", lambda x: numel(x) == 1)


def isvector(x: Any) -> bool:
    """Whether a value is a row or column."""
    return len(shape_of(x)) == 2 and 1 in shape_of(x) and numel(x) > 0


isrow = named("isrow", "Whether a value is one row.", lambda x: len(shape_of(x)) == 2 and shape_of(x)[0] == 1)


def iscolumn(x: Any) -> bool:
    """Whether a value is one column."""
    return len(shape_of(x)) == 2 and shape_of(x)[1] == 1


ischar = named("ischar", "Whether a value is a string.", lambda x: isinstance(x, str))
iscell = named("iscell", "Whether a value is a cell array.", lambda x: isinstance(x, Cell))


def iscellstr(x: Any) -> bool:
    """Whether a value is a cell array of strings."""
    return isinstance(x, Cell) and builtin_all(isinstance(item, str) for item in x)


def isstruct(x: Any) -> bool:
    """Whether a value is a struct or struct array."""
    return isinstance(x, Mapping | StructArray)


islogical = named("islogical", "Whether a value is logical.", lambda x: class_(x) == "logical")


def isnumeric(x: Any) -> bool:
    """Whether a value is of a class of numbers."""
    return class_(x) in CLASSES and class_(x) != "logical"


def isreal(x: Any) -> bool:
    """Whether a value is numbers or characters: there are no complex ones."""
    return isnumeric(x) or islogical(x) or ischar(x)


def isfloat(x: Any) -> bool:
    """Whether a value is double or single."""
    return class_(x) in ("double", "single")


isinteger = named("isinteger", "Whether a value is of an integer class.", lambda x: "int" in class_(x))
class_ = named("class_", "The name of a value's class.", lambda x: class_of(x))


def isa(x: Any, name: str) -> bool:
    """Whether a value is of a class, or of 'numeric', 'float' or 'integer'."""
    groups = {"numeric": isnumeric, "float": isfloat, "integer": isinteger}
    if name in groups:
        return bool(groups[name](x))
    return class_(x) == name or name in (base.__name__ for base in type(x).__mro__)


# ---- arrays made from sizes


def _sizes(arguments: Any) -> tuple[tuple[int, ...], Any]:
    given = list(spread(arguments))
    kind = np.float64
    if len(given) > 1 and isinstance(given[-2], str) and given[-2] == "like":
        kind = as_np(given[-1]).dtype
        given = given[:-2]
    if given and isinstance(given[-1], str):
        kind = CLASSES[given.pop()]
    numbers = [whole(x) for value in given for x in as_np(value).flat]
    if len(numbers) == 1:
        numbers *= 2
    return tuple(builtin_max(0, n) for n in numbers) or (1, 1), kind


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
eye = named("eye", "The identity matrix.", lambda *arguments: Array(np.eye(*_sizes(arguments)[0])))


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
    return np.flip(data, _axis(data, dimension))


def _shift(data: np.ndarray, by: Any, dimension: Any = None) -> np.ndarray:
    steps = [whole(n) for n in as_np(by).flat]
    if len(steps) > 1:
        return np.roll(data, steps, axis=tuple(range(len(steps))))
    return np.roll(data, steps[0], _axis(data, dimension))


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


# ---- along a dimension


def _axis(data: np.ndarray, dimension: Any) -> int:
    if dimension is not None:
        return whole(dimension) - 1
    return next((i for i, n in enumerate(data.shape) if n != 1), 0)


def _along(function: Callable[..., np.ndarray], empty: float, kind: str = "keep") -> Any:
    def reduced(x: Any, dimension: Any = None, *unused: Any) -> Any:
        if unused:
            raise refuse(f"{function.__name__} with the option {unused[0]!r}")
        data = as_np(x)
        if isinstance(dimension, str):
            raise refuse(f"{function.__name__} with the option {dimension!r}")
        if kind == "truth":
            data = data != 0
        elif data.dtype.kind == "b" or (kind == "float" and data.dtype.kind in "iu"):
            data = data.astype(np.float64)
        if dimension is None and data.shape == (0, 0):
            return wrap(np.array([[empty]], bool if kind == "truth" else np.float64))
        axis = _axis(data, dimension)
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
    axis = _axis(data, dimension)
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
    return wrap(np.diff(data, whole(order), axis=_axis(data, dimension)))


def _extreme(x: Any, y: Any, dimension: Any, nargout: int, largest: bool) -> Any:
    if not isempty(y):
        if nargout > 1:
            raise refuse("two outputs of the larger of two arrays")
        return wrap(_computed(np.fmax if largest else np.fmin, x, y))
    data = as_np(x)
    data = data.astype(np.float64) if data.dtype.kind == "b" else data
    if data.shape == (0, 0) or data.size == 0:
        return (Array(), Array()) if nargout > 1 else Array()
    axis = _axis(data, dimension)
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
    axis = _axis(data, numbers[0] if numbers else None)
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
    return builtin_all(a <= b for a, b in itertools.pairwise(flat))


def _as_rows(values: np.ndarray, *inputs: Any) -> Any:
    row = builtin_all(shape_of(x)[0] == 1 or numel(x) == 0 for x in inputs) and not builtin_all(
        isempty(x) for x in inputs
    )
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
        values, first, inverse = np.unique(items, return_index=True, return_inverse=True)
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
    return shaped(places % builtin_max(rows, 1)), shaped(places // builtin_max(rows, 1))


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


# ---- linear algebra and series


def norm(x: Any, kind: Any = 2) -> Any:
    """A vector's or matrix's norm: 2, 1, Inf or 'fro'."""
    data = as_np(x)
    if data.size == 0:
        return 0.0
    order = (
        {"fro": None, "inf": np.inf, "Inf": np.inf}.get(kind, kind) if isinstance(kind, str) else float(kind)
    )
    vector = 1 in data.shape and data.ndim == 2
    return wrap(
        np.asarray(
            np.linalg.norm(
                data.ravel() if vector else data, order if order is not None else None if not vector else 2
            )
        )
        .reshape(1, 1)
        .astype(np.float32 if data.dtype == np.float32 else np.float64)
    )


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


# ---- structs, cell arrays, functions


def struct(*arguments: Any) -> Any:
    """A struct of names and values; a cell array as a value makes a struct array."""
    names, values = arguments[::2], arguments[1::2]
    shapes = [v.shape for v in values if isinstance(v, Cell) and v.data.size != 1]
    if not shapes:
        return Struct(
            {n: v.data.item() if isinstance(v, Cell) else v for n, v in zip(names, values, strict=True)}
        )
    data = np.empty(shapes[0], object)
    for place in np.ndindex(*shapes[0]):
        data[place] = Struct(
            {
                n: (v.data.item() if v.data.size == 1 else v.data[place]) if isinstance(v, Cell) else v
                for n, v in zip(names, values, strict=True)
            }
        )
    return StructArray(data, tuple(names))


def fieldnames(x: Any) -> Cell:
    """The names of a struct's fields, a column of cells."""
    return Cell.of(
        objects([[name] for name in (x.fields if isinstance(x, StructArray) else x)]).reshape(-1, 1)
    )


def isfield(x: Any, name: Any) -> Any:
    """Whether a struct has a field; a logical for each name of a cell array."""
    fields = x.fields if isinstance(x, StructArray) else x if isinstance(x, Mapping) else ()
    if isinstance(name, Cell):
        return wrap(np.array([item in fields for item in name], bool).reshape(name.shape))
    return name in fields


def isprop(x: Any, name: str) -> bool:
    """Whether an object has a property."""
    return not isinstance(x, Mapping) and hasattr(x, name)


def rmfield(x: Struct, names: Any) -> Struct:
    """The struct without a field, or several."""
    gone = list(names) if isinstance(names, Cell) else [names]
    if any(name not in x for name in gone):
        raise refuse(f"the structure has no field {gone[0]}")
    return Struct({name: value for name, value in x.items() if name not in gone})


def setfield(x: Struct, name: str, value: Any) -> Struct:
    """The struct with a field changed."""
    return Struct({**x, name: value})


getfield = named("getfield", "The field of this name.", lambda x, name: getattr(x, name))


def struct2cell(x: Struct) -> Cell:
    """The values of a struct's fields, a column of cells."""
    return Cell.of(objects([[value] for value in x.values()]))


def cell2struct(values: Cell, names: Any, dimension: Any = 1) -> Struct:
    """A struct of values and the names of fields. Raises ArgumentError for several structs."""
    if len(values) != len(list(names)):
        raise refuse("cell2struct of several structs")
    return Struct(dict(zip(names, values, strict=True)))


def num2cell(x: Any) -> Cell:
    """A cell for every element."""
    data = as_np(x)
    made = np.empty(data.shape, object)
    for place in np.ndindex(*data.shape):
        made[place] = wrap(data[place].reshape(1, 1))
    return Cell.of(made)


def cell2mat(x: Cell) -> Any:
    """The arrays of a cell array joined to one."""
    if x.data.size == 0:
        return Array()
    return joined(0, [joined(1, list(row)) for row in x.data])


def deal(*values: Any, nargout: int = 1) -> Any:
    """The values one by one, or one value for all."""
    found = list(spread(values)) if len(values) != 1 else list(values) * builtin_max(1, nargout)
    if len(found) != builtin_max(1, nargout):
        raise refuse("deal: nargin > 1 and nargin != nargout")
    return tuple(found) if nargout > 1 else found[0]


def isequal(*values: Any) -> bool:
    """Whether values have the same sizes and elements."""
    return builtin_all(_same(values[0], other) for other in values[1:])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Struct) and isinstance(b, Struct):
        return set(a) == set(b) and builtin_all(_same(a[name], b[name]) for name in a)
    if isinstance(a, Cell | StructArray) and isinstance(b, type(a)):
        return a.shape == b.shape and builtin_all(map(_same, a.data.flat, b.data.flat))
    plain = str | bool | int | float | Array
    if not (isinstance(a, plain) and isinstance(b, plain)):
        return a is b
    x, y = as_np(a), as_np(b)
    return x.shape == y.shape and bool(np.all(x == y))


def func2str(function: Any) -> str:
    """The name of a function. Raises ArgumentError for an anonymous one, whose source is not kept."""
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>":
        raise refuse("func2str of an anonymous function")
    return name.rstrip("_")


def feval(function: Any, *arguments: Any, nargout: int = 1) -> Any:
    """A function's value; the function by its handle."""
    if not callable(function):
        raise refuse("feval by a name: give a handle, @name")
    return several(function, nargout, *arguments) if nargout > 1 else function(*arguments)


def _options(arguments: tuple[Any, ...]) -> tuple[list[Any], bool]:
    values, uniform = list(spread(arguments)), True
    while (
        len(values) >= 2
        and isinstance(values[-2], str)
        and values[-2].lower() in ("uniformoutput", "errorhandler")
    ):
        if values[-2].lower() == "errorhandler":
            raise refuse("cellfun's ErrorHandler")
        uniform = bool(values[-1])
        values = values[:-2]
    return values, uniform


def _mapped(
    function: Any, lists: list[list[Any]], shapes: list[tuple[int, ...]], uniform: bool, nargout: int
) -> Any:
    if len(set(shapes)) > 1:
        raise refuse("all the input arguments must have the same size and shape")
    results = [several(function, nargout, *items) for items in zip(*lists, strict=True)]
    found = []
    for place in range(nargout):
        each = [result[place] for result in results]
        if uniform:
            data = [as_np(value) for value in each]
            if any(value.size != 1 for value in data):
                raise refuse(
                    "all values must be scalars when UniformOutput = true; use 'UniformOutput', false"
                )
            if any(isinstance(value, str) for value in each):
                found.append("".join(each))
                continue
            kinds = {value.dtype for value in data}
            if len(kinds) > 1:
                raise refuse("the class of the results changes: use 'UniformOutput', false")
            found.append(
                wrap(
                    np.array([value.item() for value in data], kinds.pop() if kinds else float).reshape(
                        shapes[0], order="F"
                    )
                )
            )
        else:
            box = np.empty(len(each), object)
            box[:] = [None] * len(each)
            for i, value in enumerate(each):
                box[i] = value
            found.append(Cell.of(box.reshape(shapes[0], order="F")))
    return tuple(found) if nargout > 1 else found[0]


_BY_NAME = {"isempty": isempty, "length": length, "numel": numel, "ndims": ndims, "isclass": isa,
    "isreal": isreal,
            "islogical": islogical, "ischar": ischar, "iscell": iscell}  # fmt: skip


def cellfun(function: Any, *arguments: Any, nargout: int = 1) -> Any:
    """A function of the contents of each cell; an array, or with 'UniformOutput', false a cell array."""
    values, uniform = _options(arguments)
    if isinstance(function, str):
        if function not in _BY_NAME:
            raise refuse(f"cellfun by the name {function!r}: give a handle, @{function}")
        function = _BY_NAME[function]
    if not builtin_all(isinstance(value, Cell) for value in values):
        raise refuse("cellfun: all the input arguments must be cell arrays")
    return _mapped(
        function, [list(value) for value in values], [value.shape for value in values], uniform, nargout
    )


def arrayfun(function: Any, *arguments: Any, nargout: int = 1) -> Any:
    """A function of each element; an array, or with 'UniformOutput', false a cell array."""
    values, uniform = _options(arguments)
    lists = [[at(value, place + 1) for place in range(numel(value))] for value in values]
    return _mapped(function, lists, [shape_of(value) for value in values], uniform, nargout)


def structfun(function: Any, x: Struct, *arguments: Any) -> Any:
    """A function of each field; a column, or with 'UniformOutput', false a struct."""
    _, uniform = _options(arguments)
    found = {name: function(value) for name, value in x.items()}
    return vertcat(*found.values()) if uniform else Struct(found)


_STARTED = [time.perf_counter()]


def tic(nargout: int = 0) -> float:
    """Starts the clock that toc reads."""
    _STARTED[0] = time.perf_counter()
    return _STARTED[0]


def toc(since: Any = None) -> float:
    """Seconds since tic."""
    return time.perf_counter() - (_STARTED[0] if since is None else float(since))


realmax = named("realmax", "The largest double.", lambda: sys.float_info.max)
realmin = named("realmin", "The smallest normal double.", lambda: sys.float_info.min)


def intmax(name: str = "int32") -> Any:
    """The largest value of an integer class."""
    return Array(np.array([[np.iinfo(CLASSES[name]).max]]))


def intmin(name: str = "int32") -> Any:
    """The smallest value of an integer class."""
    return Array(np.array([[np.iinfo(CLASSES[name]).min]]))


def eps(x: Any = 1.0) -> Any:
    """The distance to the next larger number."""
    return element_function(lambda data: np.spacing(np.abs(data)), x)


builtin_all, builtin_any, builtin_max = all, any, max
