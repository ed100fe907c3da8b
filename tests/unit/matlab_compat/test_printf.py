"""sprintf and num2str against MATLAB's documented behaviour, and against Octave."""

import subprocess

import numpy as np
import pytest

from matlab_compat.errors import ArgumentError
from matlab_compat.language import Array, disp, mat2str, num2str, sprintf

CASES = [
    ("%s_%03d.mat", ["net", 7], "net_007.mat"),
    ("%d ", [np.array([1, 2, 3])], "1 2 3 "),
    ("%d|%d;", [1, 2, 3], "1|2;3|"),
    ("%s and %s", ["a"], "a and "),
    ("%d", [], ""),
    ("[%d]", [np.zeros(0)], "[]"),
    ("100%%\\n", [], "100%\n"),
    ("%d", [2.5], "2.500000e+00"),
    ("%5.2f|%-6d|%+d", [3.14159, 4, 5], " 3.14|4     |+5"),
    ("%g", [0.0001], "0.0001"),
    ("%d %i", [np.inf, np.nan], "Inf NaN"),
    ("%05.1f", [-np.inf], " -Inf"),
    ("%s", [65], "A"),
    ("%d", ["ab"], "9798"),
    ("%x", [255], "ff"),
    ("%d", [True], "1"),
    ("%*d", [5, 3], "    3"),
    ("plain", [1, 2], "plain"),
]


@pytest.mark.parametrize(("form", "values", "want"), CASES)
def test_sprintf_writes_what_matlab_writes(form: str, values: list, want: str) -> None:
    assert sprintf(form, *values) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [(3, "3"), (3.14159265, "3.1416"), (123.456, "123.456"), (-0.5, "-0.5"), (np.nan, "NaN"), ("x", "x")],
)
def test_num2str_keeps_about_four_decimals(value: object, want: str) -> None:
    assert num2str(value) == want


def test_num2str_takes_a_format_or_digits() -> None:
    assert (num2str(3.14159, "%8.4f"), num2str(3.14159, 3)) == ("3.1416", "3.14")


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (Array([1, 2, 3]), "1  2  3"),
        (Array([1.5, 2]), "1.5           2"),
        (True, "1"),
        (Array(), ""),
        (-7, "-7"),
    ],
)
def test_num2str_of_a_row_has_columns(value: object, want: str) -> None:
    assert num2str(value) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (np.pi, "3.1416"),
        (1, "1"),
        (Array([1, 2, 3]), "   1   2   3"),
        (Array([1.5, 2]), "   1.5000   2.0000"),
        (0.01, "0.010000"),
        (True, "1"),
        ("text", "text"),
        (Array([np.nan, 1]), "   NaN     1"),
    ],
)
def test_disp_has_five_digits(value: object, want: str, capsys: pytest.CaptureFixture[str]) -> None:
    disp(value)
    assert capsys.readouterr().out == want + "\n"


def test_mat2str_writes_source() -> None:
    assert (
        mat2str(Array([[1, 2.5], [3, 4]])) == "[1 2.5;3 4]"
        and mat2str(Array([True, False])) == "[true false]"
    )


@pytest.mark.parametrize("value", [{"a": 1}, object()])
def test_what_is_neither_text_nor_number_is_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match="strings and numbers"):
        sprintf("%d", value)


def test_a_format_that_is_no_text_is_refused() -> None:
    with pytest.raises(ArgumentError, match="format"):
        sprintf(3)  # type: ignore[arg-type]


@pytest.mark.octave
def test_sprintf_equals_octaves() -> None:
    def literal(value: object) -> str:
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, np.ndarray):
            return "[" + " ".join(map(str, value)) + "]"
        return str(value).replace("inf", "Inf").replace("nan", "NaN")

    chosen = [case for case in CASES if case[1] and case[0] not in ("%*d", "plain", "%d")]  # %e differs there
    calls = "".join(
        f"printf('[%s]', sprintf({', '.join(literal(v) for v in [form, *values])}));"
        for form, values, _ in chosen
    )
    done = subprocess.run(["octave-cli", "--eval", calls], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"[{want}]" for _, _, want in chosen)
