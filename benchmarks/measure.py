"""Timing by interleaved pairs, the machine's peaks, and tables."""

from __future__ import annotations

import gc
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import torch

from deepibl.engine import onednn


@dataclass(frozen=True)
class Settings:
    """How long to measure. smoke: tiny sizes, results compared, one round; full: the sizes of the issue.

    asked: rounds instead of the usual number. batches: images at a time, for extraction.
    """

    smoke: bool = False
    full: bool = False
    asked: int | None = None
    batches: tuple[int, ...] = (1, 4)

    @property
    def rounds(self) -> int:
        """Rounds of interleaved runs, beyond the one that warms up."""
        return self.asked or (1 if self.smoke else 7 if self.full else 3)


@dataclass
class Table:
    """A table of one benchmark; `print` writes it as Markdown."""

    title: str
    columns: Sequence[str]
    rows: list[Any] = field(default_factory=list)
    note: str = ""

    def print(self) -> None:
        """To standard output, at once."""
        print(self.text(), flush=True)

    def text(self) -> str:
        """As Markdown."""
        lines = [f"\n### {self.title}\n", f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in self.rows]
        return "\n".join([*lines, *([f"\n{self.note}"] if self.note else []), ""])


@dataclass(frozen=True)
class Paired:
    """Medians over rounds: seconds, and how many times as fast as the first candidate of the same round."""

    seconds: float
    ratio: float
    cpu_ratio: float


def paired(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, before: Callable[[str], Any] = lambda name: None
) -> tuple[dict[str, Paired], dict[str, Any]]:
    """Runs the candidates in turn, `rounds` times after one untimed round; the first is the baseline.

    before: called with a candidate's name, outside the timing. cpu_ratio compares processor seconds, which
    other programs on the machine disturb less. Returns the medians and each candidate's last result.
    """
    wall: dict[str, list[float]] = {name: [] for name in candidates}
    cpu: dict[str, list[float]] = {name: [] for name in candidates}
    results = {}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            before(name)
            gc.collect()
            start, start_cpu = time.perf_counter(), time.process_time()
            results[name] = run()
            if number:
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - start_cpu)
    first = next(iter(candidates))

    def ratio(times: dict[str, list[float]], name: str) -> float:
        return statistics.median(a / b for a, b in zip(times[first], times[name], strict=True))

    medians = {
        name: Paired(statistics.median(wall[name]), ratio(wall, name), ratio(cpu, name))
        for name in candidates
    }
    return medians, results


def best(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peaks(settings: Settings) -> dict[str, float]:
    """GFLOP/s of matrix products and of a convolution of VGG-16 (256 channels, 120 x 160), fp32 and bf16."""
    side, maps = (256, (64, 30, 40)) if settings.smoke else (3072, (256, 120, 160))
    channels, height, width = maps
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(side, side).to(dtype)
        found[f"matrix product {name}"] = 2 * side**3 / best(lambda a=a: a @ a, 2 + settings.rounds) / 1e9
        if onednn.available():
            continue
        x = torch.randn(1, *maps).to(dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3).to(dtype)
        convolution = onednn.PackedConvolution(weight, None, pad=(1, 1))
        flop = 18 * channels**2 * height * width
        seconds = best(lambda f=convolution, x=x: f(x), 2 + settings.rounds)
        found[f"convolution {name}"] = flop / seconds / 1e9
    return found


def peak_memory(run: Callable[[], Any]) -> float:
    """MB by which the process's memory rose at most while `run` ran (Linux; else 0)."""
    import threading

    done = threading.Event()
    start = resident()
    highest = [start]

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return max(highest[0], resident()) - start


MEMORY = """
import json, pathlib, time

def memory(what):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what + ":")) / 1024

def forget_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")

took = []

def timed(work):
    start = time.perf_counter()
    result = work()
    took.append(time.perf_counter() - start)
    return result

"""


def in_a_process(code: str, here: bool = False) -> str:
    """What Python code prints, run in a process of its own, whose peak of memory is its own.

    The code may call memory("VmHWM") and memory("VmRSS"): MB, and forget_peak(), after which VmHWM is what
    is in use (Linux). timed(work) gives what work() gives, and adds its seconds to the list took.
    here: in this process, for smoke forms.
    """
    if here:
        said = io.StringIO()
        with redirect_stdout(said):
            exec(MEMORY + code, {})
        return said.getvalue()
    command = [sys.executable, "-c", MEMORY + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    require(not done.returncode, f"a measuring process ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def resident() -> float:
    """MB of this process, without file pages mapped from disk; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status if ":" in line)
    except OSError:
        return 0.0
    return int(lines["RssAnon"].split()[0]) / 1024


class Mismatch(AssertionError):
    """Two ways of computing the same gave different results."""


def require(right: bool, what: str) -> None:
    """Raises Mismatch unless `right`: a benchmark of a wrong result is worth nothing."""
    if not right:
        raise Mismatch(what)
