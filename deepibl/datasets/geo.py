"""Positions on the globe: latitude and longitude to UTM metres and back.

A zone is its number and hemisphere, '33N' or '56S'. MGRS's bands of latitude are understood, too, where they
have another letter: C … M are in the southern, P … X in the northern hemisphere. N is both; S is the
hemisphere, though band S is in the north.
"""

import re

import numpy as np
from numpy.typing import ArrayLike

from deepibl.errors import DatasetError

SOUTHERN_OFFSET = 1e7  # metres, added to northings in the southern hemisphere
LATITUDES = (-80.0, 84.0)  # UTM's own limits


def latlon_to_utm(
    latitude: ArrayLike, longitude: ArrayLike, zone: str | None = None
) -> tuple[np.ndarray, str]:
    """UTM positions (N, 2) float64 (east, north in metres, WGS 84) of degrees (N,).

    zone: one zone for all, so that they have distances; by default that of the first known position. NaN
    stays NaN. Returns the positions and the zone.
    Raises DatasetError for degrees out of range (latitude -80 … 84), and where no position is known.
    """
    import utm

    lat, lon = (np.array(v, dtype=np.float64, ndmin=1) for v in (latitude, longitude))
    known = np.isfinite(lat) & np.isfinite(lon)
    wrong = known & ((lat < LATITUDES[0]) | (lat > LATITUDES[1]) | (np.abs(lon) > 180))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DatasetError(
            f"position {first}: latitude {lat[first]}, longitude {lon[first]} is out of range: UTM covers "
            "latitudes -80 to 84 and longitudes -180 to 180 degrees"
        )
    if zone is None:
        if not known.any():
            raise DatasetError("no position is known, so the UTM zone is unknown")
        zone = zone_of(lat[known][0], lon[known][0])
    number, northern = parse_zone(zone)
    positions = np.full((len(lat), 2), np.nan)
    # one hemisphere at a time: the library refuses to mix them, and each has its own origin
    for half, offset in ((known & (lat >= 0), 0.0), (known & (lat < 0), SOUTHERN_OFFSET)):
        if half.any():
            east, north, *_ = utm.from_latlon(lat[half], lon[half], force_zone_number=number)
            origin = 0.0 if northern else SOUTHERN_OFFSET
            positions[half] = np.stack([east, north - offset + origin], axis=1)
    return positions, zone


def utm_to_latlon(east: float, north: float, zone: str) -> tuple[float, float]:
    """Latitude and longitude, in degrees, of a UTM position. Raises DatasetError for an invalid zone."""
    import utm

    number, northern = parse_zone(zone)
    latitude, longitude = utm.to_latlon(east, north, number, northern=northern, strict=False)
    return float(latitude), float(longitude)


def parse_position(text: str, zone: str | None) -> tuple[float, float]:
    """'EAST,NORTH' in metres or 'LAT,LON' in degrees as UTM east, north in metres of a zone.

    Where the zone is known, two numbers within 90 and 180 are degrees: no UTM position is that small.
    Raises DatasetError for anything but two numbers.
    """
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        message = f"a position is EAST,NORTH in metres or LAT,LON in degrees, not {text!r}"
        raise DatasetError(message) from None
    if zone is None or abs(first) > 90 or abs(second) > 180:
        return first, second
    (east, north), *_ = latlon_to_utm(first, second, zone)[0].tolist()
    return east, north


def change_zone(positions: ArrayLike, old: str, new: str) -> np.ndarray:
    """UTM positions (N, 2) in metres of one zone in another; NaN stays NaN. Raises DatasetError."""
    places = np.asarray(positions, dtype=np.float64)
    if old == new:
        return places
    known = np.isfinite(places).all(axis=1)
    changed = np.full(places.shape, np.nan)
    if known.any():
        degrees = np.array([utm_to_latlon(east, north, old) for east, north in places[known]])
        changed[known] = latlon_to_utm(degrees[:, 0], degrees[:, 1], new)[0]
    return changed


def zone_of(latitude: float, longitude: float) -> str:
    """The UTM zone of a position in degrees, like '33N'; Norway's and Svalbard's exceptions included."""
    import utm

    number = utm.latlon_to_zone_number(latitude, longitude)
    return f"{number}{'N' if latitude >= 0 else 'S'}"


def parse_zone(zone: str) -> tuple[int, bool]:
    """A zone's number, and whether it is northern. Raises DatasetError for another string.

    >>> parse_zone("33U"), parse_zone("56S")
    ((33, True), (56, False))
    """
    found = re.fullmatch(r"\s*(\d{1,2})\s*([C-HJ-NP-X])\s*", zone.upper(), re.ASCII)
    if found is None or not 1 <= int(found[1]) <= 60:
        raise DatasetError(
            f"{zone!r} is not a UTM zone: give its number and hemisphere, as in '33N' or '56S'"
        )
    return int(found[1]), found[2] >= "N" and found[2] != "S"


def plain_zone(zone: str) -> str:
    """A zone by its number and hemisphere: '33N' for '33U'. Raises DatasetError for another string."""
    number, northern = parse_zone(zone)
    return f"{number}{'N' if northern else 'S'}"


def map_link(latitude: float, longitude: float) -> str:
    """An OpenStreetMap link with a marker at a position in degrees."""
    at = f"{latitude:.6f}", f"{longitude:.6f}"
    return f"https://www.openstreetmap.org/?mlat={at[0]}&mlon={at[1]}#map=19/{at[0]}/{at[1]}"
