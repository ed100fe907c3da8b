"""dbStruct files from folders, CSV files and the layout that VPR-datasets-downloader makes.

That layout has images/<split>/database and images/<split>/queries with photos whose names say where they
stand, @utm_east@utm_north@zone@band@lat@lon@pano@tile@heading@pitch@roll@height@timestamp@note@.jpg (only
the first two need to be there).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepibl.dataset_folder import Places, dataset_from_places, read_places
from deepibl.datasets import PlaceDataset, save_dbstruct
from deepibl.errors import DatasetError
from matlab_compat.errors import ArgumentError

StrPath = str | os.PathLike[str]
_STAMP_FIELD = 13  # of the parts between @, the first (empty) one being 0
_STAMP = re.compile(r"((?:19|20)\d\d)-?(0[1-9]|1[0-2])")


class Layout(NamedTuple):
    """The two folders of a VPR-datasets-downloader set."""

    database: Path
    queries: Path


def find_layout(folder: StrPath, split: str = "test") -> Layout | None:
    """database/ and queries/ in a folder, or in its images/<split>/ or <split>/; else None."""
    for below in ("", f"images/{split}", split):
        place = Path(folder, below)
        if (place / "database").is_dir() and (place / "queries").is_dir():
            return Layout(place / "database", place / "queries")
    return None


def make_dataset(
    database: StrPath,
    queries: StrPath | None = None,
    *,
    name: str = "mine",
    split: str = "test",
    root: StrPath | None = None,
    zone: str | None = None,
    timestamps: bool = False,
    skip_unknown: bool = False,
    **options: Any,
) -> PlaceDataset:
    """The data set of two sources (folders or CSVs), or of one folder in the layout of the module.

    root: the folder that names are relative to (default: the deepest that holds all photos). split: which
    part of the layout. zone: the UTM zone of all positions (default: the first photo's). timestamps: year and
    month from the photos' names, as Tokyo Time Machine has them; positives of the same month then do not
    count. skip_unknown: leave photos without a position out. options: posDistThr (25), nonTrivPosDistSqThr.
    Errors: DatasetError, ArgumentError where there are no queries.
    """
    if queries is None:
        layout = find_layout(database, split) if Path(database).is_dir() else None
        if layout is None:
            raise ArgumentError(
                f"{database}: no queries. Give --queries DIR|CSV, or a folder that holds database/ and "
                f"queries/ (or images/{split}/database and images/{split}/queries)"
            )
        database, queries = layout
    first = read_places(database, zone=zone)
    second = read_places(queries, zone=zone or first.utm_zone)
    if skip_unknown:
        first, second = first.known(), second.known()
    top = Path(root) if root is not None else _common(first, second)
    made = dataset_from_places(
        name, _below(first, top), _below(second, top), whichSet=split if split in _SETS else "", **options
    )
    return _with_stamps(made) if timestamps else made


def make_dbstruct(
    database: StrPath, queries: StrPath | None, output: StrPath, **options: Any
) -> PlaceDataset:
    """Writes the data set that `make_dataset` gives as a dbStruct .mat file, for MATLAB and for us.

    Its names are relative to one folder, the dataset's dbPath: load it with load_dbstruct(output, root=…).
    """
    if Path(output).suffix != ".mat":
        raise ArgumentError(f"{output}: a dbStruct file ends in .mat")
    dataset = make_dataset(database, queries, name=Path(output).stem, **options)
    save_dbstruct(dataset, output)
    return dataset


_SETS = ("train", "val", "test")


def _common(*sets: Places) -> Path:
    return Path(os.path.commonpath([os.path.abspath(places.root) for places in sets]))


def _below(places: Places, top: Path) -> Places:
    """The same photos with names relative to another folder above them."""
    moved = [
        os.path.relpath(os.path.join(os.path.abspath(places.root), name), os.path.abspath(top))
        for name in places.names
    ]
    outside = [name for name in moved if name.startswith("..")]
    if outside:
        raise DatasetError(f"{outside[0]} lies outside the root {top}: give a --root that holds all photos")
    names = [name.replace(os.sep, "/") for name in moved]
    return Places(f"{os.path.abspath(top)}/", names, places.positions, places.utm_zone, places.problems)


def _with_stamps(dataset: PlaceDataset) -> PlaceDataset:
    from deepibl.dataset_pitts_tokyo import TokyoTimeMachine

    return TokyoTimeMachine(
        dataset.name,
        dataset.dbImageFns,
        dataset.utmDb,
        dataset.qImageFns,
        dataset.utmQ,
        **dataset.shared_arguments(),
        dbTimeStamp=_stamps(dataset.dbImageFns),
        qTimeStamp=_stamps(dataset.qImageFns),
    )


def _stamps(names: Sequence[str]) -> np.ndarray:
    """YYYYMM of each name, int32. Raises DatasetError naming the first without."""
    stamps = np.zeros(len(names), dtype=np.int32)
    for position, name in enumerate(names):
        parts = os.path.basename(name).split("@")
        found = _STAMP.match(parts[_STAMP_FIELD]) if len(parts) > _STAMP_FIELD else None
        if found is None:
            raise DatasetError(f"{name}: no year and month in its name; leave out --timestamps")
        stamps[position] = int(found[1] + found[2])
    return stamps
