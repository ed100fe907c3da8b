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

from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath, mat_damage
from matlab_compat.matfile.v4 import Mat4File, is_mat4
from matlab_compat.matfile.v5 import Mat5File
from matlab_compat.matfile.values import VariableInfo

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HDF5_AT = (0, 512, 1024, 2048)


class MatReader(Protocol):
    """An open .mat file."""

    names: list[str]

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
            if not _is_hdf5(stream):
                yield _reader(stream)
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


def _is_hdf5(stream: BinaryIO) -> bool:
    for at in HDF5_AT:
        stream.seek(at)
        if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
            return True
    return False


def _reader(stream: BinaryIO) -> MatReader:
    stream.seek(0)
    head = stream.read(128)
    stream.seek(0)
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
    lists those it has).
    """
    if isinstance(variables, str):
        variables = [variables]
    with opened(path) as file:
        if not file.names:
            raise MatFileError("it holds no variables")
        wanted = list(file.names if variables is None else variables)
        there = set(file.names)
        for name in wanted:
            if name not in there:
                raise MatFileError(f"no variable {name!r}; it holds {', '.join(file.names)}")
        wanted += [name for name in optional if name in there and name not in wanted]
        return {name: file.value(name) for name in wanted}


def who(path: StrPath) -> dict[str, VariableInfo]:
    """Class name and shape of every variable of a .mat file; reads no data. Raises MatFileError."""
    with opened(path) as file:
        return {name: file.info(name) for name in file.names}
