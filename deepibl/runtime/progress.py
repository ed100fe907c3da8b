"""Progress of long work: how much is done, how fast, how long it will take.

On a terminal it is a bar; elsewhere (a log file, a batch job) lines with the time of day: the first after
five seconds, the others at intervals. `reporting` is for work that counts something, `working` for the rest.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

Item = TypeVar("Item")
LINE_EVERY = 30.0  # seconds between lines where there is no terminal
ANNOUNCED_AFTER = 5.0  # seconds: shorter work prints nothing
_SHOWN = ("description", "fields[speed]")  # of a task, beside its bar


@dataclass(frozen=True)
class Progress:
    """A moment of a run over `total` items. rate: items a second; seconds_left: None if not known yet."""

    done: int
    total: int
    rate: float
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {format_seconds(self.seconds_left)} left"
        return f"{self.done}/{self.total}, {self.speed}{left}"

    @property
    def speed(self) -> str:
        """The rate as text; slow work as the time for one item."""
        return f"{self.rate:.1f}/s" if self.rate >= 0.1 or not self.rate else f"{1 / self.rate:.0f} s each"


ProgressCallback = Callable[[Progress], Any]


class ProgressMeter:
    """Counts items and reports after each step; items done before the run do not count in the rate.

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
        self.done += items
        seconds = time.monotonic() - self._start
        rate = (self.done - self._already) / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else None
        self._report(Progress(self.done, self.total, rate, left))


class ProgressDisplay:
    """Shows progress: a bar on a terminal, elsewhere a line with the time of day at intervals.

    title: shown first. out: a stream (default: standard error). interval: seconds between lines where `out`
    is not a terminal. In a `with` statement the display appears after ANNOUNCED_AFTER seconds at the latest,
    without any call of `show` too. Shorter work prints no line, or, with always=True, its last one.

    >>> with ProgressDisplay("extracting", out=sys.stdout, interval=0) as display:
    ...     display.show(2, 8, "1.0/s")  # doctest: +ELLIPSIS
    ...     display.print("a line of its own")
    20... extracting: 2/8, 1.0/s
    a line of its own
    """

    def __init__(
        self, title: str, out: TextIO | None = None, interval: float = LINE_EVERY, always: bool = False
    ) -> None:
        self._title, self._out, self._interval, self._always = title, out, interval, always
        self._open = ExitStack()
        self._bar: Any = None
        self._task: Any = None
        self._lock, self._ended = threading.RLock(), threading.Event()
        self._since = self._printed = time.monotonic()
        self._announced = self._counts = False
        self._begun: tuple[int, float] | None = None
        self._waiting = ""  # the line that has not been printed yet

    def show(self, done: int, total: int | None, text: str) -> None:
        """Shows that `done` of `total` items (None: not known) are done, and a short text beside it."""
        with self._lock:
            now, self._counts = time.monotonic(), True
            if self._on_terminal():
                self._draw(done, total, text)
                return
            before, since = self._begun = self._begun or (done, now)
            line = f"{self._title}: {done}/{'?' if total is None else total}, {text}"
            if total is not None and done > before:
                line += f", {format_seconds((total - done) * (now - since) / (done - before))} left"
            self._waiting = line
            if now - self._printed >= self._interval:
                self._print_waiting()

    def _on_terminal(self) -> bool:
        stream = self._out or sys.stderr
        return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")

    def _draw(self, done: int, total: int | None, text: str) -> None:
        if self._bar is None:
            self._bar, self._task = self._open.enter_context(progress_bar(self._title, self._out))
        self._bar.update(self._task, completed=done, total=total, speed=text)

    def _announce(self) -> None:
        """In a thread of its own: shows that work goes on while nothing calls `show`."""
        wait = ANNOUNCED_AFTER
        while not self._ended.wait(wait):
            wait = max(self._interval, ANNOUNCED_AFTER)
            with self._lock:
                if self._ended.is_set():
                    return
                now, took = time.monotonic(), format_seconds(time.monotonic() - self._since)
                if self._on_terminal():
                    if not self._counts:
                        self._draw(0, None, took)
                    wait = 1.0
                elif not self._announced or now - self._printed >= self._interval:
                    self._waiting = self._waiting or f"{self._title}: {took} so far"
                    self._print_waiting()

    def print(self, text: str) -> None:
        if self._bar is None:
            print(text, file=self._out or sys.stderr, flush=True)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Ends the bar; prints the last line if one was printed before. `show` begins a new one."""
        with self._lock:
            self._ended.set()
            self._open.close()
            self._bar = None
            if self._announced and not self._counts:
                self._waiting = f"{self._title}: done in {format_seconds(time.monotonic() - self._since)}"
            if self._always or self._announced:
                self._print_waiting()

    def __enter__(self) -> "ProgressDisplay":
        threading.Thread(target=self._announce, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _print_waiting(self) -> None:
        if self._waiting:
            self.print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self._waiting}")
        self._printed, self._waiting, self._announced = time.monotonic(), "", True


@contextmanager
def progress_bar(title: str, stream: TextIO | None = None) -> Iterator[tuple[Any, Any]]:
    """A rich progress bar and its task, on a terminal or standard error."""
    from rich import console, progress

    title_of, speed_of = (progress.TextColumn(f"{{task.{each}}}", markup=False) for each in _SHOWN)
    columns = (title_of, progress.BarColumn(), progress.MofNCompleteColumn(), speed_of)
    out = console.Console(file=stream, stderr=stream is None)
    redirect = stream is None  # else what others print to standard output would appear on the stream
    how = {"console": out, "redirect_stdout": redirect, "redirect_stderr": redirect}
    with progress.Progress(*columns, progress.TimeRemainingColumn(), **how) as bar:  # type: ignore[arg-type]
        yield bar, bar.add_task(title, total=None, speed="")


@contextmanager
def reporting(progress: ProgressCallback | bool | None, title: str) -> Iterator[ProgressCallback]:
    """Gives what to call with each `Progress`.

    progress: a callback; None for a `ProgressDisplay`, True for one of short work too; False: silence.
    """
    if callable(progress):
        yield progress
    elif progress is False:
        yield lambda _: None
    else:
        with ProgressDisplay(title, always=progress is True) as display:
            yield lambda now: display.show(now.done, now.total, now.speed)


def apart(progress: ProgressCallback | bool | None) -> bool | None:
    """What the other stages of a job show, whose `progress` may be a callback that counts one of them."""
    return False if callable(progress) else progress


def counted(
    items: Iterable[Item], total: int, title: str, progress: ProgressCallback | bool | None = None
) -> Iterator[Item]:
    """The items, `total` of them; each counts as done when the next one is requested."""
    with reporting(progress, title) as report:
        meter = ProgressMeter(total, report)
        for item in items:
            yield item
            meter.advance(1)


@contextmanager
def counting(progress: ProgressCallback | bool | None, title: str) -> Iterator[Callable[..., None]]:
    """Gives what to call with (items done, items in all) after each; more arguments are ignored."""
    with reporting(progress, title) as report:
        meter = ProgressMeter(0, report)

        def count(done: int, total: int, *_: object) -> None:
            meter.total = total
            meter.advance(done - meter.done)

        yield count


@contextmanager
def working(title: str) -> Iterator[None]:
    """Shows, for work that counts nothing, that it goes on and for how long; also a decorator."""
    with ProgressDisplay(title):
        yield


@contextmanager
def byte_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Gives a callback for downloads, called with the bytes there are, and those there will be or None."""
    with ProgressDisplay(title) as display:
        yield lambda done, total: display.show(
            done // 2**20, None if total is None else total // 2**20, f"{done / 2**20:.1f} MB"
        )


def format_seconds(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss.

    >>> format_seconds(3725), format_seconds(61.4)
    ('1:02:05', '1:01')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
