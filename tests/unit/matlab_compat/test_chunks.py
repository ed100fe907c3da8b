"""Packed datasets of HDF5 files, read by several threads: the same numbers, and damage is left to HDF5."""

import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.matfile.chunks import LEAST_BYTES, read_chunks


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("chunks", [(100, 700, 1), (64, 99, 2), (1000, 701, 3)])
def test_chunks_are_put_together_as_hdf5_does(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    want = numbers(1000, 701, 3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=want, chunks=chunks, compression="gzip")
    got = np.full_like(want, np.nan)
    with h5py.File(tmp_path / "a.h5") as file:
        assert read_chunks(file["x"].id, got)
    np.testing.assert_array_equal(got, want)


def other_types(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(1000, 700).astype(">f4"), chunks=(100, 700), compression="gzip")


def another_packing(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(1000, 700), chunks=(100, 700), compression="gzip", shuffle=True)


def unpacked(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(1000, 700))


def with_holes(file: h5py.File) -> None:
    made = file.create_dataset("x", (1000, 700), "f4", chunks=(100, 700), compression="gzip")
    made[:100] = numbers(100, 700)


def small(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(4, LEAST_BYTES // 32), chunks=(4, 100), compression="gzip")


@pytest.mark.parametrize("make", [other_types, another_packing, unpacked, with_holes, small])
def test_everything_else_is_left_to_hdf5(tmp_path: Path, make: Callable[[h5py.File], None]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with h5py.File(tmp_path / "a.h5") as file:
        assert not read_chunks(file["x"].id, np.empty(file["x"].shape, np.float32))


@pytest.mark.parametrize("content", [zlib.compress(bytes(8)), zlib.compress(bytes(10**7)), b"no stream"])
def test_a_damaged_chunk_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v73.mat"
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with h5py.File(path, "w", userblock_size=512) as file:
        made = file.create_dataset("x", data=numbers(1000, 700), chunks=(100, 700), compression="gzip")
        made.attrs["MATLAB_class"] = np.bytes_("single")
        made.id.write_direct_chunk((300, 0), content)
    with path.open("r+b") as file:
        file.write(head)
    with pytest.raises(MatFileError, match=r"v73\.mat"):
        matfile.load(path)
