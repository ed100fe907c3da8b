"""What a training tells as it goes on, and to whom: printing, plotting and recording are listeners.

A training's curves in TensorBoard: losses by batch, recalls and rank losses by epoch.

Pictures of a training, as PNG files and in windows: the original's curves, recall before and after.

What a training prints: the original's lines, and a line of progress, changing in place on terminals.
"""

import os
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from deepibl.errors import ConfigurationError
from deepibl.evaluation.plots import new_figure, show_figures
from deepibl.runtime.progress import format_seconds
from deepibl.training.checkpoints import Results, SessionFiles
from deepibl.training.options import TrainingOptions, describe
from deepibl.training.state import Curves, History, TrainingState
from deepibl.training.tuples import MinedTuple, TupleOutcome
from matlab_compat.files import atomic_bytes
from matlab_compat.numeric import smooth


@dataclass(frozen=True)
class BatchReport:
    """One batch that is done. epoch, batch count from 1; images went through the network in seconds."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    tuples: int
    images: int
    seconds: float


class TrainingListener:
    """Base of those who are told; every method does nothing here."""

    def started(self, state: TrainingState) -> None:
        """A training begins or goes on."""

    def noted(self, what: str) -> None:
        """Something to know about how it is trained."""

    def computing(self, what: str) -> None:
        """Features of a data set are about to be computed."""

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        """An epoch begins (or goes on) with this learning rate; rate_before is that of the epoch before."""

    def tuple_mined(self, state: TrainingState, mined: MinedTuple) -> None:
        """A tuple was chosen by cached features."""

    def tuple_done(self, state: TrainingState, mined: MinedTuple, outcome: TupleOutcome) -> None:
        """A tuple went forward and backward."""

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        """A step was made; the state stands after it."""

    def tested(
        self, state: TrainingState, which: str, epoch: int, recall: np.ndarray, rankloss: float
    ) -> None:
        """Recalls (R,) and rank loss of 'train' or 'val' after an epoch (0: before training)."""

    def saved(self, state: TrainingState, path: Path, why: str) -> None:
        """The state was saved as `path`."""

    def stopped(self, state: TrainingState, error: BaseException) -> None:
        """The training ends before its time."""

    def finished(self, state: TrainingState) -> None:
        """The last epoch is done and saved."""


class Listeners(TrainingListener):
    """Tells several listeners, in their order."""

    def __init__(self, listeners: Iterable[TrainingListener]) -> None:
        self._listeners = list(listeners)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(TrainingListener, name):
            return super().__getattribute__(name)

        def tell(*args: Any) -> None:
            for listener in self._listeners:
                getattr(listener, name)(*args)

        return tell


class TensorBoard(TrainingListener):
    """Writes event files below `folder`, one run a session: trainX(…, listeners=[…, TensorBoard("runs")]).

    writer: what to write with (default: torch's SummaryWriter, which needs the package tensorboard).
    Raises ConfigurationError at the first event where it is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], writer: Any = None) -> None:
        self.folder, self._writer = Path(folder), writer

    def started(self, state: TrainingState) -> None:
        if self._writer is None:
            self._writer = _summary_writer(self.folder / state.options.sessionID)

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        self._writer.add_scalar("learning rate", rate, state.epoch)

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        step = (report.epoch - 1) * report.batches + report.batch
        self._writer.add_scalar("train/loss", report.loss, step)
        if report.seconds > 0:
            self._writer.add_scalar("images a second", report.images / report.seconds, step)

    def tested(
        self, state: TrainingState, which: str, epoch: int, recall: np.ndarray, rankloss: float
    ) -> None:
        for n, value in zip(state.options.recallNs, recall, strict=True):
            self._writer.add_scalar(f"{which}/recall@{int(n)}", float(value), epoch)
        self._writer.add_scalar(f"{which}/rank loss", rankloss, epoch)

    def stopped(self, state: TrainingState, error: BaseException) -> None:
        if self._writer is not None:
            self._writer.close()

    def finished(self, state: TrainingState) -> None:
        self._writer.close()


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigurationError(
            "the TensorBoard listener needs the package tensorboard: pip install tensorboard"
        ) from error
    return SummaryWriter(str(folder))


DRAWN_NS = (1, 2, 5, 10, 30)

COLOURS = ("tab:red", "tab:green", "tab:blue", "tab:purple", "tab:cyan")

_DPI = 110


class Plotter(TrainingListener):
    """Draws the curves of a training at every save, where its option doDraw asks for it."""

    def saved(self, state: TrainingState, path: Path, why: str) -> None:
        if state.options.doDraw:
            target = SessionFiles(state.options.outPrefix, state.options.sessionID).plot
            plot_training(state.history, state.options, target, queries=len(state.negative_caches))


def plot_training(
    history: History,
    options: TrainingOptions,
    path: str | os.PathLike[str],
    *,
    queries: int = 1,
    window: int | None = None,
    show: bool = False,
) -> Path:
    """Writes the curves of a training as PNG: batch loss (smoothed), rank loss, recall by epoch.

    queries: of the training set, which make an epoch of the batch losses. window: batches to smooth over
    (default: a twentieth of them, at most 5000). show: in a window, too.
    Ported from: netvlad/plotResults.m
    """
    figure = new_figure(9.5, 5.5, show)
    tested = bool(history.train.rankloss)
    grid = figure.add_gridspec(2, 2)
    _draw_losses(
        figure.add_subplot(grid[0, 0] if tested else grid[:, :]),
        history.train.loss,
        options.batchSize / queries,
        window,
    )
    if tested:
        before = history.pretrain or {}
        curves = [_with_first(before.get(which), getattr(history, which)) for which in ("train", "val")]
        first = 0 if before else options.epochTestFrequency
        epochs = [first + i * options.epochTestFrequency for i in range(len(curves[0].rankloss))]
        _draw_rank_losses(figure.add_subplot(grid[1, 0]), epochs, curves)
        _draw_recalls(figure.add_subplot(grid[:, 1]), epochs, curves, options.recallNs)
    return _write(figure, path, show)


def plot_recall(
    ns: Sequence[int],
    trained: np.ndarray,
    off_the_shelf: np.ndarray | None,
    title: str,
    path: str | os.PathLike[str],
    *,
    show: bool = False,
) -> Path:
    """Writes Recall@N (R,) of the trained network, and before training, against N as PNG.

    show: in a window, too. Ported from: netvlad/pickBestNet.m
    """
    figure = new_figure(6, 4.5, show)
    axes = figure.add_subplot()
    if off_the_shelf is not None:
        axes.plot(ns, off_the_shelf, "x-", color="tab:blue", label="off-the-shelf")
    axes.plot(ns, trained, "o-", color="tab:red", fillstyle="none", label="our trained")
    axes.set(xlabel="N", ylabel="Recall@N", xlim=(0, 50))
    axes.set_title(title, fontsize="small")
    axes.grid(True, alpha=0.4)
    axes.legend(loc="lower right")
    return _write(figure, path, show)


def _draw_losses(axes: Any, losses: Sequence[float], epochs_a_batch: float, window: int | None) -> None:
    if window is None:
        window = min(int(np.ceil(0.05 * len(losses))), 5000)
    values = np.asarray(losses, dtype=np.float64)
    smoothed = len(values) > window > 1
    if smoothed:
        values = np.asarray(smooth(values, window), dtype=np.float64)
        edge = round(window / 2)
        values[:edge] = values[max(0, len(values) - edge - 1) :] = np.nan
    axes.plot(
        np.arange(1, len(values) + 1) * epochs_a_batch, values, color="tab:blue" if smoothed else "tab:red"
    )
    axes.set(title="train dynamic loss" + (" (smoothed)" if smoothed else ""), xlabel="epoch")
    _logarithmic(axes, values)


def _draw_rank_losses(axes: Any, epochs: Sequence[int], curves: Sequence[Curves]) -> None:
    for each, style, name in zip(curves, ("x--", "x-"), ("train", "val"), strict=True):
        axes.plot(epochs, each.rankloss, style, color="tab:red", label=name)
    axes.set(title="rank loss", xlabel="epoch")
    _logarithmic(axes, np.concatenate([each.rankloss for each in curves]))
    axes.legend(loc="upper center", ncols=2, fontsize="small")


def _draw_recalls(axes: Any, epochs: Sequence[int], curves: Sequence[Curves], ns: Sequence[int]) -> None:
    drawn = [n for n in DRAWN_NS if n in ns] or list(ns[:1])
    for colour, n in zip(COLOURS, drawn, strict=False):
        row = list(ns).index(n)
        for each, style, name in zip(curves, ("o--", "x-"), ("t", "v"), strict=True):
            recall = [100 * test[row] for test in each.recall]
            axes.plot(epochs, recall, style, color=colour, fillstyle="none", label=f"{name}.{n}")
    axes.set(title="recall (%); t: train, v: validation", xlabel="epoch")
    axes.grid(True, alpha=0.4)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))


def _with_first(first: Curves | None, curves: Curves) -> Curves:
    if first is None:
        return curves
    return Curves([], [*first.recall, *curves.recall], [*first.rankloss, *curves.rankloss])


def _logarithmic(axes: Any, values: np.ndarray) -> None:
    positive = values[values > 0]
    if positive.size and positive.max() > positive.min():  # one value alone has no scale
        axes.set_yscale("log", nonpositive="mask")
    axes.grid(True, alpha=0.4)


def _write(figure: Any, path: str | os.PathLike[str], show: bool) -> Path:
    with atomic_bytes(path) as buffer:
        figure.savefig(buffer, dpi=_DPI, format="png")
    show_figures(show)
    return Path(path)


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

    return [Console(), Plotter()]


def draw_results(results: Results, files: SessionFiles, *, show: bool = False) -> list[Path]:
    """Draws a session's curves, and recall before and after, as PNG files beside its others.

    show: see `deepibl.training.plot_training`.
    """

    options = results.options
    title = [results.session, options.netID, options.layerName, options.dbValName, options.method]
    return [
        plot_training(results.history, options, files.plot, queries=results.queries, show=show),
        plot_recall(
            options.recallNs,
            results.trained,
            results.off_the_shelf,
            " ".join(title),
            files.recall_plot,
            show=show,
        ),
    ]
