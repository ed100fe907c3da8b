"""Data sets of one's own: a folder of photos with GPS in EXIF (or positions in their names), or a CSV.

A CSV has a header with `name` and either `lat`, `lon` (degrees) or `utm_e`, `utm_n` (metres, with an optional
`zone` like 33N); degrees are preferred where both are there. Names are below the CSV's folder, or a root
that is given. A photo called @east@north@zone number@band@….jpg, or @east@north@….jpg, stands where its
name says. All positions of a data set are in one UTM zone, so that their distances make sense.

dbStruct files from folders, CSV files and the layout that VPR-datasets-downloader makes.

That layout has images/<split>/database and images/<split>/queries with photos whose names say where they
stand, @utm_east@utm_north@zone@band@lat@lon@pano@tile@heading@pitch@roll@height@timestamp@note@.jpg (only
the first two need to be there).
"""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepibl.datasets.geo import LATITUDES, latlon_to_utm, parse_zone, photo_position, utm_to_latlon, zone_of
from deepibl.datasets.place import PlaceDataset, save_dbstruct
from deepibl.errors import DatasetError
from matlab_compat.errors import ArgumentError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

COLUMNS = {
    "name": ("name", "file", "filename", "image", "path", "photo"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "lng", "long", "longitude"),
    "utm_e": ("utm_e", "utm_east", "east", "easting"),
    "utm_n": ("utm_n", "utm_north", "north", "northing"),
    "zone": ("zone", "utm_zone"),
}

_SHOWN = 10


class Fix(NamedTuple):
    """Where a photo stands: latitude, longitude; or east, north in a zone (None: it is not said)."""

    kind: str  # 'degrees' or 'metres'
    first: float
    second: float
    zone: str | None = None


@dataclass(frozen=True)
class Places:
    """Photos and where they stand: names below root, positions (N, 2) float64 (NaN: unknown) in one UTM zone.

    problems: photos whose position could not be read, with the reason.
    """

    root: str
    names: list[str]
    positions: np.ndarray
    utm_zone: str | None = None
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def unknown(self) -> list[str]:
        """The names of photos without a position."""
        return [self.names[i] for i in np.flatnonzero(~np.isfinite(self.positions).all(axis=1))]

    def subset(self, ids: Sequence[int] | np.ndarray) -> "Places":
        """The photos of these 0-based ids."""
        names = [self.names[i] for i in ids]
        return Places(self.root, names, self.positions[np.asarray(ids, dtype=int)], self.utm_zone)

    def known(self) -> "Places":
        """The photos that have a position."""
        return self.subset(np.flatnonzero(np.isfinite(self.positions).all(axis=1)))


def read_places(
    source: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None, zone: str | None = None
) -> Places:
    """Photos and positions of a folder or a CSV file; see the module.

    root: the folder that a CSV's names are below (default: the CSV's own). zone: the UTM zone for all of
    them, by default that of the first photo whose position is known. Errors: DatasetError for a source that
    is not there or holds no photos, and for rows of a CSV that cannot be used (all of them are listed, with
    their row numbers).
    """
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        names, fixes, problems = _folder(path)
        folder = path
    elif path.is_file():
        names, fixes = _csv(path)
        folder, problems = Path(os.path.expanduser(root)) if root is not None else path.parent, []
    else:
        raise DatasetError(f"{path} is neither a folder of photos nor a CSV file: it is not there")
    if not names:
        raise DatasetError(f"{path} holds no photos (looked for {', '.join(IMAGE_SUFFIXES)})")
    positions, used = _in_one_zone(names, fixes, zone)
    return Places(str(folder), names, positions, used, problems)


def dataset_from_places(
    name: str, database: Places, queries: Places, *, skip_unknown: bool = False, **options: Any
) -> PlaceDataset:
    """The PlaceDataset of database and query photos; options (posDistThr …) are PlaceDataset's.

    skip_unknown: leave photos without a position out instead of refusing them.
    Errors: DatasetError for photos without a position, and for sets in different UTM zones.
    """
    if database.utm_zone != queries.utm_zone:
        raise DatasetError(
            f"database positions are in UTM zone {database.utm_zone or 'unknown'}, "
            f"query positions in {queries.utm_zone or 'unknown'}: "
            "read both with the same zone"
        )
    for kind, places in (("database", database), ("query", queries)):
        unknown = places.unknown
        if unknown and not skip_unknown:
            more = " …" if len(unknown) > _SHOWN else ""
            raise DatasetError(
                f"{len(unknown)} of {len(places)} {kind} photos have no position in EXIF, name or CSV row: "
                f"{', '.join(unknown[:_SHOWN])}{more}. Add them to a CSV, or leave them out with skip_unknown"
            )
    database, queries = database.known(), queries.known()
    return PlaceDataset(
        name,
        database.names,
        database.positions,
        queries.names,
        queries.positions,
        dbPath=database.root,
        qPath=queries.root,
        utm_zone=database.utm_zone,
        **options,
    )


def read_dataset(
    name: str,
    database: str | os.PathLike[str],
    queries: str | os.PathLike[str],
    *,
    zone: str | None = None,
    skip_unknown: bool = False,
    **options: Any,
) -> PlaceDataset:
    """The data set of two sources (folders or CSV files): read_places and dataset_from_places in one."""
    first = read_places(database, zone=zone)
    second = read_places(queries, zone=zone or first.utm_zone)
    return dataset_from_places(name, first, second, skip_unknown=skip_unknown, **options)


def _folder(folder: Path) -> tuple[list[str], list[Fix | None], list[str]]:
    files = sorted(file for file in folder.rglob("*") if _is_photo(file))
    names, fixes, problems = [file.relative_to(folder).as_posix() for file in files], [], []
    for file, name in zip(files, names, strict=True):
        fix = _fix_of_name(file.name)
        if fix is None:
            try:
                degrees = photo_position(file)
                fix = Fix("degrees", *degrees) if degrees else None
            except DatasetError as problem:
                problems.append(f"{name}: {problem}")
        fixes.append(fix)
    return names, fixes, problems


def _is_photo(file: Path) -> bool:
    """Hidden files are none: what a killed run was writing is called so, and macOS's notes beside photos."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()


def _fix_of_name(name: str) -> Fix | None:
    parts = name.split("@")
    if len(parts) < 4 or parts[0]:
        return None
    try:
        east, north = float(parts[1]), float(parts[2])
    except ValueError:
        return None
    if len(parts) > 5 and parts[3].isdigit() and len(parts[4]) == 1 and parts[4].isalpha():
        # bands N to X lie north of the equator
        return Fix("metres", east, north, f"{int(parts[3])}{'N' if parts[4].upper() >= 'N' else 'S'}")
    return Fix("metres", east, north)


def _csv(path: Path) -> tuple[list[str], list[Fix | None]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            sample = file.read(4096)
            file.seek(0)
            header_line = sample.splitlines()[0] if sample else ""
            delimiter = max(",;\t", key=header_line.count)
            rows = list(csv.reader(file, delimiter=delimiter))
    except (csv.Error, UnicodeDecodeError) as problem:
        raise DatasetError(f"{path} is no CSV file in UTF-8: {problem}") from None
    columns = _columns(rows[0] if rows else [], path)
    fixes: dict[str, Fix | None] = {}  # by name, in the file's order
    problems: list[str] = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = {key: row[at].strip() if at < len(row) else "" for key, at in columns.items()}
        try:
            if not cells["name"] or cells["name"] in fixes:
                raise ValueError(
                    "it has no name" if not cells["name"] else f"{cells['name']} was listed before"
                )
            fixes[cells["name"]] = _fix_of_row(cells)
        except (ValueError, DatasetError) as problem:
            problems.append(f"  row {number}: {problem}")
    if problems:
        more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        shown = "\n".join(problems[:_SHOWN])
        raise DatasetError(f"{path}: {len(problems)} rows cannot be used:\n{shown}{more}")
    return list(fixes), list(fixes.values())


def _columns(header: list[str], path: Path) -> dict[str, int]:
    titles = [title.strip().lower() for title in header]
    found = {key: titles.index(word) for key, words in COLUMNS.items() for word in words if word in titles}
    degrees, metres = {"lat", "lon"} <= found.keys(), {"utm_e", "utm_n"} <= found.keys()
    if "name" not in found or not (degrees or metres):
        raise DatasetError(
            f"{path}: the first row must name the columns: name and lat, lon (or utm_e, utm_n, and zone "
            f"if known); found {', '.join(header) or 'nothing'}"
        )
    unused = ("utm_e", "utm_n", "zone") if degrees else ("lat", "lon")
    return {key: at for key, at in found.items() if key not in unused}


def _fix_of_row(cells: dict[str, str]) -> Fix | None:
    kind, first, second = ("degrees", "lat", "lon") if "lat" in cells else ("metres", "utm_e", "utm_n")
    if not cells[first] and not cells[second]:
        return None
    values = []
    for column in (first, second):
        try:
            values.append(float(cells[column]))
        except ValueError:
            raise ValueError(f"{column} is {cells[column]!r}, no number") from None
        if not np.isfinite(values[-1]):
            raise ValueError(
                f"{column} is {cells[column]!r}; leave both cells empty where the position is unknown"
            )
    if kind == "degrees" and not (LATITUDES[0] <= values[0] <= LATITUDES[1] and abs(values[1]) <= 180):
        raise ValueError(f"lat {values[0]}, lon {values[1]} is out of range (are they exchanged?)")
    zone = cells.get("zone") or None
    if zone:
        parse_zone(zone)
    return Fix(kind, values[0], values[1], zone)


def _in_one_zone(
    names: list[str], fixes: list[Fix | None], zone: str | None
) -> tuple[np.ndarray, str | None]:
    """Positions (N, 2) of all fixes in one zone (by default the first one's), and that zone."""
    positions = np.full((len(fixes), 2), np.nan)
    known = [(i, fix) for i, fix in enumerate(fixes) if fix is not None]
    if zone is None:
        zone = next((_zone(fix) for _, fix in known if _zone(fix)), None)
    unsaid = [names[i] for i, fix in known if _zone(fix) is None]
    if unsaid and len(unsaid) < len(known):
        raise DatasetError(
            f"{len(unsaid)} photos have UTM positions without a zone, {len(known) - len(unsaid)} have "
            f"degrees or a zone: they cannot be compared. Say the zone of each; {unsaid[0]} has none"
        )
    degrees = {i: (fix.first, fix.second) for i, fix in known if fix.kind == "degrees"}
    for i, fix in known:
        if fix.kind == "metres":
            positions[i] = fix.first, fix.second
            if fix.zone is not None and zone is not None and parse_zone(fix.zone) != parse_zone(zone):
                degrees[i] = utm_to_latlon(fix.first, fix.second, fix.zone)
    if degrees:
        lat, lon = zip(*degrees.values(), strict=True)
        positions[list(degrees)], zone = latlon_to_utm(lat, lon, zone)
    return positions, zone


def _zone(fix: Fix) -> str | None:
    return fix.zone if fix.kind == "metres" else zone_of(fix.first, fix.second)


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
    from deepibl.datasets.pitts_tokyo import TokyoTimeMachine

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
