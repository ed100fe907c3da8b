"""MATLAB's values for migrated scripts: arrays, cell arrays, structs, and how their parts are read and
assigned.

A number is a Python float or int, a logical a bool, a string a str, a function handle a callable;
everything else
of MATLAB is here. Indices count from 1, arrays have at least two dimensions and are ordered by columns, and
assigning past the end makes them grow.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError

CLASSES = {"double": np.float64, "single": np.float32, "logical": np.bool_} | {
    f"{sign}int{bits}": getattr(np, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_NAMES = {np.dtype(kind): name for name, kind in CLASSES.items()}
ALL = slice(None)  # the index `:`


def refuse(what: str) -> ArgumentError:
    """The error for what MATLAB refuses too, or has no counterpart here."""
    return ArgumentError(what)


def named(name: str, doc: str, function: Any) -> Any:
    """A function of one expression with its name and documentation."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


class Array:
    """An array of MATLAB: at least two dimensions, indices from 1, operators element by element; `@` is `*`.

    A list is a row, a list of lists a matrix. `x[2]`, `x[1, :]` read, `x[4] = 1` grows, `del x[2]` removes;
    `.data`
    is the NumPy array. Raises ArgumentError for indices that are not there and shapes that do not fit.

    >>> x = Array([1, 2, 3]); x[5] = 9; x
    Array([[1.0, 2.0, 3.0, 0.0, 9.0]])
    """

    __array_ufunc__ = None  # NumPy leaves the operators to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Any = ((),), dtype: Any = None) -> None:
        if isinstance(values, np.ndarray):
            data = values
        else:
            if isinstance(values, list) and values and not isinstance(values[0], list | tuple):
                values = [values]
            data = np.array([[_plain(item) for item in row] for row in values])
            data = data.astype(np.float64) if data.dtype.kind in "iu" else data
            data = data.reshape(0, 0) if data.size == 0 else data
        if data.dtype.kind not in "biuf":
            raise refuse(
                f"an array of numbers is needed; found {data.dtype} (complex numbers are not migrated)"
            )
        self.data = trimmed(data if dtype is None else data.astype(dtype))
        self._own = False  # whether the memory is this object's alone

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all dimensions."""
        return self.data.shape

    @property
    def T(self) -> "Array":
        """The transposed matrix."""
        if self.data.ndim > 2:
            raise refuse("transpose of an array of more than two dimensions")
        return Array(self.data.T)

    def copy(self) -> "Array":
        """The same values; memory is copied when one of the two is changed."""
        self._own = False
        return Array(self.data)

    def __getitem__(self, key: Any) -> Any:
        return wrap(pick(self.data, key))

    def __setitem__(self, key: Any, value: Any) -> None:
        new = as_np(value)
        if self.data.shape == (0, 0) and self.data.dtype == np.float64 and new.dtype != np.bool_:
            self.data = self.data.astype(new.dtype)
        if not self._own:
            self.data, self._own = self.data.copy(), True
        if self.data.dtype == np.bool_ and np.any((new != 0) & (new != 1)):
            raise refuse(
                "a number other than 0 and 1 in a logical array is true in MATLAB: use double(…) before"
            )
        self.data = assign(self.data, key, cast(new, self.data.dtype), 0)

    def __delitem__(self, key: Any) -> None:
        self.data, self._own = remove(self.data, key), True

    def __iter__(self) -> Iterator[Any]:
        return (wrap(item.reshape(1, 1)) for item in self.data.ravel(order="F"))

    def __len__(self) -> int:
        return 0 if 0 in self.shape else max(self.shape)

    def __bool__(self) -> bool:
        return self.data.size > 0 and bool(np.all(self.data != 0))

    def __float__(self) -> float:
        return float(only(self.data))

    def __int__(self) -> int:
        return int(only(self.data))

    def __index__(self) -> int:
        return whole(only(self.data))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype)

    def __repr__(self) -> str:
        return f"Array({self.data.tolist()})" if self.data.size < 50 else f"Array of shape {self.shape}"


class Several(tuple[Any, ...]):
    """What s.field of a struct array gives, or c{:}: a list of values, for [...], {...} and calls."""


class Cell:
    """A cell array. `c[2]` is what MATLAB writes c{2}, `at(c, 2)` is c(2); `*c` are all its values, by
    columns.

    Made of the values of one row. Raises ArgumentError as Array does.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *values: Any) -> None:
        self.data = objects([list(spread(values))]) if values else np.empty((0, 0), object)

    @staticmethod
    def of(data: np.ndarray) -> "Cell":
        """The cell array with these contents, an object array."""
        made = Cell()
        made.data = data
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all dimensions."""
        return self.data.shape

    @property
    def T(self) -> "Cell":
        """The transposed cell array."""
        return Cell.of(self.data.T)

    def __getitem__(self, key: Any) -> Any:
        found = pick(self.data, key)
        return found.item() if found.size == 1 else Several(found.ravel(order="F"))

    def __setitem__(self, key: Any, value: Any) -> None:
        box = np.empty((1, 1), object)
        box[0, 0] = value
        self.data = assign(self.data.copy(), key, box, Array)

    def __delitem__(self, key: Any) -> None:
        self.data = remove(self.data, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data.ravel(order="F"))

    def __len__(self) -> int:
        return 0 if 0 in self.shape else max(self.shape)

    def __repr__(self) -> str:
        return f"Cell{tuple(self)!r}"


class Struct(dict[str, Any]):
    """A struct: fields as attributes and as keys. A field hides a dict's method of the same name."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and dict.__contains__(self, name):
            return dict.__getitem__(self, name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the struct has no field {name!r}; it has {', '.join(self) or 'none'}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class StructArray:
    """A struct array of other than one element. `s.field` gives the values of all, see Several."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: np.ndarray | None = None, fields: tuple[str, ...] = ()) -> None:
        self.data = np.empty((0, 0), object) if data is None else data
        self.fields = tuple(self.data.flat[0]) if self.data.size else fields

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all dimensions."""
        return self.data.shape

    @property
    def T(self) -> "StructArray":
        """The transposed struct array."""
        return StructArray(self.data.T, self.fields)

    def __getattr__(self, name: str) -> Several:
        fields = self.__dict__.get("fields", ())
        if name not in fields:
            raise AttributeError(f"the struct array has no field {name!r}; it has {', '.join(fields)}")
        return Several(item[name] for item in self.data.ravel(order="F"))

    def __len__(self) -> int:
        return 0 if 0 in self.shape else max(self.shape)


def objects(rows: list[list[Any]]) -> np.ndarray:
    """An object array with these rows; a list of values stays one value."""
    data = np.empty((len(rows), len(rows[0]) if rows else 0), object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            data[i, j] = value
    return data


def spread(values: Any) -> Iterator[Any]:
    """The values, those of Severals one by one."""
    for value in values:
        if isinstance(value, Several):
            yield from value
        else:
            yield value


def trimmed(data: np.ndarray) -> np.ndarray:
    """The array with at least two dimensions, and no last ones of size 1 beyond these."""
    data = data.reshape(1, -1) if data.ndim < 2 else data
    while data.ndim > 2 and data.shape[-1] == 1:
        data = data[..., 0]
    return data


def wrap(data: np.ndarray) -> Any:
    """An array as scripts hold it: one double is a float, one logical a bool."""
    if data.size == 1 and data.dtype in (np.float64, np.bool_):
        return data.item()
    return Array(data)


def _plain(value: Any) -> Any:
    return only(value.data) if isinstance(value, Array) else value


def only(data: np.ndarray) -> Any:
    """The one element. Raises ArgumentError where there are more or none."""
    if data.size != 1:
        raise refuse(f"one number is needed; found an array of size {sides(data.shape)}")
    return data.item()


def whole(value: Any) -> int:
    """A number that is an integer, as int. Raises ArgumentError for others."""
    number = value if isinstance(value, int | float) else only(as_np(value))
    if number != number or abs(number) == math.inf or number != int(number):
        raise refuse(f"an integer is needed; got {number}")
    return int(number)


def sides(shape: tuple[int, ...]) -> str:
    """A size as MATLAB writes it: 2x3."""
    return "x".join(map(str, shape))


def as_np(value: Any) -> np.ndarray:
    """The NumPy array of a number, logical, string (its character codes) or array; of `None` an empty one."""
    if isinstance(value, Array):
        return value.data
    if isinstance(value, str):
        return np.array([[ord(c) for c in value]], np.float64) if value else np.zeros((0, 0))
    if isinstance(value, bool | np.bool_):
        return np.array([[bool(value)]])
    if isinstance(value, int | float | np.number) and not isinstance(value, complex):
        return np.array([[value]], getattr(value, "dtype", np.float64))
    if value is None:
        return np.zeros((0, 0))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return trimmed(value)
    raise refuse(f"numbers are needed here; found a {class_of(value)}")


def class_of(value: Any) -> str:
    """MATLAB's class of a value."""
    if isinstance(value, str):
        return "char"
    if isinstance(value, Cell | Several):
        return "cell"
    if isinstance(value, Mapping | StructArray):
        return "struct"
    if isinstance(value, Array | np.ndarray | bool | int | float | np.generic) or value is None:
        return _NAMES[as_np(value).dtype]
    return "function_handle" if callable(value) and not hasattr(value, "layers") else type(value).__name__


def shape_of(value: Any) -> tuple[int, ...]:
    """The sizes of a value's dimensions; those of a string are 1 x its length, or 0 x 0."""
    if isinstance(value, str):
        return (1, len(value)) if value else (0, 0)
    if isinstance(value, Several):
        raise refuse(f"one value is needed; found a list of {len(value)}")
    if isinstance(value, Array | Cell | StructArray):
        return value.shape
    return (0, 0) if value is None else trimmed(value).shape if isinstance(value, np.ndarray) else (1, 1)


def cast(data: np.ndarray, dtype: Any) -> np.ndarray:
    """The array in another class: integers are rounded (halves away from zero) and saturate, NaN is 0
    there."""
    target = np.dtype(dtype)
    if target.kind in "iu" and data.dtype != target:
        info = np.iinfo(target)
        if data.dtype.kind == "f":
            data = np.nan_to_num(
                np.trunc(data + np.copysign(0.5, data)), nan=0, posinf=info.max, neginf=info.min
            )
            low, high = data <= info.min, data >= info.max
            out = np.where(low | high, 0, data).astype(target)
            return np.where(low, info.min, np.where(high, info.max, out)).astype(target)
        return np.clip(data.astype(np.int64) if data.dtype != np.uint64 else data, info.min, info.max).astype(
            target
        )
    if target.kind == "b" and data.dtype.kind == "f" and np.isnan(data).any():
        raise refuse("NaN is neither true nor false")
    return data.astype(target, copy=False)


def _positions(index: Any, size: int) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """Positions from 0, and the shape of the index, None for `:`."""
    if isinstance(index, slice) or (isinstance(index, str) and index == ":"):
        return np.arange(size), None
    data = as_np(index)
    if data.dtype.kind == "b":
        found = np.flatnonzero(data.ravel(order="F"))
        return found, (1, len(found)) if data.shape[0] == 1 and data.ndim == 2 else (len(found), 1)
    flat = data.ravel(order="F")
    if np.any(flat != np.floor(flat)) or np.any(flat < 1):
        wrong = flat[(flat != np.floor(flat)) | (flat < 1)][0]
        raise refuse(
            f"index ({wrong:g}): out of bound; value {wrong:g} out of bound {size}; indices are 1, 2, 3 …"
        )
    return flat.astype(np.int64) - 1, data.shape


def _inside(found: np.ndarray, size: int) -> np.ndarray:
    if found.size and found.max() >= size:
        raise refuse(f"index ({found.max() + 1}): out of bound {size}")
    return found


def _folded(data: np.ndarray, count: int) -> np.ndarray:
    """The array seen with this number of dimensions."""
    shape = (*data.shape, *(1,) * (count - data.ndim))
    return data.reshape((*shape[: count - 1], math.prod(shape[count - 1 :])), order="F")


def pick(data: np.ndarray, key: Any) -> np.ndarray:
    """data(key), of MATLAB's shape. key: one index, or a tuple of several."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1:
        found, shape = _positions(keys[0], data.size)
        flat = data.ravel(order="F")
        if shape is None:
            return flat.reshape(-1, 1)
        taken = flat[_inside(found, data.size)]
        if data.ndim == 2 and 1 in data.shape and data.size != 1 and len(shape) == 2 and 1 in shape:
            shape = (1, -1) if data.shape[0] == 1 else (-1, 1)
        return taken.reshape(shape, order="F")
    seen = _folded(data, len(keys))
    found_each = [_inside(_positions(k, n)[0], n) for k, n in zip(keys, seen.shape, strict=True)]
    return trimmed(seen[np.ix_(*found_each)])


def _grown(data: np.ndarray, shape: tuple[int, ...], fill: Any) -> np.ndarray:
    larger = np.zeros(shape, data.dtype) if data.dtype != object else np.empty(shape, object)
    if data.dtype == object:
        for place in np.ndindex(*shape):
            larger[place] = fill()
    larger[tuple(slice(n) for n in data.shape)] = data
    return larger


def assign(data: np.ndarray, key: Any, value: np.ndarray, fill: Any) -> np.ndarray:
    """data(key) = value, in place where it need not grow; fill: makes the elements that growth adds to
    cells."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1:
        found, shape = _positions(keys[0], data.size)
        if value.size not in (1, found.size):
            raise refuse(
                f"A(I) = X: X must have the same size as I; {found.size} places, {value.size} values"
            )
        last = int(found.max()) + 1 if found.size else 0
        if last > data.size:
            if data.ndim > 2 or (1 not in data.shape and data.size):
                raise refuse(f"index ({last}): out of bound {data.size}: a matrix cannot grow by one index")
            column = data.ndim == 2 and data.shape[1] == 1 and data.shape[0] > 1
            data = _grown(data if data.size else data.reshape(0, 0), (last, 1) if column else (1, last), fill)
        data[np.unravel_index(found, data.shape, order="F")] = value.ravel(order="F")
        return data
    whole_shape = (*data.shape, *(1,) * (len(keys) - data.ndim))
    if len(keys) < data.ndim:
        seen = _folded(data, len(keys))  # a copy, where memory is not by columns
        seen = assign(np.array(seen), key, value, fill)
        if seen.size != data.size:
            raise refuse("an array of more dimensions than indices cannot grow")
        return seen.reshape(data.shape, order="F")
    given = [n for n in value.shape if n != 1]
    found_each = []
    for place, (index, size) in enumerate(zip(keys, whole_shape, strict=True)):
        found, shape = _positions(index, size)
        if shape is None and data.size == 0 and size == 0 and value.size:  # x = []; x(:, 1) = column
            is_last = len(keys) == 2 and value.ndim == 2
            found = np.arange(value.shape[place] if is_last else (given.pop(0) if given else 1))
        found_each.append(found)
    counts = tuple(len(found) for found in found_each)
    if value.size != 1 and [n for n in counts if n != 1] != [n for n in value.shape if n != 1]:
        raise refuse(
            f"A(I,J,...) = X: dimensions mismatch: {sides(counts)} places, {sides(value.shape)} values"
        )
    need = tuple(
        max(size, int(found.max()) + 1 if len(found) else 0)
        for size, found in zip(whole_shape, found_each, strict=True)
    )
    if need != whole_shape and value.size:
        data = _grown(data.reshape(whole_shape), need, fill)
    elif data.ndim < len(keys):
        data = data.reshape(whole_shape)
    data[np.ix_(*found_each)] = value.item() if value.size == 1 else value.reshape(counts, order="F")
    return trimmed(data)


def remove(data: np.ndarray, key: Any) -> np.ndarray:
    """data(key) = []: without these elements, rows or columns."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1:
        found = _inside(_positions(keys[0], data.size)[0], data.size)
        if found.size == 0:
            return data
        left = np.delete(data.ravel(order="F"), found)
        if isinstance(keys[0], slice):
            return data[:0, :0]
        if data.ndim > 2 or 1 not in data.shape:
            raise refuse("a null assignment can have only one non-colon index")
        return left.reshape((-1, 1) if data.shape[1] == 1 and data.shape[0] != 1 else (1, -1))
    seen = _folded(data, len(keys))
    found_each = [_inside(_positions(k, n)[0], n) for k, n in zip(keys, seen.shape, strict=True)]
    partial = [a for a, n in enumerate(seen.shape) if len(np.unique(found_each[a])) < n]
    if len(partial) > 1:
        raise refuse("a null assignment can have only one non-colon index")
    colons = [a for a, k in enumerate(keys) if isinstance(k, slice)]
    axis = partial[0] if partial else next((a for a in range(len(keys)) if a not in colons), 0)
    return trimmed(np.delete(seen, found_each[axis], axis=axis))


def at(value: Any, *key: Any) -> Any:
    """value(key): of an array, string, cell array (a cell array), struct array or number; a call of a
    function.

    >>> at("text", Array([1, 4])), at(7, 1)
    ('tt', 7.0)
    """
    where = key[0] if len(key) == 1 else key
    if isinstance(value, Array):
        return value[where] if key else value
    if isinstance(value, str):
        found = pick(as_np(value), where) if key else as_np(value)
        if found.shape[0] != 1 and found.size > 1:
            raise refuse("a column of characters: strings are rows here")
        return "".join(chr(int(code)) for code in found.flat)
    if isinstance(value, Cell):
        return Cell.of(pick(value.data, where)) if key else value
    if isinstance(value, Struct | StructArray):
        return _struct_of(pick(_elements(value), where), value) if key else value
    if callable(value) and not isinstance(value, type):
        return value(*spread(key))
    if isinstance(value, bool | int | float | np.generic):
        return wrap(pick(as_np(value), where)) if key else value
    raise refuse(f"a {class_of(value)} cannot be indexed")


def _elements(value: Struct | StructArray) -> np.ndarray:
    return value.data if isinstance(value, StructArray) else objects([[value]])


def _struct_of(data: np.ndarray, like: Struct | StructArray) -> Any:
    fields = like.fields if isinstance(like, StructArray) else tuple(like)
    return data.item() if data.size == 1 else StructArray(data, fields)


def content(value: Any, *key: Any) -> Any:
    """value{key}. Raises ArgumentError where value is not a cell array."""
    if not isinstance(value, Cell):
        raise refuse(
            f"'{{' undefined for arguments of type '{class_of(value)}'; matrix cannot be indexed with {{"
        )
    return value[key[0] if len(key) == 1 else key]


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
        if absent:
            value = Struct()
        if isinstance(value, StructArray) or (
            not isinstance(value, Struct) and isinstance(value, Array | Cell | str | float | int)
        ):
            raise refuse(f"a {class_of(value)} of size {sides(shape_of(value))} has no single field {step}")
        old = (value.get(step) if isinstance(value, Struct) else getattr(value, step)) if rest else None
        new = put(_own(old), new, *rest) if rest else new
        if isinstance(value, Struct):
            value[step] = new
        else:
            setattr(value, step, new)
        return value
    key = step[0] if len(step) == 1 else tuple(step)
    if isinstance(step, list):
        if absent:
            value = Cell()
        if not isinstance(value, Cell):
            raise refuse(f"matrix cannot be indexed with {{; a {class_of(value)} is not a cell array")
        value[key] = put(_own(_there(value, key)), new, *rest) if rest else new
        return value
    if rest:
        old = StructArray() if absent else value
        if not isinstance(rest[0], str) or not isinstance(old, Struct | StructArray):
            raise refuse(f"an element of a {class_of(value)} has no parts")
        new = put(_own(_there(old, key)), new, *rest)
        return _with_element(old, key, new)
    return _put_at(StructArray() if absent and isinstance(new, Struct) else value, new, key)


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
        found = assign(as_np(value or "").copy(), key, as_np(new), 0)
        return "".join(chr(int(code)) for code in found.flat)
    if isinstance(new, Cell | Struct | StructArray) or callable(new):
        raise refuse(f"a {class_of(new)} cannot be an element of a {class_of(value)} array")
    changed = value if isinstance(value, Array) else Array(as_np(value))
    changed[key] = new
    return changed


def _with_element(value: Struct | StructArray, key: Any, new: Struct) -> Any:
    fields = value.fields if isinstance(value, StructArray) else tuple(value)
    data = _elements(value)
    if data.size and set(fields) != set(new):
        for item in data.flat:  # s(2).new = 3 adds the field to all
            for name in new:
                if name not in item:
                    item[name] = Array()
        fields = tuple(data.flat[0])
    ordered = Struct(
        {name: new.get(name, Array()) for name in (*fields, *(n for n in new if n not in fields))}
    )
    grown = assign(
        data.copy(), key, objects([[ordered]]), lambda: Struct({name: Array() for name in ordered})
    )
    return grown.item() if grown.size == 1 else StructArray(grown, tuple(ordered))


def _there(value: Any, key: Any) -> Any:
    data = value.data if isinstance(value, Cell) else _elements(value)
    try:
        found = pick(data, key)
    except ArgumentError:
        return None
    return found.item() if found.size == 1 else None


def without(value: Any, *key: Any) -> Any:
    """The variable after x(key)= []."""
    where = key[0] if len(key) == 1 else key
    if isinstance(value, str):
        return "".join(chr(int(code)) for code in remove(as_np(value), where).flat)
    if isinstance(value, Struct | StructArray):
        return _struct_of(remove(_elements(value), where), value)
    changed = value if isinstance(value, Array | Cell) else Array(as_np(value))
    del changed[where]
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
    """A value of its own: what changes it does not change the other. Objects are shared, as MATLAB's
    handles are."""
    if isinstance(value, Array):
        return value.copy()
    if isinstance(value, Struct):
        return Struct({name: copied(item) for name, item in value.items()})
    if isinstance(value, Cell | StructArray):
        made: Any = copy.copy(value)
        made.data = np.empty(value.data.shape, object)
        for place in np.ndindex(*value.data.shape):
            made.data[place] = copied(value.data[place])
        return made
    return value


def columns(value: Any) -> Iterator[Any]:
    """What a `for` loop runs over: the columns of an array, cell array or struct array, letters of a
    string."""
    count = math.prod(shape_of(value)[1:]) if 0 not in shape_of(value) else 0
    if isinstance(value, Array):
        seen = _folded(value.data, 2)
        return (wrap(seen[:, [i]]) for i in range(count))
    if isinstance(value, Cell | StructArray):
        return (at(value, ALL, i + 1) for i in range(count))
    return iter(value) if isinstance(value, str) else iter([value])


def element_function(function: Callable[..., Any], *values: Any) -> Any:
    """function of NumPy arrays, element by element, on MATLAB's values; the class of the result is the
    function's."""
    with np.errstate(all="ignore"):
        return wrap(trimmed(np.asarray(function(*(as_np(value) for value in values)))))


def axis_of(data: np.ndarray, dimension: Any) -> int:
    """The axis of a dimension (from 1), or of the first one of other than one element."""
    if dimension is not None:
        return whole(dimension) - 1
    return next((i for i, n in enumerate(data.shape) if n != 1), 0)
