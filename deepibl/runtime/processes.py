"""What the processes of a job do together: one leads, all work, everyone learns what came of it.

Many processes, one command: those that torchrun started share the work of extraction and training.

>>> team = processes.team()      # alone, unless RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say otherwise
>>> if team.leads:               # process 0
...     print("said once")

Every process runs the same program and calls the same functions with the same arguments. What process 0
decides the others are told (`Team.lead`); what each has done all learn (`Team.gather`), an error too: all
raise the same one. Texts go over torch.distributed's store (`board`), tensors over gloo or NCCL (`tensors`);
what is said is JSON, never a pickle.
"""

import atexit
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NoReturn

from deepibl import errors
from deepibl.errors import ProcessError
from deepibl.runtime.board import AGAIN, Board, Tensors
from matlab_compat import errors as ground_errors
from matlab_compat.errors import ArgumentError, MatlabCompatError

OFTEN = 1.0  # seconds between looks at what the others have got done

LAST_WORDS = 20.0  # seconds that processes wait for one another when a command ends


class _Stopped(ProcessError):
    """Work that was broken off because it failed in another process."""


class Team:
    """The processes of a job; without a board a team of one, for which everything is as if it were not there.

    rank: of this process, from 0; size: how many there are. All processes call `lead`, `gather` and `same` in
    the same order. Values are plain (JSON); errors become everyone's: all raise the same one.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self.rank, self.size = (board.rank, board.size) if board else (0, 1)
        self._tensors: Tensors | None = None
        self._step = 0
        self._working: int | None = None
        self._cleared = 0
        self._checked = 0.0
        if board is not None:
            _end_with_a_word(board)

    @property
    def leads(self) -> bool:
        """Whether this is process 0: the one that writes results, prints and shows progress."""
        return self.rank == 0

    @property
    def local_size(self) -> int:
        """How many of the processes share this machine."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.size > 1 else 1

    def connect(self) -> Tensors | None:
        """The exchange of tensors; the first call makes it, and all processes have to make it at once."""
        if self._tensors is None and self._board is not None:
            self._tensors = Tensors(self._board.store, self.rank, self.size, self.local_size)
        return self._tensors

    @property
    def tensors(self) -> Tensors:
        """The exchange of tensors, in a team of more than one that is connected."""
        assert self._tensors is not None, "no exchange of tensors: connect() all processes first"
        return self._tensors

    def lead(self, make: Callable[[], Any]) -> Any:
        """What process 0 makes, for all. make: called by process 0 only; gives a plain value."""
        if self._board is None:
            return make()
        step = self._next_step()
        error = self._post(step, make) if self.leads else None
        if error is not None:
            raise error
        return self._unpack(0, self._board.read(f"{step}/0", 0))

    def gather(self, work: Callable[[], Any], while_waiting: Callable[[], Any] | None = None) -> list[Any]:
        """What each process's work gave, by rank, for all. An error of one is raised by all.

        While it works a process should call `check` now and then, to learn that another has failed.
        while_waiting: called again and again while the others are still at work.
        """
        if self._board is None:
            return [work()]
        step, before = self._next_step(), self._working
        self._working = step
        try:
            error = self._post(step, work)
        finally:
            self._working = before
        texts = [self._board.read(f"{step}/{rank}", rank, while_waiting) for rank in range(self.size)]
        self._clear(step)
        stopped = [json.loads(text).get("stopped", False) for text in texts]
        order = sorted(range(self.size), key=lambda rank: stopped[rank])
        for rank in order:
            if rank == self.rank and error is not None:
                raise error
            self._unpack(rank, texts[rank])
        return [self._unpack(rank, text) for rank, text in enumerate(texts)]

    def same(self, what: str, value: Any) -> None:
        """Raises ArgumentError, in all processes, unless all were asked for the same. value: plain."""
        values = self.gather(lambda: value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise ArgumentError(
                    f"{what}: processes 0 and {rank} of {self.size} were asked for different things. "
                    "Processes of one job share the work of one call, so all have to give the same "
                    "arguments; to let each work by itself: with deepibl.runtime.alone()"
                )

    def check(self) -> None:
        """Raises if work that all are doing has failed in another process. Looks once a second at most."""
        if self._board is None or self._working is None or time.monotonic() - self._checked < OFTEN:
            return
        self._checked = time.monotonic()
        failed = self._board.peek(f"{self._working}/failed")
        if failed is not None:
            raise _Stopped(f"process {failed} of {self.size} failed")

    def count(self, done: int) -> None:
        """Tells the others how much this process has got done of the work under way."""
        if self._board is not None and self._working is not None:
            self._board.post(f"{self._working}/count/{self.rank}", str(done))

    def counted(self) -> int:
        """How much the other processes have got done of the work under way, as far as they said."""
        board, step = self._board, self._step if self._working is None else self._working
        if board is None:
            return 0
        counts = (board.peek(f"{step}/count/{rank}") for rank in range(self.size) if rank != self.rank)
        return sum(int(count) for count in counts if count is not None)

    def leave(self) -> None:
        """Ends the work together: tells the others that this process will not come any more."""
        if self._board is not None:
            if self._tensors is not None:
                self._tensors.close()
            with suppress(ProcessError):
                self._board.leave()

    def end(self, words: str = "", failed: bool = False) -> list[str]:
        """Waits a little for the others to get here too, so that nobody's exit cuts another off.

        words: why this process ends, if not well. failed: it is going to exit with another code than 0, upon
        which torchrun ends the others: they exit by themselves. Gives the words of all that got here.
        """
        if self._board is None:
            return [words]
        with suppress(ProcessError):
            found = self._board.end(words, LAST_WORDS)
            if failed and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            return found
        return []

    # ----- steps

    def _next_step(self) -> int:
        self._step += 1
        return self._step

    def _post(self, step: int, make: Callable[[], Any]) -> Exception | None:
        """Posts what `make` gives, or the error that it raises, which comes back if it concerns everyone."""
        try:
            answer = {"value": make()}
            error: Exception | None = None
        except (MatlabCompatError, OSError) as problem:
            answer, error = {"error": [type(problem).__name__, str(problem)]}, problem
            answer["stopped"] = isinstance(problem, _Stopped)
        except BaseException as problem:
            what = f"{type(problem).__name__}: {problem}".removesuffix(": ")
            self._tell(step, {"error": ["", what]})
            raise
        self._tell(step, answer)
        return error

    def _tell(self, step: int, answer: dict[str, Any]) -> None:
        assert self._board is not None
        if "error" in answer:
            self._board.post(f"{step}/failed", str(self.rank))
        self._board.post(f"{step}/{self.rank}", json.dumps(answer))

    def _unpack(self, rank: int, text: str) -> Any:
        """The value in a text of process `rank`; raises the error in it."""
        found = json.loads(text)
        if "error" not in found:
            return found["value"]
        name, message = found["error"]
        kind = getattr(errors, name, None) or getattr(ground_errors, name, None)
        if isinstance(kind, type) and issubclass(kind, MatlabCompatError):
            raise kind(message)
        raise ProcessError(f"process {rank} of {self.size} failed: {message}. {AGAIN}")

    def _clear(self, step: int) -> None:
        """Process 0 takes away the texts of steps that everyone has read: all have come to `step`."""
        if not self.leads:
            return
        assert self._board is not None
        for old in range(self._cleared + 1, step):
            self._board.remove(f"{old}/failed")
            for rank in range(self.size):
                self._board.remove(f"{old}/{rank}")
                self._board.remove(f"{old}/count/{rank}")
        self._cleared = step - 1


ALONE = Team()


def _end_with_a_word(board: Board) -> None:
    """Makes SIGTERM, by which torchrun ends the others of a process that died, end with a word on why."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return

    def end(*_: object) -> NoReturn:
        with suppress(ProcessError):
            if board.first("told to end"):
                print(
                    "deepibl: told to end (SIGTERM), as when another process has failed or was killed. "
                    f"{AGAIN}",
                    file=sys.__stderr__,
                    flush=True,
                )
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, end)


_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")

_alone: ContextVar[bool] = ContextVar("alone", default=False)


def team() -> Team:
    """The processes that this one works with, as the environment says; joined at the first call.

    Within `alone()`, and without WORLD_SIZE > 1, it is a team of one. Raises ArgumentError for an environment
    that is incomplete, ProcessError when the others do not come.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if _alone.get() or size == "1":
        return ALONE
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing or not size.isdigit():
        raise ArgumentError(
            f"WORLD_SIZE is {size!r}, but {', '.join(missing) or 'that is no number'}"
            f"{' is not set' if missing else ''}: start with torchrun, or unset WORLD_SIZE to work alone"
        )
    return _join()


@contextmanager
def alone(yes: bool = True) -> Iterator[None]:
    """Within it this process works by itself, whatever the others do: nothing is shared.

    yes: False undoes it, for what all processes do together within what one does alone.
    """
    token = _alone.set(yes)
    try:
        yield
    finally:
        _alone.reset(token)


@functools.cache
def _join() -> Team:
    import torch

    from deepibl.runtime.board import join

    if torch.cuda.is_available():  # "cuda" is then this process's own device
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    joined = Team(join())
    atexit.register(joined.leave)
    return joined
