"""Checking that a known data set is complete: missing files, sizes, PNGs to convert, the query version.

A known set has one or several parts (Pittsburgh: train, val, test), each with database and query images. Its
dbStruct files list them; Oxford, Paris and Holidays are listed from their folders and ground truth.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from deepibl.datasets.catalog import CATALOG, open_dataset
from deepibl.datasets.retrieval import ADVICE, SIZES, holidays, vgg_buildings
from deepibl.errors import DatasetError
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
            found.append(f"{self.what}: {len(self.as_png)} images exist as .png; {convert}")
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


# a benchmark -> its name in `deepibl.datasets.retrieval.SIZES`, and localPaths' entry
RETRIEVAL = {
    "oxford": ("ox5k", "dsetRootOxford"),
    "paris": ("paris", "dsetRootParis"),
    "holidays": ("holidays", "dsetRootHolidays"),
    "holidays_rot": ("holidays_rot", "dsetRootHolidays"),
}
NAMES = ("pitts30k", "pitts250k", "tokyo247", "tokyoTM", *RETRIEVAL)


@dataclass
class DataReport:
    """The state of a data set's files. `problems` say what to do."""

    name: str
    root: str
    files: list[FileList] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    query_version: str | None = None
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
        lines += [f"  queries: {self.query_version}"] if self.query_version else []
        lines += [f"  note: {note}" for note in self.notes]
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

    name: pitts30k, pitts250k, tokyo247, tokyoTM (all parts that have a dbStruct), one part as pitts30k/test,
    or oxford, paris, holidays, holidays_rot. root: the folder of its images (default: localPaths').
    spec: a dbStruct file, or the folder of these files.
    Raises DatasetError for an unknown name, and where no dbStruct of the set can be read.
    """
    paths = paths or localPaths()
    wanted = name.lower().replace("_", "/")
    keys = [key for key in CATALOG if key.lower() == wanted or key.lower().startswith(f"{wanted}/")]
    benchmark, entry = RETRIEVAL.get(name.lower(), ("", CATALOG[keys[0]].root_key if keys else ""))
    if not entry:
        known = f"{', '.join(NAMES)} and parts like pitts30k/test"
        raise DatasetError(f"unknown data set {name!r}; known are {known}")
    folder = os.path.expanduser(root if root is not None else getattr(paths, entry))
    report = DataReport(name, str(folder))
    if benchmark:
        _check_retrieval(report, benchmark, Path(folder))
        return report
    report.advice = CATALOG[keys[0]].advice
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
        if key == "tokyo247":
            report.query_version = _tokyo_version(Path(dataset.query_root), dataset.query_names, report)
    if not report.files:
        raise DatasetError(f"{name}: none of its dbStruct files can be used:\n" + "\n".join(report.problems))
    return report


def _check_retrieval(report: DataReport, name: str, root: Path) -> None:
    """Adds the files, problems and notes of a benchmark (a key of SIZES) below its root."""
    try:
        if name.startswith("holidays"):
            dataset = holidays(root, name.endswith("_rot"), complete=False)
        else:
            dataset = vgg_buildings(root, name, complete=False)
    except DatasetError as problem:
        report.problems.append(str(problem))
        return
    report.advice = ADVICE[name.removesuffix("_rot")]
    report.add(look_for(f"{name} images", dataset.database_root, dataset.database_names))
    found = dataset.database_size, dataset.query_count
    for what, count, wanted in zip(("images", "queries"), found, SIZES[name], strict=True):
        if count != wanted:
            report.problems.append(f"there are {count} {what}; the complete set has {wanted}")
    lost = sum(int((ids < 0).sum()) for ids in dataset.positive_ids)
    if lost:
        report.problems.append(f"{lost} images that the ground truth lists as positives are missing")
    report.notes.append(f"{dataset.query_count} queries with ground truth")


def _tokyo_version(folder: Path, names: Sequence[str], report: DataReport) -> str:
    """Which of the three published query sets a folder holds, as far as names and numbers show."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    there = {name for name in files if name.lower().endswith((".jpg", ".jpeg"))}
    wanted = set(names)
    if there == wanted:
        return f"version 2 ({len(wanted)} queries), the one of the dbStruct and of all published figures"
    if wanted <= there:
        report.notes.append(
            f"there are {len(there)} query images; only the {len(wanted)} of the dbStruct (version 2) count. "
            "If they were taken from version 1 or 3, check a few against version 2: the files may differ"
        )
        return f"the full set (version 1 or 3, which have the same names), or more: {len(there)} images"
    if not there:
        return "none"
    return f"{len(there & wanted)} of the {len(wanted)} of version 2, and {len(there - wanted)} others"
