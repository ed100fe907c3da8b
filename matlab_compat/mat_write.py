"""Writes plain values as a MAT 5 compressed file (MATLAB's -v7), which MATLAB and Octave load.

Python numbers become double, str char, list a row cell, None []; numpy arrays keep class and shape
(1-D: a row). Limits of the format: a variable may not reach 2 GiB, names not exceed 63 characters.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from matlab_compat.errors import MatFileError
from matlab_compat.mat_values import CharMatrix, FunctionHandle, MatObject, StructArray

MAX_BYTES = 2**31 - 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
NUMERIC = {f"{kind}{bytes}" for kind in "iu" for bytes in (1, 2, 4, 8)} | {"f4", "f8", "c8", "c16", "b1"}


def save(path: str | os.PathLike[str], variables: Mapping[str, Any]) -> None:
    """Writes variables to a v7 .mat file; the file appears whole or not at all.

    path: the file to write (replaced if it exists); variables: name -> plain value (see mat_values).
    Errors: MatFileError for a name MATLAB would not take, a value that has no MATLAB form, class objects
    (see save_objects) and variables of 2 GiB or more.
    """
    content = {_checked(name, "variable"): to_scipy(value, name) for name, value in variables.items()}
    for name, value in content.items():
        if _nbytes(value) > MAX_BYTES:
            raise MatFileError(
                f"variable {name!r} has {_nbytes(value):,} bytes; a v7 .mat file holds at most {MAX_BYTES:,} "
                "a variable. Save it as .safetensors, or split it"
            )
    replace_atomically(
        path,
        lambda temporary: scipy.io.savemat(temporary, content, do_compression=True, long_field_names=True),
    )


def replace_atomically(path: str | os.PathLike[str], write: Any) -> None:
    """Calls write(temporary name in the same folder), then renames the result to path; cleans up on failure."""
    target = Path(path)
    if not target.parent.is_dir():
        raise MatFileError(f"cannot write {target}: there is no folder {target.parent}")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        write(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def to_scipy(value: Any, where: str) -> Any:
    """The form of a plain value that scipy's (and mat-io's) writer takes; where: its name, for errors."""
    if value is None:
        return np.zeros((0, 0))
    if isinstance(value, str):
        return np.array([value]) if value else np.array([""])
    if isinstance(value, CharMatrix):
        return np.array(value)
    if isinstance(value, Mapping):
        return _struct((1, 1), tuple(value), [value], where)
    if isinstance(value, StructArray):
        return _struct(value.shape, value.fields, value.items, where)
    if isinstance(value, list | tuple):
        return _cell(np.array([*value, None], dtype=object)[None, :-1], where)
    if scipy.sparse.issparse(value):
        dtype = bool if value.dtype == bool else (complex if value.dtype.kind == "c" else float)
        return scipy.sparse.csc_matrix(value, dtype=dtype)
    if isinstance(value, MatObject):
        raise MatFileError(
            f"{where} is an object of class {value.classname}, which plain .mat files cannot hold; "
            "convert it to a struct first, or use save_objects"
        )
    if isinstance(value, FunctionHandle):
        raise MatFileError(f"{where} is a function handle ({value.text}), which cannot be written")
    return _array(value, where)


def _array(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value, dtype=float if isinstance(value, int) and not isinstance(value, bool) else None)
    if array.dtype == object:
        return _cell(array, where)
    if array.dtype.kind == "U":
        return _cell(array.astype(object), where)
    if array.dtype.str[1:] not in NUMERIC:
        raise MatFileError(f"{where} is of type {array.dtype}, for which MATLAB has no class")
    return array.reshape((1, -1)) if array.ndim < 2 else array


def _cell(array: np.ndarray, where: str) -> np.ndarray:
    shape = (1, array.size) if array.ndim < 2 else array.shape
    cell = np.empty(shape, dtype=object)
    for index, item in zip(np.ndindex(shape), array.ravel(), strict=True):
        cell[index] = to_scipy(item, f"{where}{{{','.join(str(i + 1) for i in index)}}}")
    return cell


def _struct(shape: tuple[int, ...], fields: tuple[str, ...], items: list[Any], where: str) -> Any:
    if not fields:
        if shape == (1, 1):
            return {}
        raise MatFileError(f"{where} is a struct array without fields, which cannot be written")
    array = np.empty(shape, dtype=[(_checked(name, f"field of {where}"), object) for name in fields])
    flat = [array[index[::-1]] for index in np.ndindex(shape[::-1])]
    for number, (element, item) in enumerate(zip(flat, items, strict=True)):
        for name in fields:
            place = f"{where}.{name}" if len(items) == 1 else f"{where}({number + 1}).{name}"
            element[name] = to_scipy(item[name], place)
    return array


def _checked(name: str, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise MatFileError(
            f"{name!r} cannot name a {what}: MATLAB wants a letter, then letters, digits or _, 63 at most"
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
