"""Many processes, one command: those that torchrun started share the work of extraction and training.

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
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deepibl.processes.team import ALONE, Team
from matlab_compat.errors import ArgumentError

__all__ = ["Team", "alone", "team"]

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

    from deepibl.processes.board import join

    if torch.cuda.is_available():  # "cuda" is then this process's own device
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    joined = Team(join())
    atexit.register(joined.leave)
    return joined
