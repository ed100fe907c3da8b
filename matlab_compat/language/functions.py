"""MATLAB's functions element by element, of classes and kinds, and for errors, for migrated scripts.

Functions with several outputs take `nargout` and return a tuple where it is more than one; names of Python's
own end in `_`. Raises ArgumentError for arguments that MATLAB refuses, or that are not migrated.
"""

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matlab_compat.errors import MatlabCompatError, NotMigratedError
from matlab_compat.language.operators import _computed, divide, ne, not_, times
from matlab_compat.language.text import sprintf
from matlab_compat.language.values import (
    CLASSES,
    Array,
    Cell,
    Struct,
    StructArray,
    as_np,
    cast,
    class_of,
    element_function,
    named,
    refuse,
    shape_of,
    spread,
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
        return any(matches(value, item) for item in case)
    if isinstance(value, str) or isinstance(case, str):
        return isinstance(value, str) and isinstance(case, str) and value == case
    if isempty(value) or isempty(case):
        return isempty(value) and isempty(case)
    return bool(as_np(value).item() == as_np(case).item())


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
        with np.errstate(all="ignore"):
            kept = data.dtype.kind != "f" and function not in (np.abs, np.sign)
            return wrap(data if kept else function(data))

    return applied


def _round(x: np.ndarray) -> np.ndarray:
    whole_part = np.trunc(x)
    return np.copysign(whole_part + np.where(np.abs(x - whole_part) >= 0.5, np.sign(x), 0), x)


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
    rules: dict[str, Any] = {"fix": np.trunc, "floor": np.floor, "ceil": np.ceil, "round": _round}
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


class_ = named("class_", "The name of a value's class.", lambda x: class_of(x))
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
    return isinstance(x, Cell) and all(isinstance(item, str) for item in x)


def isstruct(x: Any) -> bool:
    """Whether a value is a struct or struct array."""
    return isinstance(x, Mapping | StructArray)


islogical = named("islogical", "Whether a value is logical.", lambda x: class_of(x) == "logical")


def isnumeric(x: Any) -> bool:
    """Whether a value is of a class of numbers."""
    return class_(x) in CLASSES and class_(x) != "logical"


def isreal(x: Any) -> bool:
    """Whether a value is numbers or characters: there are no complex ones."""
    return isnumeric(x) or islogical(x) or ischar(x)


def isfloat(x: Any) -> bool:
    """Whether a value is double or single."""
    return class_(x) in ("double", "single")


isinteger = named("isinteger", "Whether a value is of an integer class.", lambda x: "int" in class_of(x))


def isa(x: Any, name: str) -> bool:
    """Whether a value is of a class, or of 'numeric', 'float' or 'integer'."""
    groups = {"numeric": isnumeric, "float": isfloat, "integer": isinteger}
    if name in groups:
        return bool(groups[name](x))
    return class_(x) == name or name in (base.__name__ for base in type(x).__mro__)
