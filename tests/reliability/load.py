"""Asking something again and again from many threads, and counting: latencies, outcomes, memory over time."""

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_SAMPLE = 0.1  # seconds between two looks at the memory


def resident(process: int | None = None) -> int:
    """Bytes of memory that a process (default: this one) holds now (Linux)."""
    text = Path(f"/proc/{process or os.getpid()}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return 1024 * int(found.group(1)) if found else 0


class MemoryWatch:
    """Within it the memory of a process is sampled; `samples` are (seconds since the start, bytes)."""

    def __init__(self, process: int | None = None) -> None:
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[tuple[float, int]] = []

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        while True:
            self.samples.append((time.monotonic() - began, resident(self._process)))
            if self._stop.wait(_SAMPLE):
                return

    @property
    def peak(self) -> int:
        """The most bytes that were seen."""
        return max(held for _, held in self.samples)

    def mean(self, first: float, last: float) -> float:
        """Mean bytes from one share of the time to another, e.g. 0.75 to 1."""
        end = self.samples[-1][0]
        inside = [held for when, held in self.samples if first * end <= when <= last * end]
        return float(np.mean(inside))


@dataclass
class Outcome:
    """What came of many questions: how each ended, and seconds of those that were answered."""

    ended: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share (0 to 100) of the answers came."""
        return 1000 * float(np.percentile(self.seconds, share)) if self.seconds else float("nan")

    def __str__(self) -> str:
        ended = ", ".join(f"{name}: {count}" for name, count in sorted(self.ended.items()))
        return (
            f"{len(self.seconds) / max(self.wall, 1e-9):.1f} answers/s, p50 {self.percentile(50):.1f} ms, "
            f"p99 {self.percentile(99):.1f} ms, most {self.percentile(100):.0f} ms; {ended}"
        )


def ask_for(seconds: float, users: int, question: Callable[[int], tuple[str, float]]) -> Outcome:
    """Asks from `users` threads for so many seconds.

    question: is given its number (each one once), answers how it ended and the seconds to wait before the
    next; 'ok' counts as answered. An exception counts under its name.
    """
    outcome, lock, ends = Outcome(), threading.Lock(), time.monotonic() + seconds
    numbers = iter(range(10**9))

    def user() -> None:
        while time.monotonic() < ends:
            with lock:
                number = next(numbers)
            began = time.monotonic()
            try:
                ended, pause = question(number)
            except Exception as problem:
                ended, pause = type(problem).__name__, 0.1
            took = time.monotonic() - began
            with lock:
                outcome.ended[ended] += 1
                if ended == "ok":
                    outcome.seconds.append(took)
            time.sleep(pause)

    began = time.monotonic()
    threads = [threading.Thread(target=user) for _ in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.wall = time.monotonic() - began
    return outcome
