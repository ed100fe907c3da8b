"""The documents keep their promises: every original function has a row, every difference a test."""

import importlib
import re
from pathlib import Path

import pytest

import deepibl.matlab
import matlab_compat

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
TABLE = (ROOT / "docs" / "for_matlab_users.md").read_text(encoding="utf-8")
DIFFERENCES = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
ORIGINALS = (Path(__file__).parent / "originals.txt").read_text(encoding="utf-8").split()


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of all table rows whose first cell matches."""
    lines = [line for line in text.splitlines() if re.match(rf"\| {first}", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


FUNCTIONS = rows(TABLE, r"(deepIBL|netvlad|relja_matlab|matconvnet)/")
NUMBERED = rows(DIFFERENCES, r"\d+ \|")


def importable(path: str) -> bool:
    module, _, name = path.rpartition(".")
    return hasattr(importlib.import_module(module), name)


def test_every_original_file_has_exactly_one_row_and_no_row_is_stale() -> None:
    listed = [row[0] for row in FUNCTIONS]
    assert sorted(listed) == sorted(ORIGINALS)


@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row[0])
def test_a_row_names_what_exists(row: list[str]) -> None:
    _, here, core, test, tolerance, differences = row
    if here == "–":
        assert core, "a function without a counterpart says why"
        return
    assert importable(here.strip("`")), here
    for name in re.findall(r"`([\w.]+)`", core):
        assert importable(name), name
    tests = re.findall(r"`((?:unit|parity|architecture)/[\w/]+\.py)`", test)
    assert tests, "no test is named"
    assert tolerance
    for file in tests:
        assert (TESTS / file).is_file(), file
    known = {number for number, *_ in NUMBERED}
    assert set(re.findall(r"\d+", differences)) <= known


def test_every_original_name_that_can_be_imported_is_in_the_table() -> None:
    ours = {"dbSf0"}  # no original: see docs/unknowns.md
    names = {row[1].strip("`").rpartition(".")[2] for row in FUNCTIONS}
    offered = {*deepibl.matlab.__all__, *matlab_compat.__all__} - ours
    assert offered - names == set()


def test_differences_are_numbered_without_gaps_and_named_once() -> None:
    assert [int(row[0]) for row in NUMBERED] == list(range(1, len(NUMBERED) + 1))
    assert len({row[1] for row in NUMBERED}) == len(NUMBERED)


@pytest.mark.parametrize("row", NUMBERED, ids=lambda row: row[1])
def test_a_difference_is_stated_by_a_test_that_exists(row: list[str]) -> None:
    named = re.findall(r"`((?:unit|parity|architecture)/[\w/]+\.py)(?:::(\w+))?`", row[5])
    assert named
    for file, function in named:
        text = (TESTS / file).read_text(encoding="utf-8")
        assert not function or re.search(rf"^def {function}\(", text, re.MULTILINE), f"{file}::{function}"


def test_every_difference_that_a_test_mentions_is_in_the_list() -> None:
    known = {row[1] for row in NUMBERED}
    mentioned = set()
    for folder in ("unit", "parity"):
        for file in (TESTS / folder).rglob("*.py"):
            for names in re.findall(r"# difference: ([\w, -]+)", file.read_text(encoding="utf-8")):
                mentioned |= {name.strip() for name in names.split(",")}
    assert mentioned
    assert mentioned <= known


def test_links_and_pictures_of_the_site_lead_to_files_of_docs() -> None:
    docs = ROOT / "docs"
    for page in docs.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for included in re.findall(r'^--8<-- "([^":]+)', text, re.MULTILINE):
            text += (ROOT / included).read_text(encoding="utf-8")
        targets = [each for each in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in each]
        outside = [each for each in targets if each.startswith("../") or not (docs / each).is_file()]
        assert not outside, page.name
        assert "<img" not in text, f"{page.name}: mkdocs leaves the addresses of HTML as they are"
