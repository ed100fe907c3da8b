"""Short texts that the processes of a job leave for one another, on torch.distributed's store.

Each process gives a sign of life every few seconds. Whoever waits for one that has ended, or has been silent
for `patience` seconds, gets a ProcessError: a lost process ends the job in bounded time.

Tensors from process to process: gloo on CPUs, NCCL where each process has a GPU of its own.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deepibl.errors import ProcessError
from matlab_compat.errors import ArgumentError

BEAT = 2.0  # seconds between signs of life, at most

PATIENCE = "DEEPIBL_LOST_AFTER"  # environment: seconds of silence after which a process counts as lost

PATIENCE_SECONDS = 90.0

JOIN_SECONDS = 300.0

PIECE = 2 * 2**20  # characters: torch's store refuses values of more than 8 MB

AGAIN = "Start the same command again, with any number of processes: it goes on from what is on the disk"


class Board:
    """The texts of a job's processes. store: torch's, shared by all. rank, size: of this process."""

    def __init__(self, store: Any, rank: int, size: int, patience: float = PATIENCE_SECONDS) -> None:
        self.store, self.rank, self.size, self.patience = store, rank, size, patience
        self._seen: dict[int, tuple[str, float]] = {}
        self._left = threading.Event()
        self._pause = min(BEAT, patience / 5)
        self._ends = 0
        self.post(f"who/{rank}", f"process {rank} of {size} (pid {os.getpid()} on {socket.gethostname()})")
        self._beat_once(0)
        threading.Thread(target=self._beat, name="deepibl-sign-of-life", daemon=True).start()

    def post(self, key: str, text: str) -> None:
        """Leaves a text for the others."""
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)] or [""]
        for number, piece in enumerate(pieces[1:], 1):
            self._set(f"{key}+{number}", piece)
        self._set(key, f"{len(pieces)}:{pieces[0]}")  # the last: whoever finds it finds the others

    def peek(self, key: str) -> str | None:
        """A text, if it is there."""
        found = self._get(key)
        if found is None:
            return None
        count, _, text = found.partition(":")
        return text + "".join(self._get(f"{key}+{number}") or "" for number in range(1, int(count)))

    def read(self, key: str, writer: int, while_waiting: Callable[[], Any] | None = None) -> str:
        """The text that process `writer` leaves; waits for it as long as that process lives."""
        pause, looked = 0.0005, time.monotonic()
        while (text := self.peek(key)) is None:
            if while_waiting is not None:
                while_waiting()
            if time.monotonic() - looked > self._pause:
                looked = time.monotonic()
                self._require_life(writer, key)
            time.sleep(pause)
            pause = min(0.05, 1.5 * pause)
        return text

    def remove(self, key: str) -> None:
        """Takes a text away, if it is there."""
        count = int((self._get(key) or "0").partition(":")[0])
        for name in [key, *(f"{key}+{number}" for number in range(1, count))] if count else []:
            self._ask(partial(self.store.delete_key, name))

    def first(self, what: str) -> bool:
        """Whether this is the first process that asks so."""
        return self._ask(lambda: self.store.add(what, 1)) == 1

    def leave(self) -> None:
        """Stops the signs of life, and says so."""
        if not self._left.is_set():
            self._left.set()
            self.post(f"gone/{self.rank}", "")

    def end(self, words: str, seconds: float) -> list[str]:
        """Leaves its last words, and waits so long for the others'; gives those that came, by rank."""
        self.post(f"end {self._ends}/{self.rank}", words)
        deadline = time.monotonic() + seconds
        while True:
            found = [self._last_words(rank) for rank in range(self.size)]
            if None not in found or time.monotonic() > deadline:
                self._ends += 1
                return [each or "" for each in found]
            time.sleep(0.02)

    def _last_words(self, rank: int) -> str | None:
        """Why a process ended, or None if it has not."""
        words = self.peek(f"end {self._ends}/{rank}")
        return words if words is not None else self.peek(f"gone/{rank}")

    def _require_life(self, rank: int, key: str) -> None:
        words = self._last_words(rank)
        if words is not None and self.peek(key) is None:
            why = f": {words}" if words else ""
            raise ProcessError(f"{self._name(rank)} has ended before its work was done{why}. {AGAIN}")
        now = time.monotonic()
        beat = self.peek(f"beat/{rank}") or "none yet"
        last, since = self._seen.get(rank, ("", now))
        if beat != last:
            self._seen[rank] = (beat, now)
        elif now - since > self.patience:
            raise ProcessError(
                f"{self._name(rank)} is lost: no sign of life for {self.patience:g} seconds. {AGAIN}"
            )

    def _name(self, rank: int) -> str:
        return self.peek(f"who/{rank}") or f"process {rank} of {self.size}"

    def _beat(self) -> None:
        number = 0
        while not self._left.wait(self._pause):
            number += 1
            try:
                self._beat_once(number)
            except ProcessError:
                return

    def _beat_once(self, number: int) -> None:
        self.post(f"beat/{self.rank}", str(number))

    def _set(self, key: str, text: str) -> None:
        self._ask(lambda: self.store.set(key, text))

    def _get(self, key: str) -> str | None:
        return self._ask(lambda: self.store.get(key).decode() if self.store.check([key]) else None)

    def _ask(self, request: Callable[[], Any]) -> Any:
        from torch.distributed import DistError

        try:
            return request()
        except DistError as error:
            raise ProcessError(
                f"process {self.rank} of {self.size} has lost the others: where they meet nobody answers "
                f"({str(error).splitlines()[0]}). {AGAIN}"
            ) from error


def join() -> Board:
    """Meets the others as the environment says. Raises ProcessError when they do not come."""
    from torch.distributed import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    patience = os.environ.get(PATIENCE, str(PATIENCE_SECONDS))
    try:
        seconds = float(patience)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ArgumentError(f"{PATIENCE} is {patience!r}, not a number of seconds above 0")
    try:
        store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS)))
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ProcessError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} could not meet the others at "
            f"{where}: {str(error).splitlines()[0]}. Start all of them, as torchrun does, or unset WORLD_SIZE"
        ) from error
    # torchrun's store outlives its processes: started again by it (--max-restarts), they use other keys
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return Board(PrefixStore(f"deepibl/{size}/{attempt}", store), rank, size, seconds)


SECONDS = 300.0  # that an exchange may take: all processes are about to come when one begins


class Tensors:
    """The exchange of tensors among processes. store: torch's; local_size: processes on this machine.

    It is torch's default process group: the one that there is, or one that is made at the first exchange.
    """

    def __init__(self, store: Any, rank: int, size: int, local_size: int) -> None:
        self._made = False
        self._device = torch.device("cpu")
        import torch.distributed as dist

        if not dist.is_initialized():
            own_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= local_size
            with _told():
                dist.init_process_group(
                    "cpu:gloo,cuda:nccl" if own_gpu and dist.is_nccl_available() else "gloo",
                    store=dist.PrefixStore("tensors", store),
                    rank=rank,
                    world_size=size,
                    timeout=timedelta(seconds=SECONDS),
                )
            self._made = True
        if dist.get_backend() == "nccl" or "nccl" in str(dist.get_backend_config()):
            self._device = torch.device("cuda", torch.cuda.current_device())

    def broadcast(self, tensor: Tensor, source: int) -> None:
        """Makes the tensor of all processes that of process `source`; shapes are the same everywhere."""
        import torch.distributed as dist

        moved = tensor.detach().to(self._device).contiguous()
        with _told():
            dist.broadcast(moved, source)
        if moved.data_ptr() != tensor.data_ptr():
            tensor.copy_(moved)

    def send(self, tensor: Tensor, target: int) -> None:
        """Sends a tensor to process `target`, which is about to receive it."""
        import torch.distributed as dist

        with _told():
            dist.send(tensor.detach().to(self._device).contiguous(), target)

    def receive(self, like: Tensor, source: int) -> Tensor:
        """The tensor that process `source` sends, of the shape, type and device of `like`."""
        import torch.distributed as dist

        received = torch.empty_like(like, device=self._device, memory_format=torch.contiguous_format)
        with _told():
            dist.recv(received, source)
        return received.to(like.device)

    def close(self) -> None:
        """Ends the exchange, if it was begun here."""
        import torch.distributed as dist

        if self._made and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    """Turns an exchange that fails, since another process is gone, into a ProcessError."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessError(
            f"an exchange with another process failed, it is probably lost "
            f"({str(error).splitlines()[0]}). {AGAIN}"
        ) from error
