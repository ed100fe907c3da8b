"""Kills by the dozen: python -m tests.reliability.faults --kills 50

Extraction, training, indexing and conversion are killed with SIGKILL at random moments and started again. A
trial passes when no file under its final name is half-written after the kill, and when the next start ends
with the same bytes as a run that nothing disturbed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.reliability.killed import Killing, finish, start
from tests.reliability.killed_jobs import JOBS, make_material


def main() -> int:
    """The command line; 1 where a trial failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="trials of each job (default 50)")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    given = parser.parse_args()
    torch.set_num_threads(1)  # a process with more threads must not be forked
    failed = 0
    with tempfile.TemporaryDirectory(prefix="deepibl-faults-") as place:
        material = Path(place) / "material"
        if finish(start(lambda folder, _: make_material(folder), material, material, Path(place) / "m.log")):
            raise RuntimeError((Path(place) / "m.log").read_text())
        for name in given.jobs:
            failed += _try(name, given.kills, given.seed, Path(place), material)
    return 1 if failed else 0


def _try(name: str, kills: int, seed: int, place: Path, material: Path) -> int:
    begun = time.perf_counter()
    killing = Killing(JOBS[name], place / name, material, seed)
    trials = [killing.trial(number) for number in range(kills)]
    failures = [trial for trial in trials if trial.problem]
    done = sum("it was done" in trial.moment for trial in trials)
    print(
        f"{name}: {kills} trials, {len(failures)} failed ({done} had a kill that came after the end); "
        f"undisturbed {killing.seconds:.1f} s and {killing.events} file events; "
        f"{time.perf_counter() - begun:.0f} s",
        flush=True,
    )
    for trial in failures:
        print(f"  killed at {trial.moment}: {trial.problem}", flush=True)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
