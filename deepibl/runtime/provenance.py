"""What a file that is kept and used again was made of; whether that is what is wanted now.

Everything kept has a `Provenance`, beside the file (`NAME.json`) or in it, which is compared before the file
is used; `differences` says in words why a file is not.

Image files are compared by one of two marks. `file_content`, for what is kept for long and where a data set
may be copied: all bytes of a file of up to 256 KiB; of a larger one its size, its time, and its first and
last 128 KiB. `file_times`, for what is looked up often or soon: size and times, which every write moves on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepibl.runtime.files import from_plain, read_note, write_note
from deepibl.runtime.progress import counted
from matlab_compat.files import StrPath

RULE = 1  # to be raised when a release computes other numbers from the same network, images and settings
_WHOLE = 256 * 2**10  # bytes of a file that are read for its mark
_THREADS = 8
_UNREADABLE = "?"


@dataclass(frozen=True)
class Provenance:
    """What something was made of, in plain JSON values.

    network: its identity, with its int8 scales. names, files: the SHA-256 of the images' names, and of the
    marks of their files ('': not compared). settings: those that decide the numbers. rule: its version.
    """

    network: str = ""
    count: int = 0
    names: str = ""
    files: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    rule: int = RULE

    @classmethod
    def of(
        cls,
        network: str,
        root: StrPath,
        names: Sequence[StrPath],
        settings: Mapping[str, Any],
        mark: Callable[[StrPath], str] | None = None,
        progress: bool | None = None,
    ) -> Provenance:
        """What would be made now of images `names` below `root`; mark: `file_content`, `file_times`, None."""
        listed = [os.fspath(name) for name in names]
        files = ""
        if mark is not None:
            paths = [os.path.join(root, name) for name in listed]
            with ThreadPoolExecutor(_THREADS) as pool:
                marks = [*counted(pool.map(mark, paths), len(paths), "looking at image files", progress)]
            files = f"{mark.__name__}:{digest_of(marks)}" if any(marks) else ""
        return cls(network, len(listed), digest_of(listed), files, json.loads(json.dumps(dict(settings))))

    @property
    def digest(self) -> str:
        """A name for all of it: 64 hexadecimal digits."""
        return digest_of([sorted(asdict(self).items())])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Any) -> Provenance:
        """The Provenance that `as_dict` turned into values; any other value becomes one that fits nothing."""
        try:
            return from_plain(cls, found, "it")
        except ValueError:
            return cls(_UNREADABLE)

    def differences(self, wanted: Provenance) -> str:
        """Why something made of this is not what is wanted, in words; '' if it is."""
        if self.network == _UNREADABLE:
            return "what it was made of cannot be read"
        reasons = []
        if self.rule != wanted.rule:
            reasons.append("it was made by another version of deepibl")
        if self.network != wanted.network:
            reasons.append("it was made by another network")
        if (self.count, self.names) != (wanted.count, wanted.names):
            reasons.append(f"it was made of other images ({self.count}; now {wanted.count})")
        elif self.files and wanted.files and self.files != wanted.files:
            reasons.append("images of the same names have changed since it was made")
        for name in sorted({*self.settings, *wanted.settings}):
            before, now = (each.settings.get(name) for each in (self, wanted))
            if before != now:
                reasons.append(f"{name} was {before!r}, now {now!r}")
        return "; ".join(reasons)

    def write(self, file: StrPath) -> None:
        """Writes the note beside a file; before the file, since one without a note counts as MATLAB's."""
        write_note(note_of(file), self.as_dict())

    @classmethod
    def read(cls, file: StrPath) -> Provenance | None:
        """The Provenance in the note beside a file; None where there is no note."""
        note = note_of(file)
        return cls.from_dict(read_note(note) or None) if note.exists() else None


def misfit(file: StrPath, wanted: Provenance) -> str:
    """Why a file is not what is wanted, by the note beside it; '' if it is, or has no note (MATLAB's)."""
    found = Provenance.read(file)
    return "" if found is None else found.differences(wanted)


def note_of(file: StrPath) -> Path:
    return Path(f"{os.fspath(file)}.json")


def digest_of(values: Iterable[Any]) -> str:
    """The SHA-256 of plain values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()


def file_times(path: StrPath) -> str:
    """A file's size and the times of its last changes; '' where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def file_content(path: StrPath) -> str:
    """A file's size and the SHA-256 of its bytes; of a large one's ends, with its time; '' for none."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size <= _WHOLE:
                return f"{status.st_size} {hashlib.sha256(file.read()).hexdigest()}"
            found = hashlib.sha256(file.read(_WHOLE // 2))
            file.seek(-_WHOLE // 2, os.SEEK_END)
            found.update(file.read())
            return f"{status.st_size} {status.st_mtime_ns} {found.hexdigest()}"
    except OSError:
        return ""
