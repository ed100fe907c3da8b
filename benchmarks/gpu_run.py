"""For `python -m benchmarks.gpu`: stages that fail one by one, and results that are on disk as they come."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Settings, Table


@dataclass(frozen=True)
class Asked:
    """What a stage works with. share: of the epoch's images; ways: which of the epoch's, by number from 1;
    city: a folder where its photos stay, or None; batch: images at a time.
    """

    settings: Settings
    device: torch.device
    batch: int = 32
    share: float = 0.1
    ways: Sequence[int] = (1, 2, 3)
    city: Path | None = None


@dataclass(frozen=True)
class Stage:
    """A stage: its name, what it does, the seconds that it is expected to take on an H100, and its work."""

    name: str
    what: str
    seconds: int
    run: Callable[[Asked], Iterator[Table]]


class Trials:
    """Several ways in one stage: an error of one is printed and kept, and the others go on."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._errors.append(f"{name}:\n{traceback.format_exc()}")
            print(self._errors[-1], flush=True)

    def finish(self) -> None:
        """Raises RuntimeError with all that failed."""
        if self._errors:
            raise RuntimeError(f"{len(self._errors)} ways failed:\n" + "\n".join(self._errors))


def run_stage(stage: Stage, asked: Asked, output: Path | None) -> None:
    """Prints a stage's tables, and adds them to the Markdown file `output`, as they come; its error, too.

    Raises SystemExit for a stage that fails.
    """
    start = time.perf_counter()
    _say(f"## {stage.name}: {stage.what} (about {stage.seconds} s on an H100)", output)
    try:
        for table in stage.run(asked):
            _say(table.text(), output)
    except Exception as error:
        _say(f"**failed**\n\n```\n{traceback.format_exc()}```\n", output)
        raise SystemExit(1) from error
    finally:
        _say(f"({stage.name}: {time.perf_counter() - start:.0f} s)\n", output)


def run_apart(stage: Stage, asked: Asked, output: Path | None, limit: float) -> bool:
    """As `run_stage` in a new process, since an error on a device ends all that follows it in a process.

    limit: seconds, after which it is ended; what it had found stays. Returns whether it ended well.
    """
    process = multiprocessing.get_context("spawn").Process(target=run_stage, args=(stage, asked, output))
    if limit > 0:
        process.start()
        process.join(limit)
    if process.exitcode is None:
        _say(f"**{stage.name}: not done after {max(0.0, limit):.0f} s, its limit**\n", output)
        if limit > 0:
            process.kill()
            process.join()
    return process.exitcode == 0


def _say(text: str, output: Path | None) -> None:
    print(text, flush=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def seconds(run: Callable[[], Any], device: torch.device, repeats: int = 20) -> float:
    """Seconds a run, the device's work included, after a few that warm up."""
    start = 0.0
    warm, count = (5, repeats) if device.type == "cuda" else (1, 1)
    for number in range(warm + count):
        if number == warm:
            wait(device)
            start = time.perf_counter()
        run()
    wait(device)
    return (time.perf_counter() - start) / count


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
