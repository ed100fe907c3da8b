"""docs/arguments.md is what the originals' declarations and ours give, and each difference has a reason."""

import re
from typing import Any

import pytest
import torch

import matlab_compat
from matlab_compat.nn.geometry import SWITCHES
from scripts import make_arguments_table as table
from tests.architecture.test_docs import FUNCTIONS, NUMBERED
from tests.original_arguments import differences, value

ORIGINALS: dict[str, Any] = table.DATA["originals"]
WHY: dict[str, dict[str, str]] = table.DATA["why"]


def test_the_page_is_current() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), (
        "run python scripts/make_arguments_table.py"
    )


def test_every_original_function_with_a_counterpart_has_a_row() -> None:
    """DagNN's methods have Python's names."""
    listed = {name for name in ORIGINALS if "#" not in name}
    assert listed == {row[0] for row in FUNCTIONS if row[1] != "–" and "+dagnn" not in row[0]}


def test_a_difference_without_a_reason_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WHY, "*", {})
    with pytest.raises(KeyError, match="verbose"):
        table.page()


def test_reasons_are_of_differences_that_there_are_and_name_rows_that_exist() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    for original, reasons in WHY.items():
        lines = [line for line in page.splitlines() if original in ("*", line[2:].partition(" |")[0])]
        for name, reason in reasons.items():
            assert any(reason in line and (name == "named" or f"`{name}`" in line) for line in lines), name
    texts = " ".join(reason for reasons in WHY.values() for reason in reasons.values())
    assert set(re.findall(r"no\. (\d+)", texts)) <= {number for number, *_ in NUMBERED}


@pytest.mark.parametrize(
    ("arguments", "options", "found"),
    [
        ({"q": None, "db": None, "k": "1"}, {}, {}),
        ({"q": None, "db": None, "k": "2"}, {}, {"k": "default 1"}),
        ({"q": None, "db": None, "k": None}, {}, {"k": "default 1"}),
        ({"q": None, "db": "[]", "k": "1"}, {}, {"db": "required"}),
        ({"q": None, "db": None}, {}, {"k": "only here"}),
        ({"q": None, "base": None, "k": "1"}, {}, {"base": "named db"}),
        ({"q": None, "db": None, "k": "1"}, {"metric": "'L2'"}, {"metric": "missing"}),
    ],
)
def test_differences_are_found(arguments: Any, options: Any, found: dict[str, str]) -> None:
    assert differences("rawNnSearch", arguments, options) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1:5, 10:5:100]", [1, 2, 3, 4, 5, *range(10, 101, 5)]),
        ("[1 1]", [1, 1]),
        ("[]", None),
        ("'max'", "max"),
        ("true", True),
        ("+inf", float("inf")),
        ("1e-6", 1e-6),
        ("tic", "tic"),
    ],
)
def test_defaults_are_read_as_matlab_does(text: str, expected: Any) -> None:
    assert value(text) == expected


def switches() -> list[tuple[str, str]]:
    """The options of the blocks that our signatures do not show."""
    return [
        (name, option)
        for name in matlab_compat.nn.__all__
        for option in ORIGINALS.get(f"matconvnet/{name}.m", {}).get("options", {})
        if option.lower() in SWITCHES
    ]


@pytest.mark.parametrize(("name", "option"), switches())
def test_switches_of_matconvnet_are_accepted_and_change_nothing(name: str, option: str) -> None:
    function = getattr(matlab_compat.nn, name)
    x, weights, biases = torch.rand(1, 4, 5, 5), torch.rand(4, 4, 1, 1), torch.rand(4)
    inputs = {"vl_nnpool": (x, 2), "vl_nnnormalize": (x, [5, 1, 1, 0.75]), "vl_nnbnorm": (x, biases, biases)}
    given = inputs.get(name, (x, weights, biases))
    words = [option, 1024] if SWITCHES[option.lower()] == 2 else [option]
    for found, expected in zip(first(function(*given, *words)), first(function(*given)), strict=True):
        assert torch.equal(found, expected)


def first(result: Any) -> Any:
    """The outputs as a sequence."""
    return result if isinstance(result, tuple) else (result,)
