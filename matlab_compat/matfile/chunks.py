"""Large packed datasets of HDF5 files, unpacked in several threads, where HDF5 itself takes one.

A dataset is stored in chunks of equal shape, each packed by itself; those at the border are filled up.
"""

import itertools
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from h5py import h5d, h5z

from matlab_compat.matfile.classes import corrupted

LEAST_BYTES = 1 << 20  # of a dataset for which threads are worth their start
MOST_THREADS = 8
AT_A_TIME = 64  # packed chunks that are held


def read_chunks(dataset: Any, into: np.ndarray) -> bool:
    """Fills an array of the dataset's shape and type; False, with anything in it, if that cannot be done.

    dataset: h5py's low-level id. What cannot be done here (other packings, chunks that are missing or
    no stream) is left to HDF5 itself, which then reads it or says what is wrong.
    Raises MatFileError for a chunk of another size, which HDF5 takes without a word.
    """
    layout = dataset.get_create_plist()
    if into.nbytes < LEAST_BYTES or dataset.dtype != into.dtype or layout.get_layout() != h5d.CHUNKED:
        return False
    if layout.get_nfilters() != 1 or layout.get_filter(0)[0] != h5z.FILTER_DEFLATE:
        return False
    shape = layout.get_chunk()
    size = int(np.prod(shape)) * into.itemsize

    def place(offset: tuple[int, ...], packed: bytes) -> None:
        chunk = np.frombuffer(_unpacked(packed, size), into.dtype).reshape(shape)
        target = into[tuple(slice(at, at + side) for at, side in zip(offset, shape, strict=True))]
        target[...] = chunk[tuple(slice(side) for side in target.shape)]

    corners = itertools.product(*(range(0, n, side) for n, side in zip(into.shape, shape, strict=True)))
    try:
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "deepibl-unpack") as pool:
            while some := list(itertools.islice(corners, AT_A_TIME)):
                packed = [dataset.read_direct_chunk(corner) for corner in some]
                if any(mask for mask, _ in packed):  # a chunk that was kept unpacked
                    return False
                list(pool.map(place, some, (data for _, data in packed)))
    except (zlib.error, OSError, RuntimeError, ValueError, KeyError):
        return False
    return True


def _unpacked(packed: bytes, size: int) -> bytes:
    """The bytes of one zlib stream that must be `size` long; at most one more is ever made."""
    stream = zlib.decompressobj()
    data = stream.decompress(packed, size + 1)
    if len(data) == size and not stream.eof:  # its end has not been read yet
        data += stream.decompress(stream.unconsumed_tail, 1)
    if len(data) != size or not stream.eof:
        raise corrupted(f"a chunk of {size:,} bytes holds {len(data):,}")
    return data
