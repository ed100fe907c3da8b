"""matfile as its users see it: what is loaded is what was saved, and errors say what is there."""

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from tests.matlab_same import assert_same

VALUES = {
    "double": np.array([[1.5, -np.inf], [np.nan, 3.0]]),
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "int8": np.array([[-128, 127]], np.int8),
    "uint8": np.array([[0, 255]], np.uint8),
    "int16": np.array([[-32768], [32767]], np.int16),
    "uint16": np.array([[65535]], np.uint16),
    "int32": np.array([[-(2**31)]], np.int32),
    "uint32": np.array([[2**32 - 1]], np.uint32),
    "int64": np.array([[-(2**63), 2**62 + 1]], np.int64),
    "uint64": np.array([[2**64 - 1]], np.uint64),
    "logical": np.array([[True, False], [False, False]]),
    "complex_double": np.array([[1 + 2j, -3j]]),
    "complex_single": np.array([[1 + 2j]], np.complex64),
    "four_dimensional": np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5),
    "empty_double": np.zeros((0, 0)),
    "empty_int8": np.zeros((0, 5), np.int8),
    "empty_single": np.zeros((1, 0, 3), np.float32),
    "empty_logical": np.zeros((3, 0), bool),
    "text": "conv5_3",
    "accents": "Zürich, naïve – 東京 𝔸",
    "empty_text": "",
    "text_with_spaces": " a  ",
    "char_matrix": matfile.CharMatrix(["abc", "de ", "  f"]),
    "cell": np.array([["a", np.ones((1, 2))], [np.zeros((0, 0)), "b"]], dtype=object),
    "empty_cell": np.empty((0, 0), dtype=object),
    "row_of_no_cells": np.empty((1, 0), dtype=object),
    "nested": {"a": {"b": {"c": np.ones((1, 1))}}, "empty": {}, "z_before_y": "z", "y": ""},
    "field_name_of_63_characters": {"f" * 63: np.ones((1, 1))},
    "struct_array": matfile.StructArray(
        (2, 2), ("id", "name"), [{"id": np.full((1, 1), i * 1.0), "name": f"n{i}"} for i in range(4)]
    ),
    "no_structs": matfile.StructArray((0, 1), ("a", "b"), []),
    "sparse": scipy.sparse.csc_matrix(np.diag([1.0, 0.0, 3.0])),
    "sparse_logical": scipy.sparse.csc_matrix(np.eye(3, dtype=bool)),
    "sparse_complex": scipy.sparse.csc_matrix(np.eye(2) * (1 + 2j)),
    "sparse_of_zeros": scipy.sparse.csc_matrix((3, 4)),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_saved_is_loaded_again(name: str, tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {name: VALUES[name]})
    assert_same(matfile.load(tmp_path / "a.mat"), {name: VALUES[name]})


def test_python_values_are_saved_as_matlab_would_write_them(tmp_path: Path) -> None:
    given = {
        "number": 3,
        "fraction": 0.5,
        "flag": True,
        "nothing": None,
        "list": ["a", 2],
        "row": np.arange(3),
    }
    matfile.save(tmp_path / "a.mat", given | {"scalar": np.uint8(7), "names": np.array(["x", "yy"])})
    cells = np.array([["a", np.array([[2.0]])]], dtype=object)
    want = {
        "number": np.array([[3.0]]),
        "fraction": np.array([[0.5]]),
        "flag": np.array([[True]]),
        "nothing": np.zeros((0, 0)),
        "list": cells,
        "row": np.arange(3).reshape(1, 3),
        "scalar": np.array([[7]], np.uint8),
        "names": np.array([["x", "yy"]], dtype=object),
    }
    assert_same(matfile.load(tmp_path / "a.mat"), want)


def test_a_list_of_one_list_is_a_cell_in_a_cell(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {"c": [[np.ones((2, 2))]], "same": [np.ones((2, 2)), np.ones((2, 2))]})
    loaded = matfile.load(tmp_path / "a.mat")
    assert loaded["c"].shape == (1, 1)
    assert_same(loaded["c"][0, 0][0, 0], np.ones((2, 2)))
    assert loaded["same"].shape == (1, 2)


def test_only_what_is_asked_for_is_loaded_in_the_order_asked(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {"a": 1, "b": 2, "c": 3})
    assert list(matfile.load(tmp_path / "a.mat", ["c", "a"])) == ["c", "a"]
    assert list(matfile.load(tmp_path / "a.mat", "b")) == ["b"]
    assert list(matfile.load(tmp_path / "a.mat")) == ["a", "b", "c"]


def test_a_missing_variable_is_an_error_that_names_those_there(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {"layers": 1, "meta": 2})
    with pytest.raises(MatFileError, match=r"a\.mat.*'net'.*layers, meta"):
        matfile.load(tmp_path / "a.mat", ["net"])


def test_a_file_without_variables_is_an_empty_struct(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {})
    assert matfile.who(tmp_path / "a.mat") == {} == matfile.load(tmp_path / "a.mat")
    with pytest.raises(MatFileError, match="no variable 'net'; it holds none"):
        matfile.load(tmp_path / "a.mat", ["net"])


def test_who_tells_class_and_shape(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", VALUES)
    found = matfile.who(tmp_path / "a.mat")
    assert list(found) == list(VALUES)
    assert found["single"] == ("single", (2, 3))
    assert found["logical"] == ("logical", (2, 2))
    assert found["char_matrix"] == ("char", (3, 3))
    assert found["cell"] == ("cell", (2, 2))
    assert found["struct_array"] == ("struct", (2, 2))
    assert found["sparse"] == ("sparse", (3, 3))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a b": 1}, "'a b' is not a valid name of a variable"),
        ({"_a": 1}, "'_a' is not a valid name of a variable"),
        ({"a" * 64: 1}, "at most 63"),
        ({"s": {"bad-name": 1}}, "'bad-name' is not a valid name of a field of s"),
        ({"s": {"deep": [1, {"f": np.float16(1)}]}}, r"s\.deep\{1,2\}\.f is a numpy array of float16"),
        ({"net": {"layers": [matfile.MatObject("layerVLAD")]}}, "class layerVLAD.*save_objects"),
        ({"f": matfile.FunctionHandle("@sin")}, "function handle"),
        (
            {"s": matfile.StructArray((1, 2), ("a",), [{"a": 1}, {"b": 1}])},
            "element 2 of s lacks the field 'a'",
        ),
        ({"d": np.array(["2020-01-01"], "M8[D]")}, "datetime64"),
    ],
)
def test_what_has_no_matlab_form_is_refused_and_nothing_is_written(
    variables: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(MatFileError, match=message):
        matfile.save(tmp_path / "a.mat", variables)
    assert os.listdir(tmp_path) == []


def test_a_variable_of_2_gib_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), (2**28, 1), (0, 0))
    with pytest.raises(MatFileError, match=r"'net'.*2,147,483,648 bytes.*safetensors"):
        matfile.save(tmp_path / "a.mat", {"net": {"weights": huge}})


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", {"a": 1})
    with pytest.raises(MatFileError):
        matfile.save(tmp_path / "a.mat", {"a": matfile.FunctionHandle("@sin")})
    assert matfile.scalar(matfile.load(tmp_path / "a.mat")["a"]) == 1
    assert os.listdir(tmp_path) == ["a.mat"]


def test_a_file_keeps_the_name_it_was_given(tmp_path: Path) -> None:
    matfile.save(tmp_path / "net.checkpoint", {"a": 1})
    assert os.listdir(tmp_path) == ["net.checkpoint"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0 a JPEG by its first bytes", r"not a \.mat file.*xff"),
        (b"just text, no matrix at all" * 10, r"not a \.mat file: it begins with b'just text"),
        (b"MATLAB 5.0 MAT-file".ljust(60), r"truncated"),
        (bytes(4), r"not a \.mat file"),
        (bytes(200), "name of 0 characters"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "damaged"),
    ],
)
def test_what_is_no_mat_file_is_named_and_described(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(MatFileError, match=rf"x\.mat.*({message})"):
        matfile.load(tmp_path / "x.mat")


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(MatFileError, match="no such file"):
        matfile.load(tmp_path / "x.mat")
    with pytest.raises(MatFileError, match="cannot be read: Is a directory"):
        matfile.who(tmp_path)


def test_scalar_reads_one_number_as_pythons_so_that_it_cannot_wrap() -> None:
    assert matfile.scalar(np.array([[255]], np.uint8)) + 1 == 256
    assert matfile.scalar(np.array([[2.5]])) == 2.5
    assert matfile.scalar(np.array([[True]])) is True
    assert matfile.scalar(scipy.sparse.csc_matrix([[4.0]])) == 4
    for bad in (np.zeros((1, 2)), np.zeros((0, 0)), "3", {}, np.array([["a"]], dtype=object)):
        with pytest.raises(MatFileError, match="expected one number"):
            matfile.scalar(bad)


def test_text_reads_a_char_row_or_an_empty_array() -> None:
    assert matfile.text("abc") == "abc"
    assert matfile.text(np.zeros((0, 0))) == ""
    assert matfile.text(np.array([["x"]], dtype=object)) == "x"
    with pytest.raises(MatFileError, match="expected a char row, found 1x1 double"):
        matfile.text(np.ones((1, 1)))


def test_vector_reads_rows_and_columns_alike() -> None:
    assert matfile.vector(np.array([[1], [2]], np.uint8)).tolist() == [1, 2]
    assert matfile.vector(np.array([[1.0, 2.0]])).shape == (2,)
    assert matfile.vector(np.zeros((0, 0))).shape == (0,)
    assert matfile.vector(np.float64(3)).tolist() == [3]
    with pytest.raises(MatFileError, match="expected a vector, found 2x2"):
        matfile.vector(np.ones((2, 2)))
    with pytest.raises(MatFileError, match="numeric"):
        matfile.vector("abc")


def test_cell_list_counts_down_the_columns() -> None:
    assert matfile.cell_list(np.array([["a", "c"], ["b", "d"]], dtype=object)) == ["a", "b", "c", "d"]
    assert matfile.cell_list(np.zeros((0, 0))) == []
    with pytest.raises(MatFileError, match="expected a cell array, found struct with fields a"):
        matfile.cell_list({"a": 1})


def test_image_names_come_from_a_cell_a_char_matrix_or_one_name() -> None:
    assert matfile.image_names(np.array([["a.jpg"], ["b.jpg"]], dtype=object)) == ["a.jpg", "b.jpg"]
    assert matfile.image_names(matfile.CharMatrix(["a.jpg ", "bb.jpg"])) == ["a.jpg", "bb.jpg"]
    assert matfile.image_names("a.jpg") == ["a.jpg"]
    with pytest.raises(MatFileError, match=r"name 1 .* is not a char row but 1x1 double"):
        matfile.image_names(np.array([["a.jpg", np.ones((1, 1))]], dtype=object))


def test_a_struct_array_is_a_sequence_in_column_major_order() -> None:
    array = matfile.StructArray((1, 3), ("a",), [{"a": 1}, {"a": 2}, {"a": 3}])
    assert len(array) == 3
    assert [item["a"] for item in array] == [1, 2, 3]
    assert array[-1] == {"a": 3}
    assert repr(array) == "StructArray(1x3, fields: a)"
    with pytest.raises(MatFileError, match="cannot hold 1"):
        matfile.StructArray((2, 2), ("a",), [{"a": 1}])
