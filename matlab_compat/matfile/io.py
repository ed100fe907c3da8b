"""Reads .mat files of every version into plain Python values, and writes v7.

The only place that knows MATLAB's column-major order, cells and object references. Ids stay as they are in
the file (1-based where MATLAB counts from 1): only the caller knows which variable holds ids.
See mat_values for what each MATLAB class becomes.

Opens a .mat file of whatever version; every failure to read it becomes a MatFileError that names it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from matlab_compat.errors import MatFileError
from matlab_compat.files import DAMAGE
from matlab_compat.matfile.v4 import Mat4File, is_mat4
from matlab_compat.matfile.v5 import Mat5File
from matlab_compat.matfile.values import (
    VariableInfo,
)

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
def opened(path: str | os.PathLike[str]) -> Iterator[MatReader]:
    """A reader for the file's version. Errors: MatFileError, whatever goes wrong while it is open."""
    target = Path(path)
    try:
        with open(target, "rb") as stream:
            if _is_hdf5(stream):
                with _opened_hdf5(target) as reader:
                    yield reader
            else:
                yield _reader(stream)
    except MatFileError as error:
        raise MatFileError(f"{target}: {error}") from error
    except FileNotFoundError as error:
        raise MatFileError(f"{target}: there is no such file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise MatFileError(f"{target}: cannot be opened: {error.strerror}") from error
    except DAMAGE as error:
        raise MatFileError(f"{target}: it is damaged: {type(error).__name__}: {error}") from error


def _is_hdf5(stream: BinaryIO) -> bool:
    for at in HDF5_AT:
        stream.seek(at)
        if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
            return True
    return False


@contextmanager
def _opened_hdf5(path: Path) -> Iterator[MatReader]:
    import h5py

    from matlab_compat.matfile.v73 import Mat73File

    with h5py.File(path, "r") as root:
        yield Mat73File(root.id, os.path.getsize(path))


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
        raise MatFileError(f"it is cut short: {len(head)} bytes, its header alone has 128")
    raise MatFileError(f"it is no .mat file: it begins with {head[:16]!r}")


def load(path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> dict[str, Any]:
    """The variables of a .mat file of any version (4, 6, 7, 7.3) as plain values, in the order of the file.

    path: the file; variables: the names wanted (None: all); nothing else is read, they come in this order.
    Errors: MatFileError when the file is missing, damaged, no .mat file, or lacks a variable (it names those
    that are there).
    """
    if isinstance(variables, str):
        variables = [variables]
    with opened(path) as file:
        if not file.names:
            raise MatFileError("it holds no variables")
        wanted = file.names if variables is None else list(variables)
        for name in wanted:
            if name not in file.names:
                raise MatFileError(f"no variable {name!r}; it holds {', '.join(file.names) or 'none'}")
        return {name: file.value(name) for name in wanted}


def who(path: str | os.PathLike[str]) -> dict[str, VariableInfo]:
    """Class name and shape of every variable of a .mat file; reads no data. Errors: MatFileError."""
    with opened(path) as file:
        return {name: file.info(name) for name in file.names}
