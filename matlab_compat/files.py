"""Writing a file so that it is either whole or not there; reading one that claims to be larger than it is.

Decompressing what zlib has packed: by ISA-L where it is installed (`pip install 'deepibl[fast]'`), else by
zlib. The bytes are the same; large .mat files take two thirds of the time.

What reading a damaged file can raise, and how it becomes one error of ours.
"""

import io
import os
import struct
import tempfile
import tokenize
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matlab_compat.errors import MatlabCompatError


@contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`, same suffix; renamed to `path` on success, removed on error.

    Whoever looks at `path` sees the old file or the whole new one, even when the process is killed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _permissions_of_a_new_file(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_bytes(path: str | os.PathLike[str]) -> Iterator[io.BytesIO]:
    """Gives a buffer whose bytes are written to `path`, whole or not at all.

    For pictures: Pillow, and matplotlib by it, does not notice a disk that fills up while it writes a file.
    """
    buffer = io.BytesIO()
    yield buffer
    with atomic_output(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


class Bounded(io.BufferedReader):
    """A file, open for reading, that is never asked for more than it has.

    For pictures: Pillow asks for as many bytes as a chunk claims, and Python makes room for them first.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(io.FileIO(os.fspath(path)))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, all that are left where it is negative."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def is_below(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder or something in it, with `..` and links taken as they lead."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _permissions_of_a_new_file(path: Path) -> None:
    """mkstemp makes a file that only its owner may read; give it what open() would have given."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


ERRORS: tuple[type[Exception], ...] = (zlib.error,)

unpacker: Callable[[], Any] = zlib.decompressobj

try:
    from isal import isal_zlib
except ImportError:  # zlib is there everywhere
    pass
else:
    unpacker = isal_zlib.decompressobj
    ERRORS = (zlib.error, isal_zlib.IsalError)  # type: ignore[assignment]  # isal's stub calls it an instance


def inflated(packed: bytes, size: int) -> bytes:
    """The bytes of one zlib stream that must be `size` long; at most one more is ever made.

    Raises ValueError for another length and for a stream that is not whole; one of ERRORS for damage.
    """
    stream = unpacker()
    data: bytes = stream.decompress(packed, size + 1)
    if len(data) == size and not stream.eof:  # its end has not been read yet
        data += stream.decompress(stream.unconsumed_tail, 1)
    if len(data) != size or not stream.eof:
        raise ValueError(f"{len(data):,} bytes where {size:,} were packed")
    return data


DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # RecursionError too
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,  # numpy's, of the header of a .npy file
    *ERRORS,
)


@contextmanager
def damage_as(
    error_class: type[MatlabCompatError], path: str | os.PathLike[str], what: str, advice: str = ""
) -> Iterator[None]:
    """Inside, whatever a damaged file makes libraries raise becomes `error_class`: "PATH WHAT: …; ADVICE".

    what: 'is not an index that can be read'. Errors of ours pass as they are.
    """
    try:
        yield
    except MatlabCompatError:
        raise
    except DAMAGE as problem:
        reason = str(problem).strip() or type(problem).__name__
        if isinstance(problem, KeyError):
            reason = f"it lacks {reason}"
        end = f"; {advice}" if advice else ""
        raise error_class(f"{os.fspath(path)} {what}: {reason[:500]}{end}") from problem
