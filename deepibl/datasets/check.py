"""Checking that a known data set is complete: missing files, sizes, PNGs to convert.

A known set has one or several parts (Pittsburgh: train, val, test), each with database and query images,
which its dbStruct files list. `vgg_buildings` and `holidays` count the images of theirs themselves.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from deepibl.datasets.catalog import CATALOG, open_dataset
from deepibl.errors import DatasetError, how_many
from deepibl.runtime.paths import LocalPaths, localPaths
from deepibl.runtime.progress import working
from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath


@dataclass
class FileList:
    """Files expected in a folder: how many exist, their bytes, which are missing or empty.

    as_png: missing ones that exist as .png.
    """

    what: str
    folder: str
    expected: int
    found: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    as_png: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.what}: {self.found} of {self.expected} in {self.folder} ({decimal(self.bytes)})"
        return text + (f", {len(self.as_png)} of the others as .png" if self.as_png else "")

    def problems(self) -> list[str]:
        """What is wrong with the files, and what to do."""
        found, lost = [], [name for name in self.missing if name not in set(self.as_png)]
        if self.as_png:
            convert = f"convert them with `deepibl convert-png {self.folder}`"
            found.append(f"{self.what}: {how_many(len(self.as_png), 'image')} as .png; {convert}")
        if lost:
            where = f"missing under {self.folder}, e.g. {lost[0]}"
            found.append(f"{self.what}: {len(lost)} of {self.expected} are {where}")
        if self.empty:
            found.append(f"{self.what}: {len(self.empty)} files are empty, e.g. {self.empty[0]}")
        return found


def look_for(what: str, folder: StrPath, names: Sequence[str]) -> FileList:
    """Looks for files by their names below a folder, listing each folder only once; case matters."""
    found, sizes = FileList(what, os.fspath(folder), len(names)), cache(_sizes)
    for name in names:
        below, base = os.path.split(name)
        here = sizes(Path(folder, below))
        if base in here:
            found.found += 1
            found.bytes += here[base]
            found.empty += [name] if not here[base] else []
        else:
            stem = os.path.splitext(base)[0]
            found.missing.append(name)
            found.as_png += [name] if {f"{stem}.png", f"{stem}.PNG"} & here.keys() else []
    return found


def _sizes(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except OSError:
        return {}


@dataclass
class DataReport:
    """The state of a data set's files. `problems` say what to do."""

    name: str
    root: str
    files: list[FileList] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    advice: str = ""

    @property
    def complete(self) -> bool:
        """Whether all files exist and are usable."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; every missing file is listed."""
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        head = f"{self.name} under {self.root}: {'complete' if self.complete else 'NOT complete'}"
        lines = [head, *(f"  {files}" for files in self.files)]
        lines += [f"  PROBLEM: {problem}" for problem in self.problems]
        lines += [f"  how to get it: {self.advice}"] if self.problems and self.advice else []
        return "\n".join(lines)

    def add(self, files: FileList) -> None:
        self.files.append(files)
        self.problems += files.problems()


@working("looking at the data set's files")
def check_dataset(
    name: str, root: StrPath | None = None, *, spec: StrPath | None = None, paths: LocalPaths | None = None
) -> DataReport:
    """Looks for every file of a known data set, without reading images.

    name: pitts30k, pitts250k, tokyo247, tokyoTM (all parts that have a dbStruct), or one part as
    pitts30k/test. root: the folder of its images (default: localPaths').
    spec: a dbStruct file, or the folder of these files.
    Raises DatasetError for an unknown name, and where no dbStruct of the set can be read.
    """
    paths = paths or localPaths()
    wanted = name.lower().replace("_", "/")
    keys = [key for key in CATALOG if key.lower() == wanted or key.lower().startswith(f"{wanted}/")]
    if not keys:
        known = f"{', '.join(CATALOG)}, and a set's parts together: pitts30k"
        raise DatasetError(f"unknown data set {name!r}; known are {known}")
    root_key = CATALOG[keys[0]].root_key
    folder = os.path.expanduser(root if root is not None else getattr(paths, root_key))
    report = DataReport(name, str(folder), advice=CATALOG[keys[0]].advice)
    if not os.path.isdir(folder):
        report.problems.append(f"the folder {folder} does not exist")
    for key in keys:
        try:
            dataset = open_dataset(key, root=folder, spec=spec, paths=paths)
        except (DatasetError, MatFileError) as problem:
            report.problems.append(f"{key}: {str(problem).splitlines()[0]}")
            continue
        report.add(look_for(f"{key} database", dataset.database_root, dataset.database_names))
        report.add(look_for(f"{key} queries", dataset.query_root, dataset.query_names))
    if not report.files:
        raise DatasetError(f"{name}: none of its dbStruct files can be used:\n" + "\n".join(report.problems))
    return report
