"""Map tiles of another server, below the page's map: pictures of Web Mercator's squares."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deepibl.datasets.geo import DEGREES, map_metres
from deepibl.report.charts import Frame
from matlab_compat.errors import ArgumentError

OPENSTREETMAP = "© OpenStreetMap contributors"
_ROUND, _SIDE, _DEEPEST = 40_075_017.0, 512, 19  # metres around the equator, pixels of a tile as it is drawn
_WIDEST = 400_000.0  # metres: on a map of more, squares are none any more


@dataclass(frozen=True)
class Tiles:
    """url: of a tile, with {z}, {x} and {y}; attribution: whom the map has to name. Raises ArgumentError."""

    url: str
    attribution: str = OPENSTREETMAP

    def __post_init__(self) -> None:
        wanted = all(f"{{{part}}}" in self.url for part in "zxy")
        if not wanted or not re.fullmatch(r"https?://[\w.:-]+/[^\s\"'<>]*", self.url, re.ASCII):
            raise ArgumentError(
                "--tiles takes the address of a tile server with {z}, {x} and {y} in it, as in "
                f"https://tile.openstreetmap.org/{{z}}/{{x}}/{{y}}.png; got {self.url!r}"
            )

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return "/".join(self.url.split("/")[:3])

    def below(self, centre: np.ndarray, frame: Frame, scale: float) -> Iterator[tuple[str, Frame]]:
        """Address and frame of each tile that a map shows, in metres around `centre` (degrees).

        scale: the map's pixels a metre. Nothing for a map that is wider than 400 km, or near a pole.
        """
        west, south, east, north = frame
        latitude, longitude = centre.tolist()
        if max(east - west, north - south) > _WIDEST or abs(latitude) > 80:
            return
        around = _ROUND * math.cos(math.radians(latitude))
        zoom = min(_DEEPEST, max(0, round(math.log2(around * scale / _SIDE))))
        corners = [(north, west), (south, east)]
        first, last = (
            _number(latitude + 360 * n / _ROUND, longitude + 360 * e / around, zoom) for n, e in corners
        )
        for y in range(first[1], last[1] + 1):
            for x in range(first[0], last[0] + 1):
                edges = [_corner(x + i, y + i, zoom) for i in (0, 1)]
                (left, top), (right, bottom) = map_metres(edges, centre, DEGREES).tolist()
                url = self.url.replace("{z}", str(zoom)).replace("{x}", str(x % 2**zoom))
                yield url.replace("{y}", str(y)), (left, bottom, right, top)


def _number(latitude: float, longitude: float, zoom: int) -> tuple[int, int]:
    """The tile (x, y) of a place; x goes on beyond the date line."""
    y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2
    return math.floor((longitude + 180) / 360 * 2**zoom), math.floor(y * 2**zoom)


def _corner(x: int, y: int, zoom: int) -> tuple[float, float]:
    """Latitude and longitude of a tile's upper left corner."""
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**zoom)))), x / 2**zoom * 360 - 180
