"""Writes plain values as a MAT 5 compressed file (MATLAB's -v7), which MATLAB and Octave load.

Python numbers become double, str char, list a row cell, None []; numpy arrays keep class and shape (1-D
ones are rows).
Limits of the format: a variable is smaller than 2 GiB, a name has at most 63 characters.

`save_objects` writes class objects, as MATLAB stores them, through mat-io (Python 3.11 or later): for tests
and scripts, since other tools read plain structs better. Reading does not need mat-io (see matfile.objects).
"""

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath, atomic_output
from matlab_compat.matfile.classes import cells
from matlab_compat.matfile.values import CharMatrix, FunctionHandle, MatObject, StructArray

ObjectWriter = Callable[[MatObject | dict[str, Any], str], Any]
MAX_BYTES = 2**31 - 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
NUMERIC = {f"{kind}{bytes}" for kind in "iu" for bytes in (1, 2, 4, 8)} | {"f4", "f8", "c8", "c16", "b1"}


def save(path: StrPath, variables: Mapping[str, Any]) -> None:
    """Writes variables to a v7 .mat file; the file appears whole or not at all.

    path: the file to write (replaced if it exists); variables: name -> plain value (see matfile.values).
    Raises MatFileError for an invalid name, a value without MATLAB form, class objects (see save_objects) and
    variables of 2 GiB or more.
    """
    content = {_checked(name, "variable"): to_scipy(value, name) for name, value in variables.items()}
    for name, value in content.items():
        if _nbytes(value) > MAX_BYTES:
            raise MatFileError(
                f"variable {name!r} has {_nbytes(value):,} bytes; a v7 .mat file holds at most {MAX_BYTES:,} "
                "per variable. Save it as .safetensors, or split it"
            )
    with _written_whole(path) as temporary:
        scipy.io.savemat(temporary, content, appendmat=False, do_compression=True, long_field_names=True)


@contextmanager
def _written_whole(path: StrPath) -> Iterator[str]:
    """A temporary name, whose file is renamed to path at the end. Raises MatFileError."""
    try:
        with atomic_output(path) as temporary:
            yield str(temporary)
    except OSError as error:
        raise MatFileError(f"cannot write {path}: {error.strerror or error}") from error


def to_scipy(value: Any, where: str, write_object: ObjectWriter | None = None) -> Any:
    """A plain value in the form that scipy's (and mat-io's) writer takes.

    where: the value's name, for errors; write_object: makes mat-io's form of a MatObject and of a struct
    without fields (None: scipy's form of the latter, and no objects).
    """
    if value is None:
        return np.zeros((0, 0))
    if isinstance(value, str):
        return np.array([value])
    if isinstance(value, CharMatrix):
        return np.array(value)
    if isinstance(value, Mapping):
        return _struct(StructArray((1, 1), tuple(value), [dict(value)]), where, write_object)
    if isinstance(value, StructArray):
        return _struct(value, where, write_object)
    if isinstance(value, list | tuple):
        return _cell(cells((1, len(value)), value), where, write_object)
    if scipy.sparse.issparse(value):
        dtype = bool if value.dtype == bool else (complex if value.dtype.kind == "c" else float)
        return scipy.sparse.csc_matrix(value, dtype=dtype)
    if isinstance(value, MatObject):
        if write_object:
            return write_object(value, where)
        raise MatFileError(
            f"{where} is an object of class {value.classname}, which plain .mat files cannot hold; "
            "convert it to a struct first, or use save_objects"
        )
    if isinstance(value, FunctionHandle):
        raise MatFileError(f"{where} is a function handle ({value.text}), which cannot be written")
    return _array(value, where, write_object)


def _array(value: Any, where: str, write_object: ObjectWriter | None) -> np.ndarray:
    array = np.asarray(value, dtype=float if isinstance(value, int) and not isinstance(value, bool) else None)
    if array.dtype.kind in "OU":
        return _cell(array.astype(object, copy=False), where, write_object)
    if array.dtype.str[1:] not in NUMERIC:
        raise MatFileError(f"{where} is a numpy array of {array.dtype}, for which MATLAB has no class")
    return array.reshape((1, -1)) if array.ndim < 2 else array


def _cell(array: np.ndarray, where: str, write_object: ObjectWriter | None) -> np.ndarray:
    shape = (1, array.size) if array.ndim < 2 else array.shape
    cell = np.empty(shape, dtype=object)
    for index, item in zip(np.ndindex(shape), array.ravel(), strict=True):
        cell[index] = to_scipy(item, f"{where}{{{','.join(str(i + 1) for i in index)}}}", write_object)
    return cell


def _struct(value: StructArray, where: str, write_object: ObjectWriter | None) -> Any:
    shape, fields, items = value.shape, value.fields, value.items
    if not fields:
        if shape == (1, 1):
            return write_object({}, where) if write_object else {}
        raise MatFileError(f"{where} is a struct array without fields, which cannot be written")
    array = np.empty(shape, dtype=[(_checked(name, f"field of {where}"), object) for name in fields])
    flat = [array[index[::-1]] for index in np.ndindex(shape[::-1])]
    for number, (element, item) in enumerate(zip(flat, items, strict=True)):
        for name in fields:
            if name not in item:
                raise MatFileError(f"element {number + 1} of {where} lacks the field {name!r} of the others")
            place = f"{where}.{name}" if len(items) == 1 else f"{where}({number + 1}).{name}"
            element[name] = to_scipy(item[name], place, write_object)
    return array


def _checked(name: str, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise MatFileError(
            f"{name!r} is not a valid name of a {what}: a letter, then letters, digits or _, at most 63"
        )
    return name


def _nbytes(value: Any) -> int:
    if isinstance(value, np.ndarray) and value.dtype.names:
        return sum(_nbytes(item) for name in value.dtype.names for item in value[name].ravel())
    if isinstance(value, np.ndarray) and value.dtype == object:
        return sum(_nbytes(item) for item in value.ravel())
    if scipy.sparse.issparse(value):
        return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes
    return value.nbytes if isinstance(value, np.ndarray) else 0


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

    def write_object(value: MatObject | dict[str, Any], where: str) -> Any:
        if isinstance(value, dict):
            return EmptyMatStruct(np.empty((1, 1), dtype=object))
        if id(value) not in made:
            made[id(value)] = opaque = MatlabOpaque({}, value.classname)
            if value.classname in saveobj_classes:
                opaque.properties["any"] = to_scipy(value.properties, where, write_object)
            else:
                for name, content in value.properties.items():
                    opaque.properties[name] = to_scipy(content, f"{where}.{name}", write_object)
        return made[id(value)]

    content = {name: to_scipy(value, name, write_object) for name, value in variables.items()}

    try:
        with _written_whole(path) as temporary, warnings.catch_warnings():
            warnings.simplefilter("error")  # it only warns where it drops or changes a value
            save_to_mat(temporary, content, version=version, saveobj_classes=sorted(saveobj_classes))
    except MatFileError:
        raise
    except Exception as error:  # mat-io has no common error class
        raise MatFileError(f"cannot write {path}: {error}") from error
