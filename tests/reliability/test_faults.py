"""A few kills of each job; the long form, with 50 of each: python -m tests.reliability.faults."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.killed_jobs import JOBS

ROOT = Path(__file__).resolve().parents[2]
KILLS = 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork, which is safe with torch on Linux only")
def test_killed_runs_end_with_the_same_bytes_when_they_are_started_again() -> None:
    command = [sys.executable, "-m", "tests.reliability.faults", "--kills", str(KILLS), "--seed", "7"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    for job in JOBS:
        assert f"{job}: {KILLS} trials, 0 failed" in done.stdout
