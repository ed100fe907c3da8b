"""MAT 4 files: what scipy writes, and damage."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from matlab_compat import matfile
from matlab_compat.errors import MatFileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    content = {
        "a": np.array([[1.5, 2], [3, 4]]),
        "z": np.array([[1 + 2j]]),
        "t": "abc",
        "i": np.array([[1, 2, 3]], np.int16),
        "s": scipy.sparse.csc_matrix(np.array([[0, 2.0, 0], [1, 0, 0]])),
    }
    scipy.io.savemat(tmp_path / "a.mat", content, format="4")
    return tmp_path / "a.mat"


def test_every_kind_of_matrix_is_read(path: Path) -> None:
    found = matfile.load(path)
    assert found["a"].tolist() == [[1.5, 2], [3, 4]]
    assert found["z"].tolist() == [[1 + 2j]]
    assert found["t"] == "abc"
    assert (found["i"].dtype, found["i"].tolist()) == (np.float64, [[1, 2, 3]])
    assert found["s"].toarray().tolist() == [[0, 2, 0], [1, 0, 0]]
    assert matfile.who(path)["s"] == ("sparse", (2, 3))
    assert matfile.who(path)["t"] == ("char", (1, 3))


def test_a_big_endian_matrix_is_read(tmp_path: Path) -> None:
    head = np.array([1000, 1, 2, 0, 2], ">i4").tobytes() + b"x\0"
    (tmp_path / "a.mat").write_bytes(head + np.array([1.5, -2], ">f8").tobytes())
    assert matfile.load(tmp_path / "a.mat")["x"].tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize(
    ("storage", "dtype"), [(0, "f8"), (1, "f4"), (2, "i4"), (3, "i2"), (4, "u2"), (5, "u1")]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_chars_are_read_whatever_numbers_keep_them(
    storage: int, dtype: str, order: str, tmp_path: Path
) -> None:
    string = "a\0é" if dtype == "u1" else "Z東" if dtype == "i2" else "𝔸東\0"
    units = np.frombuffer(string.encode("utf-16-le"), "<u2")
    units = units[units < 0x8000] if dtype == "i2" else units
    mopt = (1000 if order == ">" else 0) + storage * 10 + 1
    head = np.array([mopt, 1, units.size, 0, 2], f"{order}i4").tobytes() + b"x\0"
    (tmp_path / "a.mat").write_bytes(head + units.astype(order + dtype).tobytes())
    assert matfile.load(tmp_path / "a.mat")["x"] == string
    assert matfile.who(tmp_path / "a.mat")["x"] == ("char", (1, units.size))


def test_a_char_matrix_beyond_16_bits_and_an_empty_char(tmp_path: Path) -> None:
    rows = [np.frombuffer(row.encode("utf-16-le"), "<u2") for row in ("a𝔸b", "𝔸cd")]
    head = np.array([41, 2, 4, 0, 2], "<i4").tobytes() + b"x\0"
    empty = np.array([51, 0, 3, 0, 2], "<i4").tobytes() + b"y\0"
    (tmp_path / "a.mat").write_bytes(head + np.stack(rows).tobytes(order="F") + empty)
    found = matfile.load(tmp_path / "a.mat")
    assert found["x"] == ["a𝔸b", "𝔸cd"]
    assert found["y"].shape == (0, 3)


def test_numbers_that_are_not_characters_are_refused(tmp_path: Path) -> None:
    head = np.array([1, 1, 1, 0, 2], "<i4").tobytes() + b"x\0"
    (tmp_path / "a.mat").write_bytes(head + np.array([np.nan]).tobytes())
    with pytest.raises(MatFileError, match="not character codes"):
        matfile.load(tmp_path / "a.mat")


@pytest.mark.parametrize(
    "value", [np.zeros((2, 3)), np.array([[1j, 0], [0, 0]]), np.array([[0.0], [np.inf]])]
)
def test_sparse_matrices_of_every_kind(value: np.ndarray, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": scipy.sparse.csc_matrix(value)}, format="4")
    assert (matfile.load(tmp_path / "a.mat")["x"].toarray() == value).all()


def test_every_truncation_is_an_error_or_ends_between_matrices(path: Path) -> None:
    whole, loaded = path.read_bytes(), 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with suppress(MatFileError):
            loaded += bool(matfile.load(path))
    assert loaded == 4


def test_a_huge_claim_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(np.array([0, 2**30, 2**30, 0, 2], "<i4").tobytes() + b"x\0" + bytes(8))
    with pytest.raises(MatFileError, match=r"'x'.*1073741824x1073741824"):
        matfile.load(tmp_path / "a.mat")
