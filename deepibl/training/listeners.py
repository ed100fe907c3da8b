"""What a training reports as it runs: `Console` prints, `Plotter` draws, `TensorBoard` records."""

import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TextIO

import numpy as np
import torch
from numpy import ndarray

from deepibl.errors import ConfigurationError, how_many
from deepibl.evaluation.measures import RankLossResult, RecallResult
from deepibl.evaluation.plots import new_figure, write_figure
from deepibl.runtime.progress import LINE_EVERY, ProgressDisplay
from deepibl.training.checkpoints import Results, SessionFiles
from deepibl.training.options import TrainingOptions, describe
from deepibl.training.state import Curves, History, TrainingState
from deepibl.training.tuples import MinedTuple, TupleOutcome
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.numeric import smooth

P = ParamSpec("P")


@dataclass(frozen=True)
class BatchReport:
    """A finished batch, counted from 1; loss: the mean of its tuples'; seconds: mining included."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    tuples: int
    images: int
    seconds: float


class TrainingListener:
    """Base of the listeners; every method does nothing here."""

    def started(self, state: TrainingState) -> None:
        """A training begins or is resumed."""

    def noted(self, what: str) -> None:
        """A note on how it is trained, such as where feature maps are kept."""

    def computing(self, what: str) -> None:
        """Features of a data set are about to be computed, or a test is about to begin."""

    def extracting(self, done: int, total: int) -> None:
        """Of the images of a feature file that is computed, so many are done: 0 at first, all at the end."""

    def testing(
        self, state: TrainingState, which: str, epoch: int, done: int, total: int, mean: float
    ) -> None:
        """A test's rank loss, then its recall, is at query `done`, from 1; mean: of the queries before."""

    def measured(self, state: TrainingState, result: RankLossResult | RecallResult) -> None:
        """The rank loss or the recall of a test is known."""

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        """An epoch begins or is resumed with this learning rate; rate_before: that of the epoch before."""

    def tuple_mined(self, state: TrainingState, mined: MinedTuple) -> None:
        """A tuple was chosen by cached features."""

    def tuple_done(self, state: TrainingState, mined: MinedTuple, outcome: TupleOutcome) -> None:
        """A tuple went forward and backward."""

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        """A step was made; the state is the one after it."""

    def tested(self, state: TrainingState, which: str, epoch: int, recall: ndarray, rankloss: float) -> None:
        """Recalls (R,) and rank loss of 'train' or 'val' after an epoch (0: before training)."""

    def saved(self, state: TrainingState, path: Path, why: str) -> None:
        """The state was saved as `path`."""

    def stopped(self, state: TrainingState, error: BaseException) -> None:
        """An error or Ctrl-C ends the training."""

    def finished(self, state: TrainingState) -> None:
        """The last epoch is done and saved."""


class Listeners:
    """Several listeners; events reach them in their order."""

    def __init__(self, listeners: Iterable[TrainingListener]) -> None:
        self._listeners = list(listeners)
        if wrong := [each for each in self._listeners if not isinstance(each, TrainingListener)]:
            raise ArgumentError(f"listeners must be TrainingListener objects; got {wrong[0]!r}")

    def notify(self, event: Callable[Concatenate[Any, P], None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls a method of every listener: notify(TrainingListener.saved, state, path, why)."""
        for each in self._listeners:
            getattr(each, event.__name__)(*args, **kwargs)


class TensorBoard(TrainingListener):
    """Writes event files below `folder`, one run a session: trainX(…, listeners=[…, TensorBoard("runs")]).

    writer: default torch's, which needs the package tensorboard (else ConfigurationError at the first event).
    """

    def __init__(self, folder: StrPath, writer: Any = None) -> None:
        self.folder, self._writer = Path(folder), writer

    def started(self, state: TrainingState) -> None:
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                needed = "the TensorBoard listener needs the package tensorboard: pip install tensorboard"
                raise ConfigurationError(needed) from error
            self._writer = SummaryWriter(str(self.folder / state.options.session))

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        self._writer.add_scalar("learning rate", rate, state.epoch)

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        step = (report.epoch - 1) * report.batches + report.batch
        self._writer.add_scalar("train/loss", report.loss, step)
        if report.seconds > 0:
            self._writer.add_scalar("images a second", report.images / report.seconds, step)

    def tested(self, state: TrainingState, which: str, epoch: int, recall: ndarray, rankloss: float) -> None:
        for n, value in zip(state.options.recall_ns, recall, strict=True):
            self._writer.add_scalar(f"{which}/recall@{int(n)}", float(value), epoch)
        self._writer.add_scalar(f"{which}/rank loss", rankloss, epoch)

    def stopped(self, state: TrainingState, error: BaseException) -> None:
        if self._writer is not None:
            self._writer.close()

    def finished(self, state: TrainingState) -> None:
        self._writer.close()


DRAWN_NS = (1, 2, 5, 10, 30)
COLOURS = ("tab:red", "tab:green", "tab:blue", "tab:purple", "tab:cyan")
_DPI = 110


class Plotter(TrainingListener):
    def saved(self, state: TrainingState, path: Path, why: str) -> None:
        if state.options.plot:
            target = SessionFiles(state.options.output_prefix, state.options.session).plot
            plot_training(state.history, state.options, target, queries=len(state.negative_caches))


def plot_training(
    history: History,
    options: TrainingOptions,
    path: StrPath,
    *,
    queries: int = 1,
    window: int | None = None,
    show: bool = False,
) -> Path:
    """Writes the curves of a training as PNG: batch loss (smoothed), rank loss, recall by epoch.

    queries: of the training set, which make an epoch. window: batches to smooth over (default: a twentieth of
    them, at most 5000). show: in a window, too. Ported from: netvlad/plotResults.m
    """
    figure = new_figure(9.5, 5.5, show)
    tested = bool(history.train.rankloss)
    grid = figure.add_gridspec(2, 2)
    losses = np.asarray(history.train.loss, dtype=np.float64)
    if window is None:
        window = min(int(np.ceil(0.05 * len(losses))), 5000)
    smoothed, colour = len(losses) > window > 1, "tab:red"
    if smoothed:
        losses, colour, edge = np.asarray(smooth(losses, window), np.float64), "tab:blue", round(window / 2)
        losses[:edge] = losses[max(0, len(losses) - edge - 1) :] = np.nan
    axes = figure.add_subplot(grid[0, 0] if tested else grid[:, :])
    axes.plot(np.arange(1, len(losses) + 1) * options.batch_size / queries, losses, color=colour)
    axes.set(title="train dynamic loss" + (" (smoothed)" if smoothed else ""), xlabel="epoch")
    _logarithmic(axes, losses)
    if not tested:
        return write_figure(figure, path, show, _DPI)
    before = history.pretrain or {"train": Curves(), "val": Curves()}
    pairs = (before["train"], history.train), (before["val"], history.val)
    ranklosses = [first.rankloss + after.rankloss for first, after in pairs]
    recalls = [first.recall + after.recall for first, after in pairs]
    epochs = [(i + (not history.pretrain)) * options.test_interval for i in range(len(ranklosses[0]))]
    axes = figure.add_subplot(grid[1, 0])
    for values, style, name in zip(ranklosses, ("x--", "x-"), ("train", "val"), strict=True):
        axes.plot(epochs, values, style, color="tab:red", label=name)
    axes.set(title="rank loss", xlabel="epoch")
    _logarithmic(axes, np.concatenate(ranklosses))
    axes.legend(loc="upper center", ncols=2, fontsize="small")
    axes, ns = figure.add_subplot(grid[:, 1]), list(options.recall_ns)
    for colour, n in zip(COLOURS, [n for n in DRAWN_NS if n in ns] or ns[:1], strict=False):
        for tests, style, name in zip(recalls, ("o--", "x-"), ("t", "v"), strict=True):
            recall = [100 * test[ns.index(n)] for test in tests]
            axes.plot(epochs, recall, style, color=colour, fillstyle="none", label=f"{name}.{n}")
    axes.set(title="recall (%); t: train, v: validation", xlabel="epoch")
    axes.grid(True, alpha=0.4)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return write_figure(figure, path, show, _DPI)


def _logarithmic(axes: Any, values: np.ndarray) -> None:
    positive = values[values > 0]
    if positive.size and positive.max() > positive.min():  # matplotlib has no logarithmic ticks for one value
        axes.set_yscale("log", nonpositive="mask")
    axes.grid(True, alpha=0.4)


class Console(TrainingListener):
    """Prints a training to `out` (default: standard output), and where that is no terminal a line of progress
    every `interval` seconds.
    """

    def __init__(self, out: TextIO | None = None, interval: float = LINE_EVERY) -> None:
        self._out, self._interval = out, interval
        self._display = ProgressDisplay("", out or sys.stdout)
        self._images, self._seconds = 0, 0.0

    def started(self, state: TrainingState) -> None:
        self._images, self._seconds = 0, 0.0
        session, out = state.options.session, self._out or sys.stdout
        self._display = ProgressDisplay(session, out, self._interval, always=True)
        self._display.print(describe(state.options))
        if state.epoch > 1 or state.batch or state.epoch_done:
            batch = "" if state.epoch_done else f", batch {state.batch}"
            self._display.print(f"{session}: resumed after epoch {state.epoch}{batch}")

    def noted(self, what: str) -> None:
        self._display.print(what)

    def computing(self, what: str) -> None:
        self._display.close()  # extraction has a display of its own
        self._display.print(what)

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        if rate != rate_before:
            self._display.print(f"Changing learning rate from {rate_before:f} to {rate:f}")
        self._display.print(f"Learning rate {rate:f}")

    def tuple_mined(self, state: TrainingState, mined: MinedTuple) -> None:
        loss, counts = f"{mined.margin_loss:.4f}", (mined.violating, mined.very_hard)
        self._print_tuple(state, f"{state.options.session} loss= {loss}", *counts, mined.query)

    def tuple_done(self, state: TrainingState, mined: MinedTuple, outcome: TupleOutcome) -> None:
        loss, counts = f"{outcome.loss:.4f}", (outcome.pairs, outcome.very_hard)
        self._print_tuple(state, f"   real loss= {loss}", *counts, mined.query)

    def _print_tuple(self, state: TrainingState, loss: str, violating: int, hard: int, query: int) -> None:
        if state.options.print_tuple_losses:
            self._display.print(f"{loss}, #violate= {violating}, #vhard= {hard}, (qID={query})")

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        if state.options.print_batch_losses:
            self._display.print(f"{state.options.session} batchloss= {report.loss:.4f}")
        self._images += report.images
        self._seconds += report.seconds
        done, total = (report.epoch - 1) * report.batches + report.batch, report.epochs * report.batches
        images_a_second = self._images / self._seconds if self._seconds else 0.0
        self._display.show(done, total, progress_text(report, images_a_second))

    def tested(self, state: TrainingState, which: str, epoch: int, recall: ndarray, rankloss: float) -> None:
        when = f"epoch {epoch}" if epoch else "before training"
        shown = list(zip(state.options.recall_ns, recall, strict=True))[:6]
        recalls = " ".join(f"@{n} {value:.4f}" for n, value in shown)
        self._display.print(f"{which}, {when}: recall {recalls}; rank loss {rankloss:.4f}")

    def saved(self, state: TrainingState, path: Path, why: str) -> None:
        self._display.print(f"saved {path}: {why}")

    def stopped(self, state: TrainingState, error: BaseException) -> None:
        self._display.close()

    def finished(self, state: TrainingState) -> None:
        self._display.close()
        done = "is done" if state.options.epochs == 1 else "are done"
        self._display.print(f"{state.options.session}: {how_many(state.options.epochs, 'epoch')} {done}")


def progress_text(report: BatchReport, images_a_second: float) -> str:
    """Epoch, batch, images of tuples a second (0: not known yet), loss, and memory."""
    speed = f"{images_a_second:.1f} images/s" if images_a_second else "no images yet"
    at = f"epoch {report.epoch}/{report.epochs} batch {report.batch}/{report.batches}"
    return f"{at}, {speed}, loss {report.loss:.4f}, {memory_text()}"


def memory_text() -> str:
    """The most memory that this process has held, and of the GPU where one is in use."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scale = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, kilobytes elsewhere
    text = f"memory {kilobytes / scale:.1f} GB"
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        text += f", GPU {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
    return text


def usual_listeners(out: TextIO | None = None) -> list[TrainingListener]:
    return [Console(out), Plotter()]


def draw_results(results: Results, files: SessionFiles, *, show: bool = False) -> list[Path]:
    """Draws a session's curves, and recall before and after, as PNG files; show: in windows, too.

    Ported from: netvlad/pickBestNet.m
    """
    options, before = results.options, results.off_the_shelf
    curves = plot_training(results.history, options, files.plot, queries=results.queries, show=show)
    figure = new_figure(6, 4.5, show)
    axes, ns = figure.add_subplot(), options.recall_ns
    if before is not None:
        axes.plot(ns, before, "x-", color="tab:blue", label="off-the-shelf")
    axes.plot(ns, results.trained, "o-", color="tab:red", fillstyle="none", label="our trained")
    axes.set(xlabel="N", ylabel="Recall@N", xlim=(0, 50))
    title = [results.session, options.network, options.layer, options.val_set_name, options.pooling]
    axes.set_title(" ".join(title), fontsize="small")
    axes.grid(True, alpha=0.4)
    axes.legend(loc="lower right")
    return [curves, write_figure(figure, files.recall_plot, show, _DPI)]
