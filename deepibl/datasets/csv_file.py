"""CSV files of photos and their positions, as spreadsheets, exiftool and other programs write them.

A CSV has a header with `name` and either `lat`, `lon` (degrees) or `utm_e`, `utm_n` (metres, with an optional
`zone` like 33N); degrees are preferred where it has both. `exiftool -csv` writes SourceFile, GPSLatitude and
GPSLongitude, with or without -n. Names are relative to the CSV's folder, or to a given root.

Commas, semicolons, tabs or bars separate the cells; a first line sep=; names the separator. Numbers may have
a decimal comma, and no marks of thousands. What has two readings is refused with its line.
"""

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

from deepibl.datasets.degrees import parse_degrees, signed_degrees
from deepibl.datasets.geo import plain_zone
from deepibl.errors import DatasetError
from deepibl.runtime.text_files import find_file, read_text
from matlab_compat.files import StrPath

COLUMNS = {  # titles in small letters, without spaces, underscores and units
    "name": (
        "name", "sourcefile", "file", "filename", "filepath", "image", "imagename", "path", "photo",
    ),
    "lat": ("lat", "latitude", "gpslatitude", "gpslat"),
    "lon": ("lon", "lng", "long", "longitude", "gpslongitude", "gpslon", "gpslong"),
    "lat_letter": ("gpslatituderef", "latituderef", "latref"),
    "lon_letter": ("gpslongituderef", "longituderef", "lonref"),
    "utm_e": ("utme", "utmeast", "east", "easting"),
    "utm_n": ("utmn", "utmnorth", "north", "northing"),
    "zone": ("zone", "utmzone"),
}  # fmt: skip
_DEGREES = {"lat": "latitude", "lon": "longitude"}
_METRES = ("utm_e", "utm_n")
_END = "\x02"  # a line after the last one: swallowed by a quote that is not closed
_SHOWN = 10


class Fix(NamedTuple):
    """A photo's position: latitude, longitude; or east, north in a zone (None: unknown)."""

    kind: str  # 'degrees' or 'metres'
    first: float
    second: float
    zone: str | None = None


Row = tuple[int, dict[str, str]]  # the number of its last line; its cells by the keys of COLUMNS


def read_csv(path: Path, root: StrPath) -> tuple[list[str], list[Fix | None]]:
    """The names, as files below `root` have them, and the positions that a CSV file lists.

    Raises DatasetError for another file, and for invalid rows, listed with their lines.
    """
    rows = _rows(read_text(path, DatasetError, names=True), path)
    commas = any("," in cells.get(key, "") for _, cells in rows for key in _METRES)
    fixes: dict[str, Fix | None] = {}  # by name, in the file's order
    problems: list[str] = []
    for number, cells in rows:
        try:
            if not cells["name"]:
                raise ValueError("it has no name")
            if cells[""]:
                raise ValueError("it has cells beyond the last column: put numbers with a comma in quotes")
            name = find_file(root, cells["name"])
            if name in fixes:
                raise ValueError(f"{name} is listed twice")
            fixes[name] = _degrees(cells) if cells.keys() >= _DEGREES.keys() else _metres(cells, commas)
        except (ValueError, DatasetError) as problem:
            problems.append(f"  line {number}: {problem}")
    if problems:
        more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        shown = "\n".join(problems[:_SHOWN])
        hint = "where the position is unknown, leave both cells empty"
        count = "1 row is" if len(problems) == 1 else f"{len(problems)} rows are"
        raise DatasetError(f"{path}: {count} invalid ({hint}):\n{shown}{more}")
    return list(fixes), list(fixes.values())


def _rows(text: str, path: Path) -> list[Row]:
    """The rows below the header, with the separator that gives the columns; raises DatasetError."""
    said = re.match(r'"?sep=([,;|:\t])"?[^\n]*\n', text, re.IGNORECASE)
    body = text[said.end() :] if said else text
    found: list[str] = []
    for separator in [said[1]] if said else [",", ";", "\t", "|"]:
        table = io.StringIO(f"{body}\n{_END}\n")
        reader = csv.reader(table, delimiter=separator, skipinitialspace=True)
        try:
            header = next((row for row in reader if any(map(str.strip, row))), [])
            columns = _columns(header)
            if not columns:
                found = max(found, header, key=len)
                continue
            rows = [(reader.line_num + bool(said), row) for row in reader if any(map(str.strip, row))]
        except csv.Error as problem:
            raise DatasetError(f"{path}: line {reader.line_num + bool(said)}: {problem}") from None
        if not rows or rows.pop()[1] != [_END]:
            raise DatasetError(f"{path}: a quote is opened and not closed before the end of the file")
        columns |= {"": len(header)}  # cells beyond the last column
        cells = [{key: "".join(row[at : at + 1]).strip() for key, at in columns.items()} for _, row in rows]
        return [(number, each) for (number, _), each in zip(rows, cells, strict=True)]
    raise DatasetError(
        f"{path}: the first row must name the columns: name and lat, lon (or utm_e, utm_n, and zone "
        f"if known); found {found if found != [_END] else 'nothing'!s:.200}"
    )


def _columns(header: list[str]) -> dict[str, int]:
    """The positions of the columns that are used, by the keys of COLUMNS; {} without name and position.

    Of exiftool's groups (EXIF:GPSLatitude) Composite comes first: it has signs or letters.
    """
    titles = [re.sub(r"[\s_-]|[\[(].*", "", title).lower() for title in header]
    found = {}
    for key, words in COLUMNS.items():
        at = [i for word in words for i, title in enumerate(titles) if title.rpartition(":")[2] == word]
        if at:
            found[key] = next((i for i in at if titles[i].startswith("composite:")), at[0])
    if found.keys() >= {"name", *_DEGREES}:
        return {key: at for key, at in found.items() if key not in (*_METRES, "zone")}
    return found if found.keys() >= {"name", *_METRES} else {}


def _degrees(cells: dict[str, str]) -> Fix | None:
    if all(cells[key] in ("", "-") for key in _DEGREES):  # exiftool -f writes - for a tag that is missing
        return None
    values = []
    for key, axis in _DEGREES.items():
        parts, letter = parse_degrees(cells[key])
        said = cells.get(f"{key}_letter", "").strip("-")
        if letter and said and said[0].upper() != letter:
            raise ValueError(f"{key} is {cells[key]!r}, its letter in another column {said!r}")
        values.append(signed_degrees(parts, letter or said, axis))
    return Fix("degrees", values[0], values[1])


def _metres(cells: dict[str, str], commas: bool) -> Fix | None:
    """commas: whether this file has metres with commas."""
    if not any(cells[key] for key in _METRES):
        return None
    east, north = (_number(cells[key], commas) for key in _METRES)
    zone = cells.get("zone") or None
    if zone and zone[-1:] in "sS" and 3.5e6 < north < 4.5e6:
        raise ValueError(
            f"zone {zone} may be band S, in the north, or the southern hemisphere: write "
            f"{zone[:-1]}N, or {zone[:-1]}F for the south"
        )
    return Fix("metres", east, north, plain_zone(zone) if zone else None)


def _number(text: str, commas: bool) -> float:
    """A number with a decimal point or comma."""
    if re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", text) or (commas and "." in text):
        raise ValueError(f"{text!r} has a decimal mark or one of thousands: leave out the latter")
    if not re.fullmatch(r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d{1,2})?", text, re.IGNORECASE):
        raise ValueError(f"{text!r} is not a number of metres")
    return float(text.replace(",", "."))
