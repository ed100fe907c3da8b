"""relja_hrminsec and relja_progress against the golden texts."""

import re
from pathlib import Path

import pytest

from matlab_compat import matfile
from matlab_compat.relja import relja_hrminsec, relja_progress, tic
from tests.golden_data import golden_files, golden_id

FILES = golden_files("eval/strings.mat")
DATE = re.compile(r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d")
TIMES = re.compile(r"\d\d:\d\d:\d\d|\d+\.\d{4}")
every_file = pytest.mark.parametrize("path", FILES, ids=golden_id)


def pattern(text: str) -> str:
    """A text with its dates and durations, which differ from run to run, blotted out."""
    return TIMES.sub("#", DATE.sub("DATE", text))


def test_there_are_fixtures() -> None:
    assert FILES


@every_file
def test_durations_are_written_alike(path: Path) -> None:
    given = matfile.load(path)
    seconds, texts = matfile.vector(given["secs"]), matfile.cell_list(given["strs"])
    assert [relja_hrminsec(each) for each in seconds] == texts


@every_file
def test_progress_is_printed_at_the_same_steps(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = matfile.load(path)
    sizes = matfile.vector(given["progress_n"])
    for n, want in zip(sizes, matfile.cell_list(given["progress_printed"]), strict=True):
        printed = []
        for i in range(1, int(n) + 1):
            relja_progress(i, int(n))
            if capsys.readouterr().out:
                printed.append(i)
        assert printed == matfile.vector(want).tolist()


@every_file
@pytest.mark.parametrize("name", ["progress_example1", "progress_example2", "progress_noprefix"])
def test_progress_lines_have_the_same_form(path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    want = matfile.text(matfile.load(path)[name])
    found = re.fullmatch(r"(?:(.*?) )?\S+ \S+ (\d+) / (\d+)\D.*", want, re.DOTALL)
    assert found
    relja_progress(int(found[2]), int(found[3]), found[1], tic())
    assert pattern(capsys.readouterr().out) == pattern(want)
