"""What the command `deepibl` changes in its own process before it computes.

Importing the library or making an engine changes nothing of the process. A program that wants the command's
speed calls `prepare_process` once, before its first large computation.
"""

import ctypes
import io
import sys
import warnings
from functools import lru_cache
from typing import Any

from matlab_compat.faiss_library import choose_kernels

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_MEGABYTE = 1 << 20


def prepare_process() -> None:
    """Keeps freed memory for the next allocation, loads faiss with this processor's kernels, says warnings in
    one line, and prints any file name. Signal handlers of the command belong here, too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are not in the output's encoding
    warnings.formatwarning = lambda message, *_, **__: f"deepibl: warning: {message}\n"
    keep_buffers()
    choose_kernels()


def keep_buffers() -> bool:
    """Makes glibc keep freed blocks of up to 1 GB for the next allocation; returns whether it did.

    Otherwise blocks of more than 32 MB go back to the system at every layer (the maps of one 640 x 480 image
    after conv1_1 are 79 MB), and are fetched and cleared again at the next. The peak memory does not change.
    Without glibc nothing happens.
    """
    return _set_thresholds(trim=2047 * _MEGABYTE, mmap=1024 * _MEGABYTE)


def release_buffers() -> bool:
    """Sets the thresholds that glibc reaches by itself after freeing large blocks, and frees memory now."""
    done = _set_thresholds(trim=64 * _MEGABYTE, mmap=32 * _MEGABYTE)
    if done:
        _glibc().malloc_trim(0)
    return done


def _set_thresholds(trim: int, mmap: int) -> bool:
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(_MMAP_THRESHOLD, mmap) and library.mallopt(_TRIM_THRESHOLD, trim))


@lru_cache(maxsize=1)
def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None
