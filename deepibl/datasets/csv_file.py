"""CSV files of photos and their positions.

A CSV has a header with `name` and either `lat`, `lon` (degrees) or `utm_e`, `utm_n` (metres, with an optional
`zone` like 33N); degrees are preferred where it has both. Names are relative to the CSV's folder, or to a
given root.
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepibl.datasets.geo import parse_zone
from deepibl.errors import DatasetError

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
    """A photo's position: latitude, longitude; or east, north in a zone (None: unknown)."""

    kind: str  # 'degrees' or 'metres'
    first: float
    second: float
    zone: str | None = None


def read_csv(path: Path) -> tuple[list[str], list[Fix | None]]:
    """The names and positions that a CSV file lists; raises DatasetError with the invalid rows."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except (csv.Error, UnicodeDecodeError) as problem:
        raise DatasetError(f"{path} is not a CSV file in UTF-8: {problem}") from None
    columns = _columns(rows[0] if rows else [], path)
    fixes: dict[str, Fix | None] = {}  # by name, in the file's order
    problems: list[str] = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = {key: row[at].strip() if at < len(row) else "" for key, at in columns.items()}
        try:
            if not cells["name"]:
                raise ValueError("it has no name")
            if cells["name"] in fixes:
                raise ValueError(f"{cells['name']} is listed twice")
            fixes[cells["name"]] = _fix_of_row(cells)
        except (ValueError, DatasetError) as problem:
            problems.append(f"  row {number}: {problem}")
    if problems:
        more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        shown = "\n".join(problems[:_SHOWN])
        raise DatasetError(f"{path}: {len(problems)} rows are invalid:\n{shown}{more}")
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
            raise ValueError(f"{column} must be a number; got {cells[column]!r}") from None
        if not np.isfinite(values[-1]):
            raise ValueError(
                f"{column} is {cells[column]!r}; leave both cells empty where the position is unknown"
            )
    if kind == "degrees" and not (abs(values[0]) <= 90 and abs(values[1]) <= 180):
        raise ValueError(f"lat {values[0]}, lon {values[1]} is out of range (are they swapped?)")
    zone = cells.get("zone") or None
    if zone:
        parse_zone(zone)
    return Fix(kind, values[0], values[1], zone)
