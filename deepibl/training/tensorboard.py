"""A training's curves in TensorBoard: losses by batch, recalls and rank losses by epoch."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.errors import ConfigurationError
from deepibl.training.events import BatchReport, TrainingListener
from deepibl.training.state import TrainingState


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
