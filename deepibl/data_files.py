"""Looking for many files at once: each folder is listed once, so 100,000 names take a second."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass
class FileList:
    """Files that should be in a folder: how many are there, their bytes, which are missing or empty.

    as_png: missing ones that lie there as .png; other_case: missing ones whose name is there in another case.
    """

    what: str
    folder: str
    expected: int
    found: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    as_png: list[str] = field(default_factory=list)
    other_case: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "what": self.what, "folder": self.folder, "expected": self.expected, "found": self.found,
            "bytes": self.bytes, "missing": self.missing, "empty": self.empty, "as_png": self.as_png,
            "other_case": self.other_case,
        }  # fmt: skip

    def __str__(self) -> str:
        text = f"{self.what}: {self.found} of {self.expected} in {self.folder} ({readable(self.bytes)})"
        for count, word in ((len(self.as_png), "as .png"), (len(self.other_case), "in another case")):
            text += f", {count} there {word}" if count else ""
        return text


def look_for(what: str, folder: str | os.PathLike[str], names: Sequence[str]) -> FileList:
    """Looks for files by their names below a folder; a name counts as it is written."""
    found = FileList(what, os.fspath(folder), len(names))
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_folder[os.path.dirname(name)].append(name)
    for below, here in by_folder.items():
        sizes = _sizes(Path(folder, below))
        lower = {name.lower() for name in sizes}
        for name in here:
            base = os.path.basename(name)
            if base in sizes:
                found.found += 1
                found.bytes += sizes[base]
                found.empty += [name] if not sizes[base] else []
                continue
            found.missing.append(name)
            if f"{PurePosixPath(base).stem}.png".lower() in lower:
                found.as_png.append(name)
            elif base.lower() in lower:
                found.other_case.append(name)
    return found


def readable(count: int) -> str:
    """A number of bytes for people: 3.1 GB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _sizes(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except OSError:
        return {}
