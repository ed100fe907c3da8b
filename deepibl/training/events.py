"""What a training tells as it goes on, and to whom: printing, plotting and recording are listeners."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.mining import MinedTuple
from deepibl.objectives import TupleOutcome
from deepibl.training.state import TrainingState


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
