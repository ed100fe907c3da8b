"""Writing a file so that it appears whole or not at all; bounded reads; paths below a folder; damaged files.

`damage_as` and `mat_damage` belong directly around calls of h5py, zlib, numpy and json. Around our own
parsing they would report a bug as damage to the user's file.
"""

import errno
import io
import os
import platform
import re
import struct
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from matlab_compat.errors import MatFileError, MatlabCompatError

StrPath = str | os.PathLike[str]


@cache
def _remove_left(folder: Path) -> str:
    """Deletes, once, what processes killed since the machine started left in a folder; returns their mark."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"
    system = boot.read_text() + os.readlink(space) if boot.exists() and os.path.exists(space) else ""
    mark = f"{zlib.crc32(f'{platform.node()} {system}'.encode()):08x}"
    own = re.compile(rf"\..+\.{mark}-(\d{{1,9}})-[0-9a-f]{{8}}(\.[^.]*)?")
    listed = os.listdir(folder) if os.name == "posix" and os.access(folder, os.R_OK) else []
    for found in filter(None, map(own.fullmatch, listed)):
        with suppress(OSError):  # another user's process, or file
            try:
                os.kill(int(found[1]), 0)
            except ProcessLookupError:
                os.remove(folder / found[0])
    return mark


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yields a new file in the folder of `target`, with its suffix; removed at the end if still there."""
    (folder := target.parent.absolute()).mkdir(parents=True, exist_ok=True)
    owner = f"{_remove_left(folder)}-{os.getpid()}"
    temporary = folder / f".{target.name}.{owner}-{os.urandom(4).hex()}{target.suffix}"
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        error.filename = os.fspath(target)  # not the temporary name, which nobody gave
        raise
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_output(path: StrPath) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with its suffix; renamed to `path` on success, removed on error.

    At `path` is always the old file or the whole new one, even if the process is killed.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        number, kind = (errno.EISDIR, "a folder") if target.is_dir() else (errno.EINVAL, "a pipe or device")
        raise OSError(number, f"this is {kind}, not a file to write", os.fspath(path))
    with temporary_beside(target) as temporary:
        yield temporary
        os.replace(temporary, target)


def write_text(path: StrPath, text: str) -> None:
    """Writes a text in UTF-8 to `path`, whole or not at all."""
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_bytes(path: StrPath) -> Iterator[io.BytesIO]:
    """Yields a buffer whose bytes are then written to `path`, whole or not at all.

    For images: Pillow (and matplotlib through it) does not report a disk that fills up while it writes.
    """
    buffer = io.BytesIO()
    yield buffer
    with atomic_output(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


class Bounded(io.BufferedReader):
    """A file, open for reading, whose reads are limited to the bytes that it has.

    For images: Pillow asks for as many bytes as a chunk declares, and Python allocates them before it reads.
    """

    def __init__(self, path: StrPath) -> None:
        super().__init__(io.FileIO(os.fspath(path)))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that are left where it is negative."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def file_name(text: str) -> str:
    """A text as part of a file's name, which holds no colon on some systems.

    >>> file_name("torchvision:resnet50")
    'torchvision-resnet50'
    """
    return text.replace(":", "-")


def is_below(root: StrPath, path: StrPath) -> bool:
    """Whether a path is a folder or in it, after resolving `..` and links."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


LIBRARY_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # RecursionError too: json
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,  # numpy, on the header of a .npy file
    zlib.error,
)


def _reason(error: Exception) -> str:
    """What an exception says, or its type's name; at most 500 characters."""
    reason = str(error).strip() or type(error).__name__
    return (f"it lacks {reason}" if isinstance(error, KeyError) else reason)[:500]


@contextmanager
def damage_as(
    error_class: type[MatlabCompatError], path: StrPath, what: str, advice: str = ""
) -> Iterator[None]:
    """Turns what libraries raise on a damaged file into `error_class`: "PATH WHAT: reason; ADVICE".

    what: e.g. 'is not an index that can be read'. A MatlabCompatError passes unchanged.
    """
    try:
        yield
    except MatlabCompatError:
        raise
    except LIBRARY_ERRORS as error:
        end = f"; {advice}" if advice else ""
        raise error_class(f"{os.fspath(path)} {what}: {_reason(error)}{end}") from error


mat_damage = partial(damage_as, MatFileError, "it", "is damaged")  # of .mat files, without their names
