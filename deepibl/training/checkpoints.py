"""Sessions on disk, under MATLAB's names: `<prefix><session>_ep000004_latest.mat` and what belongs to it.

Every file is written whole or not at all. A running session holds `<prefix><session>.lock` (released by the
system when the process dies); `<prefix><session>_unfinished.json` is there until it is complete.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from deepibl.errors import SessionError
from deepibl.evaluation.measures import best_epoch
from deepibl.runtime.files import hold, read_note, write_note
from deepibl.training.options import Request, TrainingOptions, label
from deepibl.training.state import History, field_of, reading_state, take_momentum
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.files import atomic_output
from matlab_compat.matfile.values import scalar
from matlab_compat.simplenn.network import SimpleNN

VARIABLES = ("net", "obj", "opts", "auxData")


def check_name(name: str, what: str) -> None:
    """Raises SessionError for a name that cannot be part of a file's."""
    if not re.fullmatch(r"[\w.+-]{1,100}", name):
        allowed = "it goes into file names, so use letters, digits, - _ . +, at most 100 of them"
        raise SessionError(f"{name!r:.120} cannot name {what}: {allowed}")


class SessionFiles:
    """The files of one session. prefix: what their names begin with (MATLAB's outPrefix), folders too.

    unfinished: exists while the session is not complete. start: what other processes of a training begin
    with; exists for a moment.
    """

    def __init__(self, prefix: str, session: str) -> None:
        check_name(session, "a session")
        self.prefix, self.session = str(prefix), session
        self._stem = f"{prefix}{session}"
        self.latest = Path(f"{self._stem}_latest.mat")
        self.history = Path(f"{self._stem}_history.json")
        self.plot = Path(f"{self._stem}_results.png")
        self.recall_plot = Path(f"{self._stem}_recall.png")
        self.unfinished = Path(f"{self._stem}_unfinished.json")
        self.start = self.latest.with_name(f".{self.latest.name.removesuffix('_latest.mat')}_start.mat")

    def epoch(self, epoch: int) -> Path:
        return Path(f"{self._stem}_ep{epoch:06d}_latest.mat")

    def features(self, which: str, epoch: int, batch: int) -> str:
        """A feature file of the training set; which: 'q' or 'db'. batch 0: the end of the epoch."""
        at = f"_b{batch:06d}" if batch else ""
        return f"{self._stem}_ep{epoch:06d}_latest_train{at}_{which}.bin"

    def validation_features(self, which: str, epoch: int) -> str:
        """A feature file of the validation set, deleted after the test."""
        return f"{self._stem}_ep{epoch:06d}_latest_val_{which}.bin"

    def epochs(self) -> list[int]:
        """The epochs that have a state, ascending."""
        names = self._names(r"_ep\d{6}_latest\.mat")
        return [int(name.removesuffix("_latest.mat")[-6:]) for name in names]

    def save(self, name: int | str, variables: dict[str, Any], history: dict[str, Any] | None = None) -> Path:
        """Writes a state as that of an epoch (or under a name) and as the latest, and the curves, if given.

        Raises SessionError when it cannot be written (a full disk, say); what was there before is untouched.
        """
        if isinstance(name, str):
            check_name(name, "a state")
        target = Path(f"{self._stem}_{name}.mat") if isinstance(name, str) else self.epoch(name)
        try:
            matfile.save(target, variables)
            with atomic_output(self.latest) as temporary:
                temporary.unlink()
                try:
                    os.link(target, temporary)  # a file that is only ever replaced may have two names
                except OSError:
                    shutil.copyfile(target, temporary)
            if history is not None:
                write_note(self.history, history, indent=1)
        except (OSError, MatFileError) as error:
            raise SessionError(
                f"could not save {target}: {error}. The state saved before is whole; make room (or the "
                "folder writable), then start the same command again: it resumes from there"
            ) from error
        return target

    def load(self, epoch: int | None = None, variables: Sequence[str] = VARIABLES) -> dict[str, Any]:
        """Variables of an epoch's state, or of the latest. Raises SessionError when there is none."""
        path = self.latest if epoch is None else self.epoch(epoch)
        if not path.exists():
            have = ", ".join(map(str, self.epochs())) or "none"
            raise SessionError(
                f"session {self.session} has no {path}; epochs with a state: {have}. File names begin with "
                f"{self.prefix!r} (the output prefix): is that where the session was saved?"
            )
        return matfile.load(path, list(variables))

    def request_before(self) -> tuple[str | None, float]:
        """The request of the latest state, as text ("": unknown, None: no state), and its first epoch."""
        if not self.latest.exists():
            return None, 1
        with reading_state(self.latest):
            aux = matfile.load(self.latest, ["auxData"])["auxData"]
            command = matfile.text(field_of(field_of(aux, "deepibl", {}), "command", ""))
            options = matfile.load(self.latest, ["opts"])["opts"]
            return command, scalar(field_of(options, "startEpoch", 1.0))

    def remove(self) -> None:
        self.remove_features()
        self._delete(self._names(r"_ep\d{6}_latest\.mat"))
        for path in (self.latest, self.history, self.plot, self.recall_plot, self.unfinished):
            path.unlink(missing_ok=True)

    def remove_features(self, keep: Sequence[str] = ()) -> None:
        """Deletes the session's feature files (of refreshes and tests) that are not to be kept."""
        kept = {Path(name).name for name in keep}
        there = self._names(r"_ep\d{6}_latest_(train|val)_\w+\.bin.*")
        self._delete([name for name in there if name not in kept])

    def remove_leftovers(self) -> None:
        """Deletes temporary files that a killed process left behind."""
        written = r"(_ep\d{6})?_(latest|history|results|recall|unfinished|start)[._].*"
        self._delete([*self._names(written, "."), *self._names(written, "..")])

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self.latest.parent / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the session; raises SessionError when another process has it."""
        lock = FileLock(f"{self._stem}.lock")
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        if not hold(lock):
            holder = f"another process (it holds {lock.lock_file}); name another session, or none"
            raise SessionError(f"session {self.session} is being trained by {holder}")
        try:
            yield
        finally:
            lock.release()

    def is_running(self) -> bool:
        try:
            with self.locked():
                return False
        except SessionError:
            return True

    def _names(self, ending: str, beginning: str = "") -> list[str]:
        """The session's files with names of a kind (regular expressions), sorted; not another session's."""
        folder, stem = os.path.split(self._stem)
        wanted = re.compile(re.escape(beginning + stem) + ending)
        there = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        return sorted(name for name in there if wanted.fullmatch(name))


def unfinished_session(prefix: str, request: Request) -> str | None:
    """The session that was started with the same request, is not complete and not running; else None."""
    folder = Path(f"{prefix}x").parent
    for path in sorted(folder.glob(f"{Path(f'{prefix}x').name[:-1]}*_unfinished.json")):
        note = read_note(path)
        try:
            files = SessionFiles(prefix, str(note.get("session", "")))
        except SessionError:
            continue
        before = Request.from_text(str(note.get("command", "")))
        if before == request.told_as(before) and not files.is_running():
            return files.session
    return None


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
        return self.history.val.recall[self.best - 1]

    @property
    def off_the_shelf(self) -> np.ndarray | None:
        """Recall@N (R,) before training on the validation set; None where that was not tested."""
        return self.history.pretrain["val"].recall[0] if self.history.pretrain else None

    def table(self) -> str:
        """The original's lines about the best epoch: recall before, after, and their ratio."""
        ns, trained, before = self.options.recall_ns[:SHOWN], self.trained[:SHOWN], self.off_the_shelf
        line = "=" * (len(ns) * 5 - 1 + 14)
        lines = [f"{self.session} Best epoch: {self.best} (out of {len(self.history.val.recall)})", line]
        lines += [f"Recall@N      {''.join(f'{int(n):04d} ' for n in ns)}", line]
        shown = [("our trained  ", trained)]
        if before is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = trained / before[:SHOWN]
            shown = [("off-the-shelf", before[:SHOWN]), *shown, ("trained/shelf", ratio)]
        return "\n".join([*lines, *(f"{title} {_row(values)}" for title, values in shown)])

    def as_dict(self) -> dict[str, Any]:
        before = self.off_the_shelf
        return {
            "session": self.session,
            "best_epoch": self.best,
            "epochs": len(self.history.val.recall),
            "recallNs": [int(n) for n in self.options.recall_ns],
            "off_the_shelf": None if before is None else before.tolist(),
            "trained": self.trained.tolist(),
        }


def find_session(session: str, prefix: str) -> SessionFiles:
    """The files of a session by its name after `prefix`, or by the path of one (…_ep000004_latest.mat)."""
    folder, name = os.path.split(session)
    name = re.sub(r"(_ep\d{6})?_latest\.mat$", "", name)
    return SessionFiles(f"{folder}/" if folder else prefix, name)


def read_results(files: SessionFiles, n: int = 5) -> Results:
    """The results of a session; n: the N of Recall@N that decides which epoch is the best.

    Raises SessionError for a session without files, without a test yet, or not tested after every epoch.
    """
    variables = files.load(variables=("obj", "opts", "auxData"))
    with reading_state(files.latest):
        options = TrainingOptions.from_matlab(variables["opts"])
        history = History.from_matlab(variables["obj"])
        queries = int(scalar(field_of(variables["auxData"], "numTrain")))
    if options.test_interval != 1:
        raise SessionError(
            f"tested every {options.test_interval} epochs ({label('test_interval')}): the best epoch is "
            "known only where each is tested"
        )
    if not history.val.recall:
        raise SessionError(f"session {files.session} has no tested epoch yet: its first one is not finished")
    tests = (history.val, *(history.pretrain or {}).values())
    shapes = {np.shape(row) for curves in tests for row in curves.recall}
    if not np.isfinite(options.recall_ns).all() or shapes != {(len(options.recall_ns),)}:
        raise SessionError(
            f"{files.latest} is damaged: recalls {sorted(shapes)} are not of the N {list(options.recall_ns)}"
        )
    best = best_epoch(np.stack(history.val.recall, axis=1), options.recall_ns, n) + 1
    return Results(files.session, options, history, queries, best)


def read_session_network(files: SessionFiles, epoch: int) -> SimpleNN:
    """The network after an epoch (from 1), without momenta; its meta says session and epoch."""
    struct = files.load(epoch, variables=("net",))["net"]
    with reading_state(files.epoch(epoch)):
        net = SimpleNN.from_matlab(struct)
        take_momentum(net)
    net.meta |= {"sessionID": files.session, "epoch": float(epoch)}
    return net


def _row(values: Any) -> str:
    """Numbers as C's '%.2f ' prints them, NaN and Inf as MATLAB does."""
    words = {"nan": "NaN ", "inf": "Inf ", "-inf": "-Inf "}
    return "".join(words.get(f"{value:.2f}", f"{value:.2f} ") for value in np.asarray(values, dtype=float))
