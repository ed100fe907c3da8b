"""v7.3 files hold the same plain values as their v7 twins."""

from pathlib import Path

import pytest

from matlab_compat import matfile
from tests.golden_data import golden_files, golden_id
from tests.matlab_same import assert_same

FILES = golden_files("*/v73/*.mat")


def test_there_are_fixtures() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=golden_id)
def test_the_twin_in_v7_holds_the_same(path: Path) -> None:
    twin = path.parent.parent / path.name
    found, want = matfile.load(path), matfile.load(twin)
    assert sorted(found) == sorted(want)
    for name in want:
        assert_same(found[name], want[name], name)


@pytest.mark.parametrize("path", FILES, ids=golden_id)
def test_who_tells_the_same_of_both(path: Path) -> None:
    assert matfile.who(path) == matfile.who(path.parent.parent / path.name)
