"""What the readers of .mat files share: MATLAB's classes, chars, struct arrays, checks of declared sizes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from matlab_compat.errors import MatFileError
from matlab_compat.files import LIBRARY_ERRORS
from matlab_compat.matfile.values import CharMatrix, FunctionHandle, MatObject, StructArray

NUMERIC_CLASSES: dict[str, np.dtype[Any]] = {
    "double": np.dtype("f8"),
    "single": np.dtype("f4"),
    "logical": np.dtype("?"),
    **{f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for bits in (8, 16, 32, 64) for sign in ("", "u")},
}

OBJECT_MARK = 0xDD000000  # first word of the uint32 column that refers to class objects
MAX_EMPTY_ROWS = 1 << 24
MAX_DEPTH = 200  # cells in cells in …: deeper is corruption
MAX_DIMENSIONS, MAX_ELEMENTS = 32, 1 << 48  # numpy refuses larger shapes, even of empty arrays


def corrupted(what: str) -> MatFileError:
    """The error for content that no writer makes."""
    return MatFileError(f"{what}: the file is corrupted")


def is_object_reference(value: Any) -> bool:
    """Whether a value is the uint32 column (mark, ndims, dims…, ids…, class) that stands for objects."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint32
        and value.ndim == 2
        and value.shape[1] == 1
        and value.shape[0] >= 3
        and value[0, 0] == OBJECT_MARK
    )


def chars(units: np.ndarray, shape: Sequence[int]) -> Any:
    """A char array from its UTF-16 code units in MATLAB's column-major order: str, CharMatrix or U1 array."""
    if units.size == 0:
        if tuple(shape) in ((0, 0), (1, 0)):
            return ""
        if len(shape) > 2 or shape[0] == 0:
            return np.empty(shape, "U1")
        if shape[0] > MAX_EMPTY_ROWS:
            raise corrupted(f"a char array declares {shape[0]:,} empty rows")
        return CharMatrix([""] * int(shape[0]))
    if len(shape) == 2 and shape[0] == 1:
        return _decode(units)
    if len(shape) == 2:
        return CharMatrix(_decode(row) for row in units.reshape(shape, order="F"))
    return units.astype(np.uint32).view("U1").reshape(shape, order="F")


def char_rows(codes: np.ndarray, shape: Sequence[int], codec: str) -> Any:
    """A char matrix that a file counts in code points or bytes; shorter rows (in UTF-16) get spaces."""
    rows = [row.tobytes().decode(codec, errors="replace") for row in codes.reshape(shape, order="F")]
    lengths = [utf16(row).size for row in rows]
    padded = [row + " " * (max(lengths) - length) for row, length in zip(rows, lengths, strict=True)]
    return padded[0] if len(padded) == 1 else CharMatrix(padded)


def char_codes(stored: np.ndarray) -> np.ndarray:
    """Chars that a file keeps as numbers of any type, as UTF-16 code units."""
    if not ((stored >= 0) & (stored <= 0xFFFF)).all():
        raise corrupted("a char array holds numbers that are not character codes")
    return stored.astype(np.uint16)


def utf16(string: str) -> np.ndarray:
    """The UTF-16 code units of a string: MATLAB's chars."""
    return np.frombuffer(string.encode("utf-16-le", errors="surrogatepass"), "<u2")


def _decode(units: np.ndarray) -> str:
    return np.ascontiguousarray(units, dtype="<u2").tobytes().decode("utf-16-le", errors="surrogatepass")


def structs(shape: Sequence[int], fields: Sequence[str], items: list[dict[str, Any]]) -> Any:
    """A dict for a 1x1 struct, else a StructArray; items in column-major order."""
    return items[0] if len(items) == 1 and set(shape) == {1} else StructArray(shape, fields, items)


def old_objects(classname: str, made: Any) -> Any:
    """Objects of a class from before class objects, of the struct or struct array of their fields."""
    if isinstance(made, dict):
        return MatObject(classname, made)
    if not made.items:
        return MatObject(classname, shape=made.shape)
    return cells(made.shape, [MatObject(classname, item) for item in made])


def cells(shape: Sequence[int], items: Sequence[Any]) -> np.ndarray:
    """An object array of a cell's shape from its items in column-major order."""
    flat = np.empty(len(items), dtype=object)
    for position, item in enumerate(items):
        flat[position] = item
    return flat.reshape(shape, order="F")


def sparse(
    data: np.ndarray, rows: np.ndarray, starts: np.ndarray, shape: Sequence[int], *, logical: bool = False
) -> Any:
    """A checked csc_matrix from MATLAB's ir, jc and values."""
    try:
        values, starts = data.astype(bool) if logical else data, starts.astype(np.int64)
        if (np.diff(starts) < 0).any():  # scipy does not look at them where there are no values
            raise ValueError("the starts of its columns decrease")
        matrix = scipy.sparse.csc_matrix((values, rows.astype(np.int64), starts), tuple(shape))
        matrix.check_format()
    except LIBRARY_ERRORS as error:
        raise MatFileError(f"a sparse matrix of shape {tuple(shape)} is invalid: {error}") from error
    return matrix


def function_handle(content: Any) -> FunctionHandle:
    """A function handle from the struct that files keep of it; only the text survives."""
    inner = content
    while isinstance(inner, dict):
        inner = inner.get("function_handle", inner.get("function"))
    return FunctionHandle(inner if isinstance(inner, str) else "")


def checked_shape(sides: Iterable[Any], what: str) -> tuple[int, ...]:
    """The shape that a file declares, if an array can have it; MatFileError otherwise."""
    shape = tuple(int(side) for side in sides)
    if (
        not 2 <= len(shape) <= MAX_DIMENSIONS
        or min(shape) < 0
        or math.prod(map(abs, filter(None, shape))) > MAX_ELEMENTS
    ):
        raise corrupted(f"{what} declares the invalid shape {shape}")
    return shape


def checked_size(shape: Sequence[int], available: int, each: int, what: str) -> int:
    """The number of elements of a shape; MatFileError where they cannot fit in the bytes that are there."""
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * each > available:
        raise MatFileError(
            f"{what} declares the shape {'x'.join(map(str, shape))}, at least {count * each:,} bytes, where "
            f"only {available:,} are left: the file is corrupted or truncated"
        )
    return count
