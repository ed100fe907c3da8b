"""Large packed datasets of HDF5 files, unpacked in several threads: HDF5 itself does it in one.

A dataset is stored in chunks of equal shape, each packed by itself; those at the border are filled up.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from h5py import h5d, h5z

from matlab_compat.inflating import ERRORS, inflated

LEAST_BYTES = 1 << 20  # of a dataset for which threads are worth their start
MOST_THREADS = 8
NOT_HERE: tuple[type[Exception], ...] = (*ERRORS, OSError, RuntimeError, ValueError, KeyError)
AT_A_TIME = 64  # packed chunks that are held


def read_chunks(dataset: Any, into: np.ndarray) -> bool:
    """Fills an array of the dataset's shape and type; False, with anything in it, if that cannot be done.

    dataset: h5py's low-level id. What cannot be done here (other packings, chunks that are missing or
    damaged) is left to HDF5 itself, which then reads it or says what is wrong.
    """
    layout = dataset.get_create_plist()
    if into.nbytes < LEAST_BYTES or dataset.dtype != into.dtype or layout.get_layout() != h5d.CHUNKED:
        return False
    if layout.get_nfilters() != 1 or layout.get_filter(0)[0] != h5z.FILTER_DEFLATE:
        return False
    shape = layout.get_chunk()
    size = int(np.prod(shape)) * into.itemsize

    def place(offset: tuple[int, ...], packed: bytes) -> None:
        chunk = np.frombuffer(inflated(packed, size), into.dtype).reshape(shape)
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
    except NOT_HERE:
        return False
    return True
