"""Data sets of the user's photos: a folder with GPS in EXIF (or positions in file names), or a CSV file.

A photo's name may hold its position: @east@north@zone number@band@….jpg, or @east@north@….jpg.
Positions are in degrees, or in metres where all of them are given in metres of one plane.

`make_dataset` and `make_dbstruct` also take a folder in the layout of VPR-datasets-downloader. It has
images/<split>/database and images/<split>/queries, with positions in the photos' names:
@utm_east@utm_north@zone@band@lat@lon@pano@tile@heading@pitch@roll@height@timestamp@note@.jpg (only the first
two are required).
"""

import logging
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.csv_file import Fix, read_csv
from deepibl.datasets.exif import photo_position
from deepibl.datasets.geo import DEGREES, in_one_frame, parse_zone, plain_zone, to_degrees
from deepibl.datasets.place import PlaceDataset, save_dbstruct
from deepibl.datasets.positions import as_positions
from deepibl.errors import DatasetError, how_many
from deepibl.images.kinds import IMAGE_SUFFIXES, left_out, unused
from deepibl.runtime.progress import counted
from deepibl.runtime.text_files import storable
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath

_SHOWN = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Places:
    """Photos and their positions: names below root, positions (N, 2) float64 (NaN: unknown) of one frame.

    frame: 'degrees' (latitude, longitude), a UTM zone such as '33N' (metres), or None (metres, unknown zone).
    problems: photos whose position could not be read, with the reason. left_out: how many files of a folder
    look like photos and are not read, by kind and remedy. as_stored: whether images are read as the original
    reads those of its data sets; own photos are turned upright and scaled. Raises DatasetError for lists that
    do not fit together, and for another frame.
    """

    root: str
    names: list[str]
    positions: np.ndarray
    frame: str | None = None
    problems: list[str] = field(default_factory=list)
    left_out: Mapping[str, int] = field(default_factory=dict)
    as_stored: bool = False

    def __post_init__(self) -> None:
        if self.frame not in (None, DEGREES):
            parse_zone(self.frame)
        names = [os.fspath(name) for name in self.names]
        object.__setattr__(self, "positions", as_positions(self.positions, "positions", len(names)))
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "root", os.fspath(self.root))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def unknown(self) -> list[str]:
        """The names of photos without a position."""
        return [self.names[i] for i in np.flatnonzero(~np.isfinite(self.positions).all(axis=1))]

    def subset(self, ids: Sequence[int] | np.ndarray) -> "Places":
        """The photos of these 0-based ids."""
        names = [self.names[i] for i in ids]
        return replace(self, names=names, positions=self.positions[np.asarray(ids, dtype=int)], problems=[])

    def known(self) -> "Places":
        """The photos that have a position."""
        return self.subset(np.flatnonzero(np.isfinite(self.positions).all(axis=1)))


def read_places(source: StrPath, *, root: StrPath | None = None, zone: str | None = None) -> Places:
    """The photos and positions of a folder or a CSV file in the form that the module describes.

    root: the folder that a CSV's names are relative to (default: the CSV's own). zone: the UTM zone of
    positions in metres that do not say theirs. Raises DatasetError for a source that does not exist or has no
    photos, and for invalid rows of a CSV (listed with their row numbers).
    """
    path = Path(os.path.expanduser(source))
    folder, problems, ignored = path, list[str](), Counter[str]()
    if path.is_dir():
        found, ignored = photos_below(path)
        names = list(filter(storable, found))
        if len(names) < len(found):
            ignored["with a line break, or bytes that are not UTF-8, in the name"] = len(found) - len(names)
            require_photos(path, names, ignored)
        fixes, problems = _fixes(path, names)
    elif path.is_file():
        if left_out(path.name) != "":
            raise DatasetError(f"{path} is one photo: give its folder, or a CSV that lists it")
        folder = Path(os.path.expanduser(root)) if root is not None else path.parent
        names, fixes = read_csv(path, folder)
        if not names:
            raise DatasetError(f"{path} lists no photos: it has no row below the names of its columns")
    else:
        raise DatasetError(f"there is no folder of photos and no CSV file {path}")
    positions, frame = _positions(names, fixes, plain_zone(zone) if zone else None)
    return Places(str(folder), names, positions, frame, problems, ignored)


def dataset_from_places(
    name: str,
    database: Places,
    queries: Places,
    *,
    zone: str | None = None,
    skip_unknown: bool = False,
    **options: Any,
) -> PlaceDataset:
    """The PlaceDataset of database and query photos; options (positive_distance …) are PlaceDataset's.

    Its positions are metres of one UTM zone where that has true distances for all of them, else degrees.
    zone: the zone that is wanted. skip_unknown: whether to leave out photos without a position instead of
    refusing them.
    Raises DatasetError for photos without a position, for metres without a zone beside positions that have
    one, and for positions too far from the zone that is wanted.
    """
    for kind, places in (("database", database), ("query", queries)):
        unknown = places.unknown
        if unknown and not skip_unknown:
            more = " …" if len(unknown) > _SHOWN else ""
            raise DatasetError(
                f"{len(unknown)} of {len(places)} {kind} photos have no position in EXIF, name or CSV row: "
                f"{', '.join(unknown[:_SHOWN])}{more}. Add them to a CSV, or leave them out (--skip-unknown)"
                + "".join(f"\n  {problem}" for problem in places.problems[:_SHOWN])
            )
        if left := unused(len(places), places.left_out):
            _log.warning("%s: %s", places.root, left)
        if unknown:
            lines = [f"{len(unknown)} of {len(places)} {kind} photos have no position", *places.problems]
            _log.warning("\n  ".join(lines))
    as_stored = database.as_stored
    database, queries = database.known(), queries.known()
    parts = [(places.positions, places.frame) for places in (database, queries)]
    (placed, asked), frame = in_one_frame(parts, zone)
    where: Any = {"database_root": database.root, "query_root": queries.root, "frame": frame}
    made = PlaceDataset(name, database.names, placed, queries.names, asked, **where, **options)
    made.as_stored = as_stored
    return made


def photos_below(folder: Path) -> tuple[list[str], Counter[str]]:
    """The names of the photos in a folder and below, sorted, and how many other files look like photos.

    Raises DatasetError for a folder without any.
    """
    names, ignored = [], Counter[str]()
    for file in sorted(folder.rglob("*")):
        if not file.name.startswith(".") and file.is_file():  # hidden: unfinished, or macOS's notes on photos
            reason = left_out(file.name)
            if reason is None:
                names.append(file.relative_to(folder).as_posix())
            elif reason:
                ignored[reason] += 1
    require_photos(folder, names, ignored)
    return names, ignored


def require_photos(source: Path, names: Sequence[str], ignored: Mapping[str, int]) -> None:
    """Raises DatasetError for a source without photos, which says what it has instead."""
    if not names:
        found = f"; {unused(0, ignored)}" if ignored else ""
        raise DatasetError(f"{source} has no photos (looked for {', '.join(IMAGE_SUFFIXES)}){found}")


def _fixes(folder: Path, names: Sequence[str]) -> tuple[list[Fix | None], list[str]]:
    """The positions of photos by name, EXIF or XMP, and why some could not be read."""
    fixes, problems = list[Fix | None](), []
    for name in counted(names, len(names), "positions of photos"):
        file, fix = folder / name, None
        try:
            fix = _fix_of_name(file.name)
            if fix is None and (degrees := photo_position(file)):
                fix = Fix("degrees", *degrees)
        except DatasetError as problem:
            problems.append(name + str(problem).removeprefix(os.fspath(file)))
        fixes.append(fix)
    return fixes, problems


def _fix_of_name(name: str) -> Fix | None:
    parts = name.split("@")
    try:
        east, north = float(parts[1]), float(parts[2])
    except (IndexError, ValueError):
        return None
    if len(parts) < 4 or parts[0] or not (math.isfinite(east) and math.isfinite(north)):
        return None
    if len(parts) > 5 and parts[3].isdigit() and len(parts[4]) == 1 and parts[4].isalpha():
        band = parts[4].upper().replace("S", "N")  # here S is the band, in the north
        return Fix("metres", east, north, plain_zone(parts[3] + band))
    return Fix("metres", east, north)


def _positions(names: list[str], fixes: list[Fix | None], zone: str | None) -> tuple[np.ndarray, str | None]:
    """Positions (N, 2) and their frame: metres as written where all are of one plane, else degrees."""
    frames = [fix and (DEGREES if fix.kind == "degrees" else fix.zone or zone) for fix in fixes]
    used = {frame for frame, fix in zip(frames, fixes, strict=True) if fix is not None}
    positions = np.array([(np.nan, np.nan) if fix is None else (fix.first, fix.second) for fix in fixes])
    if len(used) <= 1:
        return positions, next(iter(used), None)
    unsaid = [name for name, frame, fix in zip(names, frames, fixes, strict=True) if fix and frame is None]
    if unsaid:
        raise DatasetError(
            f"UTM positions without a zone in {how_many(len(unsaid), 'photo')}, others in degrees or with a "
            f"zone: they cannot be compared. Give the zone of each; {unsaid[0]} has none"
        )
    for frame in filter(None, used):
        rows = np.array([each == frame for each in frames])
        positions[rows] = to_degrees(positions[rows], frame)
    return positions, DEGREES


def find_layout(folder: StrPath, split: str = "test") -> tuple[Path, Path] | None:
    """database/ and queries/ in a folder, or in its images/<split>/ or <split>/; else None."""
    for below in ("", f"images/{split}", split):
        database, queries = Path(folder, below, "database"), Path(folder, below, "queries")
        if database.is_dir() and queries.is_dir():
            return database, queries
    return None


def make_dataset(
    database: StrPath,
    queries: StrPath | None = None,
    *,
    name: str = "mine",
    split: str = "test",
    root: StrPath | None = None,
    csv_root: StrPath | None = None,
    zone: str | None = None,
    skip_unknown: bool = False,
    **options: Any,
) -> PlaceDataset:
    """The data set of two sources (folders or CSVs), or of one folder in VPR-datasets-downloader's layout.

    database, queries: folders or CSV files; without `queries`, `database` is a folder in that layout.
    name: of the set.
    split: the part of the layout.
    root: the folder that names are relative to (default: the deepest that holds all photos).
    csv_root: the folder that the names in CSVs are relative to (default: the CSV's own).
    zone: the UTM zone of all positions (default: the first photo's, or another that fits all).
    skip_unknown: whether to leave out photos without a position.
    options: positive_distance (25), nontrivial_distance_squared (100).
    Raises DatasetError, and ArgumentError where there are no queries.
    """
    if queries is None:
        layout = find_layout(database, split) if Path(database).is_dir() else None
        if layout is None:
            raise ArgumentError(
                f"{database}: no queries. Give --queries DIR|CSV, or a folder that holds database/ and "
                f"queries/ (or images/{split}/database and images/{split}/queries)"
            )
        database, queries = layout
    first, second = (read_places(source, root=csv_root, zone=zone) for source in (database, queries))
    common = os.path.commonpath([os.path.abspath(places.root) for places in (first, second)])
    top = Path(root if root is not None else common)
    which = split if split in ("train", "val", "test") else ""
    options |= {"split": which, "skip_unknown": skip_unknown}
    return dataset_from_places(name, _below(first, top), _below(second, top), zone=zone, **options)


def make_dbstruct(
    database: StrPath, queries: StrPath | None, output: StrPath, **options: Any
) -> PlaceDataset:
    """Writes the data set that `make_dataset` returns as a dbStruct .mat file.

    Its names are relative to one folder, the data set's database_root, which load_dbstruct takes as `root`.
    """
    if Path(output).suffix != ".mat":
        raise ArgumentError(f"{output}: a dbStruct file ends in .mat")
    dataset = make_dataset(database, queries, name=Path(output).stem, **options)
    save_dbstruct(dataset, output)
    return dataset


def _below(places: Places, top: Path) -> Places:
    """The same photos with names relative to another folder above them."""
    root, above = os.path.abspath(places.root), os.path.abspath(top)
    moved = [os.path.relpath(os.path.join(root, name), above) for name in places.names]
    outside = [name for name in moved if name.startswith("..")]
    if outside:
        raise DatasetError(f"{outside[0]} is outside the root {top}: give a --root that holds all photos")
    return replace(places, root=f"{above}/", names=[name.replace(os.sep, "/") for name in moved])
