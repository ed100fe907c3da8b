"""The plain Python values that stand for MATLAB's, and readers of the commonest: numbers, char, cells.

MATLAB                      Python
numeric array               numpy array, MATLAB's shape (at least 2-D) and class
logical array               numpy bool array
char row, 0x0 and 1x0 char  str
char matrix                 CharMatrix (a list of str, one a row)
other char array            numpy array of dtype U1, MATLAB's shape (NumPy shows char(0) as '')
cell array                  numpy object array, MATLAB's shape
1x1 struct                  dict, fields in order
other struct array          StructArray
sparse matrix               scipy.sparse.csc_matrix
class object                MatObject (gpuArray: the plain array; string: str or object array of str)
array of objects            numpy object array of MatObject; an empty one: a MatObject of that shape
function handle             FunctionHandle
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from matlab_compat.errors import MatFileError

UNREADABLE = "unreadable"
DENSE_NUMBERS = 1 << 24  # a larger sparse matrix is not made dense where numbers are wanted


class VariableInfo(NamedTuple):
    """MATLAB's class name and shape of a variable; the shape is None where the file does not record it.

    The class is 'unreadable' where the variable is damaged, or is HDF5 data that MATLAB did not write.
    """

    classname: str
    shape: tuple[int, ...] | None


class CharMatrix(list[str]):
    """A char array of several rows: a list of them, all of one length in UTF-16 code units."""


@dataclass(eq=False)
class MatObject:
    """A MATLAB class object: the class's name and the properties it was saved with.

    Of a class with a saveobj method, properties is the struct that saveobj returned.
    Two references to one handle object give one MatObject, so properties may refer back to their owner.
    shape: that of an empty array of objects, which has a class but no properties.
    """

    classname: str
    properties: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (1, 1)

    def __repr__(self) -> str:
        return f"MatObject({self.classname!r}, properties: {', '.join(self.properties) or 'none'})"


@dataclass(frozen=True)
class FunctionHandle:
    """A MATLAB function handle: its source, for information only; it is never evaluated."""

    text: str


class StructArray(Sequence[dict[str, Any]]):
    """A struct array that is not 1x1; items are in MATLAB's column-major order, counted from 0.

    shape: MATLAB's, at least 2-D; fields: the field names; items: one dict per element.
    """

    def __init__(self, shape: Sequence[int], fields: Sequence[str], items: Sequence[dict[str, Any]]) -> None:
        self.shape = tuple(int(side) for side in shape)
        self.fields = tuple(fields)
        self.items = list(items)
        if int(np.prod(self.shape)) != len(self.items):
            raise MatFileError(f"a struct array of shape {self.shape} cannot hold {len(self.items)} elements")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __repr__(self) -> str:
        return f"StructArray({shape_text(self.shape)}, fields: {', '.join(self.fields) or 'none'})"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as MATLAB writes it: '1x39'; at least two sides."""
    return "x".join(map(str, (*(1,) * (2 - len(shape)), *shape)))


def class_name(dtype: np.dtype[Any]) -> str:
    """MATLAB's name for the class of an array: 'single', 'cell', 'logical', 'int32', …"""
    names = {"float64": "double", "float32": "single", "bool": "logical", "object": "cell"}
    names |= {"complex128": "complex double", "complex64": "complex single"}
    return "char" if dtype.kind == "U" else names.get(dtype.name, dtype.name)


def describe(value: Any) -> str:
    """A value's MATLAB class and shape, for messages: '1x3 single', '2x1 cell', "char 'abc'", …"""
    if isinstance(value, str):
        return f"{int(value != '')}x{len(value)} char {value[:40]!r}"
    if isinstance(value, Mapping):
        return f"struct with fields {', '.join(value) or '(none)'}"
    if isinstance(value, StructArray):
        return f"{shape_text(value.shape)} struct array with fields {', '.join(value.fields) or '(none)'}"
    if isinstance(value, MatObject):
        return f"{shape_text(value.shape)} object of class {value.classname}"
    if isinstance(value, FunctionHandle):
        return f"1x1 function handle {value.text[:40]!r}"
    if isinstance(value, CharMatrix):
        return f"{len(value)}x{len(value[0]) if value else 0} char"
    if isinstance(value, list | tuple):
        return f"1x{len(value)} cell"
    if scipy.sparse.issparse(value):
        return f"{shape_text(value.shape)} sparse {class_name(value.dtype)}"
    array = np.asarray(value)
    if array.dtype == object and not isinstance(value, np.ndarray):
        return "0x0 double" if value is None else f"value without MATLAB class, {value!r:.60}"
    if array.size and all(isinstance(item, MatObject) for item in array.flat):
        return f"{shape_text(array.shape)} array of objects of class {array.flat[0].classname}"
    return f"{shape_text(array.shape)} {class_name(array.dtype)}"


def scalar(value: Any) -> float | int | bool:
    """The number in a 1x1 array, as a Python float, int or bool (so arithmetic cannot wrap).

    Raises MatFileError unless the value is exactly one real number.
    """
    if isinstance(value, bool | int | float):
        return value
    array = _dense(value)
    if isinstance(array, np.ndarray | np.generic) and array.size == 1 and array.dtype.kind in "buif":
        return array.item()
    raise MatFileError(f"expected one number, found {describe(value)}")


def _dense(value: Any) -> Any:
    """A sparse matrix as an array; MatFileError where it would be too large."""
    if not scipy.sparse.issparse(value):
        return value
    if np.prod(value.shape, dtype=np.float64) > DENSE_NUMBERS:
        raise MatFileError(f"expected few numbers, found a sparse matrix of shape {shape_text(value.shape)}")
    return value.toarray()


def text(value: Any) -> str:
    """A char row as str; an empty array of any class is ''. Raises MatFileError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.size == 0:
        return ""
    if isinstance(value, np.ndarray) and value.size == 1 and isinstance(value.flat[0], str):
        return value.flat[0]
    raise MatFileError(f"expected a char row, found {describe(value)}")


def vector(value: Any) -> np.ndarray:
    """A row, column or scalar as a 1-D array of the same class; empty gives length 0.

    Raises MatFileError where more than one side is longer than 1, or the value is not a numeric array.
    """
    array = np.atleast_1d(_dense(value))
    if array.dtype.kind not in "buifc":
        raise MatFileError(f"expected a numeric vector, found {describe(value)}")
    if array.size and sum(side != 1 for side in array.shape) > 1:
        raise MatFileError(f"expected a vector, found {describe(value)}")
    return array.ravel()


def cell_list(value: Any) -> list[Any]:
    """The elements of a cell array as a list, in MATLAB's column-major order; an empty array gives [].

    Raises MatFileError for anything else.
    """
    if isinstance(value, list):
        return list(value)
    if isinstance(value, np.ndarray) and (value.dtype == object or value.size == 0):
        return list(value.ravel(order="F"))
    raise MatFileError(f"expected a cell array, found {describe(value)}")


def image_names(value: Any) -> list[str]:
    """File names, stored as a cell of char rows, a char matrix (padding is removed) or one char row.

    Raises MatFileError naming the first element that is not a char row.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, CharMatrix):
        return [row.rstrip(" ") for row in value]
    names = cell_list(value)
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise MatFileError(f"name {position} (from 0) is not a char row but {describe(name)}")
    return names
