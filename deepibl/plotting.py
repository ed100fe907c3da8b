"""Pictures of a training, as PNG files and in windows: the original's curves, recall before and after."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.checkpoints import SessionFiles
from deepibl.figure_window import new_figure, show_figures
from deepibl.history import Curves, History
from deepibl.training.events import TrainingListener
from deepibl.training.options import TrainingOptions
from deepibl.training.state import TrainingState
from matlab_compat.files import atomic_bytes
from matlab_compat.numeric import smooth

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
