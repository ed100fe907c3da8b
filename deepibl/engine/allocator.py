"""Memory that is given back to the system at every layer has to be fetched, and cleared, at the next one.

glibc does so with blocks of more than 32 MB at the latest; the maps of one 640 x 480 image after conv1_1 are
79 MB. With the thresholds raised, a process keeps what it once used (its peak does not change).
"""

import ctypes
import sys
from functools import lru_cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_MEGABYTE = 1 << 20
_KEPT = (2047 * _MEGABYTE, 1024 * _MEGABYTE)  # trim above, map above
_USUAL = (64 * _MEGABYTE, 32 * _MEGABYTE)  # what glibc comes to by itself once large blocks have been freed


def keep_buffers() -> bool:
    """Makes glibc keep freed blocks up to 1 GB for the next allocation, for the whole process.

    Returns whether that worked; on systems without glibc nothing happens. Call it before computing.
    """
    return _set(*_KEPT)


def release_buffers() -> bool:
    """Back to what glibc does by itself; what is free is given back now."""
    done = _set(*_USUAL)
    if done:
        _glibc().malloc_trim(0)
    return done


def _set(trim: int, map_above: int) -> bool:
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(_MMAP_THRESHOLD, map_above) and library.mallopt(_TRIM_THRESHOLD, trim))


@lru_cache(maxsize=1)
def _glibc():  # type: ignore[no-untyped-def]
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None
