"""Several processes, one job: those that torchrun started share the work of extraction and training.

>>> with alone():                # a team of one; without it, what RANK, WORLD_SIZE … in the environment say
...     team().lead(lambda: "decided by process 0"), team().gather(lambda: "done by each process")
('decided by process 0', ['done by each process'])

Every process runs the same program and calls the same functions with the same arguments. What process 0
decides reaches the others by `Team.lead`, what each has done reaches all by `Team.gather`; an error in one
process is raised in all.

Values and errors travel as JSON in collectives of torch.distributed, which wait as long as all processes
live. About once a second each process writes its state to torch's store. One that is silent for `patience`
seconds is lost, and the others raise a ProcessError that names it: for jobs without torchrun, which ends the
others at once, and for machines that are gone.
"""

import atexit
import functools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from deepibl.errors import FeatureFileError, ProcessError
from matlab_compat.errors import ArgumentError, MatlabCompatError

PATIENCE = "DEEPIBL_LOST_AFTER"  # environment: seconds of silence after which a process counts as lost
SILENCE = 90.0
ARRIVAL = timedelta(seconds=300)  # for all processes to join
EXCHANGE = timedelta(seconds=300)  # for tensors: all processes are about to begin
FOREVER = timedelta(days=30)  # for values: one process may compute long before it takes part
LAST_WORDS = 20.0  # seconds that processes wait for one another when a command ends
VISIBLE_SECONDS = 60.0  # that a network file system may take to show what another machine wrote
BEAT = 1.0  # seconds between two states of a process
AGAIN = "Start the same command again, with any number of processes: it goes on from what is on the disk"


class _Stopped(ProcessError):
    """Work that was broken off because another process failed."""


class Team:
    """The processes of a job. Without a group it is a team of one, which does everything itself.

    group: a gloo group of all of them; store: torch's, shared by all; patience: seconds of silence after
    which a process counts as lost. All processes call `lead`, `gather` and `same` in the same order. Values
    are plain (JSON). An error in one is raised in all: the same where it is one of this project, else a
    ProcessError.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, group: Any = None, store: Any = None, patience: float = SILENCE
    ) -> None:
        self.rank, self.size = rank, size
        self._group, self._store = group, store
        self.tensors: Any = None  # the exchange of tensors, after `connect`
        self._step = 0  # counts `lead` and `gather`
        self._working: int | None = None  # the step of the `gather` under way
        self._finished = 0  # counts `finish`
        self._states = _States(rank, size, store, patience)
        self._names = [f"process {each} of {size}" for each in range(size)]
        if group is not None:
            self._states.start()
            name = f"{self._names[rank]} (pid {os.getpid()} on {socket.gethostname()})"
            self._names = self.gather(lambda: name)

    @property
    def leads(self) -> bool:
        """Whether this is process 0: the one that writes results, prints and shows progress."""
        return self.rank == 0

    @property
    def local_size(self) -> int:
        """Number of the processes that share this machine."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.size > 1 else 1

    def lead(self, make: Callable[[], Any]) -> Any:
        """Returns in all processes what `make` returned in process 0; the others do not call it."""
        if self._group is None:
            return make()
        return self._share(make if self.leads else None)[0]

    def gather(self, work: Callable[[], Any]) -> list[Any]:
        """Returns in all processes what `work` returned in each, by rank.

        Long work should call `check` now and then.
        """
        if self._group is None:
            return [work()]
        before, self._working = self._working, self._step + 1
        try:
            return self._share(work)
        finally:
            self._working = before

    def same(self, what: str, value: Any) -> None:
        """Raises ArgumentError in all processes unless `value` (plain) is the same in all of them."""
        values = self.gather(lambda: value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise ArgumentError(
                    f"{what}: processes 0 and {rank} of {self.size} have different arguments. "
                    "Processes of one job share the work of one call, so all have to give the same "
                    "arguments; to let each work by itself: with deepibl.runtime.alone()"
                )

    def check(self) -> None:
        """Raises ProcessError if another process has failed in the `gather` under way, or is lost."""
        if self._working is None:
            return
        for rank, state in enumerate(self._states.known):
            if state["failed"] == self._working:
                raise _Stopped(f"process {rank} of {self.size} failed")
        self._require_all()

    def connect(self) -> None:
        """Makes `tensors` ready; all processes have to call it at the same time."""
        if self.tensors is None and self._group is not None:
            self.tensors = Tensors(self)

    def first(self, what: str) -> bool:
        """Whether this is the first process that asks so; does not wait for the others."""
        return self._store is None or self._store.add(what, 1) == 1

    def finish(self, words: str = "") -> list[str]:
        """Waits up to 20 s until the others have finished too; returns the words of all, by rank.

        Else the first process that exits with an error would make torchrun end the others unheard.
        """
        if self._group is None:
            return [words]
        self._finished += 1
        self._states.tell(finished=self._finished, words=words[:600], step=self._step)
        known, deadline = self._states.known, time.monotonic() + LAST_WORDS
        while time.monotonic() < deadline and not all(
            state["finished"] >= self._finished or state["gone"] or rank in self._states.lost
            for rank, state in enumerate(known)
        ):
            time.sleep(0.02)
        return [state["words"] if state["finished"] >= self._finished else "" for state in known]

    def leave(self) -> None:
        """Tells the others that this process takes part in nothing more."""
        if self._states.is_alive():
            self._states.tell(gone=True, step=self._step)
            self._states.ended.set()
            self._states.join(self._states.patience + 1)
        if self.tensors is not None:
            self.tensors.close()

    def _share(self, make: Callable[[], Any] | None) -> list[Any]:
        """The values of all processes that have something to make, by rank; raises the error of any."""
        self._step += 1
        step, text = self._step, b""
        error: BaseException | None = None
        if make is not None:
            try:
                text = json.dumps({"value": make()}).encode()
            except BaseException as problem:
                self._states.tell(failed=step)
                error, kind, words = problem, type(problem).__name__, str(problem)
                if not isinstance(problem, (MatlabCompatError, OSError)):
                    words = f"{kind}: {words}".removesuffix(": ")
                answer = {"error": words, "kind": kind, "stopped": isinstance(problem, _Stopped)}
                text = json.dumps(answer).encode()
        try:
            answers = [json.loads(each) for each in self._exchange(text) if each]
        except ProcessError as lost:
            raise error or lost from None
        if error is not None and not isinstance(error, (MatlabCompatError, OSError)):
            raise error
        # what failed comes before what was broken off because of it
        for rank in sorted(range(len(answers)), key=lambda rank: answers[rank].get("stopped", False)):
            if rank == self.rank and error is not None:
                raise error
            if "error" in answers[rank]:
                raise self._error_of(rank, answers[rank])
        return [answer["value"] for answer in answers]

    def _error_of(self, rank: int, answer: dict[str, Any]) -> MatlabCompatError:
        kinds: list[type[MatlabCompatError]] = [MatlabCompatError]
        for kind in kinds:  # the list grows meanwhile
            if kind.__name__ == answer["kind"]:
                return kind(answer["error"])
            kinds += kind.__subclasses__()
        return ProcessError(f"process {rank} of {self.size} failed: {answer['error']}. {AGAIN}")

    def _exchange(self, text: bytes) -> list[bytes]:
        """The texts of all processes, by rank."""
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        mine = torch.tensor([len(text)])
        self._wait(dist.all_gather(sizes, mine, self._group, async_op=True))
        texts = [bytearray(text if rank == self.rank else int(size)) for rank, size in enumerate(sizes)]
        for rank, content in enumerate(texts):
            if content:
                tensor = torch.frombuffer(content, dtype=torch.uint8)
                self._wait(dist.broadcast(tensor, rank, self._group, async_op=True))
        return [bytes(content) for content in texts]

    def _wait(self, work: Any) -> None:
        """Waits for a collective; in Python, so that signals are handled meanwhile."""
        pause = 0.0002
        while not work.is_completed():
            self._require_all()
            time.sleep(pause)
            pause = min(0.02, 1.5 * pause)
        with self.naming_the_lost():
            work.wait()

    def _require_all(self) -> None:
        """Raises ProcessError if a process is lost, or has ended before the step under way."""
        if self._states.lost:
            name = self._names[min(self._states.lost)]
            silence = f"it gave no sign of life for {self._states.patience:g} seconds"
            raise ProcessError(f"{name} is lost: {silence}. {AGAIN}")
        for rank, state in enumerate(self._states.known):
            if (state["gone"] or state["finished"] > self._finished) and state["step"] < self._step:
                why = f": {state['words']}" if state["words"] else ""
                raise ProcessError(f"{self._names[rank]} has ended before its work was done{why}. {AGAIN}")

    @contextmanager
    def naming_the_lost(self) -> Iterator[None]:
        """Turns a failed exchange into a ProcessError that names the process that is gone."""
        try:
            yield
        except RuntimeError as error:
            deadline = time.monotonic() + self._states.patience + 2 * BEAT
            while time.monotonic() < deadline:
                self._require_all()
                time.sleep(0.02)
            reason = str(error).splitlines()[0]
            raise ProcessError(f"an exchange with another process failed ({reason}). {AGAIN}") from error


_NEW = {"beats": 0, "failed": None, "finished": 0, "step": 0, "gone": False, "words": ""}


class _States(threading.Thread):
    """Writes the state of this process to the store about once a second, and reads those of all.

    known: the last state of each process, by rank. lost: those that are silent.
    """

    def __init__(self, rank: int, size: int, store: Any, patience: float) -> None:
        super().__init__(name="deepibl-states", daemon=True)
        self.known: list[dict[str, Any]] = [_NEW for _ in range(size)]
        self.lost: set[int] = set()
        self.patience, self.ended = patience, threading.Event()
        self._rank, self._lock = rank, threading.Lock()
        self._store = store.clone() if hasattr(store, "clone") else store  # of its own: others may wait in it

    def tell(self, **changes: Any) -> None:
        with self._lock:
            mine = self.known[self._rank]
            self.known[self._rank] = {**mine, "beats": mine["beats"] + 1, **changes}
            with suppress(RuntimeError):  # the store may be gone at the end
                self._store.set(f"state/{self._rank}", json.dumps(self.known[self._rank]))

    def run(self) -> None:
        keys = [f"state/{rank}" for rank in range(len(self.known))]
        heard = [time.monotonic() for _ in keys]
        while not self.ended.wait(min(BEAT, self.patience / 5)):
            self.tell()
            try:
                states = [json.loads(text) for text in self._store.multi_get(keys)]
            except RuntimeError:  # process 0 or its machine, which has the store, is gone
                self.lost |= set() if self.known[0]["gone"] else {0}
                return
            for rank, state in enumerate(states):
                if state["beats"] != self.known[rank]["beats"] or rank == self._rank:
                    heard[rank] = time.monotonic()
                elif not state["gone"] and time.monotonic() - heard[rank] > self.patience:
                    self.lost.add(rank)
                if rank != self._rank:
                    self.known[rank] = state


class Tensors:
    """The exchange of tensors of a team: by NCCL where each process has a GPU of its own, else by gloo."""

    def __init__(self, team: Team) -> None:
        own_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= team.local_size
        nccl = own_gpu and dist.is_nccl_available()
        self._device = torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
        self._failing = team.naming_the_lost
        with self._failing():
            self._group: Any = dist.new_group(backend="nccl" if nccl else "gloo", timeout=EXCHANGE)

    def broadcast(self, tensor: Tensor, source: int) -> None:
        """Copies the tensor of process `source` into that of all others; shapes are the same everywhere."""
        moved = tensor.detach().to(self._device).contiguous()
        with self._failing():
            dist.broadcast(moved, source, self._group)
        if moved.data_ptr() != tensor.data_ptr():
            tensor.copy_(moved)

    def send(self, tensor: Tensor, target: int) -> None:
        """Sends a tensor to process `target`, which is about to receive it."""
        with self._failing():
            dist.send(tensor.detach().to(self._device).contiguous(), target, self._group)

    def receive(self, like: Tensor, source: int) -> Tensor:
        """Returns the tensor that process `source` sends, of the shape, type and device of `like`."""
        received = torch.empty_like(like, device=self._device, memory_format=torch.contiguous_format)
        with self._failing():
            dist.recv(received, source, self._group)
        return received.to(like.device)

    def close(self) -> None:
        dist.destroy_process_group(self._group)


ALONE = Team()


def join() -> Team:
    """Joins the processes of this job, as the environment names them; ProcessError if one does not come."""
    patience = os.environ.get(PATIENCE, str(SILENCE))
    try:
        seconds = float(patience)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ArgumentError(f"{PATIENCE} is {patience!r}, not a number of seconds above 0")
    if torch.cuda.is_available():  # "cuda" is then this process's own device
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=ARRIVAL))
        # torchrun's store outlives its processes: started again by it (--max-restarts), they use other keys
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"deepibl/{size}/{attempt}", store)
        store.set(f"state/{rank}", json.dumps(_NEW))
        store.wait([f"state/{each}" for each in range(size)], ARRIVAL)
        if dist.is_initialized():  # by the program that uses this library
            group: Any = dist.new_group(backend="gloo", timeout=FOREVER)
        else:
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=FOREVER)
            group = dist.group.WORLD
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ProcessError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} could not meet the others at "
            f"{where}: {str(error).splitlines()[0]}. Start all of them, as torchrun does, or unset WORLD_SIZE"
        ) from error
    return Team(rank, size, group, store, seconds)


_alone: ContextVar[bool] = ContextVar("alone", default=False)


def team() -> Team:
    """Returns the processes of this job; the first call joins them, as the environment says.

    Within `alone()`, and where WORLD_SIZE is 1 or not set, it is a team of one. Raises ArgumentError if the
    environment is incomplete, ProcessError if the others do not join.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if _alone.get() or size == "1":
        return ALONE
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing or not size.isdigit():
        problem = f"{', '.join(missing)} is not set" if missing else "that is not a number"
        raise ArgumentError(
            f"WORLD_SIZE is {size!r}, but {problem}: start with torchrun, or unset WORLD_SIZE to work alone"
        )
    return _joined()


@contextmanager
def alone(yes: bool = True) -> Iterator[None]:
    """Within it this process works by itself. yes: False undoes an outer `alone()`."""
    token = _alone.set(yes)
    try:
        yield
    finally:
        _alone.reset(token)


@functools.cache
def _joined() -> Team:
    joined = join()
    atexit.register(joined.leave)
    return joined


def require_visible(path: Path, size: int | None = None) -> None:
    """Waits a minute until this machine sees a file that another wrote; else FeatureFileError."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        found = path.stat().st_size if path.exists() else None
        if found is not None and size in (None, found):
            return
        if time.monotonic() > deadline:
            raise FeatureFileError(
                f"{path}: written by another process of the job, but here there is "
                f"{'no such file' if found is None else f'one of {found} bytes, not {size}'}: "
                "give a path on a file system that all processes see"
            )
        time.sleep(0.05)
