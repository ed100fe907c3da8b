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
from matlab_compat.language.classes import CLASSES, cast
from matlab_compat.language.definitions import element_function, named
from matlab_compat.language.indexing import refuse
from matlab_compat.language.operators import computed, divide, ne, not_, times
from matlab_compat.language.text import sprintf
from matlab_compat.language.values import Array, Cell, Struct, as_np, class_of, shape_of, spread, whole, wrap


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


rethrow = named("rethrow", "Raises a caught exception again.", error)


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
    known = MatlabCompatError | OSError | ValueError | NameError | AttributeError | LookupError
    if isinstance(problem, NotMigratedError) or not isinstance(problem, known):
        raise problem
    return Struct(message=str(problem), identifier=getattr(problem, "identifier", ""), stack=Struct())


def takes_nargout(function: Any) -> bool:
    """Whether a function can give several outputs."""
    try:
        return "nargout" in inspect.signature(function).parameters
    except (ValueError, TypeError):
        return False


def several(function: Any, count: int, *arguments: Any) -> tuple[Any, ...]:
    """The first `count` outputs of a function handle."""
    if count == 1:
        return (function(*arguments),)
    result = function(*arguments, nargout=count) if takes_nargout(function) else function(*arguments)
    if not isinstance(result, tuple) or len(result) < count:
        raise refuse("the function gives fewer outputs than are asked for")
    return result[:count]


def returned(variables: Mapping[str, Any], nargout: int, *names: str) -> Any:
    """A function's outputs, one value or a tuple: the variables of these names, varargout's values last.

    Raises ArgumentError where one is undefined.
    """
    rest = list(variables["varargout"]) if names[-1] == "varargout" else []
    given = [(name, variables.get(name)) for name in names if name != "varargout"]
    given += [("varargout", value) for value in rest]
    found = []
    for name, value in given[: max(1, nargout)]:
        if value is None and nargout == 0:
            return None
        if value is None:
            raise refuse(f"value for the output '{name.rstrip('_')}' of the function is not defined")
        found.append(value)
    if len(found) < nargout:
        raise refuse(f"the function gives {len(found)} outputs; {nargout} are asked for")
    return tuple(found) if nargout > 1 else found[0] if found else None


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


def _floats(name: str, low: float = -math.inf) -> Any:
    """NumPy's function of this name, of double and single; not of numbers below `low`."""
    function = getattr(np, {"atan": "arctan"}.get(name, name))

    def applied(x: Any) -> Any:
        data = as_np(x)
        if np.any(data < low):
            raise refuse(f"{name} of a number below {low:g} is complex, which is not migrated")
        if data.dtype.kind in "iu":
            raise refuse(f"{name} of an integer class")
        return element_function(function, Array(data if data.dtype == np.float32 else data.astype(float)))

    return named(name, f"{name} of each element. Raises ArgumentError for integer classes.", applied)


exp, sin, cos, tan, tanh, atan = map(_floats, ("exp", "sin", "cos", "tan", "tanh", "atan"))
sqrt, log, log2, log10 = (_floats(name, 0) for name in ("sqrt", "log", "log2", "log10"))


def _keeping(name: str, function: Callable[[np.ndarray], np.ndarray], integers: bool = False) -> Any:
    """A function that keeps the class; integer classes as they are, unless `integers`."""

    def applied(x: Any) -> Any:
        data = as_np(x)
        data = data.astype(float) if data.dtype.kind == "b" else data
        return wrap(function(data) if data.dtype.kind == "f" or integers else data)

    return named(name, f"{name} of each element, in its class.", applied)


def _round(x: np.ndarray) -> np.ndarray:
    inner = np.trunc(x)
    with np.errstate(invalid="ignore"):
        return np.copysign(inner + np.where(np.abs(x - inner) >= 0.5, np.sign(x), 0), x)


abs_, sign = _keeping("abs", np.abs, True), _keeping("sign", np.sign, True)
floor, ceil, fix = _keeping("floor", np.floor), _keeping("ceil", np.ceil), _keeping("fix", np.trunc)
_rounded = _keeping("round", _round)


def round_(x: Any, digits: Any = None) -> Any:
    """Rounded, halves away from zero; to a number of decimals where that is given."""
    if digits is None:
        return _rounded(x)
    return divide(_rounded(times(x, 10.0 ** whole(digits))), 10.0 ** whole(digits))


def _modulo(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y == 0, x, np.mod(x, y))


mod = named("mod", "The remainder with b's sign; of 0 a.", lambda a, b: wrap(computed(_modulo, a, b)))
rem = named("rem", "The remainder with a's sign; of 0 NaN.", lambda a, b: wrap(computed(np.fmod, a, b)))
atan2 = named("atan2", "The angle of the points (b, a).", lambda a, b: wrap(computed(np.arctan2, a, b)))
hypot = named("hypot", "sqrt(a.^2 + b.^2).", lambda a, b: wrap(computed(np.hypot, a, b)))
xor = named("xor", "Whether exactly one of two is other than 0.", lambda a, b: ne(not_(a), not_(b)))


def idivide(a: Any, b: Any, how: str = "fix") -> Any:
    """Division of integer classes, rounded as `how` says."""
    kinds = [as_np(v).dtype for v in (a, b) if as_np(v).dtype.kind in "iu"]
    if not kinds:
        raise refuse("idivide: at least one argument must be an integer class")
    rules: dict[str, Any] = {"fix": np.trunc, "floor": np.floor, "ceil": np.ceil, "round": _round}
    x, y = (Array(as_np(v).astype(np.float64)) for v in (a, b))
    return wrap(cast(rules[how](computed(np.divide, x, y)), kinds[0]))


def isnan(x: Any) -> Any:
    """Which elements are NaN."""
    return False if isinstance(x, Cell | Struct) else element_function(np.isnan, x)


isinf = named("isinf", "Which elements are infinite.", lambda x: element_function(np.isinf, x))
isfinite = named("isfinite", "Which elements are finite.", lambda x: element_function(np.isfinite, x))


def cast_(x: Any, name: str) -> Any:
    """The values in the class of this name."""
    return wrap(cast(as_np(x), CLASSES[name]))


def _converter(name: str) -> Any:
    return named(name, f"The values in the class {name}.", lambda x: cast_(x, name))


double, single, logical = map(_converter, ("double", "single", "logical"))
int8, int16, int32, int64 = map(_converter, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(_converter, ("uint8", "uint16", "uint32", "uint64"))
gather = gpuArray = named("gather", "The value itself: arrays are on the CPU.", lambda x: x)


def size(x: Any, *dimension: Any, nargout: int = 1) -> Any:
    """The sizes of all dimensions, or of one; of several outputs the last takes the product of the rest."""
    shape = shape_of(x)
    if dimension:
        places = [int(d) for d in as_np(dimension[0]).flat]
        found = [float(shape[d - 1]) if d <= len(shape) else 1.0 for d in places]
        return int(found[0]) if len(found) == 1 else Array([found])
    if nargout < 2:
        return Array([list(shape)])
    full = [*shape, *[1] * (nargout - len(shape))]
    return (*full[: nargout - 1], math.prod(full[nargout - 1 :]))


def end_of(x: Any, place: int, count: int) -> int:
    """What `end` means as index number `place` of `count`."""
    shape = (*shape_of(x), *(1,) * count)
    return math.prod(shape[place - 1 :]) if place == count else shape[place - 1]


def _side(x: Any, axis: int) -> bool:
    return len(shape_of(x)) == 2 and shape_of(x)[axis] == 1


def isa(x: Any, name: str) -> bool:
    """Whether a value is of a class, or of 'numeric', 'float' or 'integer'."""
    groups = {"numeric": isnumeric, "float": isfloat, "integer": isinteger}
    if name in groups:
        return bool(groups[name](x))
    return class_of(x) == name or name in (base.__name__ for base in type(x).__mro__)


numel = named("numel", "The number of elements.", lambda x: math.prod(shape_of(x)))
length = named("length", "The longest side, or 0.", lambda x: 0 if 0 in shape_of(x) else max(shape_of(x)))
ndims = named("ndims", "The number of dimensions, at least 2.", lambda x: len(shape_of(x)))
class_ = named("class_", "The name of a value's class.", lambda x: class_of(x))
isempty = named("isempty", "Whether a value has no elements.", lambda x: 0 in shape_of(x))
isscalar = named("isscalar", "Whether a value has one element.", lambda x: numel(x) == 1)
isrow = named("isrow", "Whether a value is one row.", lambda x: _side(x, 0))
iscolumn = named("iscolumn", "Whether a value is one column.", lambda x: _side(x, 1))
isvector = named(
    "isvector", "Whether it is a row or column.", lambda x: numel(x) > 0 and (isrow(x) or iscolumn(x))
)
ischar = named("ischar", "Whether a value is a string.", lambda x: isinstance(x, str))
iscell = named("iscell", "Whether a value is a cell array.", lambda x: isinstance(x, Cell))
iscellstr = named("iscellstr", "Whether all cells are strings.", lambda x: iscell(x) and all(map(ischar, x)))
isstruct = named("isstruct", "Whether it is a struct, or an array.", lambda x: class_of(x) == "struct")
islogical = named("islogical", "Whether a value is logical.", lambda x: class_of(x) == "logical")
isnumeric = named("isnumeric", "Whether it is numbers.", lambda x: class_of(x) in {*CLASSES} - {"logical"})
isreal = named("isreal", "Whether it has no imaginary part.", lambda x: class_of(x) in {*CLASSES, "char"})
isfloat = named("isfloat", "Whether it is double or single.", lambda x: class_of(x) in ("double", "single"))
isinteger = named("isinteger", "Whether a value is of an integer class.", lambda x: "int" in class_of(x))
