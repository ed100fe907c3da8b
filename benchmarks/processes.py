"""Extraction by one process and by one process a core of this machine (torchrun), one thread each.

The command is run as a user runs it; its start (imports, the network's file, finding one another) is measured
by itself, by a run over a few images. Processor seconds are all processes' together: what sharing the work
costs. The smoke form runs nothing here: that the bytes are the same for any number of processes is tested
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

import torch
from PIL import Image

from benchmarks.extraction import network, photos
from benchmarks.measure import Settings, Table, require
from deepibl.features.extraction import group_length
from deepibl.networks import save_network

BATCH = 4
REPOSITORY = Path(__file__).resolve().parent.parent
Seconds = tuple[float, float]  # of the clock, of the processor


def run(settings: Settings) -> Iterator[Table]:
    """The table of this benchmark."""
    if settings.smoke:
        return
    height, width = (480, 640) if settings.full else (96, 128)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(network(settings), folder / "net.safetensors")
        names = _write_photos(folder, 2 * cores * group_length(BATCH), height, width)
        rows = [_row(folder, names, processes) for processes in (1, cores)]
        written = [(folder / f"{processes}.bin").read_bytes() for processes in (1, cores)]
    require(written[0] == written[1], "several processes write other bytes than one")
    yield Table(
        f"{len(names)} JPEG files of {width}x{height} to descriptors, batch of {BATCH}, engine auto, fp32",
        [
            "processes",
            "seconds",
            "start",
            "images/s after it",
            "processor seconds",
            "start",
            "an image",
        ],
        rows,
        f"One thread each; the bytes are the same. Load average at the end: {os.getloadavg()[0]:.1f}.",
    )


def _write_photos(folder: Path, count: int, height: int, width: int) -> list[str]:
    """Names of JPEGs, a few pictures again and again: what is in them does not change the time."""
    different = photos(16, height, width).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    names = [f"{number:05d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(different[number % len(different)]).save(folder / name, quality=90)
    return names


def _row(folder: Path, names: list[str], processes: int) -> list[str]:
    wall_start, cpu_start = _seconds(folder, names[:BATCH], "start", processes)
    wall, cpu = _seconds(folder, names, str(processes), processes)
    count = len(names) - BATCH
    rates = [f"{count / (wall - wall_start):.2f}", f"{cpu:.1f}", f"{cpu_start:.1f}"]
    return [str(processes), f"{wall:.1f}", f"{wall_start:.1f}", *rates, f"{(cpu - cpu_start) / count:.3f}"]


def _seconds(folder: Path, names: list[str], out: str, processes: int) -> Seconds:
    (folder / "list.txt").write_text("\n".join(names))
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*start, "-m", "deepibl", "extract", "net.safetensors", "--list", "list.txt"]
    command += ["--batch-size", str(BATCH), "-o", f"{out}.bin"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    begun, before = time.perf_counter(), _children()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    require(done.returncode == 0, done.stderr)
    return time.perf_counter() - begun, _children() - before


def _children() -> float:
    """Processor seconds of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
