"""MATLAB's functions of structs, cell arrays and function handles, for migrated scripts."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from matlab_compat.language.functions import (
    isa,
    iscell,
    ischar,
    isempty,
    islogical,
    isreal,
    length,
    ndims,
    numel,
    several,
)
from matlab_compat.language.operators import joined, vertcat
from matlab_compat.language.values import (
    CLASSES,
    Array,
    Cell,
    Struct,
    StructArray,
    as_np,
    at,
    element_function,
    named,
    objects,
    refuse,
    shape_of,
    spread,
    wrap,
)


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
    found: list[Any] = []
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
    if not all(isinstance(value, Cell) for value in values):
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
