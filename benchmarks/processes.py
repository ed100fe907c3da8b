"""Extraction by one process and by one process a core of this machine (torchrun), one thread each.

The command is run as a user runs it; its start (imports, the network's file, the rendezvous) is measured
separately, by a run over a few images. Processor seconds are those of all processes: what sharing costs. The
smoke form runs nothing: that the bytes are the same for any number of processes is tested
(tests/unit/features/test_processes_extraction.py).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.extraction import network, write_photos
from benchmarks.measure import Settings, Table, require
from deepibl.features.extraction import group_length
from deepibl.networks import save_network

BATCH = 4
REPOSITORY = Path(__file__).resolve().parent.parent


def run(settings: Settings) -> Iterator[Table]:
    if settings.smoke:
        return
    height, width = size = (480, 640) if settings.full else (96, 128)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(network(settings), folder / "net.safetensors")
        paths = write_photos(settings, folder, 2 * cores * group_length(BATCH), size, different=16)
        names = [path.name for path in paths]
        rows = [_row(folder, names, processes) for processes in (1, cores)]
        written = [(folder / f"{processes}.bin").read_bytes() for processes in (1, cores)]
    require(written[0] == written[1], "several processes write other bytes than one")
    yield Table(
        f"{len(names)} JPEG files of {width}x{height} to descriptors, batch of {BATCH}, engine auto, fp32",
        ["processes", "seconds", "start", "images/s after it", "processor seconds", "start", "an image"],
        rows,
        f"One thread each; the bytes are the same. Load average at the end: {os.getloadavg()[0]:.1f}.",
    )


def _row(folder: Path, names: list[str], processes: int) -> list[str]:
    wall_start, cpu_start = _seconds(folder, names[:BATCH], "start", processes)
    wall, cpu = _seconds(folder, names, str(processes), processes)
    count = len(names) - BATCH
    rates = [f"{count / (wall - wall_start):.2f}", f"{cpu:.1f}", f"{cpu_start:.1f}"]
    return [str(processes), f"{wall:.1f}", f"{wall_start:.1f}", *rates, f"{(cpu - cpu_start) / count:.3f}"]


def _seconds(folder: Path, names: list[str], out: str, processes: int) -> tuple[float, float]:
    """Seconds of the command, by the clock and of the processor."""
    (folder / "list.txt").write_text("\n".join(names))
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(many if processes > 1 else []), "-m", "deepibl", "extract"]
    command += ["net.safetensors", "--list", "list.txt", "--batch-size", str(BATCH), "-o", f"{out}.bin"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    begun, before = time.perf_counter(), _children()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    require(done.returncode == 0, done.stderr)
    return time.perf_counter() - begun, _children() - before


def _children() -> float:
    """Processor seconds of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
