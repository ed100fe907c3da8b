"""MATLAB's values for migrated scripts: arrays, cell arrays, structs.

A number is a Python float or int, a logical a bool, a string a str, a function handle a callable; everything
else of MATLAB is here. Indices count from 1, arrays have at least two dimensions and are ordered by columns,
and assigning past the end makes them grow.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from matlab_compat.language.classes import CLASS_NAMES, cast, objects, only
from matlab_compat.language.indexing import ALL as ALL, assign, pick, refuse, remove, trimmed


class _Elements:
    """What arrays, cell arrays and struct arrays share: `data`, and sizes."""

    __hash__ = None  # type: ignore[assignment]
    data: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all dimensions."""
        return self.data.shape

    def __len__(self) -> int:
        return 0 if 0 in self.shape else max(self.shape)


class Array(_Elements):
    """An array of MATLAB: at least two dimensions, indices from 1, operators element by element; `@` is `*`.

    A list is a row, a list of lists a matrix. `x[2]`, `x[1, :]` read, `x[4] = 1` grows, `del x[2]` removes;
    `.data` is the NumPy array. Raises ArgumentError for indices that are not there, shapes that do not fit.

    >>> x = Array([1, 2, 3]); x[5] = 9; x
    Array([[1.0, 2.0, 3.0, 0.0, 9.0]])
    """

    __array_ufunc__ = None  # NumPy leaves the operators to this class

    def __init__(self, values: Any = ((),), dtype: Any = None) -> None:
        if not isinstance(values, np.ndarray):
            row = isinstance(values, list) and values and not isinstance(values[0], list | tuple)
            plain = [
                [only(x.data) if isinstance(x, Array) else x for x in y]
                for y in ([values] if row else values)
            ]
            values = np.array(plain)
            values = values.astype(np.float64) if values.dtype.kind in "iu" else values
            values = values.reshape(0, 0) if values.size == 0 else values
        if values.dtype.kind not in "biuf":
            raise refuse(f"an array of numbers is needed; got {values.dtype} (complex ones are not migrated)")
        self.data = trimmed(values if dtype is None else values.astype(dtype))
        self._own = False  # whether the memory is this object's alone

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
            raise refuse("a number other than 0 and 1 in a logical array is true in MATLAB: use double(…)")
        self.data = assign(self.data, key, cast(new, self.data.dtype))

    def __delitem__(self, key: Any) -> None:
        self.data, self._own = remove(self.data, key), True

    def __iter__(self) -> Iterator[Any]:
        return (wrap(item.reshape(1, 1)) for item in self.data.ravel(order="F"))

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


class Cell(_Elements):
    """A cell array. `c[2]` is what MATLAB writes c{2}, `at(c, 2)` is c(2); `*c` are all its values.

    Made of the values of one row. Raises ArgumentError as Array does.
    """

    def __init__(self, *values: Any) -> None:
        self.data = objects([list(spread(values))]) if values else np.empty((0, 0), object)

    @staticmethod
    def of(data: np.ndarray) -> "Cell":
        """The cell array with these contents, an object array."""
        made = Cell()
        made.data = data
        return made

    @property
    def T(self) -> "Cell":
        """The transposed cell array."""
        return Cell.of(self.data.T)

    def __getitem__(self, key: Any) -> Any:
        found = pick(self.data, key)
        return found.item() if found.size == 1 else Several(found.ravel(order="F"))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data = assign(self.data.copy(), key, objects([[value]]), Array)

    def __delitem__(self, key: Any) -> None:
        self.data = remove(self.data, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data.ravel(order="F"))

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


class StructArray(_Elements):
    """A struct array of other than one element. `s.field` gives the values of all, see Several."""

    def __init__(self, data: np.ndarray | None = None, fields: tuple[str, ...] = ()) -> None:
        self.data = np.empty((0, 0), object) if data is None else data
        self.fields = tuple(self.data.flat[0]) if self.data.size else fields

    @property
    def T(self) -> "StructArray":
        """The transposed struct array."""
        return StructArray(self.data.T, self.fields)

    def __getattr__(self, name: str) -> Several:
        fields = self.__dict__.get("fields", ())
        if name not in fields:
            raise AttributeError(f"the struct array has no field {name!r}; it has {', '.join(fields)}")
        return Several(item[name] for item in self.data.ravel(order="F"))


class Map:
    """containers.Map of strings or numbers; keys are sorted. Variables share it, as in MATLAB."""

    def __init__(self, *arguments: Any) -> None:
        given = list(arguments)
        self.numeric = False
        while len(given) > 1 and isinstance(given[-2], str) and given[-2].lower() in _MAP_OPTIONS:
            if given[-2].lower() == "keytype":
                self.numeric = given[-1] != "char"
            del given[-2:]
        self.pairs: dict[Any, Any] = {}
        if given:
            several = isinstance(given[0], Cell)
            names = list(given[0]) if several else [given[0]]
            values = (list(given[1]) if several else given[1:2]) if len(given) > 1 else [Array()] * len(names)
            if len(names) != len(values):
                raise refuse("containers.Map: the number of keys and values must match")
            self.numeric = bool(names) and not isinstance(names[0], str)
            for name, value in zip(names, values, strict=True):
                self[name] = value

    def key(self, key: Any) -> Any:
        """The key, checked: a string, or a number where the map's keys are numbers."""
        if isinstance(key, str) == self.numeric:
            raise refuse(
                f"specified key type does not match the type of this container; got a {class_of(key)}"
            )
        return float(key) if self.numeric else key

    def __getitem__(self, key: Any) -> Any:
        if (found := self.key(key)) not in self.pairs:
            raise refuse(f"the given key is not present in the container: {key}")
        return self.pairs[found]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs[self.key(key)] = value

    @property
    def keys(self) -> Cell:
        """The keys, sorted: a row of cells."""
        return Cell.of(objects([sorted(self.pairs)]))

    @property
    def values(self) -> Cell:
        """The values in the order of the keys: a row of cells."""
        return Cell.of(objects([[self.pairs[key] for key in sorted(self.pairs)]]))

    def isKey(self, key: Any) -> Any:
        """Whether a key is there; a logical for each of a cell array."""
        if isinstance(key, Cell):
            return wrap(np.array([self.isKey(k) for k in key.data.flat], bool).reshape(key.shape))
        return isinstance(key, str) != self.numeric and self.key(key) in self.pairs

    def remove(self, keys: Any) -> "Map":
        """The map, without a key or those of a cell array."""
        for key in keys if isinstance(keys, Cell) else [keys]:
            _ = self[key]
            del self.pairs[self.key(key)]
        return self

    @property
    def Count(self) -> int:
        """The number of keys."""
        return len(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


_MAP_OPTIONS = ("keytype", "valuetype", "uniformvalues")


def spread(values: Any) -> Iterator[Any]:
    """The values, those of Severals one by one."""
    for value in values:
        yield from value if isinstance(value, Several) else (value,)


def wrap(data: np.ndarray) -> Any:
    """An array as scripts hold it: one double is a float, one logical a bool."""
    if data.size == 1 and data.dtype in (np.float64, np.bool_):
        return data.item()
    return Array(data)


def whole(value: Any) -> int:
    """A number that is an integer, as int. Raises ArgumentError for others."""
    number = value if isinstance(value, int | float) else only(as_np(value))
    if number != number or abs(number) == math.inf or number != int(number):
        raise refuse(f"an integer is needed; got {number}")
    return int(number)


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
    for name, kinds in (("char", str), ("cell", Cell | Several), ("struct", Mapping | StructArray)):
        if isinstance(value, kinds):  # type: ignore[arg-type]
            return name
    if isinstance(value, Array | np.ndarray | bool | int | float | np.generic) or value is None:
        return CLASS_NAMES[as_np(value).dtype]
    if isinstance(value, Map):
        return "containers.Map"
    return "function_handle" if callable(value) and not hasattr(value, "layers") else type(value).__name__


def shape_of(value: Any) -> tuple[int, ...]:
    """The sizes of a value's dimensions; those of a string are 1 x its length, or 0 x 0."""
    if isinstance(value, str):
        return (1, len(value)) if value else (0, 0)
    if isinstance(value, Several):
        raise refuse(f"one value is needed; found a list of {len(value)}")
    if isinstance(value, _Elements):
        return value.shape
    if isinstance(value, Map):
        return (len(value), 1)
    return (0, 0) if value is None else trimmed(value).shape if isinstance(value, np.ndarray) else (1, 1)
