"""What migrated scripts call for MATLAB's language: indexing from 1, ranges, concatenation, structs."""

import copy
from pathlib import Path

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, ImageReadError, MatFileError, NotMigratedError
from matlab_compat.language import (
    Struct,
    at,
    colon,
    concat,
    isempty,
    isfield,
    length,
    load_variables,
    not_migrated,
    numel,
    which,
)


def test_at_counts_from_one() -> None:
    row = np.array([10.0, 20.0, 30.0])
    assert at(row, 1) == 10.0
    assert at(row, np.array([3, 1])).tolist() == [30.0, 10.0]
    assert at(row, row > 15).tolist() == [20.0, 30.0]
    assert at(["a", "b"], 2) == "b"
    assert at(["a", "b"], [2, 1]) == ["b", "a"]
    assert at("text", [1, 4]) == "tt"


@pytest.mark.parametrize("index", [0, -1, 4, 1.5])
def test_at_refuses_what_matlab_refuses(index: float) -> None:
    with pytest.raises(ArgumentError, match="is out of range: 1 to 3"):
        at([1, 2, 3], index)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), object()])
def test_at_refuses_what_has_no_one_order(values: object) -> None:
    with pytest.raises(ArgumentError, match="cannot be indexed"):
        at(values, 1)


@pytest.mark.parametrize(
    ("first", "step", "last", "want"),
    [
        (1, 1, 3, [1, 2, 3]),
        (5, -2, 0, [5, 3, 1]),
        (3, 1, 1, []),
        (1, 0, 3, []),
        (0, 0.1, 0.3, [0, 0.1, 0.2, 0.3]),
    ],
)
def test_colon_holds_its_end(first: float, step: float, last: float, want: list[float]) -> None:
    np.testing.assert_allclose(colon(first, step, last), want)


def test_colon_of_many_tenths_has_all_of_them() -> None:
    assert len(colon(0, 0.1, 100)) == 1001


def test_concat_joins_texts_rows_and_cells() -> None:
    assert concat("a", "b") == "ab"
    assert concat(np.zeros(0), 1.0, np.array([2.0, 3.0])).tolist() == [1, 2, 3]
    assert concat(["a"], "b", ["c"]) == ["a", "b", "c"]
    assert concat().size == 0


@pytest.mark.parametrize("parts", [("a", 1), (np.zeros((2, 2)), np.zeros(2))])
def test_concat_refuses_mixtures_and_matrices(parts: tuple) -> None:
    with pytest.raises(ArgumentError, match="joined"):
        concat(*parts)


def test_sizes_are_of_what_matlab_counts() -> None:
    assert (numel("abc"), numel([1, 2]), numel(np.zeros((2, 3)))) == (3, 2, 6)
    assert (length(np.zeros((2, 5))), length(np.zeros((0, 5))), length("ab"), length(3)) == (5, 0, 2, 1)
    assert isempty("") and isempty(None) and isempty(np.zeros(0)) and not isempty(0)


def test_a_struct_has_fields_that_go_before_methods() -> None:
    made = Struct(a=1)
    made.items = "mine"
    assert made.items == "mine" and made["items"] == "mine"
    assert isfield(made, "a") and not isfield(made, "keys")
    with pytest.raises(AttributeError, match="no field 'b'; it has a, items"):
        _ = made.b


def test_a_copied_struct_is_another_one() -> None:
    first = Struct(a=Struct(b=[1]))
    second = copy.deepcopy(first)
    second.a.b.append(2)
    assert first.a.b == [1] and isinstance(second, Struct)


def test_variables_are_loaded_as_rows_lists_and_structs(tmp_path: Path) -> None:
    variables = {"row": np.arange(3.0)[None], "matrix": np.ones((2, 3)), "cells": ["a", "b"], "one": 5.0}
    matfile.save(tmp_path / "x.mat", {**variables, "s": {"f": "text"}})
    loaded = load_variables(tmp_path / "x")
    assert loaded.row.tolist() == [0, 1, 2] and loaded.matrix.shape == (2, 3)
    assert loaded.cells == ["a", "b"] and loaded.one == 5 and loaded.s.f == "text"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MatFileError, match="gone"):
        load_variables(tmp_path / "gone")


def test_which_looks_here_and_in_matlabpath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "football.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageReadError, match="put a JPEG of this name there"):
        which("football.jpg")
    monkeypatch.setenv("MATLABPATH", str(tmp_path / "pictures"))
    assert which("football.jpg") == str(tmp_path / "pictures" / "football.jpg")


def test_a_line_that_was_not_migrated_says_where_and_why() -> None:
    with pytest.raises(NotMigratedError, match=r"a\.m:3: no idea"):
        not_migrated("a.m:3", "no idea")
