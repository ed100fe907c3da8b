"""The unfinished file of an extraction, from which a killed one is resumed.

Beside NAME are NAME.part, the descriptors computed so far (float32, row i at byte 4*D*i), and NAME.part.json,
the journal: what is being computed (`Provenance`), which groups of images are done, and a mark of the image
files of each. A group's rows are on disk before the journal lists it. A group that was cut off, or one of
whose images has changed, is computed again in the same batches, so the bytes are as without a break.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock

from deepibl.errors import FeatureFileError
from deepibl.features.files import forget_old, suffix_of, write_features
from deepibl.runtime.files import from_plain, hold, read_note, write_note
from deepibl.runtime.provenance import Provenance, digest_of
from matlab_compat.files import StrPath

Mark = Callable[[int], str]  # of image i: changes when its file does
_log = logging.getLogger(__name__)
_FORMAT = "deepibl-partial-features/2"


@dataclass(frozen=True)
class _Journal:
    format: str
    made_of: Any
    count: int
    group_size: int
    dim: int
    done: dict[int, str]


class PartialFeatures:
    """Descriptors of images on their way to `out`, in groups of `group_size` consecutive images.

    made_of: what is computed; a journal of anything else is replaced, which is logged; one that fits keeps
    its own group size. mark: of each image's file, as it is now. Within it the file is locked;
    FeatureFileError if another process is writing it.
    """

    def __init__(
        self, out: StrPath, made_of: Provenance, count: int, group_size: int, mark: Mark = lambda image: ""
    ) -> None:
        self.out = Path(out)
        self.part = self.out.with_name(self.out.name + ".part")
        self.count, self.group_size, self.mark = count, group_size, mark
        self.dim: int | None = None
        self.done: dict[int, str] = {}  # the marks of the images of each group that is done
        self._journal = self.part.with_name(self.part.name + ".json")
        self._made_of = made_of
        self._lock = FileLock(f"{self.part}.lock")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "PartialFeatures":
        self.part.parent.mkdir(parents=True, exist_ok=True)
        if not hold(self._lock):
            raise FeatureFileError(f"{self.part}: another process is writing it; wait for it or stop it")
        try:
            self._file = open(self.part, "r+b" if self.part.exists() else "w+b")
            self._resume()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()  # writes what is buffered, for which a full disk has no room
        finally:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    @property
    def groups(self) -> list[range]:
        starts = range(0, self.count, self.group_size)
        return [range(start, min(start + self.group_size, self.count)) for start in starts]

    @property
    def todo(self) -> list[tuple[int, range]]:
        return [(number, group) for number, group in enumerate(self.groups) if number not in self.done]

    def write(
        self, number: int, ids: Sequence[int], rows: np.ndarray, marks: Sequence[str] | None = None
    ) -> None:
        """Stores the descriptors (n, D) of a group's images; the group is done if none of them is missing.

        marks: of the files of all its images, from before they were read; None: as they are now.
        """
        group = self.groups[number]
        if len(ids):
            self.dim = rows.shape[1] if self.dim is None else self.dim
            if rows.shape[1] != self.dim:
                raise FeatureFileError(f"{self.part}: rows of {self.dim} and of {rows.shape[1]} dimensions")
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
            self.done[number] = self._marks(number) if marks is None else digest_of(marks)
            journal = _Journal(
                _FORMAT, self._made_of.as_dict(), self.count, self.group_size, self.dim or 0, self.done
            )
            write_note(self._journal, asdict(journal))

    def finish(self, kept: Sequence[int], names: Sequence[str], suffix: str | None = None) -> None:
        """Turns the rows of the images `kept` (ascending) into the file `out`; names: of all images."""
        self._opened.truncate(self.count * (self.dim or 0) * 4)
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._opened.close()
        if suffix_of(self.out, suffix) == ".bin" and len(kept) == self.count:
            forget_old(self.out)
            os.replace(self.part, self.out)
        else:
            rows = np.memmap(self.part, dtype="<f4", mode="r", shape=(self.count, self.dim or 0))
            write_features(self.out, rows, names, rows=kept, suffix=suffix)
            del rows  # or Windows would keep the file
        self.discard()

    def discard(self) -> None:
        self._opened.close()
        self.part.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    @property
    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise FeatureFileError(f"{self.part}: is not open; use PartialFeatures in a with statement")
        return self._file

    def _resume(self) -> None:
        """Reads which groups are done from a journal of the same `Provenance`, if the file holds them."""
        journal = self._read_journal()
        if journal is None:
            self._opened.truncate(0)
            self._journal.unlink(missing_ok=True)
            return
        size = os.fstat(self._opened.fileno()).st_size
        self.group_size = journal.group_size
        self.dim, done, groups = journal.dim, journal.done, self.groups
        held = {n for n in done if n < len(groups) and groups[n].stop * self.dim * 4 <= size}
        self.done = {number: done[number] for number in held if done[number] == self._marks(number)}

    def _read_journal(self) -> "_Journal | None":
        """The journal of the same `Provenance`; None where there is none that can be read."""
        try:
            journal: _Journal = from_plain(_Journal, read_note(self._journal), "the journal")
        except ValueError:
            return None
        if (journal.format, journal.count) != (_FORMAT, self.count):
            return None
        if reason := Provenance.from_dict(journal.made_of).differences(self._made_of):
            _log.warning("%s is replaced: %s", self.part, reason)
            return None
        return journal if journal.group_size > 0 and journal.dim > 0 else None

    def _marks(self, number: int) -> str:
        return digest_of(map(self.mark, self.groups[number]))
