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
