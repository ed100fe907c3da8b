"""Processes of one job without torchrun's start-up time: forked from a server that has imported torch."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

PRELOADED = [
    "tests.extractors",
    "tests.tiny_training",
    "deepibl.evaluation.evaluate",
    "deepibl.search.localization",
]

needs_fork = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs processes that fork"
)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its value, or its error ("Type: message"), or the signal that ended it."""

    value: Any = None
    error: str = ""
    signal: int = 0


def run_team(
    size: int,
    work: Callable[..., Any],
    *args: Any,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120,
    store: Any = None,
    wait_for: Sequence[int] | None = None,
) -> list[Ended]:
    """Runs work(*args) in `size` processes of one job, as torchrun would; returns how each of them ended.

    work: a function of a module. store: where they meet (default: one that this process holds, as torchrun's
    agent does). wait_for: processes whose end is waited for (default: all); the others are then killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    store = store or meeting_place()
    started = []
    for rank in range(size):
        settings = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "LOCAL_WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": store.port,
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            **(environment or {}),
        }
        ours, theirs = context.Pipe(duplex=False)
        strings = {name: str(value) for name, value in settings.items()}
        process = context.Process(target=_child, args=(strings, work, args, theirs))
        process.start()
        theirs.close()
        started.append((process, ours))
    try:
        return [
            _ended(*each, timeout) if wait_for is None or rank in wait_for else Ended(error="not waited for")
            for rank, each in enumerate(started)
        ]
    finally:
        for process, _ in started:
            process.kill()
            process.join()


def meeting_place() -> Any:
    """A store where processes meet, of this process."""
    from torch.distributed import TCPStore

    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def values(ended: list[Ended]) -> list[Any]:
    """What each process returned; fails if one raised."""
    assert [each.error for each in ended] == [""] * len(ended)
    return [each.value for each in ended]


def _ended(process: Any, pipe: Any, timeout: float) -> Ended:
    try:
        if not pipe.poll(timeout):
            return Ended(error=f"did nothing for {timeout} s")
        answer = pipe.recv()
        process.join(timeout)
        return answer
    except EOFError:
        process.join(timeout)
        return Ended(signal=-(process.exitcode or 0))


def _child(settings: Mapping[str, str], work: Callable[..., Any], args: tuple[Any, ...], pipe: Any) -> None:
    import torch

    os.environ.update(settings)
    torch.set_num_threads(1)
    try:
        pipe.send(Ended(value=work(*args)))
    except Exception as error:
        if os.environ.get("DEEPIBL_SHOW_ERRORS"):
            traceback.print_exc()
        pipe.send(Ended(error=f"{type(error).__name__}: {error}"))


def die() -> None:
    """Ends this process as the out-of-memory killer would."""
    os.kill(os.getpid(), signal.SIGKILL)
