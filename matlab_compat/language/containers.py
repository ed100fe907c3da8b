"""MATLAB's functions of structs, cell arrays, maps and function handles, for migrated scripts."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from matlab_compat.language import functions
from matlab_compat.language.classes import mapped, objects
from matlab_compat.language.definitions import element_function, named
from matlab_compat.language.functions import numel, several
from matlab_compat.language.indexing import refuse
from matlab_compat.language.operators import joined
from matlab_compat.language.parts import at
from matlab_compat.language.values import Array, Cell, Map, Struct, StructArray, as_np, shape_of, spread, wrap


def struct(*arguments: Any) -> Any:
    """A struct of names and values; a cell array as a value makes a struct array."""
    names, values = arguments[::2], arguments[1::2]
    shape = next((v.shape for v in values if isinstance(v, Cell) and v.data.size != 1), None)

    def made(place: tuple[int, ...]) -> Struct:
        each = (
            v.data[place if v.data.size != 1 else (0,) * v.data.ndim] if isinstance(v, Cell) else v
            for v in values
        )
        return Struct(zip(names, each, strict=True))

    if shape is None:
        return made(())
    data = np.empty(shape, object)
    for place in np.ndindex(*shape):
        data[place] = made(place)
    return StructArray(data, tuple(names))


def _fields(x: Any) -> Any:
    return x.fields if isinstance(x, StructArray) else x if isinstance(x, Mapping) else ()


def fieldnames(x: Any) -> Cell:
    """The names of a struct's fields, a column of cells."""
    return Cell.of(objects([[name] for name in _fields(x)]).reshape(-1, 1))


def isfield(x: Any, name: Any) -> Any:
    """Whether a struct has a field; a logical for each name of a cell array."""
    if isinstance(name, Cell):
        return wrap(np.array([item in _fields(x) for item in name], bool).reshape(name.shape))
    return name in _fields(x)


def isprop(x: Any, name: str) -> bool:
    """Whether an object has a property."""
    return not isinstance(x, Mapping) and hasattr(x, name)


def ismethod(x: Any, name: str) -> bool:
    """Whether an object has a method."""
    return not isinstance(x, Mapping) and callable(getattr(x, name, None))


def rmfield(x: Any, names: Any) -> Any:
    """The struct or struct array without a field, or several."""
    gone = list(names) if isinstance(names, Cell) else [names]
    if missing := [name for name in gone if name not in _fields(x)]:
        raise refuse(f"the structure has no field {missing[0]}")

    def left(item: Struct) -> Struct:
        return Struct({name: value for name, value in item.items() if name not in gone})

    if isinstance(x, StructArray):
        return StructArray(mapped(left, x.data), tuple(name for name in x.fields if name not in gone))
    return left(x)


setfield = named("setfield", "With a field changed.", lambda x, name, value: Struct({**x, name: value}))
getfield = named("getfield", "The field of this name.", lambda x, name: getattr(x, name))
struct2cell = named("struct2cell", "All values.", lambda x: Cell.of(objects([[v] for v in x.values()])))
keys = named("keys", "The keys of a map, sorted: a row of cells.", lambda x: x.keys)
remove = named("remove", "The map without a key, or those of a cell array.", lambda x, which: x.remove(which))


def values_(x: Map, wanted: Any = None) -> Cell:
    """The values of a map, in the order of its keys, or of these keys: a row of cells."""
    return x.values if wanted is None else Cell.of(mapped(x.__getitem__, wanted.data))


def isKey(x: Map, key: Any) -> Any:
    """Whether a map has a key; a logical for each of a cell array."""
    return x.isKey(key)


def num2cell(x: Any) -> Cell:
    """A cell for every element."""
    return Cell.of(mapped(lambda value: wrap(value.reshape(1, 1)), as_np(x)))


def cell2mat(x: Cell) -> Any:
    """The arrays of a cell array joined to one."""
    return joined(0, [joined(1, list(row)) for row in x.data]) if x.data.size else Array()


def deal(*values: Any, nargout: int = 1) -> Any:
    """The values one by one, or one value for all."""
    found = list(spread(values)) if len(values) != 1 else list(values) * max(1, nargout)
    if len(found) != max(1, nargout):
        raise refuse("deal: nargin > 1 and nargin != nargout")
    return tuple(found) if nargout > 1 else found[0]


def isequal(*values: Any) -> bool:
    """Whether values have the same sizes and elements."""
    return all(_same(values[0], other) for other in values[1:])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Struct) and isinstance(b, Struct):
        return set(a) == set(b) and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, Cell | StructArray) and isinstance(b, type(a)):
        return a.shape == b.shape and all(map(_same, a.data.flat, b.data.flat))
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
    given, uniform = list(spread(arguments)), True
    while len(given) >= 2 and isinstance(given[-2], str):
        if given[-2].lower() == "errorhandler":
            raise refuse("cellfun's ErrorHandler")
        if given[-2].lower() != "uniformoutput":
            break
        uniform = bool(given[-1])
        del given[-2:]
    return given, uniform


def _mapped(
    function: Any, lists: list[Any], shapes: list[tuple[int, ...]], uniform: bool, nargout: int
) -> Any:
    if len(set(shapes)) > 1:
        raise refuse("all the input arguments must have the same size and shape")
    results = [several(function, nargout, *items) for items in zip(*lists, strict=True)]
    made = _uniform if uniform else lambda each, shape: Cell.of(objects([each]).reshape(shape, order="F"))
    found = [made([result[place] for result in results], shapes[0]) for place in range(nargout)]
    return tuple(found) if nargout > 1 else found[0]


def _uniform(each: list[Any], shape: tuple[int, ...]) -> Any:
    data = [as_np(value) for value in each]
    if any(value.size != 1 for value in data):
        raise refuse("all values must be scalars when UniformOutput = true; use 'UniformOutput', false")
    if any(isinstance(value, str) for value in each):
        return "".join(each)
    kinds = {value.dtype for value in data}
    if len(kinds) > 1:
        raise refuse("the class of the results changes: use 'UniformOutput', false")
    return wrap(np.array([value.item() for value in data], *kinds).reshape(shape, order="F"))


_BY_NAME = ("isempty", "length", "numel", "ndims", "isclass", "isreal", "islogical", "ischar", "iscell")


def cellfun(function: Any, *arguments: Any, nargout: int = 1) -> Any:
    """A function of the contents of each cell; an array, or with 'UniformOutput', false a cell array."""
    given, uniform = _options(arguments)
    if isinstance(function, str):
        if function not in _BY_NAME:
            raise refuse(f"cellfun by the name {function!r}: give a handle, @{function}")
        function = functions.isa if function == "isclass" else getattr(functions, function)
    if not all(isinstance(value, Cell) for value in given):
        raise refuse("cellfun: all the input arguments must be cell arrays")
    return _mapped(function, list(map(list, given)), [value.shape for value in given], uniform, nargout)


def arrayfun(function: Any, *arguments: Any, nargout: int = 1) -> Any:
    """A function of each element; an array, or with 'UniformOutput', false a cell array."""
    given, uniform = _options(arguments)
    lists = [[at(value, place + 1) for place in range(numel(value))] for value in given]
    return _mapped(function, lists, [shape_of(value) for value in given], uniform, nargout)


_STARTED = [time.perf_counter()]


def tic(nargout: int = 0) -> float:
    """Starts the clock that toc reads."""
    _STARTED[0] = time.perf_counter()
    return _STARTED[0]


def toc(since: Any = None) -> float:
    """Seconds since tic."""
    return time.perf_counter() - (_STARTED[0] if since is None else float(since))


def eps(x: Any = 1.0) -> Any:
    """The distance to the next larger number."""
    return element_function(lambda data: np.spacing(np.abs(data)), x)
