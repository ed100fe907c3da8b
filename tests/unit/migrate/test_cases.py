"""Scripts as users of deepIBL and NetVLAD write them: ../shared/cases/migrate, and those beside this test."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tree_sitter_matlab", reason="needs the extra `migrate`")

from deepibl.migrate.translate import migrate_file

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "cases" / "migrate"
OWN = Path(__file__).parent / "matlab_scripts"
SCRIPTS = sorted(CASES.glob("*.m")) if CASES.is_dir() else []
LANGUAGE = [*OWN.glob("language*.m"), *(script for script in SCRIPTS if script.name[0] == "l")]


@pytest.mark.real
@pytest.mark.skipif(not SCRIPTS, reason="needs ../shared/cases/migrate")
def test_every_case_is_translated_whole(tmp_path: Path) -> None:
    marks = {script.name: migrate_file(script, tmp_path / f"{script.stem}.py").marks for script in SCRIPTS}
    assert {name: found for name, found in marks.items() if found} == {}


@pytest.mark.octave
@pytest.mark.parametrize("script", LANGUAGE, ids=lambda script: script.stem)
def test_a_script_prints_what_octave_prints(script: Path, tmp_path: Path) -> None:
    octave = subprocess.run(
        ["octave-cli", "--no-init-file", "-q", str(script)], capture_output=True, text=True, check=True
    )
    migrate_file(script, tmp_path / "script.py")
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    command = [sys.executable, str(tmp_path / "script.py")]
    ours = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    want = octave.stdout.replace(
        "3.5 3.1416", "3.500000e+00 3.1416"
    )  # %d of a fraction differs from MATLAB's
    assert ours.stdout.splitlines() == want.splitlines()
