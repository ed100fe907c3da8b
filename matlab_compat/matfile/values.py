"""The plain Python values that stand for MATLAB's, and small readers for the commonest of them.

MATLAB                      Python
numeric array               numpy array, MATLAB's shape (at least 2-D) and class
logical array               numpy bool array
char row, empty char        str
char matrix                 CharMatrix (a list of str, one a row)
cell array                  numpy object array, MATLAB's shape
1x1 struct                  dict, fields in order
other struct array          StructArray
sparse matrix               scipy.sparse.csc_matrix
class object                MatObject (gpuArray: the plain array; string: str or object array of str)
function handle             FunctionHandle"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from matlab_compat.errors import MatFileError

DENSE_NUMBERS = 1 << 24  # a larger sparse matrix is not made dense where numbers are wanted


class VariableInfo(NamedTuple):
    """What a file says of a variable without its data: MATLAB's class name and shape (None: not recorded)."""

    classname: str
    shape: tuple[int, ...] | None


class CharMatrix(list[str]):
    """A char array of more than one row: a list of its rows, all of one length."""


@dataclass(eq=False)
class MatObject:
    """A MATLAB class object: the class's name and the properties it was saved with.

    A class with a saveobj method has what saveobj returned (where that is a struct) as its properties.
    Two references to one handle object are one MatObject, so properties may refer back to their owner.
    """

    classname: str
    properties: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"MatObject({self.classname!r}, properties: {', '.join(self.properties) or 'none'})"


@dataclass(frozen=True)
class FunctionHandle:
    """A MATLAB function handle: its text, for information only; it is never evaluated."""

    text: str


class StructArray(Sequence[dict[str, Any]]):
    """A struct array that is not 1x1; items count in MATLAB's column-major order, from 0.

    shape: MATLAB's, at least 2-D; fields: the field names; items: one dict an element.
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
        size = "x".join(map(str, self.shape))
        return f"StructArray({size}, fields: {', '.join(self.fields) or 'none'})"


def describe(value: Any) -> str:
    """A few words for error messages: '1x3 single', '2x1 cell', 'struct', 'char' …"""
    if isinstance(value, np.ndarray):
        kind = "cell" if value.dtype == object else value.dtype.name
        return f"{'x'.join(map(str, value.shape))} {kind}"
    if isinstance(value, str):
        return f"char {value[:40]!r}"
    if isinstance(value, dict):
        return f"struct with fields {', '.join(value) or '(none)'}"
    return repr(value) if isinstance(value, StructArray | MatObject) else type(value).__name__


def scalar(value: Any) -> float | int | bool:
    """The one number of a 1x1 array, as a Python float, int or bool (so arithmetic cannot wrap).

    Errors: MatFileError when the value is not exactly one number.
    """
    if isinstance(value, bool | int | float):
        return value
    array = _dense(value)
    if isinstance(array, np.ndarray | np.generic) and array.size == 1 and array.dtype.kind in "buif":
        return array.item()
    raise MatFileError(f"expected one number, found {describe(value)}")


def _dense(value: Any) -> Any:
    """A sparse matrix as an array, unless it is so large that it can only be a mistake."""
    if not scipy.sparse.issparse(value):
        return value
    if np.prod(value.shape, dtype=np.float64) > DENSE_NUMBERS:
        raise MatFileError(f"expected a few numbers, found a sparse matrix of shape {value.shape}")
    return value.toarray()


def text(value: Any) -> str:
    """A char row as str; an empty array of any class is ''. Errors: MatFileError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.size == 0:
        return ""
    if isinstance(value, np.ndarray) and value.size == 1 and isinstance(value.flat[0], str):
        return value.flat[0]
    raise MatFileError(f"expected text, found {describe(value)}")


def vector(value: Any) -> np.ndarray:
    """A row, column or scalar as a 1-D array of the same class; empty gives length 0.

    Errors: MatFileError when more than one side is longer than 1, or the value is no numeric array.
    """
    array = np.atleast_1d(_dense(value))
    if array.dtype.kind not in "buifc":
        raise MatFileError(f"expected a numeric vector, found {describe(value)}")
    if array.size and sum(side != 1 for side in array.shape) > 1:
        raise MatFileError(f"expected a vector, found {describe(value)}")
    return array.ravel()


def cell_list(value: Any) -> list[Any]:
    """The elements of a cell array as a list, in MATLAB's column-major order; an empty array gives [].

    Errors: MatFileError when the value is no cell.
    """
    if isinstance(value, list):
        return list(value)
    if isinstance(value, np.ndarray) and (value.dtype == object or value.size == 0):
        return list(value.ravel(order="F"))
    raise MatFileError(f"expected a cell array, found {describe(value)}")


def image_names(value: Any) -> list[str]:
    """File names, kept as a cell of char rows, a char matrix (padding removed) or one char row.

    Errors: MatFileError naming the first element that is no text.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, CharMatrix):
        return [row.rstrip(" ") for row in value]
    names = cell_list(value)
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise MatFileError(f"name {position} (from 0) is no text but {describe(name)}")
    return names
