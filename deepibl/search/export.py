"""Answers as files for other programs: CSV, GeoJSON, GPX and KML, a row or a point a query.

A query's point is its answer's estimate, the combined position of the images that agree; spread is how far
these are from it, in metres. CSV and GeoJSON have all queries; GPX and KML those with a position. `deepibl
index --csv` reads such a CSV.
"""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from deepibl.search.answer import Answer, Estimate
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_output

_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML


def export(found: Mapping[str, Answer], path: StrPath, kind: str) -> None:
    """Writes answers by query name. kind: one of FORMATS, which `require_degrees` checks beforehand."""
    with atomic_output(path) as temporary:
        temporary.write_text(FORMATS[kind](found), encoding="utf-8", errors="replace", newline="")


def require_degrees(kind: str, frame: str | None) -> None:
    """Raises ArgumentError for a format that needs latitude and longitude and an index without a zone."""
    if frame is None and kind != "csv":
        raise ArgumentError(
            f"--{kind} needs latitude and longitude, and this index has metres of an unknown zone: use "
            "--csv, or make it again from positions in degrees or with a zone"
        )


def _record(name: str, answer: Answer) -> dict[str, Any]:
    """What is known of a query, by the titles of the CSV."""
    at: dict[str, Any] = (
        asdict(answer.estimate) if answer.estimate else dict.fromkeys(Estimate.__annotations__)
    )
    keys = {"latitude": "lat", "longitude": "lon", "east": "utm_e", "north": "utm_n", "utm_zone": "zone"}
    place = {title: at.get(key) for key, title in keys.items()}
    best = answer[0] if answer else None
    return {
        "name": name, **place, "spread": at["spread"], "images": at["images"], "verdict": answer.verdict,
        "confidence": answer.confidence, "match": best and best.name, "distance": best and best.distance,
        "inliers": best and best.inliers, "map_link": at.get("map_link"),
    }  # fmt: skip


def as_csv(found: Mapping[str, Answer]) -> str:
    """A line a query; cells are empty where something is not known."""
    rows = [_record(*each) for each in found.items()]
    in_degrees = any(match.latitude is not None for answer in found.values() for match in answer)
    titles = (
        [title for title in rows[0] if in_degrees or title not in ("lat", "lon", "map_link")] if rows else []
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, titles, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_geojson(found: Mapping[str, Answer]) -> str:
    """A feature a query (RFC 7946), without geometry where its position is not known."""
    features = []
    for about in (_record(*each) for each in found.items()):
        at = about.pop("lon"), about.pop("lat")
        point = None if None in at else {"type": "Point", "coordinates": at}
        features.append({"type": "Feature", "geometry": point, "properties": about})
    return json.dumps({"type": "FeatureCollection", "features": features}, indent=1) + "\n"


def _placed(found: Mapping[str, Answer]) -> Iterator[tuple[Estimate, dict[str, str]]]:
    """The estimates in degrees, and of each the query's name and what is known of it, for XML."""
    for name, answer in found.items():
        if answer.estimate and answer.estimate.latitude is not None:
            said = {"name": name, "description": f"{answer.summary}; {answer.estimate}"}
            yield answer.estimate, {key: _UNWRITABLE.sub("?", text) for key, text in said.items()}


def as_gpx(found: Mapping[str, Answer]) -> str:
    """A waypoint a query with a position (GPX 1.1)."""
    top = ET.Element("gpx", version="1.1", creator="deepibl", xmlns="http://www.topografix.com/GPX/1/1")
    for at, said in _placed(found):
        point = ET.SubElement(top, "wpt", lat=f"{at.latitude:.7f}", lon=f"{at.longitude:.7f}")
        ET.SubElement(point, "name").text, ET.SubElement(point, "desc").text = said.values()
    return _xml(top)


def as_kml(found: Mapping[str, Answer]) -> str:
    """A placemark a query with a position (KML 2.2)."""
    top = ET.Element("kml", xmlns="http://www.opengis.net/kml/2.2")
    document = ET.SubElement(top, "Document")
    for at, said in _placed(found):
        mark = ET.SubElement(document, "Placemark")
        for tag, text in said.items():
            ET.SubElement(mark, tag).text = text
        ET.SubElement(
            ET.SubElement(mark, "Point"), "coordinates"
        ).text = f"{at.longitude:.7f},{at.latitude:.7f}"
    return _xml(top)


def _xml(top: ET.Element) -> str:
    ET.indent(top)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(top, encoding="unicode")}\n'


FORMATS: dict[str, Callable[[Mapping[str, Answer]], str]] = {
    "csv": as_csv,
    "geojson": as_geojson,
    "gpx": as_gpx,
    "kml": as_kml,
}
