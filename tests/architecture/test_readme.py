"""What the README shows runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deepibl.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = re.search(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted(set(re.findall(r"^deepibl ([\w-]+)", README, re.MULTILINE)))


def test_the_whole_script_runs_and_prints_recall(tmp_path: Path) -> None:
    assert SCRIPT
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT.group(1)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    recall = float(re.search(r"Recall@1 (\d\.\d+)", done.stdout).group(1))
    assert 0.3 < recall < 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_shown_exists(command: str) -> None:
    known = {entry.name or entry.callback.__name__ for entry in app.registered_commands}
    assert command in known


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(((?!http)[^)#]+)", README)
    assert len(targets) > 5 and COMMANDS
    assert [target for target in targets if not (ROOT / target).exists()] == []
