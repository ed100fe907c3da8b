"""Compressed .mat files: large variables of version 7, chunks of version 7.3, and damage to either."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.matfile.hdf5 import Budget, Node


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_large_variables_come_out_as_they_went_in(tmp_path: Path) -> None:
    kinds = {"random": numbers(700, 900), "zeros": np.zeros((900, 900)), "words": "abc" * 300_000}
    matfile.save(tmp_path / "v7.mat", kinds)
    found = matfile.load(tmp_path / "v7.mat")
    assert np.array_equal(found["random"], kinds["random"]) and np.array_equal(found["zeros"], kinds["zeros"])
    assert found["words"] == kinds["words"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "checksum"])
def test_damage_is_reported(tmp_path: Path, damage: str) -> None:
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
        data[-4:] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(MatFileError, match=r"v7\.mat"):
        matfile.load(path)


def chunked(file: h5py.File, **options: object) -> None:
    file.create_dataset(
        "x", data=numbers(1000, 700), **{"chunks": (64, 99), "compression": "gzip", **options}
    )


@pytest.mark.parametrize(
    "make",
    [
        chunked,
        lambda file: chunked(file, chunks=(1000, 700)),
        lambda file: chunked(file, shuffle=True),
        lambda file: chunked(file, chunks=None, compression=None),
        lambda file: file.create_dataset("x", data=numbers(1000, 700).astype(">f4"), compression="gzip"),
        lambda file: file.create_dataset("x", (1000, 700), "f4", chunks=(64, 99)).write_direct(
            numbers(100, 700), dest_sel=np.s_[:100]
        ),
    ],
    ids=["chunks", "one-chunk", "shuffled", "whole", "big-endian", "holes"],
)
def test_data_sets_of_any_storage_are_read(tmp_path: Path, make: Callable[[h5py.File], None]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with h5py.File(tmp_path / "a.h5") as file:
        node = Node(file["x"].id, Budget(1 << 24))
        assert np.array_equal(node.numbers(np.dtype("f4")), file["x"][()])
