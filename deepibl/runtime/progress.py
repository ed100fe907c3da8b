"""Progress of long work: how much is done, how fast, how long it will take; a bar where a terminal shows
it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A moment of a run over `total` items: `rate` in items a second, `seconds_left` (None: not known
    yet).
    """

    done: int
    total: int
    rate: float
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {format_seconds(self.seconds_left)} left"
        return f"{self.done}/{self.total}, {self.rate:.1f}/s{left}"


ProgressCallback = Callable[[Progress], Any]


class ProgressMeter:
    """Counts items and reports after each step; items that were done before the run do not count as speed.

    >>> seen = []
    >>> meter = ProgressMeter(10, seen.append, already_done=6)
    >>> meter.advance(2)
    >>> seen[0].done, seen[0].total
    (8, 10)
    """

    def __init__(self, total: int, report: ProgressCallback, already_done: int = 0) -> None:
        self.total = total
        self.done = already_done
        self._report = report
        self._already = already_done
        self._start = time.monotonic()

    def advance(self, items: int) -> None:
        """Notes that so many more items are done, and reports."""
        self.done += items
        seconds = time.monotonic() - self._start
        rate = (self.done - self._already) / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else None
        self._report(Progress(self.done, self.total, rate, left))


@contextmanager
def reporting(progress: ProgressCallback | bool | None, title: str) -> Iterator[ProgressCallback]:
    """What to call with each `Progress`.

    progress: a callback; None for a bar on standard error if that is a terminal; False for silence, True
    for the bar in any case. title: what stands before the bar.
    """
    if callable(progress):
        yield progress
    elif progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda _: None
    else:
        with _bar(title, "{task.fields[speed]}") as (bar, task):
            yield lambda now: bar.update(task, completed=now.done, total=now.total, speed=f"{now.rate:.1f}/s")


@contextmanager
def byte_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A callback for downloads, called with (bytes there are, bytes there will be or None).

    Shows a bar on standard error if that is a terminal, else nothing.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with _bar(title, "{task.fields[speed]}") as (bar, task):
        yield lambda done, total: bar.update(
            task, completed=done, total=total, speed=f"{done / 2**20:.1f} MB"
        )


@contextmanager
def _bar(title: str, column: str) -> Iterator[tuple[Any, Any]]:
    """A rich progress bar and its task."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress as RichProgress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(column),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield bar, bar.add_task(title, total=None, speed="")


def format_seconds(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss.

    >>> format_seconds(3725), format_seconds(61.4)
    ('1:02:05', '1:01')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
