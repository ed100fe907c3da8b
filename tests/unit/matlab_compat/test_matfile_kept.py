"""What is saved is what was loaded, to the last char and shape, also for scipy and Octave; or an error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.matfile.v4 import SPMATRIX
from tests.matlab_same import assert_same
from tests.unit.matlab_compat.test_matfile_octave import octave

StructArray, CharMatrix = matfile.StructArray, matfile.CharMatrix
EMPTY = np.zeros((0, 0))


def letters(shape: tuple[int, ...]) -> np.ndarray:
    """A char array of the codes 0, 1, 2, … in MATLAB's order."""
    codes = np.arange(np.prod(shape), dtype=np.uint32)
    return codes.view("U1").reshape(shape, order="F")


KEPT: dict[str, Any] = {
    "nul": "t\0e\0q",
    "nul_at_the_end": "ab\0\0",
    "only_nul": "\0",
    "nul_rows": CharMatrix(["a\0\0", "\0b\0"]),
    "beyond_16_bits": "a𝔸b",
    "half_a_pair": "a\ud835",
    "rows_beyond_16_bits": CharMatrix(["a𝔸", "bcd", "𝔸é"]),
    "three_d": letters((2, 3, 2)),
    "three_d_of_one": letters((1, 1, 2)),
    "codes_of_all_sizes": np.array([[[0, 0xE9, 0x6771, 0xD835]]], np.uint32).view("U1"),
    "rows_of_no_letters": CharMatrix(["", "", ""]),
    "no_rows": np.empty((0, 3), "U1"),
    "no_pages": np.empty((2, 3, 0), "U1"),
    "no_structs": StructArray((0, 0), (), []),
    "row_of_no_structs": StructArray((1, 0), (), []),
    "column_of_no_structs": StructArray((0, 3), (), []),
    "three_structs": StructArray((1, 3), (), [{}] * 3),
    "many_structs": StructArray((2, 1, 3), (), [{}] * 6),
    "no_structs_with_fields": StructArray((0, 2), ("a", "bc"), []),
    "nested": {
        "s": StructArray((1, 2), ("x",), [{"x": StructArray((1, 0), (), [])}, {"x": letters((1, 2, 2))}]),
        "c": np.array([[{}, StructArray((3, 1), (), [{}] * 3)]], dtype=object),
    },
    "sparse_of_no_rows": scipy.sparse.csc_matrix((0, 3)),
    "sparse_of_nothing": scipy.sparse.csc_matrix((0, 0), dtype=bool),
    "sparse_of_infinities": scipy.sparse.csc_matrix(np.array([[complex(1, np.inf), 0, complex(np.nan, 2)]])),
    "sparse_logical_inside": {"c": [scipy.sparse.csc_matrix(np.eye(3, dtype=bool))]},
    "negative_zero": np.array([[-0.0]]),
    "big_endian": np.arange(3, dtype=">f4")[None],
}


def plain(value: Any) -> Any:
    """What is loaded of a value: lists as cells, numbers in the machine's byte order."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list) and not isinstance(value, CharMatrix):
        return np.array([[*value, None]], dtype=object)[:, :-1]
    is_number = isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    return value.astype(value.dtype.newbyteorder("=")) if is_number else value


def same(found: Any, want: Any) -> None:
    """As assert_same, and chars by their codes, since NumPy shows char(0) as ''."""
    assert_same(found, want)
    if isinstance(want, np.ndarray) and want.dtype.kind == "U":
        assert found.ravel().view(np.uint32).tolist() == want.ravel().view(np.uint32).tolist()


@pytest.mark.parametrize("name", KEPT)
def test_what_is_saved_is_loaded_as_it_was(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "a.mat", tmp_path / "again.mat"):
        matfile.save(path, {name: KEPT[name]})
        found = matfile.load(path)[name]
        same(found, plain(KEPT[name]))
        matfile.save(path, {name: found})
        same(matfile.load(path)[name], found)


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.mat", "b.mat"):
        matfile.save(tmp_path / name, KEPT)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


def test_who_knows_the_shapes_that_were_written(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", KEPT)
    found = matfile.who(tmp_path / "a.mat")
    assert found["three_d"] == ("char", (2, 3, 2))
    assert found["beyond_16_bits"] == ("char", (1, 4))  # UTF-16 code units, as MATLAB counts
    assert found["rows_beyond_16_bits"] == ("char", (3, 3))
    assert found["rows_of_no_letters"] == ("char", (3, 0))
    assert found["no_pages"] == ("char", (2, 3, 0))
    assert found["many_structs"] == ("struct", (2, 1, 3))
    assert found["column_of_no_structs"] == ("struct", (0, 3))


def test_scipy_reads_what_is_written(tmp_path: Path) -> None:
    given = {
        "text": "t\0e",
        "wide": "Zürich 東京",
        "cell": ["a", {"b": np.arange(6.0).reshape(2, 3)}],
        "complex": np.array([[1 + 2j, 3]], np.complex64),
        "flags": np.array([[True, False, True]]),
        "long": np.arange(7, dtype=np.int16)[None],
        "sparse": scipy.sparse.csc_matrix(np.diag([1.0, 0, 2])),
        "none": StructArray((1, 0), (), []),
    }
    matfile.save(tmp_path / "a.mat", given)
    found = scipy.io.loadmat(tmp_path / "a.mat", **SPMATRIX)
    assert found["text"].tolist() == ["t\0e"]
    assert found["wide"].tolist() == ["Zürich 東京"]
    assert found["cell"][0, 0].tolist() == ["a"]
    np.testing.assert_array_equal(found["cell"][0, 1]["b"][0, 0], given["cell"][1]["b"])  # type: ignore[index]
    np.testing.assert_array_equal(found["complex"], given["complex"])
    np.testing.assert_array_equal(found["flags"].astype(bool), given["flags"])
    np.testing.assert_array_equal(found["long"], given["long"])
    np.testing.assert_array_equal(found["sparse"].toarray(), given["sparse"].toarray())  # type: ignore[attr-defined]
    assert found["none"].shape == (1, 0)


def test_entries_of_a_sparse_matrix_that_are_given_twice_are_added(tmp_path: Path) -> None:
    given = scipy.sparse.coo_matrix(([1.0, 2, 4], ([1, 1, 0], [0, 0, 0])), (2, 1))
    matfile.save(tmp_path / "a.mat", {"x": given})
    assert scipy.io.loadmat(tmp_path / "a.mat", **SPMATRIX)["x"].toarray().tolist() == [[4], [3]]
    assert given.nnz == 3


@pytest.mark.octave
def test_octave_sees_the_chars_and_shapes_that_are_written(tmp_path: Path) -> None:
    names = (
        "nul",
        "nul_rows",
        "three_structs",
        "no_structs",
        "column_of_no_structs",
        "three_d",
        "rows_of_no_letters",
    )
    matfile.save(tmp_path / "a.mat", {name: KEPT[name] for name in names})
    script = """load a.mat
      printf('%d ', double(nul)); printf('%d ', double(nul_rows)); printf('%d ', double(three_d));
      printf('%dx%d ', size(three_structs), size(no_structs));
      printf('%dx%d ', size(column_of_no_structs), size(rows_of_no_letters));
      printf('%s', class(three_structs));"""
    found = octave(script, tmp_path).split()
    assert found[:5] == ["116", "0", "101", "0", "113"]
    assert found[5:11] == ["97", "0", "0", "98", "0", "0"]
    assert found[11:23] == [str(code) for code in range(12)]
    assert found[23:] == ["1x3", "0x0", "0x3", "3x0", "struct"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (CharMatrix(["abc", "d"]), r"x has rows of \[1, 3\] characters"),
        ({"f": CharMatrix(["a𝔸", "bc"])}, r"x\.f has rows of \[2, 3\] characters"),
        (np.array([[["𝔸"]]]), "x is a char array with characters that MATLAB keeps as two"),
        (
            StructArray((1, 2), ("a",), [{"a": 1}, {"a": 1, "b": 2}]),
            "element 2 of x has a field 'b' of its own",
        ),
        (matfile.MatObject("Old", shape=(0, 0)), "x is an object of class Old"),
        ([matfile.MatObject("Old")], r"x\{1,1\} is an object of class Old"),
    ],
)
def test_what_would_be_changed_is_refused_by_name(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(MatFileError, match=message):
        matfile.save(tmp_path / "a.mat", {"x": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nul_at_the_end", "three_d", "no_pages", "rows_of_no_letters"])
@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_chars_that_mat_io_would_change_are_refused_by_name(version: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("matio", reason="needs mat-io, which needs Python 3.11")
    with pytest.raises(MatFileError, match=r"x\.f is a .* char"):
        matfile.save_objects(tmp_path / "a.mat", {"x": {"f": KEPT[name]}}, version=version)


@pytest.mark.parametrize("name", ["no_structs", "three_structs", "beyond_16_bits", "rows_beyond_16_bits"])
@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_what_mat_io_keeps_is_kept(version: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("matio", reason="needs mat-io, which needs Python 3.11")
    matfile.save_objects(tmp_path / "a.mat", {"x": KEPT[name]}, version=version)
    same(matfile.load(tmp_path / "a.mat")["x"], KEPT[name])
