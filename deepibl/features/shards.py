"""Where an extraction's rows go: to memory or to an unfinished file, of one process or of several.

Several processes share the groups of images that are not done, each taking every N-th; a group's batches
depend on its images alone, so the bytes are the same for any number of processes. To a file: process 0 writes
NAME.part and the others shards beside it, which process 0 merges when all are done.
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.errors import FeatureFileError
from deepibl.features.partial import Mark, PartialFeatures
from deepibl.runtime.processes import team
from deepibl.runtime.provenance import Provenance
from matlab_compat.files import StrPath

VISIBLE_SECONDS = 60.0  # that a network file system may take to show what another machine wrote


class MemoryRows:
    """Rows (count, D) in memory: `rows`, complete in all processes after `collect`."""

    images_done = 0
    part = None

    def __init__(self, made_of: Provenance, count: int, group_size: int) -> None:
        self._team = team()
        self._team.same("extraction", [made_of.as_dict(), count, group_size])
        self._groups = [range(at, min(at + group_size, count)) for at in range(0, count, group_size)]
        self.rows = np.zeros((count, 0), dtype=np.float32)

    @property
    def todo(self) -> list[tuple[int, range]]:
        return list(enumerate(self._groups))[self._team.rank :: self._team.size]

    def write(self, number: int, ids: Sequence[int], rows: np.ndarray, marks: Sequence[str]) -> None:
        if len(ids):
            self._widen(rows.shape[1])
            self.rows[np.asarray(ids)] = rows

    def collect(self) -> None:
        """Gives every process the rows of all. Raises FeatureFileError for rows of different lengths."""
        if self._team.size == 1:
            return
        dims = sorted({dim for dim in self._team.gather(lambda: self.rows.shape[1]) if dim})
        if len(dims) > 1:
            raise FeatureFileError(f"descriptors of {dims[0]} and of {dims[1]} dimensions")
        if dims:
            self._team.connect()
            self._widen(dims[0])
            for number, group in enumerate(self._groups):
                block = torch.from_numpy(self.rows[group.start : group.stop])
                self._team.tensors.broadcast(block, number % self._team.size)

    def _widen(self, dim: int) -> None:
        if not self.rows.shape[1]:
            self.rows = np.zeros((len(self.rows), dim), dtype=np.float32)


class SharedFile:
    """An unfinished file (`PartialFeatures`) that several processes fill, all calling it alike."""

    def __init__(self, out: StrPath, made_of: Provenance, count: int, group_size: int, mark: Mark) -> None:
        self._team = team()
        self._main = self._own = PartialFeatures(out, made_of, count, group_size, mark)
        self._stack = ExitStack()
        self.out, self.part = self._main.out, self._main.part
        self._asked = [os.path.abspath(out), group_size, made_of.as_dict()]

    def __enter__(self) -> "SharedFile":
        self._team.same(f"extraction to {self.out}", self._asked)
        plan = self._team.lead(self._open)
        self._main.group_size, self._main.dim = plan["group_size"], plan["dim"]
        self._main.done = dict(plan["done"])
        self._team.gather(self._open_shard)
        todo = self._main.todo
        self._shares = [todo[rank :: self._team.size] for rank in range(self._team.size)]
        self.images_done = self._main.images_done
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def todo(self) -> list[tuple[int, range]]:
        return self._shares[self._team.rank]

    @property
    def dim(self) -> int | None:
        return self._main.dim

    def write(self, number: int, ids: Sequence[int], rows: np.ndarray, marks: Sequence[str]) -> None:
        """Stores the descriptors of a group's images; marks: of the group's files, from before reading."""
        self._own.write(number, ids, rows, marks)

    def collect(self) -> None:
        """Merges the shards of all processes into the file of process 0."""
        self._team.gather(self._close_shard)
        self._main.dim = self._team.lead(self._merge)

    def finish(self, kept: Sequence[int], names: Sequence[str], suffix: str | None = None) -> None:
        """As `PartialFeatures.finish`; every process then sees the file."""

        def finish() -> int:
            self._main.finish(kept, names, suffix)
            return self.out.stat().st_size

        size = self._team.lead(finish)
        self._team.gather(lambda: require_visible(self.out, size))

    def discard(self) -> None:
        self._team.lead(self._main.discard)

    def _open(self) -> dict[str, Any]:
        self._stack.enter_context(self._main)
        self._main.write_journal()
        done = sorted(self._main.done.items())
        return {"group_size": self._main.group_size, "done": done, "dim": self._main.dim}

    def _open_shard(self) -> None:
        if not self._team.leads:
            require_visible(self.part)
            self._own = self._stack.enter_context(self._main.shard(self._team.rank))

    def _close_shard(self) -> None:
        if not self._team.leads:
            self._own.write_journal()
            self._stack.close()

    def _merge(self) -> int | None:
        for rank in range(1, self._team.size):
            require_visible(self._main.shard(rank).part)
            self._main.take_over(rank, [number for number, _ in self._shares[rank]])
        return self._main.dim


def require_visible(path: Path, size: int | None = None) -> None:
    """Waits a minute until this machine sees a file that another wrote; else FeatureFileError."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            found = path.stat().st_size
            if size in (None, found):
                return
        except FileNotFoundError:
            found = None
        if time.monotonic() > deadline:
            raise FeatureFileError(
                f"{path}: written by another process of the job, but here there is "
                f"{'no such file' if found is None else f'one of {found} bytes, not {size}'}: "
                "give a path on a file system that all processes see"
            )
        time.sleep(0.05)
