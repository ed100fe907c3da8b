"""What came of a training: its curves, its best epoch, the table about it, and its networks."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepibl import network_layers  # noqa: F401  # registers NetVLAD's layers
from deepibl.checkpoints import NO_STATE, SessionFiles
from deepibl.errors import SessionError
from deepibl.evaluation import best_epoch
from deepibl.history import History
from deepibl.training.options import TrainingOptions
from deepibl.training.state import take_momentum
from matlab_compat.damage import damage_as
from matlab_compat.matfile import scalar
from matlab_compat.simplenn import SimpleNN

SHOWN = 6  # values of N in the table


@dataclass(frozen=True)
class Results:
    """The curves of a session and its best epoch (from 1) by the validation set's Recall@n."""

    session: str
    options: TrainingOptions
    history: History
    queries: int
    best: int

    @property
    def trained(self) -> np.ndarray:
        """Recall@N (R,) of the best epoch on the validation set."""
        return self.history.val.recall[self.best - 1]

    @property
    def off_the_shelf(self) -> np.ndarray | None:
        """Recall@N (R,) before training on the validation set; None where that was not tested."""
        return self.history.pretrain["val"].recall[0] if self.history.pretrain else None

    def table(self) -> str:
        """The original's lines about the best epoch: recall before, after, and their ratio."""
        ns = self.options.recallNs[:SHOWN]
        line = "=" * (len(ns) * 5 - 1 + 14)
        epochs = len(self.history.val.recall)
        lines = [f"{self.session} Best epoch: {self.best} (out of {epochs})", line]
        lines += [f"Recall@N      {''.join(f'{int(n):04d} ' for n in ns)}", line]
        trained, before = self.trained[:SHOWN], self.off_the_shelf
        if before is not None:
            lines.append(f"off-the-shelf {_row(before[:SHOWN])}")
        lines.append(f"our trained   {_row(trained)}")
        if before is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                lines.append(f"trained/shelf {_row(trained / before[:SHOWN])}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The table for programs; off_the_shelf is None where that was not tested."""
        before = self.off_the_shelf
        return {
            "session": self.session,
            "best_epoch": self.best,
            "epochs": len(self.history.val.recall),
            "recallNs": [int(n) for n in self.options.recallNs],
            "off_the_shelf": None if before is None else [float(value) for value in before],
            "trained": [float(value) for value in self.trained],
        }


def find_session(session: str, prefix: str) -> SessionFiles:
    """The files of a session by its name, or by the path of one of them (as out/53e0_ep000004_latest.mat).

    prefix: what the names begin with where `session` has no folder in it (localPaths' outPrefix, say).
    """
    folder, name = os.path.split(session)
    name = re.sub(r"(_ep\d{6})?_latest\.mat$", "", name)
    return SessionFiles(f"{folder}/" if folder else prefix, name)


def draw_results(results: Results, files: SessionFiles, *, show: bool = False) -> list[Path]:
    """Draws a session's curves, and recall before and after, as PNG files beside its others.

    show: see `deepibl.plotting.plot_training`.
    """
    from deepibl.plotting import plot_recall, plot_training

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


def read_results(files: SessionFiles, n: int = 5) -> Results:
    """The results of a session; n: the N of Recall@N that decides which epoch is the best.

    Raises SessionError for a session without files, without a test yet, or not tested after every epoch.
    """
    variables = files.load(variables=("obj", "opts", "auxData"))
    with damage_as(SessionError, files.latest, NO_STATE):
        return _results(files, variables, n)


def _results(files: SessionFiles, variables: Mapping[str, Any], n: int) -> Results:
    options = TrainingOptions.from_mapping(variables["opts"])
    if options.epochTestFrequency != 1:
        raise SessionError(
            f"session {files.session} was tested every {options.epochTestFrequency} epochs "
            "(epochTestFrequency): which epoch is the best can only be told when each was tested"
        )
    history = History.from_matlab(variables["obj"])
    if not history.val.recall:
        raise SessionError(f"session {files.session} has no tested epoch yet: its first one is not done")
    _require_fit(files, options, history)
    best = best_epoch(np.stack(history.val.recall, axis=1), options.recallNs, n) + 1
    queries = int(scalar(variables["auxData"]["numTrain"]))
    return Results(files.session, options, history, queries, best)


def _require_fit(files: SessionFiles, options: TrainingOptions, history: History) -> None:
    """Raises SessionError unless every test has a recall for each N of the options."""
    tests = (history.val, *(history.pretrain or {}).values())
    shapes = {np.shape(row) for curves in tests for row in curves.recall}
    if not np.isfinite(options.recallNs).all() or shapes != {(len(options.recallNs),)}:
        raise SessionError(
            f"{files.latest}: its recalls, of shapes {sorted(shapes)}, are not of the N in its options, "
            f"{list(options.recallNs)}: the file is corrupted"
        )


def read_session_network(files: SessionFiles, epoch: int) -> SimpleNN:
    """The network after an epoch (from 1), without momenta; its meta says session and epoch.

    Raises SessionError where there is no such file.
    """
    struct = files.load(epoch, variables=("net",))["net"]
    with damage_as(SessionError, files.epoch(epoch), NO_STATE):
        net = SimpleNN.from_matlab(struct)
        take_momentum(net)
    net.meta |= {"sessionID": files.session, "epoch": np.array([[float(epoch)]])}
    return net


def _row(values: Any) -> str:
    """Numbers as C's '%.2f ' prints them, MATLAB's words for what is no number."""
    words = {"nan": "NaN ", "inf": "Inf ", "-inf": "-Inf "}
    return "".join(words.get(f"{value:.2f}", f"{value:.2f} ") for value in np.asarray(values, dtype=float))
