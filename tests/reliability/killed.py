"""Runs that are killed with SIGKILL and started again: real processes, forked from one that has everything
loaded.

Half of the kills come at a random time, half at a random one of the moments at which a file is opened for
writing, renamed or removed: between those lies all that can go wrong on disk.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from matlab_compat import matfile
from matlab_compat.matfile.values import StructArray
from tests.reliability.killed_jobs import Job

EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.truncate", "os.symlink")
TIMES = ("epochStartTime",)  # what differs between two runs of a training
STATES = "out/run"  # files of a session change while it runs
UNFINISHED = (".lock", ".part", ".part.json")


@dataclass
class Trial:
    """What came of one kill. problem: '' where all was well."""

    moment: str
    problem: str = ""


def start(job: Job, folder: Path, material: Path, log: Path, die_at: int = 0) -> int:
    """Forks a process that does the job and returns its id; die_at: it kills itself at that file event."""
    process = os.fork()
    if process:
        return process
    try:
        with open(log, "a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        counted = _count_events(folder, die_at)
        job(folder, material)
        log.with_suffix(".events").write_text(str(counted[0]))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _count_events(folder: Path, die_at: int) -> list[int]:
    counted = [0]
    below = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not arguments or below not in str(arguments[0]):
            return
        if event == "open" and not (
            isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        counted[0] += 1
        if counted[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return counted


def finish(process: int) -> int:
    """Waits for a process; its return code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Killing:
    """One job, what it leaves when nothing disturbs it, and kills at moments drawn from a seed."""

    def __init__(self, job: Job, place: Path, material: Path, seed: int) -> None:
        self.job, self.place, self.material = job, place, material
        self.random = random.Random(f"{seed}/{job.__name__}")
        place.mkdir(parents=True)
        begun = time.perf_counter()
        folder, log = place / "run", place / "whole.log"  # of the same name in trials: states hold it
        folder.mkdir()
        if finish(start(job, folder, material, log)):
            raise RuntimeError(f"{job.__name__} fails undisturbed:\n{log.read_text()[-2000:]}")
        self.seconds = time.perf_counter() - begun
        self.events = int(log.with_suffix(".events").read_text())
        self.whole, self.every = contents(folder), contents(folder, hidden=True)
        shutil.rmtree(folder)

    def trial(self, number: int) -> Trial:
        """One kill (or two, the second while going on), the next start, and what differs then."""
        folder, log = self.place / "run", self.place / f"{number}.log"
        folder.mkdir()
        moments = []
        for _ in range(self.random.choice((1, 1, 1, 2))):
            moment, code = self._kill(folder, log, at_event=self.random.random() < 0.5)
            moments.append(moment if code else f"{moment} (it was done)")
            if code not in (0, -signal.SIGKILL):
                return Trial(", ".join(moments), f"it ended with {code}: {log.read_text()[-1500:]}")
            if problem := self._half_written(folder):
                return Trial(", ".join(moments), problem)
        code = finish(start(self.job, folder, self.material, log))
        problem = f"the next start fails: {log.read_text()[-1500:]}" if code else self._difference(folder)
        shutil.rmtree(folder)
        return Trial(", ".join(moments), problem)

    def _kill(self, folder: Path, log: Path, at_event: bool) -> tuple[str, int]:
        if at_event:
            event = self.random.randint(1, self.events)
            return f"file event {event}", finish(start(self.job, folder, self.material, log, event))
        seconds = self.random.uniform(0, self.seconds)
        process = start(self.job, folder, self.material, log)
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        return f"{seconds:.3f} s", finish(process)

    def _half_written(self, folder: Path) -> str:
        """Files under their final names have to be whole: readable, and what the undisturbed run wrote."""
        for name, content in contents(folder).items():
            if name in self.whole and not name.startswith(STATES) and content != self.whole[name]:
                return f"{name} is there and is not whole"
            if content == "unreadable":
                return f"{name} cannot be read"
        return ""

    def _difference(self, folder: Path) -> str:
        found = contents(folder, hidden=True)
        if found.keys() != self.every.keys():
            return f"other files: {sorted(found.keys() ^ self.every.keys())}"
        different = [name for name, content in found.items() if content != self.every[name]]
        return f"other bytes: {different}" if different else ""


def contents(folder: Path, hidden: bool = False) -> dict[str, str]:
    """A digest of every file by its name, '' of locks; hidden and unfinished ones (.part) only on request."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        name.as_posix(): "" if name.suffix == ".lock" else _digest(folder / name)
        for name in names
        if hidden
        or (not any(part.startswith(".") for part in name.parts) and not name.name.endswith(UNFINISHED))
    }


def _digest(path: Path) -> str:
    """Of bytes; of variables for .mat, whose header holds a time; 'unreadable' for damaged JSON or .mat."""
    digest = hashlib.sha256()
    try:
        if path.suffix == ".mat":
            _add(digest, matfile.load(path))
        elif path.suffix == ".json":
            _add(digest, json.loads(path.read_text()))
        else:
            digest.update(path.read_bytes())
    except Exception:
        return "unreadable"
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    digest.update(type(value).__name__.encode())
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in TIMES:
                digest.update(name.encode())
                _add(digest, item)
    elif isinstance(value, list | StructArray) or (isinstance(value, np.ndarray) and value.dtype == object):
        for item in value.ravel() if isinstance(value, np.ndarray) else value:
            _add(digest, item)
    elif scipy.sparse.issparse(value):
        _add(digest, value.toarray())
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    else:
        digest.update(repr(value).encode())
