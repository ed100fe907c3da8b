"""Readers that break the contract, each in its own way: they show that the watching process notices."""

import ctypes
import time
from pathlib import Path

from matlab_compat.errors import MatFileError


def hangs(path: Path) -> object:
    """Never ends."""
    time.sleep(600)
    return path


def crashes(path: Path) -> object:
    """Reads memory that is not there, as a broken C library does."""
    return ctypes.string_at(0)


def grows(path: Path) -> object:
    """Uses 550 MB, and reads the file."""
    return (b"x" * (550 * 2**20)).count(b"y")


def asks(path: Path) -> object:
    """Asks for 10 GB, is refused, and hides that in an error of ours."""
    try:
        return bytearray(10 * 2**30)
    except MemoryError as error:
        raise MatFileError(f"{path}: it is damaged") from error


def raises(path: Path) -> object:
    """An error of Python's."""
    return 1 // (path.stat().st_size * 0)


BAD_READERS = (hangs, crashes, grows, asks, raises)
