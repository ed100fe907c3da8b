"""Reads .mat files of every version into plain Python values, and writes v7.

Ids stay as they are in the file (1-based where MATLAB counts from 1): only the caller knows which variable
holds ids. See matfile.values for what each MATLAB class becomes. Every failure to read a file becomes a
MatFileError that names it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath, mat_damage
from matlab_compat.matfile.v4 import Mat4File, is_mat4
from matlab_compat.matfile.v5 import Mat5File
from matlab_compat.matfile.values import UNREADABLE, VariableInfo

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HDF5_AT = (0, 512, 1024, 2048)


class MatReader(Protocol):
    """An open .mat file; problems: why variables whose names are unknown cannot be read, by their places."""

    names: list[str]
    problems: dict[str, MatFileError]

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable."""

    def value(self, name: str) -> Any:
        """A variable's plain value."""


@contextmanager
def opened(path: StrPath) -> Iterator[MatReader]:
    """A reader for the file's version. While it is open, MatFileError gets the file's name, and OSError (as
    of a disk) and RecursionError become MatFileError; other exceptions are bugs and pass.
    """
    target = Path(path)
    try:
        with open(target, "rb") as stream:
            head = stream.read(HDF5_AT[-1] + len(HDF5_SIGNATURE))
            if not any(head.startswith(HDF5_SIGNATURE, at) for at in HDF5_AT):
                stream.seek(0)
                yield _reader(stream, head[:128])
                return
        import h5py

        from matlab_compat.matfile.v73 import Mat73File

        with mat_damage():
            root = h5py.File(target, "r")
        with root:
            yield Mat73File(root.id, os.path.getsize(target))
    except MatFileError as error:
        raise MatFileError(f"{target}: {error}") from error
    except FileNotFoundError as error:
        raise MatFileError(f"{target}: no such file") from error
    except OSError as error:
        raise MatFileError(f"{target}: cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise MatFileError(f"{target}: its values are nested too deep: the file is corrupted") from error


def _reader(stream: BinaryIO, head: bytes) -> MatReader:
    if not head:
        raise MatFileError("it is empty (0 bytes)")
    if head[126:128] in (b"IM", b"MI"):
        return Mat5File(stream)
    if is_mat4(head):
        return Mat4File(stream)
    if len(head) < 128 and head.startswith(b"MATLAB "):
        raise MatFileError(f"it is truncated: {len(head)} bytes, where the header alone has 128")
    raise MatFileError(f"it is not a .mat file: it begins with {head[:16]!r}")


def load(
    path: StrPath, variables: Sequence[str] | None = None, optional: Sequence[str] = ()
) -> dict[str, Any]:
    """The variables of a .mat file of any version (4, 6, 7, 7.3) as plain values, in the order of the file.

    variables: the names to read (None: all); optional: names to read where the file has them. The result has
    their order, and nothing else is read.
    Raises MatFileError where the file is missing, damaged, not a .mat file, or lacks a variable (the message
    lists those it has), or where a variable cannot be read (the message lists those that can).
    """
    if isinstance(variables, str):
        variables = [variables]
    with opened(path) as file:
        wanted = list([*file.problems, *file.names] if variables is None else variables)
        there = {*file.names, *file.problems}
        for name in wanted:
            if name not in there:
                raise MatFileError(f"no variable {name!r}; it holds {', '.join(file.names) or 'none'}")
        wanted += [name for name in optional if name in there and name not in wanted]
        return {name: value_of(file, name) for name in wanted}


def who(path: StrPath) -> dict[str, VariableInfo]:
    """Class name and shape of every variable of a .mat file; reads no data, except of string arrays.

    Raises MatFileError where none can be read; one that cannot has the class 'unreadable'.
    """
    with opened(path) as file:
        return {name: info_of(file, name) for name in [*file.names, *file.problems]}


def info_of(file: MatReader, name: str) -> VariableInfo:
    """Class and shape of a variable, as `who` gives them."""
    try:
        info = VariableInfo(UNREADABLE, None) if name in file.problems else file.info(name)
        if info.classname == "string":  # only the text itself says how large the array is
            info = info._replace(shape=np.shape(file.value(name)) or (1, 1))
        return info
    except MatFileError:
        return VariableInfo(UNREADABLE, None)


def value_of(file: MatReader, name: str) -> Any:
    """The plain value of a variable; MatFileError, with the names of the others, where it cannot be read."""
    try:
        if problem := file.problems.get(name):
            raise problem
        return file.value(name)
    except MatFileError as error:
        found = [other for other in file.names if info_of(file, other).classname != UNREADABLE]
        others = [repr(other) for other in found if other != name]
        listed = ", ".join([*others[:5], *(["…"] if len(others) > 5 else [])])
        hint = f". The others can be read: load(path, [{listed}])" if others else ""
        raise MatFileError(f"variable {name!r} cannot be read: {error}{hint}") from error
