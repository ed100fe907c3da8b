"""Writes plain values as a MAT 5 compressed file (MATLAB's -v7), which MATLAB and Octave load.

scipy's writer puts spaces for char(0), changes the shape of N-D and empty chars, and writes no `struct([])`.
Python numbers become double, str char, list a row cell, None []; numpy arrays keep class and shape (1-D ones
are rows). What `load` gives is written as it was, or refused by its name; but a 1x0 char is written 0x0, a
string array as chars, and a gpuArray as the array in it. A variable is smaller than 2 GiB.

`save_objects` writes class objects through mat-io (Python 3.11 or later); reading does not need it.
"""

import re
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse

from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath, atomic_output
from matlab_compat.matfile.classes import cells, chars, utf16
from matlab_compat.matfile.v5 import CLASSES, COMPLEX, COMPRESSED, LOGICAL, MATRIX, STORAGE, UTF16
from matlab_compat.matfile.values import CharMatrix, FunctionHandle, MatObject, StructArray, describe

ObjectWriter = Callable[[MatObject | np.ndarray, str], Any]
MAX_BYTES = 2**31 - 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
NUMERIC = {f"{kind}{bytes}" for kind in "iu" for bytes in (1, 2, 4, 8)} | {"f4", "f8", "c8", "c16", "b1"}

INT8, UTF8 = 1, 16
HEADER = b"MATLAB 5.0 MAT-file, written by deepibl".ljust(116) + bytes(8) + struct.pack("<H2s", 256, b"IM")
KINDS = {form: kind for kind, form in STORAGE.items()}
CLASS_NUMBERS = {name: number for number, name in CLASSES.items()}
CLASS_OF_DTYPE = {"float64": "double", "float32": "single", "bool": "uint8"}


def save(path: StrPath, variables: Mapping[str, Any]) -> None:
    """Writes variables to a v7 .mat file; the file appears whole or not at all.

    path: the file to write (replaced if it exists); variables: name -> plain value (see matfile.values).
    Raises MatFileError for an invalid name, a value without MATLAB form, class objects (see save_objects) and
    variables of 2 GiB or more.
    """
    content = {_checked(name, "variable"): to_arrays(value, name) for name, value in variables.items()}
    for name, value in content.items():
        if _nbytes(value) > MAX_BYTES:
            raise MatFileError(
                f"{name!r} has {_nbytes(value):,} bytes, v7 takes {MAX_BYTES:,}: split it or use .safetensors"
            )
    with _written_whole(path) as temporary, open(temporary, "wb") as stream:
        stream.write(HEADER)
        for name, value in content.items():
            packer = zlib.compressobj()
            packed = [*map(packer.compress, _matrix(value, name)), packer.flush()]
            stream.write(struct.pack("<II", COMPRESSED, sum(map(len, packed))))
            stream.writelines(packed)


@contextmanager
def _written_whole(path: StrPath) -> Iterator[str]:
    """A temporary name, whose file is renamed to path at the end. Raises MatFileError."""
    try:
        with atomic_output(path) as temporary:
            yield str(temporary)
    except OSError as error:
        raise MatFileError(f"cannot write {path}: {error.strerror or error}") from error


def to_arrays(value: Any, where: str, write_object: ObjectWriter | None = None) -> Any:
    """A plain value as arrays: structured for structs, of objects for cells, of UTF-16 units (U1) for chars.

    where: the value's name, for errors; write_object: makes mat-io's form of a MatObject, of chars and of
    structs without fields (None: no objects).
    """
    if value is None:
        return np.zeros((0, 0))
    if isinstance(value, str | CharMatrix):
        return _char(value, where, write_object)
    if isinstance(value, Mapping):
        return _struct(StructArray((1, 1), tuple(value), [dict(value)]), where, write_object)
    if isinstance(value, StructArray):
        return _struct(value, where, write_object)
    if isinstance(value, list | tuple):
        return _cell(cells((1, len(value)), value), where, write_object)
    if scipy.sparse.issparse(value):
        dtype = bool if value.dtype == bool else (complex if value.dtype.kind == "c" else float)
        matrix = scipy.sparse.csc_matrix(value, dtype=dtype, copy=True)
        matrix.sum_duplicates()
        return matrix
    if isinstance(value, MatObject):
        if write_object:
            return write_object(value, where)
        raise MatFileError(
            f"{where} is an object of class {value.classname}: convert it to a struct, or use save_objects"
        )
    if isinstance(value, FunctionHandle):
        raise MatFileError(f"{where} is a function handle ({value.text}), which cannot be written")
    return _array(value, where, write_object)


def _char(value: str | CharMatrix, where: str, write_object: ObjectWriter | None) -> Any:
    rows = [utf16(row) for row in ([value] if isinstance(value, str) else value)]
    lengths = sorted({row.size for row in rows})
    if len(lengths) > 1:
        raise MatFileError(f"{where} has rows of {lengths} characters: pad them with spaces to one length")
    units = np.array([] if value == "" else rows, dtype=np.uint32)
    array = (units if units.ndim == 2 else np.zeros((0, 0), np.uint32)).view("U1")
    return write_object(array, where) if write_object else array


def _array(value: Any, where: str, write_object: ObjectWriter | None) -> Any:
    array = np.asarray(value, dtype=float if isinstance(value, int) and not isinstance(value, bool) else None)
    if array.dtype == "U1" and (array.ndim > 2 or (array.ndim == 2 and not array.size)):
        if array.ravel().view(np.uint32).max(initial=0) > 0xFFFF:
            raise MatFileError(f"{where} is a char array with characters that MATLAB keeps as two")
        return write_object(array, where) if write_object else array
    if array.dtype.kind in "OU":
        return _cell(array.astype(object, copy=False), where, write_object)
    if array.dtype.str[1:] not in NUMERIC:
        raise MatFileError(f"{where} is a numpy array of {array.dtype}, for which MATLAB has no class")
    return array.reshape((1, -1)) if array.ndim < 2 else array


def _cell(array: np.ndarray, where: str, write_object: ObjectWriter | None) -> np.ndarray:
    shape = (1, array.size) if array.ndim < 2 else array.shape
    cell = np.empty(shape, dtype=object)
    for index, item in zip(np.ndindex(shape), array.ravel(), strict=True):
        cell[index] = to_arrays(item, f"{where}{{{','.join(str(i + 1) for i in index)}}}", write_object)
    return cell


def _struct(value: StructArray, where: str, write_object: ObjectWriter | None) -> Any:
    shape, fields, items = value.shape, value.fields, value.items
    array = np.empty(shape, dtype=[(_checked(name, f"field of {where}"), object) for name in fields])
    flat = [array[index[::-1]] for index in np.ndindex(shape[::-1])]
    for number, (element, item) in enumerate(zip(flat, items, strict=True)):
        for name in fields:
            if name not in item:
                raise MatFileError(f"element {number + 1} of {where} lacks the field {name!r} of the others")
            place = f"{where}.{name}" if len(items) == 1 else f"{where}({number + 1}).{name}"
            element[name] = to_arrays(item[name], place, write_object)
        if surplus := item.keys() - set(fields):
            raise MatFileError(f"element {number + 1} of {where} has a field {min(surplus)!r} of its own")
    return write_object(array, where) if write_object and not fields else array


def _checked(name: str, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise MatFileError(f"{name!r} is not a valid name of a {what}: letters, digits or _, at most 63")
    return name


def _nbytes(value: Any) -> int:
    if isinstance(value, np.ndarray) and value.dtype.names:
        return sum(_nbytes(item) for name in value.dtype.names for item in value[name].ravel())
    if isinstance(value, np.ndarray) and value.dtype == object:
        return sum(_nbytes(item) for item in value.ravel())
    if scipy.sparse.issparse(value):
        return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes
    return value.nbytes if isinstance(value, np.ndarray) else 0


def _matrix(value: Any, name: str = "") -> list[Any]:
    """The element of a value, in pieces: bytes, and views of arrays."""
    room, fields = 0, value.dtype.names
    body: list[Any] = []
    items: Any = ()
    if scipy.sparse.issparse(value):
        classname, room = "sparse", max(1, value.nnz)  # MATLAB does not load one with room for 0 values
        for part in (value.indices.astype("i4"), value.indptr.astype("i4"), value.data):
            body += _element(part)
    elif fields is not None:
        classname, width = "struct", max(map(len, fields), default=0) + 1
        body = _element(np.array([width], "i4"))
        body += _element(b"".join(field.encode().ljust(width, b"\0") for field in fields), INT8)
        items = [item[field] for item in (value.ravel("F") if fields else ()) for field in fields]
    elif value.dtype == object:
        classname, items = "cell", value.ravel("F")
    elif value.dtype.kind == "U":
        classname, units = "char", value.ravel("F").view(np.uint32)
        in_ascii = units.max(initial=0) < 128
        body = _element(units.astype("u1" if in_ascii else "u2"), UTF8 if in_ascii else UTF16)
    else:
        classname = CLASS_OF_DTYPE.get(value.real.dtype.name, value.dtype.name)
        body = _element(value)
    for item in items:
        body += _matrix(item)
    flags = {"b": LOGICAL, "c": COMPLEX}.get(value.dtype.kind, 0) << 8 | CLASS_NUMBERS[classname]
    head = _element(np.array([flags, room], "u4")) + _element(np.array(value.shape, "i4"))
    head += _element(name.encode(), INT8)
    return [struct.pack("<II", MATRIX, sum(map(len, head + body))), *head, *body]


def _element(data: Any, kind: int = 0) -> list[Any]:
    """The element of bytes or numbers; two of complex ones."""
    if isinstance(data, np.ndarray) and data.dtype.kind == "c":
        return _element(data.real) + _element(data.imag)
    if isinstance(data, np.ndarray):
        data = data.ravel("F").view("u1" if data.dtype == bool else data.dtype)
        kind = kind or KINDS[data.dtype.str[1:]]
        data = data.astype(data.dtype.newbyteorder("<"), copy=False).view("u1").data
    if len(data) <= 4:
        return [struct.pack("<I4s", len(data) << 16 | kind, bytes(data))]
    return [struct.pack("<II", kind, len(data)), data, bytes(-len(data) % 8)]


WRITTEN_VERSIONS = ("v7", "v7.3")


def save_objects(
    path: StrPath, variables: Mapping[str, Any], *, version: str = "v7", saveobj_classes: Collection[str] = ()
) -> None:
    """Writes variables that may contain MatObjects; the file appears whole or not at all.

    version: 'v7' or 'v7.3'; saveobj_classes: classes with a saveobj method, whose properties MATLAB stores as
    one struct, in a property named `any`.
    Raises MatFileError for what matfile.save refuses, and where mat-io is not installed.
    """
    if version not in WRITTEN_VERSIONS:
        raise MatFileError(f"version must be one of {', '.join(WRITTEN_VERSIONS)}; got {version!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the import
            from matio import save_to_mat
            from matio.utils.matclass import EmptyMatStruct, MatlabOpaque
    except ImportError as error:
        raise MatFileError(
            "writing class objects needs the package mat-io: pip install mat-io (Python 3.11 or later)"
        ) from error
    made: dict[int, Any] = {}  # an object with two references stays one object

    def write_object(value: MatObject | np.ndarray, where: str) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind == "V":
            return EmptyMatStruct(np.empty(value.shape, dtype=object))
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.size and "" not in value:
            text = chars(value.view(np.uint32).ravel("F"), value.shape)
            return np.array([text] if isinstance(text, str) else text)
        if isinstance(value, np.ndarray) and value.shape == (0, 0):
            return np.array([""])
        if isinstance(value, np.ndarray) or 0 in value.shape:
            raise MatFileError(f"{where} is a {describe(value)}, which mat-io does not write as it is")
        if id(value) not in made:
            made[id(value)] = opaque = MatlabOpaque({}, value.classname)
            if value.classname in saveobj_classes:
                opaque.properties["any"] = to_arrays(value.properties, where, write_object)
            else:
                for name, content in value.properties.items():
                    opaque.properties[name] = to_arrays(content, f"{where}.{name}", write_object)
        return made[id(value)]

    content = {name: to_arrays(value, name, write_object) for name, value in variables.items()}

    try:
        with _written_whole(path) as temporary, warnings.catch_warnings():
            warnings.simplefilter("error")  # it only warns where it drops or changes a value
            save_to_mat(temporary, content, version=version, saveobj_classes=sorted(saveobj_classes))
    except MatFileError:
        raise
    except Exception as error:  # mat-io has no common error class
        raise MatFileError(f"cannot write {path}: {error}") from error
