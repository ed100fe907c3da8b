"""Checking Oxford, Paris and Holidays, which are listed from their folders: numbers, ground truth, sizes."""

import os
from dataclasses import dataclass
from pathlib import Path

from deepibl.data_files import FileList
from deepibl.dataset_retrieval import ADVICE, SIZES, RetrievalDataset, holidays, vgg_buildings
from deepibl.errors import DatasetError


@dataclass(frozen=True)
class RetrievalKind:
    """A retrieval benchmark: its name in `dataset_retrieval.SIZES`, and localPaths' entry."""

    name: str
    root_key: str


RETRIEVAL = {
    "oxford": RetrievalKind("ox5k", "dsetRootOxford"),
    "paris": RetrievalKind("paris", "dsetRootParis"),
    "holidays": RetrievalKind("holidays", "dsetRootHolidays"),
    "holidays_rot": RetrievalKind("holidays_rot", "dsetRootHolidays"),
}
_PNG = (".png",)


def check_retrieval(kind: RetrievalKind, root: Path) -> tuple[list[FileList], list[str], list[str]]:
    """Files, problems and notes of a benchmark below its root."""
    images, queries = SIZES[kind.name]
    advice = ADVICE[kind.name.removesuffix("_rot")]
    try:
        dataset = _opened(kind, root)
    except DatasetError as problem:
        return [], [str(problem)], []
    files = FileList(f"{kind.name} images", dataset.dbPath, images, found=dataset.numImages)
    names = dataset.dbImageFns
    sizes = [_size(Path(dataset.dbPath, name)) for name in names]
    files.bytes = sum(sizes)
    files.empty = [name for name, size in zip(names, sizes, strict=True) if not size]
    files.as_png = [name for name in names if name.lower().endswith(_PNG)]
    problems = []
    if dataset.numImages != images:
        problems.append(f"{dataset.numImages} images are there, the complete set has {images}. {advice}")
    if dataset.numQueries != queries:
        problems.append(f"{dataset.numQueries} queries are there, the complete set has {queries}. {advice}")
    if files.empty:
        problems.append(f"{len(files.empty)} files are empty, e.g. {files.empty[0]}")
    if files.as_png:
        problems.append(f"{len(files.as_png)} images are PNGs: `deepibl convert-png {dataset.dbPath}`")
    lost = sum(int((ids < 0).sum()) for ids in dataset.posIDs)
    if lost:
        problems.append(f"{lost} images that the ground truth lists as right are missing")
    return [files], problems, [f"{dataset.numQueries} queries with ground truth"]


def _opened(kind: RetrievalKind, root: Path) -> RetrievalDataset:
    if kind.name.startswith("holidays"):
        return holidays(root, kind.name.endswith("_rot"), complete=False)
    return vgg_buildings(root, kind.name, complete=False)


def _size(path: Path) -> int:
    return os.path.getsize(path) if path.is_file() else 0
