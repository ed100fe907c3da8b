"""Decompressing what zlib has packed: by ISA-L where it is installed (`pip install 'deepibl[fast]'`), else by
zlib. The bytes are the same; large .mat files take two thirds of the time.
"""

import zlib
from collections.abc import Callable
from typing import Any

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
