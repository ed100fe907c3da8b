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
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from deepibl.search.answer import Answer, Estimate
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_output

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
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
    at: Any = answer.estimate or Estimate(images=0, spread=None)
    best = {} if not answer else answer[0].as_dict()
    record = {"name": name, "lat": at.latitude, "lon": at.longitude, "utm_e": at.east, "utm_n": at.north}
    record |= {"zone": at.utm_zone, "spread": at.spread, "images": at.images}
    record |= {"verdict": answer.verdict, "confidence": answer.confidence, "match": best.get("name")}
    record |= {"distance": best.get("distance"), "inliers": best.get("inliers"), "map_link": at.map_link}
    return record


def as_csv(found: Mapping[str, Answer]) -> str:
    """A line a query; cells are empty where something is not known."""
    rows = [_record(*each) for each in found.items()]
    in_degrees = any(match.latitude is not None for answer in found.values() for match in answer)
    titles = [each for each in _record("", Answer()) if in_degrees or each not in ("lat", "lon", "map_link")]
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


def as_gpx(found: Mapping[str, Answer]) -> str:
    """A waypoint a query with a position (GPX 1.1)."""
    points = [
        f'<wpt lat="{at.latitude:.7f}" lon="{at.longitude:.7f}"><name>{name}</name><desc>{said}</desc></wpt>'
        for at, name, said in _placed(found)
    ]
    head = '<gpx version="1.1" creator="deepibl" xmlns="http://www.topografix.com/GPX/1/1">'
    return "\n".join([_XML, head, *points, "</gpx>", ""])


def as_kml(found: Mapping[str, Answer]) -> str:
    """A placemark a query with a position (KML 2.2)."""
    marks = [
        f"<Placemark><name>{name}</name><description>{said}</description>"
        f"<Point><coordinates>{at.longitude:.7f},{at.latitude:.7f}</coordinates></Point></Placemark>"
        for at, name, said in _placed(found)
    ]
    head = '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
    return "\n".join([_XML, head, *marks, "</Document></kml>", ""])


def _placed(found: Mapping[str, Answer]) -> Iterator[tuple[Estimate, str, str]]:
    """The estimates in degrees, and of each the query's name and what is known of it, as XML."""
    for query, answer in found.items():
        if answer.estimate and answer.estimate.latitude is not None:
            name, said = (
                escape(_UNWRITABLE.sub("?", each)) for each in (query, f"{answer.summary}; {answer.estimate}")
            )
            yield answer.estimate, name, said


FORMATS = {"csv": as_csv, "geojson": as_geojson, "gpx": as_gpx, "kml": as_kml}
