"""Extraction by several processes of this machine (torchrun) against one with as many threads.

The command is run as a user runs it; the start (imports, the network's file, finding one another) is measured
by itself, by a run over one group of images for each process. The smoke form runs nothing here: that the
bytes are the same for any number of processes is tested (tests/unit/test_processes_extraction.py).
"""

from __future__ import annotations

import os
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
from deepibl.feature_groups import group_length
from deepibl.networks import save_network

BATCH = 4
REPOSITORY = Path(__file__).resolve().parent.parent


def run(settings: Settings) -> Iterator[Table]:
    """The table of this benchmark."""
    if settings.smoke:
        return
    height, width = (480, 640) if settings.full else (128, 160)
    cores = len(os.sched_getaffinity(0))
    groups = 2 * cores
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(network(settings), folder / "net.safetensors")
        names = _write_photos(folder, groups * group_length(BATCH), height, width)
        ways = [(1, 1), (1, cores), (cores, 1)]
        rows = [[*way, *_measure(folder, names, *way)] for way in ways]
        same = [(folder / f"{processes}x{threads}.bin").read_bytes() for processes, threads in ways]
    require(same[2] == same[0], "processes with one thread each write other bytes than one with one thread")
    yield Table(
        f"{len(names)} JPEG files of {width}x{height} to descriptors, batch of {BATCH}, engine auto, fp32",
        ["processes", "threads each", "seconds", "of them starting", "images/s after it", "same bytes"],
        [
            [processes, threads, f"{total:.1f}", f"{start:.1f}", f"{rate:.2f}",
             "yes" if content == same[0] else "no"]
            for (processes, threads, total, start, rate), content in zip(rows, same, strict=True)
        ],
        "Same bytes: as one process with one thread.",
    )  # fmt: skip


def _write_photos(folder: Path, count: int, height: int, width: int) -> list[str]:
    """Names of JPEGs, a few pictures again and again: what is in them does not change the time."""
    different = photos(16, height, width).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    names = [f"{number:05d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(different[number % len(different)]).save(folder / name, quality=90)
    return names


def _measure(folder: Path, names: list[str], processes: int, threads: int) -> tuple[float, float, float]:
    """Seconds in all, those of the start, and images a second after it."""
    few = names[: processes * group_length(BATCH)]
    short = _seconds(folder, few, "start", processes, threads)
    total = _seconds(folder, names, f"{processes}x{threads}", processes, threads)
    rate = (len(names) - len(few)) / (total - short)
    return total, total - len(names) / rate, rate


def _seconds(folder: Path, names: list[str], out: str, processes: int, threads: int) -> float:
    (folder / "list.txt").write_text("\n".join(names))
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*start, "-m", "deepibl", "extract", "net.safetensors", "--list", "list.txt"]
    command += ["--batch-size", str(BATCH), "-o", f"{out}.bin"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(REPOSITORY)}
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    require(done.returncode == 0, done.stderr)
    return time.perf_counter() - begun
