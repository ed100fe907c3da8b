"""Unpacking of large .mat files: ISA-L and zlib, HDF5's chunks by several threads; all give the same."""

import importlib.util
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from matlab_compat import files as inflating, matfile
from matlab_compat.errors import MatFileError
from matlab_compat.matfile import hdf5 as mat_hdf5
from matlab_compat.matfile.hdf5 import LEAST_BYTES, read_chunks

HAVE_ISAL = importlib.util.find_spec("isal") is not None
UNPACKERS = ["zlib", pytest.param("isal", marks=pytest.mark.skipif(not HAVE_ISAL, reason="needs isal"))]


@pytest.fixture(params=UNPACKERS)
def unpacker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    module = __import__("isal.isal_zlib", fromlist=["x"]) if request.param == "isal" else zlib
    monkeypatch.setattr(inflating, "unpacker", module.decompressobj)
    return request.param


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_large_variables_come_out_as_they_went_in(unpacker: str, tmp_path: Path) -> None:
    kinds = {"random": numbers(700, 900), "zeros": np.zeros((900, 900)), "words": "abc" * 300_000}
    matfile.save(tmp_path / "v7.mat", kinds)
    found = matfile.load(tmp_path / "v7.mat")
    assert np.array_equal(found["random"], kinds["random"]) and np.array_equal(found["zeros"], kinds["zeros"])
    assert found["words"] == kinds["words"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "longer"])
def test_damage_is_said(unpacker: str, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "v7.mat"
    matfile.save(path, {"x": numbers(300, 400)})
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    if damage == "cut":
        del data[at : at + 1000]
        data += bytes(1000)
    elif damage == "flipped":
        data[at : at + 64] = bytes(byte ^ 0x5A for byte in data[at : at + 64])
    else:
        data[-4:] = bytes(4)  # the checksum
    path.write_bytes(data)
    with pytest.raises(MatFileError, match=r"v7\.mat"):
        matfile.load(path)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_stream_is_as_long_as_it_should_be_or_refused(unpacker: str, extra: int) -> None:
    content = bytes(5000)
    packed = zlib.compress(content)
    if extra:
        with pytest.raises(ValueError, match="bytes where"):
            inflating.inflated(packed, len(content) + extra)
    else:
        assert inflating.inflated(packed, len(content)) == content
    with pytest.raises((ValueError, *inflating.ERRORS)):
        inflating.inflated(packed[:-6], len(content))


@pytest.mark.parametrize("chunks", [(100, 700, 1), (64, 99, 2), (1000, 701, 3)])
def test_chunks_are_put_together_as_hdf5_does(unpacker: str, tmp_path: Path, chunks: tuple[int, ...]) -> None:
    want = numbers(1000, 701, 3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=want, chunks=chunks, compression="gzip")
    got = np.full_like(want, np.nan)
    with h5py.File(tmp_path / "a.h5") as file:
        assert read_chunks(file["x"].id, got)
    assert np.array_equal(got, want)


def other_types(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(1000, 700).astype(">f4"), chunks=(100, 700), compression="gzip")


def another_packing(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(1000, 700), chunks=(100, 700), compression="gzip", shuffle=True)


def unpacked(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(1000, 700))


def with_holes(file: h5py.File) -> None:
    file.create_dataset("x", (1000, 700), "f4", chunks=(100, 700), compression="gzip")[:100] = numbers(
        100, 700
    )


def with_a_bad_chunk(file: h5py.File) -> None:
    made = file.create_dataset("x", data=numbers(1000, 700), chunks=(100, 700), compression="gzip")
    made.id.write_direct_chunk((300, 0), zlib.compress(bytes(8)))


def small(file: h5py.File) -> None:
    file.create_dataset("x", data=numbers(4, LEAST_BYTES // 32), chunks=(4, 100), compression="gzip")


@pytest.mark.parametrize(
    "make", [other_types, another_packing, unpacked, with_holes, with_a_bad_chunk, small]
)
def test_everything_else_is_left_to_hdf5(tmp_path: Path, make) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with h5py.File(tmp_path / "a.h5") as file:
        assert not read_chunks(file["x"].id, np.empty(file["x"].shape, np.float32))
        if make is not with_a_bad_chunk:
            node = mat_hdf5.Node(file["x"].id, mat_hdf5.Budget(1 << 24))
            assert np.array_equal(node.numbers(np.dtype("f4")), file["x"][()])
