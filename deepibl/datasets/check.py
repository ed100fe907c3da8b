"""Checking that a known data set is complete: missing files, sizes, PNGs to convert, the query version.

A known set has one or several parts (Pittsburgh: train, val, test), each with database and query images. Its
dbStruct files list them; Oxford, Paris and Holidays are listed from their folders and ground truth. Many
files are looked for at once, by listing each folder only once.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

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

    as_png: missing ones that exist as .png; other_case: missing ones whose name exists in another case.
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

    def __str__(self) -> str:
        text = f"{self.what}: {self.found} of {self.expected} in {self.folder} ({readable(self.bytes)})"
        for count, word in ((len(self.as_png), "as .png"), (len(self.other_case), "in another case")):
            text += f", {count} of the others {word}" if count else ""
        return text


def look_for(what: str, folder: StrPath, names: Sequence[str]) -> FileList:
    """Looks for files by their names below a folder; case matters."""
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
    """A number of bytes as text.

    >>> readable(3_100_000_000), readable(999)
    ('3.1 GB', '999 B')
    """
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


# a benchmark -> its name in `deepibl.datasets.retrieval.SIZES`, and localPaths' entry
RETRIEVAL = {
    "oxford": ("ox5k", "dsetRootOxford"),
    "paris": ("paris", "dsetRootParis"),
    "holidays": ("holidays", "dsetRootHolidays"),
    "holidays_rot": ("holidays_rot", "dsetRootHolidays"),
}


def check_retrieval(name: str, root: Path) -> tuple[list[FileList], list[str], list[str]]:
    """Files, problems and notes of a benchmark (a key of SIZES) below its root."""
    images, queries = SIZES[name]
    advice = ADVICE[name.removesuffix("_rot")]
    try:
        if name.startswith("holidays"):
            dataset = holidays(root, name.endswith("_rot"), complete=False)
        else:
            dataset = vgg_buildings(root, name, complete=False)
    except DatasetError as problem:
        return [], [str(problem)], []
    files = FileList(f"{name} images", dataset.database_root, images, found=dataset.database_size)
    names = dataset.database_names
    paths = [Path(dataset.database_root, each) for each in names]
    sizes = [os.path.getsize(path) if path.is_file() else 0 for path in paths]
    files.bytes = sum(sizes)
    files.empty = [each for each, size in zip(names, sizes, strict=True) if not size]
    files.as_png = [each for each in names if each.lower().endswith(".png")]
    problems = []
    if dataset.database_size != images:
        problems.append(f"there are {dataset.database_size} images; the complete set has {images}. {advice}")
    if dataset.query_count != queries:
        problems.append(f"there are {dataset.query_count} queries; the complete set has {queries}. {advice}")
    if files.empty:
        problems.append(f"{len(files.empty)} files are empty, e.g. {files.empty[0]}")
    if files.as_png:
        problems.append(f"{len(files.as_png)} images are PNGs: `deepibl convert-png {dataset.database_root}`")
    lost = sum(int((ids < 0).sum()) for ids in dataset.positive_ids)
    if lost:
        problems.append(f"{lost} images that the ground truth lists as positives are missing")
    return [files], problems, [f"{dataset.query_count} queries with ground truth"]


NAMES = ("pitts30k", "pitts250k", "tokyo247", "tokyoTM", *RETRIEVAL)
TOKYO247_FULL = 1125  # queries of the complete set (versions 1 and 3); version 2 is a subset of 315


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
        if self.query_version:
            lines.append(f"  queries: {self.query_version}")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  PROBLEM: {problem}" for problem in self.problems]
        return "\n".join(
            [*lines, *([f"  how to get it: {self.advice}"] if self.problems and self.advice else [])]
        )


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
    if name.lower() in RETRIEVAL:
        kind, key = RETRIEVAL[name.lower()]
        folder = os.path.expanduser(root if root is not None else getattr(paths, key))
        report = DataReport(name, str(folder))
        report.files, report.problems, report.notes = check_retrieval(kind, Path(folder))
        return report
    keys = _parts(name)
    folder = os.path.expanduser(root if root is not None else getattr(paths, CATALOG[keys[0]].root_key))
    report = DataReport(name, str(folder), advice=CATALOG[keys[0]].advice)
    if not os.path.isdir(folder):
        report.problems.append(f"the folder {folder} does not exist")
    found = 0
    for key in keys:
        try:
            dataset = open_dataset(key, root=folder, spec=spec, paths=paths)
        except (DatasetError, MatFileError) as problem:
            report.problems.append(f"{key}: {str(problem).splitlines()[0]}")
            continue
        found += 1
        for which, names in (("database", dataset.database_names), ("queries", dataset.query_names)):
            where = dataset.database_root if which == "database" else dataset.query_root
            _add(report, look_for(f"{key} {which}", where, names))
        if key == "tokyo247":
            report.query_version = _tokyo_version(Path(dataset.query_root), dataset.query_names, report)
    if not found:
        raise DatasetError(f"{name}: none of its dbStruct files can be used:\n" + "\n".join(report.problems))
    return report


def _parts(name: str) -> list[str]:
    wanted = name.lower().replace("_", "/")
    keys = [key for key in CATALOG if key.lower() == wanted or key.lower().startswith(f"{wanted}/")]
    if not keys:
        raise DatasetError(
            f"unknown data set {name!r}; known are {', '.join(NAMES)} and parts like pitts30k/test"
        )
    return keys


def _add(report: DataReport, files: FileList) -> None:
    report.files.append(files)
    if files.as_png:
        report.problems.append(
            f"{files.what}: {len(files.as_png)} images exist as .png; convert them with "
            f"`deepibl convert-png {files.folder}`"
        )
    others = len(files.missing) - len(files.as_png)
    if others:
        lost = sorted(set(files.missing) - set(files.as_png), key=files.missing.index)
        report.problems.append(
            f"{files.what}: {others} of {files.expected} are missing under {files.folder}, e.g. {lost[0]}"
        )
    if files.empty:
        report.problems.append(f"{files.what}: {len(files.empty)} files are empty, e.g. {files.empty[0]}")


def _tokyo_version(folder: Path, names: Sequence[str], report: DataReport) -> str:
    """Which of the three published query sets a folder holds, as far as names and numbers show."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    there = {name for name in files if name.lower().endswith((".jpg", ".jpeg"))}
    wanted = set(names)
    if there == wanted:
        return f"version 2 ({len(wanted)} queries), the one of the dbStruct and of all published figures"
    if wanted <= there:
        which = "the full set (version 1 or 3, which have the same names)"
        which = which if len(there) == TOKYO247_FULL else "more than version 2"
        report.notes.append(
            f"there are {len(there)} query images; only the {len(wanted)} of the dbStruct (version 2) count. "
            "If they were taken from version 1 or 3, check a few against version 2: the files may differ"
        )
        return f"{which}: {len(there)} images, among them all {len(wanted)} of version 2"
    if not there:
        return "none"
    return f"{len(there & wanted)} of the {len(wanted)} of version 2, and {len(there - wanted)} others"
