"""500 bad files, and what hypothesis makes of text files. The long form: tests.reliability.bad_input."""

import collections
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from matlab_compat.errors import MatlabCompatError
from tests.golden_data import REAL
from tests.reliability.bad_readers import BAD_READERS
from tests.reliability.cases import crafted_cases, mutated, mutated_cases, write_case
from tests.reliability.readers import KINDS, read_csv, read_paths
from tests.reliability.seeds import make_seeds
from tests.reliability.watched import read_all, summarize

CASES = 500
needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="a worker's memory is read from Linux's /proc"
)
PIECES = [*"()[]'+-*;,{}%@~=xy", "\n", "if", "end", "for", "1:3", "...", "disp"]
IN_PROCESS = {"csv": read_csv, "toml": read_paths, "paths": read_paths}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the seeds of all kinds below `seeds`."""
    folder = tmp_path_factory.mktemp("bad_input")
    make_seeds(folder / "seeds")
    return folder


@needs_linux
@pytest.mark.slow
def test_bad_files_are_read_or_refused_with_an_error_of_ours(folder: Path) -> None:
    crafted = crafted_cases()
    summary = summarize([*crafted, *mutated_cases(CASES - len(crafted), seed=2026)], folder)
    assert summary.cases == CASES
    assert not summary.findings, "\n\n".join(map(str, summary.findings[:5]))
    errors = collections.Counter[str]()
    for outcomes in summary.outcomes.values():
        errors.update(outcomes)
    assert errors["read"] > 50 and errors.total() - errors["read"] > 200  # neither all refused nor all read


@needs_linux
@pytest.mark.slow
@pytest.mark.real
def test_files_that_matlab_wrote_are_read_or_refused_when_they_are_damaged(folder: Path) -> None:
    make_seeds(folder / "real" / "seeds", REAL)
    summary = summarize(mutated_cases(60, 7, ["mat73", "mcos"]), folder / "real")
    assert not summary.findings, "\n\n".join(map(str, summary.findings[:5]))


@needs_linux
@pytest.mark.slow
def test_a_reader_that_hangs_crashes_or_takes_memory_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.reliability.watched.PATIENCE", 3.0)
    monkeypatch.setenv("DEEPIBL_BAD_READERS", "1")
    kinds = [reader.__name__ for reader in BAD_READERS]
    for kind in kinds:
        (tmp_path / "seeds" / kind).mkdir(parents=True)
        (tmp_path / "seeds" / kind / "seed.bin").write_bytes(b"seed")
    found = [result for _, result in read_all(mutated_cases(len(kinds), 0, kinds), tmp_path)]
    said = [result[0]["error"] if isinstance(result, list) else result.error for result in found]
    assert said == ["Hang", "Crash -11", "Large", "MatFileError", "ZeroDivisionError"]
    assert [result[0]["outcome"] for result in found if isinstance(result, list)] == ["failed"] * 3


@pytest.mark.parametrize("kind", IN_PROCESS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(random=st.randoms(use_true_random=False))
def test_text_files_that_hypothesis_changes(kind: str, random: Random, tmp_path: Path, folder: Path) -> None:
    seed = random.choice(sorted((folder / "seeds" / kind).iterdir())).read_bytes()
    path = tmp_path / f"bad{KINDS[kind].suffix}"
    path.write_bytes(mutated(random, seed, KINDS[kind].mutations))
    try:
        IN_PROCESS[kind](path)
    except MatlabCompatError as error:
        assert path.name in str(error) or kind == "csv"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(source=st.lists(st.sampled_from(PIECES)))
def test_scripts_that_hypothesis_makes_up_become_python(
    source: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("tree_sitter_matlab", reason="reading MATLAB scripts needs the extra migrate")
    from deepibl.migrate.translate import migrate_file

    path = tmp_path_factory.mktemp("script") / "a.m"
    path.write_text(" ".join(source) + "\nz = 41;\n")
    text = migrate_file(path).text
    compile(text, "a.py", "exec")
    assert "41" in text  # nothing is dropped: it is translated, or quoted where it could not be


def test_cases_are_the_same_whenever_they_are_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for case in mutated_cases(len(KINDS) * 2, seed=5):
        if case.kind in ("mat73", "mcos", "h5", "network", "dbstruct", "session"):
            continue  # HDF5 and .mat files that are written anew hold the time
        write_case(case, folder / "seeds", tmp_path / "one")
        write_case(case, folder / "seeds", tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes(), case


def test_good_files_of_every_kind_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "place").mkdir(exist_ok=True)
    monkeypatch.chdir(folder / "place")
    unreadable = {"legacy.pth", "state.pth", "wrapped.pth", "rgba.png"}
    for name, kind in KINDS.items():
        for seed in sorted((folder / "seeds" / name).iterdir()):
            for number, reader in enumerate(kind.readers):
                place = tmp_path / f"{name}_{seed.name}_{number}"
                place.mkdir()
                path = place / f"good{kind.suffix}"
                path.write_bytes(seed.read_bytes())
                try:
                    reader(path)
                except MatlabCompatError as error:
                    assert seed.name in unreadable or not _reason_is_damage(error), f"{seed}: {error}"


def _reason_is_damage(error: MatlabCompatError) -> bool:
    return any(
        word in str(error) for word in ("damaged", "corrupted", "truncated", "invalid", "makes no sense")
    )
