"""What a training prints: the original's lines, and a line of progress, changing in place on terminals."""

import resource
import sys
import time
from pathlib import Path
from typing import TextIO

import numpy as np
import torch

from deepibl.mining import MinedTuple
from deepibl.objectives import TupleOutcome
from deepibl.progress import format_seconds
from deepibl.training.events import BatchReport, TrainingListener
from deepibl.training.options import describe
from deepibl.training.state import TrainingState

LINE_EVERY = 10.0  # seconds between lines of progress where the output is no terminal


class Console(TrainingListener):
    """Prints a training: options, learning rates, progress, tests, saved files; losses where options ask.

    out: where to (default: standard output). interval: seconds between lines of progress; None: changes in
    place on a terminal, else every ten seconds.
    """

    def __init__(self, out: TextIO | None = None, interval: float | None = None) -> None:
        self._out = out
        self._interval = interval
        self._shown = float("-inf")
        self._live = False
        self._images, self._seconds = 0, 0.0
        self._batches, self._begun = 0, 0.0  # batches of this run, and when the first of them began

    def started(self, state: TrainingState) -> None:
        self._images, self._seconds, self._batches = 0, 0.0, 0
        self._line(describe(state.options))
        if state.epoch > 1 or state.batch or state.epoch_done:
            batch = "" if state.epoch_done else f", batch {state.batch}"
            self._line(f"{state.options.sessionID}: going on after epoch {state.epoch}{batch}")

    def noted(self, what: str) -> None:
        self._line(what)

    def computing(self, what: str) -> None:
        self._line(what)

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        if rate != rate_before:
            self._line(f"Changing learning rate from {rate_before:f} to {rate:f}")
        self._line(f"Learning rate {rate:f}")
        if not self._batches:
            self._begun = time.monotonic()

    def tuple_mined(self, state: TrainingState, mined: MinedTuple) -> None:
        if state.options.printLoss:
            self._line(
                f"{state.options.sessionID} loss= {mined.margin_loss:.4f}, #violate= {mined.violating}, "
                f"#vhard= {mined.very_hard}, (qID={mined.query})"
            )

    def tuple_done(self, state: TrainingState, mined: MinedTuple, outcome: TupleOutcome) -> None:
        if state.options.printLoss:
            self._line(
                f"   real loss= {outcome.loss:.4f}, #violate= {outcome.pairs}, #vhard= {outcome.very_hard}, "
                f"(qID={mined.query})"
            )

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        if state.options.printBatchLoss:
            self._line(f"{state.options.sessionID} batchloss= {report.loss:.4f}")
        self._images += report.images
        self._seconds += report.seconds
        self._batches += 1
        now = time.monotonic()
        if now - self._shown >= self._pause() or report.batch == report.batches:
            self._shown = now
            speed = self._images / self._seconds if self._seconds else 0.0
            each = (now - self._begun) / self._batches
            self._progress(progress_line(state.options.sessionID, report, speed, each))

    def tested(
        self, state: TrainingState, which: str, epoch: int, recall: np.ndarray, rankloss: float
    ) -> None:
        when = f"epoch {epoch}" if epoch else "before training"
        shown = list(zip(state.options.recallNs, recall, strict=True))[:6]
        recalls = " ".join(f"@{n} {value:.4f}" for n, value in shown)
        self._line(f"{which}, {when}: recall {recalls}; rank loss {rankloss:.4f}")

    def saved(self, state: TrainingState, path: Path, why: str) -> None:
        self._line(f"saved {path}: {why}")

    def finished(self, state: TrainingState) -> None:
        self._line(f"{state.options.sessionID}: {state.options.nEpoch} epochs are done")

    def _pause(self) -> float:
        if self._interval is not None:
            return self._interval
        return 0.2 if self._stream().isatty() else LINE_EVERY

    def _stream(self) -> TextIO:
        return self._out or sys.stdout

    def _line(self, text: str) -> None:
        stream = self._stream()
        print(("\n" if self._live else "") + text, file=stream, flush=True)
        self._live = False

    def _progress(self, text: str) -> None:
        if not self._stream().isatty():
            self._line(text)
            return
        print(f"\r\x1b[2K{text}", end="", file=self._stream(), flush=True)
        self._live = True


def progress_line(session: str, report: BatchReport, speed: float, each: float) -> str:
    """Epoch, batch, images a second, loss, time left for this and the later epochs, and memory.

    speed: tuples' images a second. each: seconds from batch to batch, with the features, tests and saves
    between them.
    """
    done = (report.epoch - 1) * report.batches + report.batch
    left = (report.epochs * report.batches - done) * each
    images = f"{speed:.1f} images/s" if speed else "no images yet"
    return (
        f"{session} epoch {report.epoch}/{report.epochs} batch {report.batch}/{report.batches}, {images}, "
        f"loss {report.loss:.4f}, about {format_seconds(left)} left, {memory_text()}"
    )


def memory_text() -> str:
    """The most memory that this process has held, and of the GPU where one is in use."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scale = 2**30 if sys.platform == "darwin" else 2**20
    text = f"memory {kilobytes / scale:.1f} GB"
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        text += f", GPU {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
    return text


def usual_listeners() -> list[TrainingListener]:
    """Printing, and drawing where the option doDraw asks for it."""
    from deepibl.plotting import Plotter

    return [Console(), Plotter()]
