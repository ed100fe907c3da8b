"""Writing a file so that it is either whole or not there; reading one that claims to be larger than it is."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
