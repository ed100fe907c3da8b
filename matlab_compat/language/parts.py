"""Parts of MATLAB's values: value(…), value{…}, value.field, read and assigned; copies; loops."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError
from matlab_compat.language.classes import letters, mapped, objects
from matlab_compat.language.indexing import ALL, assign, folded, pick, refuse, remove, sides
from matlab_compat.language.values import (
    Array,
    Cell,
    Map,
    Several,
    Struct,
    StructArray,
    as_np,
    class_of,
    shape_of,
    spread,
    wrap,
)


def _key(keys: tuple[Any, ...]) -> Any:
    return keys[0] if len(keys) == 1 else keys


def at(value: Any, *key: Any) -> Any:
    """value(key) of an array, string, cell array, struct array, map or number; a function's call.

    >>> at("text", Array([1, 4])), at(7, 1)
    ('tt', 7.0)
    """
    if callable(value) and not isinstance(value, type):
        return value(*spread(key))
    if not key and isinstance(value, Array | Cell | Struct | StructArray | bool | int | float | str):
        return value
    if isinstance(value, Array | Map):
        return value[_key(key)]
    if isinstance(value, str):
        return letters(pick(as_np(value), _key(key)))
    if isinstance(value, Cell):
        return Cell.of(pick(value.data, _key(key)))
    if isinstance(value, Struct | StructArray):
        return _struct_of(pick(_elements(value), _key(key)), value)
    if isinstance(value, bool | int | float | np.generic):
        return wrap(pick(as_np(value), _key(key)))
    raise refuse(f"a {class_of(value)} cannot be indexed")


def _elements(value: Struct | StructArray) -> np.ndarray:
    return value.data if isinstance(value, StructArray) else objects([[value]])


def _fields(value: Struct | StructArray) -> tuple[str, ...]:
    return value.fields if isinstance(value, StructArray) else tuple(value)


def _struct_of(data: np.ndarray, like: Struct | StructArray) -> Any:
    return data.item() if data.size == 1 else StructArray(data, _fields(like))


def content(value: Any, *key: Any) -> Any:
    """value{key}. Raises ArgumentError where value is not a cell array."""
    if not isinstance(value, Cell):
        raise refuse(
            f"'{{' undefined for arguments of type '{class_of(value)}'; matrix cannot be indexed with {{"
        )
    return value[_key(key)]


def contents(value: Any, *key: Any) -> Several:
    """value{key} as a list of values, for [...], {...} and calls."""
    found = content(value, *key)
    return found if isinstance(found, Several) else Several((found,))


def one(value: Any) -> Any:
    """A value to be assigned. Raises ArgumentError for a list of other than one value."""
    if isinstance(value, Several) and len(value) != 1:
        raise refuse(f"one value is needed; found a list of {len(value)}")
    return value[0] if isinstance(value, Several) else value


def field(value: Any, name: str) -> Any:
    """value.(name)."""
    return getattr(value, name)


def put(value: Any, new: Any, *path: Any) -> Any:
    """The variable after an assignment to a part of it: put(x, 3, (2,)) is x(2)= 3.

    path: one step for each level: a string is a field, a tuple an index (…), a list an index {…}. value: None
    where the variable does not exist yet. What is an array, cell array or struct is changed in place.
    """
    step, rest = path[0], path[1:]
    absent = value is None or (isinstance(value, Array) and value.data.size == 0)
    if isinstance(step, str):
        return _put_field(Struct() if absent else value, new, step, rest)
    key = _key(tuple(step))
    if isinstance(step, list):
        value = Cell() if absent else value
        if not isinstance(value, Cell):
            raise refuse(f"matrix cannot be indexed with {{; a {class_of(value)} is not a cell array")
        value[key] = put(_own(_there(value, key)), new, *rest) if rest else new
        return value
    if isinstance(value, Map):
        if rest:
            raise refuse("only one level of indexing is supported by a containers.Map")
        value[key] = new
        return value
    if rest:
        old = StructArray() if absent else value
        if not isinstance(rest[0], str) or not isinstance(old, Struct | StructArray):
            raise refuse(f"an element of a {class_of(value)} has no parts")
        return _with_element(old, key, put(_own(_there(old, key)), new, *rest))
    return _put_at(StructArray() if absent and isinstance(new, Struct) else value, new, key)


def _put_field(value: Any, new: Any, name: str, rest: tuple[Any, ...]) -> Any:
    if isinstance(value, StructArray | Array | Cell | str | float | int):
        raise refuse(f"a {class_of(value)} of size {sides(shape_of(value))} has no single field {name}")
    old = (value.get(name) if isinstance(value, Struct) else getattr(value, name)) if rest else None
    setattr(value, name, put(_own(old), new, *rest) if rest else new)
    return value


def _put_at(value: Any, new: Any, key: Any) -> Any:
    empty = value is None or (isinstance(value, Array) and value.data.shape == (0, 0))
    if isinstance(value, Struct | StructArray):
        if not isinstance(new, Struct):
            raise refuse(f"a {class_of(new)} cannot be an element of a struct array")
        return _with_element(value, key, new)
    if isinstance(value, Cell) or (empty and isinstance(new, Cell)):
        value = value if isinstance(value, Cell) else Cell()
        box = new.data if isinstance(new, Cell) else objects([[new]])
        value.data = assign(value.data.copy(), key, box, Array)
        return value
    if isinstance(value, str) or (empty and isinstance(new, str)):
        return letters(assign(as_np(value or "").copy(), key, as_np(new)))
    if isinstance(new, Cell | Struct | StructArray) or callable(new):
        raise refuse(f"a {class_of(new)} cannot be an element of a {class_of(value)} array")
    changed = value if isinstance(value, Array) else Array(as_np(value))
    changed[key] = new
    return changed


def _with_element(value: Struct | StructArray, key: Any, new: Struct) -> Any:
    data = _elements(value)
    fields = tuple(dict.fromkeys((*_fields(value), *new)))
    for item in data.flat:  # s(2).new = 3 adds the field to all
        for name in fields:
            item.setdefault(name, Array())
    ordered = Struct({name: new.get(name, Array()) for name in fields})
    grown = assign(data.copy(), key, objects([[ordered]]), lambda: Struct({name: Array() for name in fields}))
    return grown.item() if grown.size == 1 else StructArray(grown, fields)


def _there(value: Any, key: Any) -> Any:
    data = value.data if isinstance(value, Cell) else _elements(value)
    try:
        found = pick(data, key)
    except ArgumentError:
        return None
    return found.item() if found.size == 1 else None


def without(value: Any, *key: Any) -> Any:
    """The variable after x(key)= []."""
    if isinstance(value, str):
        return letters(remove(as_np(value), _key(key)))
    if isinstance(value, Struct | StructArray):
        return _struct_of(remove(_elements(value), _key(key)), value)
    changed = value if isinstance(value, Array | Cell) else Array(as_np(value))
    del changed[_key(key)]
    return changed


def _own(value: Any) -> Any:
    """The value with parts that may be changed without changing another variable's."""
    if isinstance(value, Array):
        return value.copy()
    if isinstance(value, Cell):
        return Cell.of(value.data.copy())
    return (
        Struct(value)
        if isinstance(value, Struct)
        else copy.copy(value)
        if isinstance(value, StructArray)
        else value
    )


def copied(value: Any) -> Any:
    """A value of its own: what changes it does not change the other. Objects are shared as in MATLAB."""
    if isinstance(value, Array):
        return value.copy()
    if isinstance(value, Struct):
        return Struct({name: copied(item) for name, item in value.items()})
    if isinstance(value, Cell | StructArray):
        made: Any = copy.copy(value)
        made.data = mapped(copied, value.data)
        return made
    return value


def columns(value: Any) -> Iterator[Any]:
    """What a `for` loop runs over: columns of an array, cell array or struct array; letters."""
    count = math.prod(shape_of(value)[1:]) if 0 not in shape_of(value) else 0
    if isinstance(value, Array):
        seen = folded(value.data, 2)
        return (wrap(seen[:, [i]]) for i in range(count))
    if isinstance(value, Cell | StructArray):
        return (at(value, ALL, i + 1) for i in range(count))
    return iter(value) if isinstance(value, str) else iter([value])
