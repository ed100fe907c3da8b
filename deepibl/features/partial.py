"""The unfinished file of an extraction, from which a killed one is taken up again.

Beside NAME lie NAME.part, the descriptors as they come (float32, row i at byte 4*D*i), and NAME.part.json,
the journal: what is being computed (network, images, settings) and which groups of images are done. A
group's rows are on the disk before the journal says so; a group that was cut off is computed again as a
whole, in the same batches, so the finished file has the same bytes as that of a run without a break.

Of several processes, process 0 writes NAME.part, each other one a shard NAME.part.0001 … of the same form;
process 0 takes the shards over (`feature_shards`), and so does whoever goes on after a kill.

What a file of features was made of: a note beside it, and whether that is what is wanted.

Files that MATLAB made have no note; of them only the sizes can be checked.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import IO, Any

import numpy as np

from deepibl.errors import FeatureFileError
from deepibl.features.files import suffix_of, write_features
from deepibl.networks.identity import network_id
from deepibl.runtime.files import read_note
from matlab_compat.files import atomic_output

Advance = Callable[[int], None]  # told how many more images are through

_FORMAT = "deepibl-partial-features/1"

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


class PartialFeatures:
    """Descriptors of `count` images on their way to `out`, in groups of `group_size` consecutive images.

    identity: plain values that say what is computed; a journal with others is not resumed but replaced.
    A journal that fits keeps its own group size. shard: the number of a process that leaves the file to
    another one. Use as a context manager: the file is open, and locked against a second process, inside.
    Raises FeatureFileError if another process is writing it.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        identity: Mapping[str, Any],
        count: int,
        group_size: int,
        shard: int = 0,
    ) -> None:
        self.out = Path(out)
        self.part = self.out.with_name(self.out.name + ".part" + (f".{shard:04d}" if shard else ""))
        self.count = count
        self.group_size = group_size
        self.dim: int | None = None
        self.done: set[int] = set()
        self._journal = self.part.with_name(self.part.name + ".json")
        self._identity = dict(identity)
        self._shard = shard
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "PartialFeatures":
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self.part, os.O_RDWR | os.O_CREAT | _BINARY, 0o666), "r+b")
        try:
            _lock(self._file, self.part)
        except FeatureFileError:
            self._file.close()
            raise
        self._resume()
        if not self._shard:
            for number in self._shards():
                self.take_over(number)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def groups(self) -> list[range]:
        """All groups, as ranges of image ids."""
        starts = range(0, self.count, self.group_size)
        return [range(start, min(start + self.group_size, self.count)) for start in starts]

    @property
    def todo(self) -> list[tuple[int, range]]:
        """The groups that are not done, with their numbers."""
        return [(number, group) for number, group in enumerate(self.groups) if number not in self.done]

    @property
    def images_done(self) -> int:
        """Images in groups that are done."""
        return sum(len(group) for number, group in enumerate(self.groups) if number in self.done)

    def write(self, number: int, ids: Sequence[int], rows: np.ndarray) -> None:
        """Stores the descriptors (n, D) of a group's images; the group is done if none of them is missing.

        Raises FeatureFileError if D is not that of the rows before.
        """
        group = self.groups[number]
        if len(ids):
            self.dim = rows.shape[1] if self.dim is None else self.dim
            if rows.shape[1] != self.dim:
                raise FeatureFileError(
                    f"{self.part}: descriptors of {self.dim} and of {rows.shape[1]} dimensions"
                )
            if len(ids) == len(group):
                block = np.ascontiguousarray(rows, dtype="<f4")
            else:
                block = np.zeros((len(group), self.dim), dtype="<f4")
                block[np.asarray(ids) - group.start] = rows
            self._opened.seek(group.start * self.dim * 4)
            self._opened.write(block.data)
            self._opened.flush()
            os.fsync(self._opened.fileno())
        if len(ids) == len(group):
            self.done.add(number)
            self.write_journal()

    def together(self, compute: Callable[[Advance], Any], advance: Advance) -> Any:
        """What `compute` gives, called with `advance`; with several processes: see `feature_shards`."""
        return compute(advance)

    def shard(self, number: int) -> "PartialFeatures":
        """The shard of process `number` (from 1), not opened."""
        return PartialFeatures(self.out, self._identity, self.count, self.group_size, number)

    def take_over(self, number: int, groups: Iterable[int] | None = None) -> None:
        """Copies rows out of a shard that nobody is writing: those of `groups`, or those done; removes it.

        Raises FeatureFileError if their dimensions are not those of the rows here.
        """
        with self.shard(number) as shard:
            if shard.group_size == self.group_size and shard.dim is not None:
                self._copy(shard, sorted(shard.done - self.done) if groups is None else groups)
            shard.discard()

    def _copy(self, shard: "PartialFeatures", numbers: Iterable[int]) -> None:
        self.dim = shard.dim if self.dim is None else self.dim
        if self.dim is None or shard.dim != self.dim:
            raise FeatureFileError(f"{self.part}: {self.dim} dimensions, but {shard.dim} in {shard.part}")
        ranges = self.groups
        for number in numbers:
            start = ranges[number].start * self.dim * 4
            shard._opened.seek(start)
            self._opened.seek(start)
            self._opened.write(shard._opened.read(len(ranges[number]) * self.dim * 4))
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self.done |= shard.done.intersection(numbers)
        self.write_journal()

    def finish(self, kept: Sequence[int], names: Sequence[str], suffix: str | None = None) -> None:
        """Turns the rows of the images `kept` (ascending) into the file `out`; nothing partial stays.

        names: of all images; suffix: the format, default that of `out`.
        """
        size = self.count * (self.dim or 0) * 4
        self._opened.truncate(size)
        if suffix_of(self.out, suffix) == ".bin" and len(kept) == self.count:
            os.fsync(self._opened.fileno())
            self._let_go(lambda: os.replace(self.part, self.out))
        else:
            self._opened.flush()
            rows = np.memmap(self.part, dtype="<f4", mode="r", shape=(self.count, self.dim or 0))
            write_features(self.out, rows, names, rows=kept, suffix=suffix)
            self.discard()
        self._journal.unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes the partial file and its journal."""
        self._let_go(lambda: self.part.unlink(missing_ok=True))
        self._journal.unlink(missing_ok=True)

    def _let_go(self, remove: Callable[[], Any]) -> None:
        """Takes the name `part` away and closes the file: locked until it is gone, but for Windows."""
        if os.name == "nt":
            self._opened.close()
        remove()
        self._opened.close()

    @property
    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise FeatureFileError(f"{self.part}: is not open; use PartialFeatures in a with statement")
        return self._file

    def _resume(self) -> None:
        """Takes over what a journal of the same identity says is done and the file really holds."""
        try:
            journal = json.loads(self._journal.read_text(encoding="utf-8"))
            fits = journal["identity"] == self._described()
            group_size, dim = int(journal["group_size"]), journal["dim"]
            done = [int(number) for number in journal["done"]]
            dim = None if dim is None else int(dim)
            fits = fits and group_size > 0 and (dim is None or dim > 0)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            fits = False
        if not fits:
            self._opened.truncate(0)
            self._journal.unlink(missing_ok=True)
            return
        size = os.fstat(self._opened.fileno()).st_size
        self.group_size = group_size
        if dim is None:  # a journal of work that was only shared out
            return
        self.dim = dim
        groups = self.groups
        self.done = {n for n in done if 0 <= n < len(groups) and groups[n].stop * dim * 4 <= size}

    def _shards(self) -> list[int]:
        """The numbers of the shards that lie beside the file."""
        found = (
            path.name.rpartition(".")[2] for path in self.part.parent.glob(f"{escape(self.part.name)}.*")
        )
        return sorted(int(number) for number in found if number.isdigit())

    def _described(self) -> dict[str, Any]:
        return json.loads(json.dumps({"format": _FORMAT, "count": self.count, **self._identity}))

    def write_journal(self) -> None:
        """Notes what is done; before anything is, which groups there are."""
        content = {
            "identity": self._described(),
            "group_size": self.group_size,
            "dim": self.dim,
            "done": sorted(self.done),
        }
        with atomic_output(self._journal) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")


def _lock(file: IO[bytes], path: Path) -> None:
    """Keeps a second process out, where the system can (not on Windows); ends with the process."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError as error:
        raise FeatureFileError(f"{path}: another process is writing it; wait for it or stop it") from error
    if not is_ours:
        raise FeatureFileError(
            f"{path}: another process has finished it this moment; look at its result first"
        )


@dataclass(frozen=True)
class Origin:
    """What descriptors were made of: network and images by their SHA-256, and how many images."""

    network: str
    images: str
    count: int

    @classmethod
    def of(cls, net: Any, root: str | os.PathLike[str], names: Sequence[str]) -> "Origin":
        """The origin of the descriptors that the network gives for these images, in this folder."""
        return cls._of(net, [os.path.abspath(root), *names], len(names))

    @classmethod
    def wherever(cls, net: Any, root: str | os.PathLike[str], names: Sequence[str]) -> "Origin":
        """The same for images by name and size, so that a copy of them in another folder is the same."""
        return cls._of(net, [[name, _size(os.path.join(root, name))] for name in names], len(names))

    @classmethod
    def _of(cls, net: Any, images: list[Any], count: int) -> "Origin":
        return cls(network_id(net), hashlib.sha256(json.dumps(images).encode()).hexdigest(), count)


def misfit(found: Origin | None, wanted: Origin) -> str:
    """Why a file does not fit, '' if it does, or does not say."""
    if found is None or found == wanted:
        return ""
    return (
        "it was made by another network" if found.network != wanted.network else "it was made of other images"
    )


def note_of(file: str | os.PathLike[str]) -> Path:
    """Where the note about a file of features lies."""
    return Path(f"{os.fspath(file)}.json")


def read_origin(file: str | os.PathLike[str]) -> Origin | None:
    """What the note beside a file says; None where there is none, or it is damaged."""
    try:
        return Origin(**read_note(note_of(file)))
    except TypeError:
        return None


def write_origin(file: str | os.PathLike[str], origin: Origin) -> None:
    """Writes the note. To be done before the file: features without it would count as MATLAB's."""
    with atomic_output(note_of(file)) as temporary:
        temporary.write_text(json.dumps(asdict(origin)))


def _size(path: str) -> int:
    """Bytes of a file; -1 where there is none, which who reads it will say."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
