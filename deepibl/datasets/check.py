"""Is a known data set complete on this computer? Missing files, sizes, PNGs to convert, the query version.

A known set has one part or several (Pittsburgh: train, val, test), each with database and query images. The
lists come from its dbStruct files; Oxford, Paris and Holidays are listed from their folders and ground truth.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepibl.data_check_retrieval import RETRIEVAL, check_retrieval
from deepibl.data_files import FileList, look_for
from deepibl.dataset_catalog import CATALOG, open_dataset
from deepibl.errors import DatasetError
from deepibl.paths import LocalPaths, localPaths
from matlab_compat.errors import MatFileError

StrPath = str | os.PathLike[str]
NAMES = ("pitts30k", "pitts250k", "tokyo247", "tokyoTM", *RETRIEVAL)
TOKYO247_FULL = 1125  # queries of the complete set (versions 1 and 3); version 2 is a subset of 315


@dataclass
class DataReport:
    """What was found of a data set under its root. `problems` are lines that say what to do."""

    name: str
    root: str
    files: list[FileList] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    query_version: str | None = None
    advice: str = ""

    @property
    def complete(self) -> bool:
        """Whether everything is there and can be used as it is."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; every missing file is listed."""
        return {
            "name": self.name,
            "root": self.root,
            "complete": self.complete,
            "query_version": self.query_version,
            "files": [files.as_dict() for files in self.files],
            "problems": self.problems,
            "notes": self.notes,
            "advice": self.advice,
        }

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


def check_dataset(
    name: str, root: StrPath | None = None, *, spec: StrPath | None = None, paths: LocalPaths | None = None
) -> DataReport:
    """Looks for every file of a known data set; reads no image.

    name: pitts30k, pitts250k, tokyo247, tokyoTM (all parts that have a dbStruct), one part as pitts30k/test,
    or oxford, paris, holidays, holidays_rot. root: the folder with its images (default: localPaths').
    spec: a dbStruct file or the folder with them.
    Errors: DatasetError for an unknown name, or where no dbStruct of the set can be read.
    """
    paths = paths or localPaths()
    if name.lower() in RETRIEVAL:
        kind = RETRIEVAL[name.lower()]
        folder = os.path.expanduser(root if root is not None else getattr(paths, kind.root_key))
        report = DataReport(name, str(folder))
        report.files, report.problems, report.notes = check_retrieval(kind, Path(folder))
        return report
    keys = _parts(name)
    folder = os.path.expanduser(root if root is not None else getattr(paths, CATALOG[keys[0]].root_key))
    report = DataReport(name, str(folder), advice=CATALOG[keys[0]].advice)
    if not os.path.isdir(folder):
        report.problems.append(f"the folder {folder} is not there")
    found = 0
    for key in keys:
        try:
            dataset = open_dataset(key, root=folder, spec=spec, paths=paths)
        except (DatasetError, MatFileError) as problem:
            report.problems.append(f"{key}: {str(problem).splitlines()[0]}")
            continue
        found += 1
        for which, names in (("database", dataset.dbImageFns), ("queries", dataset.qImageFns)):
            where = dataset.dbPath if which == "database" else dataset.qPath
            _add(report, look_for(f"{key} {which}", where, names))
        if key == "tokyo247":
            report.query_version = _tokyo_version(Path(dataset.qPath), dataset.qImageFns, report)
    if not found:
        raise DatasetError(f"{name}: none of its dbStruct files can be used:\n" + "\n".join(report.problems))
    return report


def _parts(name: str) -> list[str]:
    wanted = name.lower().replace("_", "/")
    keys = [key for key in CATALOG if key.lower() == wanted or key.lower().startswith(f"{wanted}/")]
    if not keys:
        raise DatasetError(
            f"no data set is called {name!r}; known are {', '.join(NAMES)} and parts like pitts30k/test"
        )
    return keys


def _add(report: DataReport, files: FileList) -> None:
    report.files.append(files)
    if files.as_png:
        report.problems.append(
            f"{files.what}: {len(files.as_png)} images are there as .png; convert them with "
            f"`deepibl convert-png {files.folder}`"
        )
    others = len(files.missing) - len(files.as_png)
    if others:
        converted = set(files.as_png)
        lost = [name for name in files.missing if name not in converted]
        report.problems.append(
            f"{files.what}: {others} of {files.expected} are missing under {files.folder}, e.g. {lost[0]}"
        )
    if files.empty:
        report.problems.append(f"{files.what}: {len(files.empty)} files are empty, e.g. {files.empty[0]}")


def _tokyo_version(folder: Path, names: Sequence[str], report: DataReport) -> str:
    """Which of the three published query sets a folder holds, as far as names and numbers tell."""
    there = {
        name
        for name in (_listed(folder) if folder.is_dir() else ())
        if name.lower().endswith((".jpg", ".jpeg"))
    }
    wanted = set(names)
    if there == wanted:
        return f"version 2 ({len(wanted)} queries), which the dbStruct and all published figures use"
    if wanted <= there:
        which = "the full set (version 1 or 3, which names do not tell apart)"
        which = which if len(there) == TOKYO247_FULL else "more than version 2"
        report.notes.append(
            f"{len(there)} query images are there; only the {len(wanted)} of the dbStruct (version 2) count. "
            "If they were taken from version 1 or 3, check a few against version 2: the files may differ"
        )
        return f"{which}: {len(there)} images, among them all {len(wanted)} of version 2"
    if not there:
        return "none"
    return f"{len(there & wanted)} of the {len(wanted)} of version 2, and {len(there - wanted)} others"


def _listed(folder: Path) -> Iterable[str]:
    """The names of all files below a folder, as a dbStruct would have them."""
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
