"""Where an extraction's rows go: to memory or an unfinished file, of one process or of several.

Several processes share the groups of images that are not done, each taking every N-th. A group's batches
depend on its images alone, so the result has the same bytes for any number of processes. To a file: process 0
writes NAME.part, the others shards beside it, on a file system that all see; when all have done their share
process 0 takes the shards over and finishes the file. In memory: all processes get all rows."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.errors import Failure, FeatureFileError
from deepibl.features.partial import Advance, PartialFeatures
from deepibl.runtime import processes
from deepibl.runtime.processes import Team

VISIBLE_SECONDS = 60.0  # that a network file system may take to show what another machine wrote


def unfinished_file(
    out: str | os.PathLike[str], identity: Mapping[str, Any], count: int, group_size: int
) -> Any:
    """What `PartialFeatures` is, for the processes that there are."""
    team = processes.team()
    if team.size == 1:
        return PartialFeatures(out, identity, count, group_size)
    return SharedFile(team, out, identity, count, group_size)


def rows_in_memory(identity: Callable[[], Mapping[str, Any]], count: int, group_size: int) -> "InMemory":
    """Rows in memory, for the processes that there are. identity: asked for if they are several."""
    team = processes.team()
    if team.size > 1:
        team.same("extraction", {"count": count, "group_size": group_size, **identity()})
    return InMemory(team, count, group_size)


class InMemory:
    """Rows (count, D) in memory; has the interface of `PartialFeatures` that filling needs."""

    images_done = 0

    def __init__(self, team: Team, count: int, group_size: int) -> None:
        self._team = team
        self._groups = [range(at, min(at + group_size, count)) for at in range(0, count, group_size)]
        self.rows = np.zeros((count, 0), dtype=np.float32)

    @property
    def todo(self) -> list[tuple[int, range]]:
        """The groups that this process computes, with their numbers."""
        return list(enumerate(self._groups))[self._team.rank :: self._team.size]

    def write(self, number: int, ids: Sequence[int], rows: np.ndarray) -> None:
        """Stores the descriptors of a group's images."""
        if len(ids):
            self._widen(rows.shape[1])
            self.rows[np.asarray(ids)] = rows

    def together(self, compute: Callable[[Advance], list[Failure]], advance: Advance) -> list[Failure]:
        """Computes all processes' shares; `rows` are then everyone's. Gives all failures."""
        if self._team.size == 1:
            return compute(advance)
        failures, dims = _gather(self._team, compute, advance, lambda: self.rows.shape[1])
        known = sorted({dim for dim in dims if dim})
        if len(known) > 1:
            raise FeatureFileError(f"descriptors of {known[0]} and of {known[1]} dimensions")
        if known:
            self._team.connect()
            self._widen(known[0])
            for number, group in enumerate(self._groups):
                block = torch.from_numpy(self.rows[group.start : group.stop])
                self._team.tensors.broadcast(block, number % self._team.size)
        return failures

    def _widen(self, dim: int) -> None:
        if not self.rows.shape[1]:
            self.rows = np.zeros((len(self.rows), dim), dtype=np.float32)


class SharedFile:
    """A `PartialFeatures` that several processes fill; all make it and call its methods alike."""

    def __init__(
        self,
        team: Team,
        out: str | os.PathLike[str],
        identity: Mapping[str, Any],
        count: int,
        group_size: int,
    ) -> None:
        self._team = team
        self._main = PartialFeatures(out, identity, count, group_size)
        self._own = self._main
        self._stack = ExitStack()
        self.out, self.part = self._main.out, self._main.part
        self._asked = {"out": os.path.abspath(out), "group_size": group_size, **identity}

    def __enter__(self) -> "SharedFile":
        self._team.same(f"extraction to {self.out}", self._asked)
        plan = self._team.lead(self._open)
        self._main.group_size, self._main.done = plan["group_size"], set(plan["done"])
        self._main.dim = plan["dim"]
        self._team.gather(self._open_shard)
        todo = [number for number in range(len(self._main.groups)) if number not in self._main.done]
        self._shares = [todo[rank :: self._team.size] for rank in range(self._team.size)]
        self.images_done = self._main.images_done
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def todo(self) -> list[tuple[int, range]]:
        """The groups that this process computes, with their numbers."""
        groups = self._main.groups
        return [(number, groups[number]) for number in self._shares[self._team.rank]]

    @property
    def dim(self) -> int | None:
        """D, or None if no image could be described."""
        return self._main.dim

    def write(self, number: int, ids: Sequence[int], rows: np.ndarray) -> None:
        """Stores the descriptors of a group's images where this process writes."""
        self._own.write(number, ids, rows)

    def together(self, compute: Callable[[Advance], list[Failure]], advance: Advance) -> list[Failure]:
        """Computes all processes' shares and takes them over; gives all failures."""

        def close() -> None:
            if self._own is not self._main:
                self._own.write_journal()
                self._stack.close()

        failures, _ = _gather(self._team, compute, advance, close)
        self._main.dim = self._team.lead(self._take_over)
        return failures

    def finish(self, kept: Sequence[int], names: Sequence[str], suffix: str | None = None) -> None:
        """As `PartialFeatures.finish`; every process then sees the file."""

        def finish() -> int:
            self._main.finish(kept, names, suffix)
            return self.out.stat().st_size

        size = self._team.lead(finish)
        self._team.gather(lambda: require_visible(self.out, size))

    def discard(self) -> None:
        """As `PartialFeatures.discard`."""
        self._team.lead(self._main.discard)

    def _open(self) -> dict[str, Any]:
        self._stack.enter_context(self._main)
        self._main.write_journal()
        return {"group_size": self._main.group_size, "done": sorted(self._main.done), "dim": self._main.dim}

    def _open_shard(self) -> None:
        if self._team.leads:
            return
        require_visible(self.part)
        self._own = self._main.shard(self._team.rank)
        self._stack.enter_context(self._own)

    def _take_over(self) -> int | None:
        for rank in range(1, self._team.size):
            require_visible(self._main.shard(rank).part)
            self._main.take_over(rank, self._shares[rank])
        return self._main.dim


def require_visible(path: Path, size: int | None = None) -> None:
    """Waits until this machine sees a file (of so many bytes) that another has written.

    Raises FeatureFileError if it does not within a minute.
    """
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


def _gather(
    team: Team, compute: Callable[[Advance], list[Failure]], advance: Advance, close: Callable[[], Any]
) -> tuple[list[Failure], list[Any]]:
    """All processes' shares computed: all failures by image, and what `close` gave at each one's end."""
    counter = _Counter(team, advance)

    def work() -> list[Any]:
        failures = compute(counter.advance)
        return [[[each.index, each.name, each.reason] for each in failures], close(), counter.own]

    answers = team.gather(work, counter.look)
    counter.done(sum(own for *_, own in answers))
    found = [Failure(*each) for failures, *_ in answers for each in failures]
    return sorted(found, key=lambda failure: failure.index), [last for _, last, _ in answers]


class _Counter:
    """Adds what the other processes have got done to what this one has, about once a second."""

    def __init__(self, team: Team, advance: Advance) -> None:
        self._team, self._advance = team, advance
        self.own = self._others = 0
        self._looked = time.monotonic()

    def advance(self, items: int) -> None:
        """Notes that so many more images are through here; breaks off if another process failed."""
        self.own += items
        self._advance(items)
        self._team.check()
        self.look()

    def look(self) -> None:
        """Process 0 looks at the others' counts, the others tell theirs."""
        if time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        if self._team.leads:
            self.done(self.own + self._team.counted())
        else:
            self._team.count(self.own)

    def done(self, items: int) -> None:
        """Notes how much is done in all; it never falls."""
        others = items - self.own
        if self._team.leads and others > self._others:
            self._advance(others - self._others)
            self._others = others
