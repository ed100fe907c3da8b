"""Sessions on disk, under MATLAB's names: `<prefix><session>_ep000004_latest.mat` and what belongs to it.

Every file is written whole or not at all. A session that runs holds `<prefix><session>.lock` (released by the
system when the process dies), and leaves `<prefix><session>_unfinished.json` until it is complete.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from deepibl.errors import SessionError
from deepibl.notes import read_note
from matlab_compat import matfile
from matlab_compat.damage import damage_as
from matlab_compat.errors import MatFileError
from matlab_compat.files import atomic_output

VARIABLES = ("net", "obj", "opts", "auxData")
NO_STATE = "is not the state of a training session"


class SessionFiles:
    """The files of one session. prefix: what their names begin with (MATLAB's outPrefix), folders too."""

    def __init__(self, prefix: str, session: str) -> None:
        if not session or not re.fullmatch(r"[\w.+-]{1,100}", session):
            raise SessionError(
                f"{session!r:.120} cannot name a session: it goes into file names, so use letters, digits, - "
                "_ . +, at most 100 of them"
            )
        self.prefix, self.session = str(prefix), session
        self._stem = f"{prefix}{session}"

    @property
    def latest(self) -> Path:
        """The newest state, of whichever epoch."""
        return Path(f"{self._stem}_latest.mat")

    @property
    def history(self) -> Path:
        """The curves as JSON, for other tools."""
        return Path(f"{self._stem}_history.json")

    @property
    def plot(self) -> Path:
        """The picture of the curves."""
        return Path(f"{self._stem}_results.png")

    @property
    def recall_plot(self) -> Path:
        """The picture of recall before and after training."""
        return Path(f"{self._stem}_recall.png")

    @property
    def unfinished(self) -> Path:
        """There while the session is not complete."""
        return Path(f"{self._stem}_unfinished.json")

    @property
    def start(self) -> Path:
        """What other processes of a training begin with; there for a moment."""
        return self.latest.with_name(f".{self.latest.name.removesuffix('_latest.mat')}_start.mat")

    def epoch(self, epoch: int) -> Path:
        """The state of an epoch (from 1): its last batches, or its end."""
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

    def save(self, epoch: int, variables: dict[str, Any], history: dict[str, Any] | None = None) -> Path:
        """Writes a state as that of `epoch` and as the latest, and the curves, if given, as JSON.

        Raises SessionError when it cannot be written (a full disk, say); what was there before is untouched.
        """
        target = self.epoch(epoch)
        try:
            matfile.save(target, variables)
            with atomic_output(self.latest) as temporary:
                temporary.unlink()
                _link_or_copy(target, temporary)
            if history is not None:
                write_json(self.history, history)
        except (OSError, MatFileError) as error:
            raise SessionError(
                f"could not save {target}: {error}. Nothing half-written is left and the state saved before "
                "is whole; make room (or writable), then start the same command again: it goes on from there"
            ) from error
        return target

    def load(self, epoch: int | None = None, variables: Sequence[str] = VARIABLES) -> dict[str, Any]:
        """Variables of an epoch's state, or of the latest. Raises SessionError when there is none."""
        path = self.latest if epoch is None else self.epoch(epoch)
        if not path.exists():
            have = ", ".join(map(str, self.epochs())) or "none"
            raise SessionError(
                f"session {self.session} has no {path}; epochs with a state: {have}. The names begin with "
                f"{self.prefix!r} (outPrefix): is that where the session was saved?"
            )
        return matfile.load(path, list(variables))

    def request_before(self) -> str | None:
        """What the latest state was asked for by, as text; "" where that is not known; None: no state."""
        if not self.latest.exists():
            return None
        aux = matfile.load(self.latest, ["auxData"])["auxData"]
        with damage_as(SessionError, self.latest, NO_STATE):
            return matfile.text(aux.get("deepibl", {}).get("command", ""))

    def remove(self) -> None:
        """Deletes all that the session has: states, features, curves and pictures."""
        self.remove_features()
        for name in self._names(r"_ep\d{6}_latest\.mat"):
            (self.latest.parent / name).unlink()
        for path in (self.latest, self.history, self.plot, self.recall_plot, self.unfinished):
            path.unlink(missing_ok=True)

    def remove_features(self, keep: Sequence[str] = ()) -> None:
        """Deletes the session's feature files (of refreshes and tests) that are not to be kept."""
        kept = {Path(name).name for name in keep}
        for name in self._names(r"_ep\d{6}_latest_(train|val)_\w+\.bin.*"):
            if name not in kept:
                (self.latest.parent / name).unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Deletes temporary files that a killed process left behind."""
        written = r"(_ep\d{6})?_(latest|history|results|recall|unfinished|start)[._].*"
        for name in [*self._names(written, "."), *self._names(written, "..")]:
            (self.latest.parent / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the session; raises SessionError when another process has it."""
        lock = FileLock(f"{self._stem}.lock")
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise SessionError(
                f"session {self.session} is being trained by another process (it holds {lock.lock_file}); "
                "give another sessionID, or none"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def is_running(self) -> bool:
        """Whether a process holds the session."""
        try:
            with self.locked():
                return False
        except SessionError:
            return True

    def _names(self, ending: str, beginning: str = "") -> list[str]:
        """The session's files with names of a kind (regular expressions), sorted; none of another session's.

        Session a must not take a_b's files for its own.
        """
        folder, stem = os.path.split(self._stem)
        wanted = re.compile(re.escape(beginning + stem) + ending)
        there = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        return sorted(name for name in there if wanted.fullmatch(name))


def unfinished_session(prefix: str, command: str) -> str | None:
    """The session that was started with the same command, is not complete and not running; else None."""
    folder = Path(f"{prefix}x").parent
    for path in sorted(folder.glob(f"{Path(f'{prefix}x').name[:-1]}*_unfinished.json")):
        note = read_note(path)
        try:
            files = SessionFiles(prefix, str(note.get("session", "")))
        except SessionError:
            continue
        if note.get("command") == command and not files.is_running():
            return files.session
    return None


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, whole or not at all."""
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file that is only ever replaced, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
