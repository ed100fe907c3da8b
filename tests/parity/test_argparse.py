"""vl_argparse: every golden case, with one and with two outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.arguments import vl_argparse
from matlab_compat.errors import ArgumentError
from tests.golden_data import golden_files
from tests.matlab_same import assert_same


def cases() -> list[Any]:
    """One parameter a case of every file, named by file and case."""
    found = []
    for path in golden_files("argparse/*.mat"):
        for case in matfile.cell_list(matfile.load(path, ["cases"])["cases"]):
            found.append(pytest.param(case, id=f"{Path(path).stem}-{case['name']}"))
    return found


def arguments(case: dict[str, Any]) -> tuple[Any, Any, list[str]]:
    """Options, arguments and flags of a case; a cell of arguments is a list, in MATLAB's order."""
    given = case["args_in"]
    is_cell = isinstance(given, np.ndarray) and given.dtype == object
    args = matfile.cell_list(given) if is_cell else given
    return case["opts_in"], args, [str(flag) for flag in matfile.cell_list(case["flags"])]


def test_there_are_cases() -> None:
    assert cases()


@pytest.mark.parametrize("case", cases())
def test_one_output_equals_the_originals(case: dict[str, Any]) -> None:
    opts, args, flags = arguments(case)
    if matfile.text(case["err1"]):
        with pytest.raises(ArgumentError):
            vl_argparse(opts, args, *flags)
    else:
        assert_same(vl_argparse(opts, args, *flags), case["opts1"])


@pytest.mark.parametrize("case", cases())
def test_two_outputs_equal_the_originals(case: dict[str, Any]) -> None:
    opts, args, flags = arguments(case)
    if matfile.text(case["err2"]):
        with pytest.raises(ArgumentError):
            vl_argparse(opts, args, *flags, nargout=2)
        return
    found, rest = vl_argparse(opts, args, *flags, nargout=2)
    assert_same(found, case["opts2"])
    want = matfile.cell_list(case["args2"])
    assert len(rest) == len(want)
    for one, other in zip(rest, want, strict=True):
        assert_same(one, other)
