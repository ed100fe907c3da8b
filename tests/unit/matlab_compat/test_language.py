"""What migrated scripts call for MATLAB's language: values, indices from 1, growth, classes, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import language as ml, matfile
from matlab_compat.errors import ArgumentError, ImageReadError, MatFileError, NotMigratedError
from matlab_compat.language import Array, Cell, Struct, StructArray


def values(array: Any) -> list[Any]:
    return ml.as_np(array).tolist()


def test_indices_count_from_one_and_keep_matlabs_shapes() -> None:
    row, column, matrix = Array([10, 20, 30]), Array([[1], [2]]), Array([[1, 2], [3, 4]])
    assert row[1] == 10 and values(row[Array([3, 1])]) == [[30, 10]]
    assert values(row[Array([[3], [1]])]) == [[30, 10]] and values(column[Array([2, 1])]) == [[2], [1]]
    assert values(matrix[:]) == [[1], [3], [2], [4]] and values(matrix[:, 2]) == [[2], [4]]
    assert values(matrix[matrix > 1]) == [[3], [2], [4]] and values(row[row > 15]) == [[20, 30]]
    assert ml.at("text", Array([1, 4])) == "tt" and ml.at(7, 1) == 7
    assert list(ml.at(Cell("a", "b"), Array([2, 1]))) == ["b", "a"]


@pytest.mark.parametrize("index", [0, -1, 4, 1.5])
@pytest.mark.parametrize("value", [Array([1, 2, 3]), Cell(1, 2, 3), "abc"])
def test_an_index_that_is_not_there_is_refused(index: float, value: Any) -> None:
    with pytest.raises(ArgumentError, match="out of bound"):
        ml.at(value, index)


def test_assigning_past_the_end_grows() -> None:
    x = Array()
    x[3] = 5
    assert values(x) == [[0, 0, 5]]
    m = ml.zeros(2, 2)
    m[3, 1] = 7
    assert values(m) == [[0, 0], [0, 0], [7, 0]]
    column = Array([[1], [2]])
    column[4] = 9
    assert values(column) == [[1], [2], [0], [9]]
    empty = Array()
    empty[:, 2] = Array([[1], [2]])
    assert values(empty) == [[0, 1], [0, 2]]
    c = Cell()
    c[2] = "a"
    assert c.shape == (1, 2) and ml.isempty(c[1])


def test_what_does_not_fit_is_refused() -> None:
    m = Array([[1, 2], [3, 4]])
    with pytest.raises(ArgumentError, match="cannot grow by one index"):
        m[5] = 1
    with pytest.raises(ArgumentError, match="same size"):
        m[Array([1, 2, 3])] = Array([1, 2])
    with pytest.raises(ArgumentError, match="nonconformant"):
        _ = Array([1, 2, 3]) + Array([1, 2])
    with pytest.raises(ArgumentError, match="only one non-colon"):
        del m[1, 1]


def test_a_copy_is_independent_and_costs_nothing_until_it_is_changed() -> None:
    first = ml.ones(1, 3)
    second = ml.copied(first)
    assert second.data is first.data
    second[1] = 5
    assert values(first) == [[1, 1, 1]] and values(second) == [[5, 1, 1]]
    net = Struct(layers=Cell(Struct(w=Array([1, 2]))))
    other = ml.put(ml.copied(net), 9, "layers", [1], "w", (2,))
    assert values(net.layers[1].w) == [[1, 2]] and values(other.layers[1].w) == [[1, 9]]


def test_put_makes_structs_and_struct_arrays() -> None:
    s = ml.put(None, 3, (2,), "a")
    assert isinstance(s, StructArray) and s.shape == (1, 2) and s.fields == ("a",)
    s = ml.put(s, "x", (1,), "b")
    assert ml.at(s, 1).b == "x" and values(ml.horzcat(s.a)) == [[3]]
    assert ml.isempty(ml.at(s, 2).b)
    with pytest.raises(AttributeError, match="no field 'c'; it has a, b"):
        _ = s.c


def test_classes_combine_as_in_matlab() -> None:
    assert ml.class_(ml.plus(ml.single(1), 2)) == "single"
    assert values(ml.uint8(200) + 100) == [[255]] and ml.class_(ml.uint8(200) + 100) == "uint8"
    assert values(ml.int32(Array([7, -7])) / 2) == [[4, -4]]
    assert ml.plus(True, True) == 2 and ml.plus("a", 1) == 98
    assert ml.divide(1, 0) == np.inf and np.isnan(ml.divide(0, 0))
    with pytest.raises(ArgumentError, match="int8 by int16"):
        _ = ml.int8(1) + ml.int16(1)
    with pytest.raises(ArgumentError, match="complex"):
        ml.power(-8, 1 / 3)


def test_single_and_double_are_compared_as_single() -> None:
    assert ml.eq(ml.single(0.1), 0.1) is True and values(ml.single(0.1) >= 0.1) == [[True]]
    assert ml.eq(0.1 + 0.2, 0.3) is False and ml.eq(ml.int32(2), 2.5) is False


def test_a_field_is_removed_of_a_struct_and_of_each_of_an_array() -> None:
    array = ml.struct("a", Cell(1, 2), "b", 3)
    assert ml.rmfield(array, "a").fields == ("b",) and values(ml.horzcat(ml.rmfield(array, "a").b)) == [
        [3, 3]
    ]
    with pytest.raises(ArgumentError, match="no field c"):
        ml.rmfield(array, "c")


def test_logic_gives_logicals() -> None:
    assert ml.and_(3, 5) is True and ml.or_(0, 0.0) is False and ml.not_(Array([0, 2])).data.dtype == bool
    assert values(Array([1, 0]) & Array([1, 1])) == [[True, False]]
    assert not ml.istrue(Array()) and not ml.istrue(Array([1, 0])) and ml.istrue(Array([1, 2]))
    with pytest.raises(ArgumentError, match="NaN"):
        ml.istrue(np.nan)


@pytest.mark.parametrize(
    ("range_", "want"),
    [
        ((1, 3), [1, 2, 3]),
        ((5, -2, 0), [5, 3, 1]),
        ((3, 1), []),
        ((1, 0, 3), []),
        ((0, 0.1, 0.3), [0, 0.1, 0.2, 0.3]),
    ],
)
def test_a_range_has_matlabs_number_of_elements(range_: tuple, want: list) -> None:
    assert values(ml.colon(*range_)) == [pytest.approx(want)]
    assert len(ml.colon(0, 0.1, 100)) == 1001


def test_joining_rows_strings_cells_and_structs() -> None:
    assert ml.horzcat("a", "b", 67) == "abC"
    assert values(ml.horzcat(Array(), 1, Array([2, 3]))) == [[1, 2, 3]]
    assert list(ml.horzcat(Cell("a"), "b", Cell("c"))) == ["a", "b", "c"]
    assert ml.vertcat(Struct(a=1), Struct(a=2)).shape == (2, 1)
    with pytest.raises(ArgumentError, match="dimensions mismatch"):
        ml.vertcat(Array([1, 2]), Array([1, 2, 3]))
    with pytest.raises(ArgumentError, match="character matrices"):
        ml.vertcat("ab", "cd")


def test_a_list_of_values_is_not_taken_for_one() -> None:
    s = ml.struct("a", Cell(1, 2))
    for use in (ml.numel, ml.sum_, ml.disp, lambda v: ml.plus(v, 1)):
        with pytest.raises(ArgumentError, match="needed"):
            use(s.a)


def test_loops_run_over_columns() -> None:
    assert [values(column) for column in ml.columns(Array([[1, 2], [3, 4]]))] == [[[1], [3]], [[2], [4]]]
    assert (
        list(ml.columns("ab")) == ["a", "b"]
        and list(ml.columns(Array())) == []
        and list(ml.columns(3)) == [3]
    )
    assert [cell[1] for cell in ml.columns(Cell("a", "b"))] == ["a", "b"]


def test_reductions_and_their_dimensions() -> None:
    m = Array([[1, 5], [4, 2]])
    assert (
        values(ml.sum_(m)) == [[5, 7]] and values(ml.sum_(m, 2)) == [[6], [6]] and ml.sum_(Array([1, 2])) == 3
    )
    found, where = ml.max_(m, nargout=2)
    assert values(found) == [[4, 5]] and values(where) == [[2, 1]]
    assert ml.sum_(Array()) == 0 and np.isnan(ml.mean(Array())) and ml.all_(Array()) and not ml.any_(Array())
    assert values(ml.max_(m, Array(), 2)) == [[5], [4]] and values(ml.max_(m, 3)) == [[3, 5], [4, 3]]
    assert ml.max_(Array([np.nan, 1])) == 1 and values(ml.sort(Array([2, 3, 1]), "descend")) == [[3, 2, 1]]
    assert not ml.any_(Array([np.nan, 0])) and ml.all_(Array([np.nan, 1]))  # any passes over NaN
    assert ml.numel(ml.unique(Array([np.nan, np.nan, 1]))) == 3 and ml.floor(np.inf) == np.inf
    assert ml.std(Array([1, 2, 3, 4])) == pytest.approx(np.std([1, 2, 3, 4], ddof=1))


def test_cellfun_needs_one_value_or_says_what_to_do() -> None:
    assert values(ml.cellfun(ml.numel, Cell("a", "bcd"))) == [[1, 3]]
    assert list(ml.cellfun(ml.upper, Cell("a", "b"), "UniformOutput", False)) == ["A", "B"]
    with pytest.raises(ArgumentError, match="'UniformOutput', false"):
        ml.cellfun(lambda x: x, Cell(Array([1, 2])))


def test_variables_are_loaded_and_saved_with_their_shapes(tmp_path: Path) -> None:
    variables = {"row": np.arange(3.0)[None], "cells": ["a", "b"], "one": 5.0, "s": {"f": "text"}}
    matfile.save(tmp_path / "x.mat", variables)
    loaded = ml.load(str(tmp_path / "x"))
    assert (
        loaded.row.shape == (1, 3)
        and loaded.one == 5
        and loaded.s.f == "text"
        and list(loaded.cells) == ["a", "b"]
    )
    ml.save(str(tmp_path / "y.mat"), loaded)
    ml.save(str(tmp_path / "y.mat"), {"more": ml.struct("a", Cell(1, 2))}, append=True)
    again = ml.load(str(tmp_path / "y.mat"), "more", "row")
    assert list(again) == ["more", "row"] and again.more.shape == (1, 2)


def test_binary_files_are_read_by_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "f.bin")
    file = ml.fopen(path, "wb")
    ml.fwrite(file, Array([[1, 2], [3, 4]]), "single")
    ml.fclose(file)
    assert np.fromfile(path, np.float32).tolist() == [1, 3, 2, 4]
    file = ml.fopen(path)
    found = ml.fread(file, Array([2, np.inf]), "float32=>single")
    assert values(found) == [[1, 2], [3, 4]] and ml.class_(found) == "single" and ml.isempty(ml.fread(file))
    ml.fclose("all")
    with pytest.raises(ArgumentError, match="invalid stream number = -1"):
        ml.fread(ml.fopen(str(tmp_path / "gone")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MatFileError, match="gone"):
        ml.load(str(tmp_path / "gone"))


def test_which_looks_here_and_in_matlabpath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "football.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageReadError, match="put a JPEG of this name there"):
        ml.which("football.jpg")
    monkeypatch.setenv("MATLABPATH", str(tmp_path / "pictures"))
    assert ml.which("football.jpg") == str(tmp_path / "pictures" / "football.jpg")


def test_a_catch_does_not_hide_what_matlab_would_not_refuse() -> None:
    assert ml.caught(ml.ScriptError("m", "a:b")).identifier == "a:b"
    for problem in (NotMigratedError("x"), TypeError("x"), ZeroDivisionError("x")):
        with pytest.raises(type(problem)):
            ml.caught(problem)


def test_a_line_that_was_not_migrated_says_where_and_why() -> None:
    with pytest.raises(NotMigratedError, match=r"a\.m:3: no idea"):
        ml.not_migrated("a.m:3", "no idea")
