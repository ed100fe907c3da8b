"""Timing by interleaved pairs, memory, the machine's peaks, and tables."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import threading
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deepibl.cli.process import keep_buffers, release_buffers
from deepibl.engine import onednn


@dataclass(frozen=True)
class Settings:
    """How much is measured, and of what.

    smoke: tiny sizes, one round, results compared; full: the largest sizes. rounds: interleaved runs after
    one that warms up, 0: the usual number. batches: images at a time, for extraction. network, clusters,
    images: files of a real network and its clusters, a folder of photos, in place of random ones.
    """

    smoke: bool = False
    full: bool = False
    rounds: int = 0
    batches: tuple[int, ...] = (1, 4)
    network: Path | None = None
    clusters: Path | None = None
    images: Path | None = None

    @property
    def slack(self) -> int:
        """How many times as far as random weights a network that is given may lead two results apart."""
        return 10 if self.network else 1

    def __post_init__(self) -> None:
        usual = 1 if self.smoke else 7 if self.full else 3
        object.__setattr__(self, "rounds", self.rounds or usual)


def command_line(doc: str | None) -> ArgumentParser:
    """The parser of a benchmark's command line, whose help is the module's docstring."""
    return ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)


def real_options(parser: ArgumentParser) -> None:
    """Adds the options whose values are the fields of `Settings` of the same names."""
    parser.add_argument("--network", type=Path, help="a .mat file: a network with NetVLAD, or VGG-16 alone")
    parser.add_argument("--clusters", type=Path, help="for VGG-16 alone: NetVLAD's, a .mat file with clsts")
    parser.add_argument("--images", type=Path, help="folder of photos, which are scaled to 640 x 480")


@dataclass
class Table:
    """A table of one benchmark."""

    title: str
    columns: Sequence[str]
    rows: list[Any] = field(default_factory=list)
    note: str = ""

    def print(self) -> None:
        print(self.text(), flush=True)

    def text(self) -> str:
        lines = [f"\n### {self.title}\n", f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in self.rows]
        return "\n".join([*lines, *([f"\n{self.note}"] if self.note else []), ""])


@dataclass(frozen=True)
class Case:
    """One way to compute something.

    limit: the largest difference allowed to the result of the first case. keep: whether glibc keeps freed
    blocks while it runs, as `deepibl` on the command line has it; None leaves the allocator as it is.
    """

    run: Callable[[], Any]
    limit: float = 0.0
    keep: bool | None = None


@dataclass(frozen=True)
class Measured:
    """A case's medians over the rounds, its last result, and the difference of that to the first case's.

    ratio and cpu_ratio: how many times as fast as the first case of the same round, by the clock and in
    processor time, which other programs on the machine disturb less.
    """

    seconds: float
    ratio: float
    cpu_ratio: float
    result: Any
    error: float

    def cells(self, *formats: str) -> list[str]:
        """Its figures in a table's cells, e.g. 'seconds:.2f'."""
        return [f"{{0.{each}}}".format(self) for each in formats]


def paired(
    cases: Mapping[str, Case],
    rounds: int,
    difference: Callable[[Any, Any], float] = lambda got, want: 0.0,
    what: str = "",
) -> dict[str, Measured]:
    """Runs the cases in turn, `rounds` times after one untimed round, and compares their results.

    Raises Mismatch, which names `what`, if difference(result, the first case's) is above a case's limit.
    """
    wall: dict[str, list[float]] = {name: [] for name in cases}
    cpu: dict[str, list[float]] = {name: [] for name in cases}
    results = {}
    for number in range(rounds + 1):
        for name, case in cases.items():
            if case.keep is not None:
                keep_buffers() if case.keep else release_buffers()
            gc.collect()
            start, start_cpu = time.perf_counter(), time.process_time()
            results[name] = case.run()
            if number:
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - start_cpu)
    if any(case.keep is not None for case in cases.values()):
        release_buffers()
    first, measured = next(iter(cases)), {}
    for name, case in cases.items():
        error = difference(results[name], results[first])
        require(name == first or error <= case.limit, f"{what}, {name}: {error}, above {case.limit}")
        ratios = (
            statistics.median(a / b for a, b in zip(times[first], times[name], strict=True))
            for times in (wall, cpu)
        )
        measured[name] = Measured(statistics.median(wall[name]), *ratios, results[name], error)
    return measured


def best(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of some runs."""
    return min(timed(run)[0] for _ in range(repeats))


def timed(run: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Seconds of one run by a clock, and its result."""
    start = clock()
    result = run()
    return clock() - start, result


def peaks(settings: Settings) -> dict[str, float]:
    """GFLOP/s of matrix products and of a convolution of VGG-16 (256 channels, 120 x 160), fp32 and bf16."""
    side, maps = (256, (64, 30, 40)) if settings.smoke else (3072, (256, 120, 160))
    channels, height, width = maps
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(side, side).to(dtype)
        found[f"matrix product {name}"] = 2 * side**3 / best(lambda a=a: a @ a, 2 + settings.rounds) / 1e9
        if onednn.available() or (name == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()):
            continue
        x = torch.randn(1, *maps).to(dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3).to(dtype)
        convolution = onednn.PackedConvolution(weight, None, pad=(1, 1))
        seconds = best(lambda f=convolution, x=x: f(x), 2 + settings.rounds)
        found[f"convolution {name}"] = 18 * channels**2 * height * width / seconds / 1e9
    return found


def peak_memory(run: Callable[[], Any]) -> float:
    """MB by which the process's memory rose at most while `run` ran (Linux; elsewhere 0)."""
    done = threading.Event()
    seen = [memory("RssAnon")]

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(memory("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return max(*seen, memory("RssAnon")) - seen[0]


def memory(what: str) -> float:
    """MB of this process: VmRSS, VmHWM (the peak) or RssAnon (without mapped files); 0 where not Linux."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def in_a_process(function: Callable[..., Any], *arguments: Any, here: bool = False) -> Any:
    """What a module's function returns in a new process, whose peak of memory is its own.

    here: call it in this process instead, as the smoke forms do. Raises what the function raises.
    """
    if here:
        return function(*arguments)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


class Mismatch(AssertionError):
    """Two ways to compute the same gave different results."""


def require(right: bool, what: str) -> None:
    """Raises Mismatch unless `right`: the speed of a wrong result is worth nothing."""
    if not right:
        raise Mismatch(what)
