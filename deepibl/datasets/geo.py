"""Positions on the globe: degrees, UTM metres, distances on the ground and directions on a map.

A frame says what positions (N, 2) are: DEGREES (latitude and longitude, WGS 84), a UTM zone such as '33N'
(east and north in metres), or None (east and north in metres of an unknown zone, or of no zone). Metres are
measured as on a plane. Degrees are measured through the earth, and turned into arcs (exact to a millimetre up
to 10 km, to 0.5 % across oceans), so that zones, the date line and the poles make no difference.

A zone is its number and hemisphere, '33N' or '56S'. MGRS's bands of latitude are understood, too, where they
have another letter: C … M are in the southern, P … X in the northern hemisphere. N is both; S is the
hemisphere, though band S is in the north.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from deepibl.errors import DatasetError

DEGREES = "degrees"
SOUTHERN_OFFSET = 1e7  # metres, added to northings in the southern hemisphere
LATITUDES = (-80.0, 84.0)  # UTM's own limits
_AXIS, _FLATTENING = 6378137.0, 1 / 298.257223563  # of WGS 84's ellipsoid
_RADIUS = 6371008.8  # its mean radius in metres
# how far from a zone's middle, in metres and in degrees of longitude, its scale is within 0.15 % of 1
_REACH, _WIDEST = 390_000.0, 6.5


def latlon_to_utm(
    latitude: ArrayLike, longitude: ArrayLike, zone: str | None = None
) -> tuple[np.ndarray, str]:
    """UTM positions (N, 2) float64 (east, north in metres, WGS 84) of degrees (N,).

    zone: one zone for all, so that they have distances; by default that of the first known position. NaN
    stays NaN. Returns the positions and the zone.
    Raises DatasetError for degrees out of range (latitude -80 … 84), for a position so far from the zone that
    its metres are not true, and where no position is known.
    """
    import utm

    lat, lon = (np.array(v, dtype=np.float64, ndmin=1) for v in (latitude, longitude))
    known = np.isfinite(lat) & np.isfinite(lon)
    wrong = known & ((lat < LATITUDES[0]) | (lat > LATITUDES[1]) | (np.abs(lon) > 180))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        place = f"position {first}: latitude {lat[first]}, longitude {lon[first]}"
        covered = "latitudes -80 to 84 and longitudes -180 to 180 degrees"
        raise DatasetError(f"{place} is out of range: UTM covers {covered}")
    if zone is None:
        if not known.any():
            raise DatasetError("no position is known, so the UTM zone is unknown")
        zone = str(zone_of(lat[known][0], lon[known][0]))
    far = np.flatnonzero(known & ~_fits(np.stack([lat, lon], axis=1), zone))
    if len(far):
        raise DatasetError(
            f"position {far[0]}: latitude {lat[far[0]]}, longitude {lon[far[0]]} is not in or near UTM zone "
            f"{zone}, in whose metres distances would be wrong there"
        )
    number, northern = parse_zone(zone)
    positions = np.full((len(lat), 2), np.nan)
    # one hemisphere at a time: the library refuses to mix them, and each has its own origin
    origin = 0.0 if northern else SOUTHERN_OFFSET
    for half, offset in ((known & (lat >= 0), 0.0), (known & (lat < 0), SOUTHERN_OFFSET)):
        if half.any():
            east, north, *_ = utm.from_latlon(lat[half], lon[half], force_zone_number=number)
            positions[half] = np.stack([east, north - offset + origin], axis=1)
    return positions, zone


def utm_to_latlon(east: float, north: float, zone: str) -> tuple[float, float]:
    """Latitude and longitude, in degrees, of a UTM position. Raises DatasetError for an invalid zone."""
    latitude, longitude = to_degrees([[east, north]], zone)[0].tolist()
    return latitude, longitude


def to_degrees(positions: ArrayLike, frame: str) -> np.ndarray:
    """Latitude and longitude (N, 2) of positions (N, 2) in degrees or a UTM zone; NaN stays NaN.

    Raises DatasetError for metres so far from the zone that they are not those of a place.
    """
    import utm

    places = np.array(positions, dtype=np.float64, ndmin=2)
    if frame == DEGREES:
        return places
    number, northern = parse_zone(frame)
    known = np.isfinite(places).all(axis=1)
    degrees = np.full(places.shape, np.nan)
    if known.any():
        east, north = places[known].T
        farthest = east[np.abs(east - 500_000).argmax()]
        if abs(farthest - 500_000) > 1e6:
            raise DatasetError(f"{farthest:.0f} m east is not in or near zone {frame}")
        degrees[known] = np.stack(utm.to_latlon(east, north, number, northern=northern, strict=False), axis=1)
    return degrees


def parse_position(text: str, frame: str | None) -> tuple[float, float]:
    """A position of an index's frame, DEGREES or None, from 'LAT,LON', 'EAST,NORTH,ZONE' or 'EAST,NORTH'.

    EAST,NORTH alone are metres of frame None, the only form that it takes.
    Raises DatasetError for another form, and for degrees beyond 90 and 180.
    """
    first, *others = text.split(",")
    try:
        position = float(first), float(others[0])
        known = np.isfinite(position).all()
        if known and len(others) == 1 and (frame is None or (np.abs(position) <= (90, 180)).all()):
            return position
        if known and len(others) == 2 and frame == DEGREES:
            return utm_to_latlon(*position, others[1].strip())
    except (IndexError, ValueError):
        pass
    forms = "LAT,LON in degrees (within 90 and 180) or EAST,NORTH,ZONE in metres, as in 390100,6170000,33N"
    wanted = forms if frame else "EAST,NORTH in metres: the index does not know its UTM zone"
    raise DatasetError(f"{text!r} is not a position: give {wanted}")


def in_space(positions: ArrayLike, frame: str | None) -> np.ndarray:
    """Points (…, 3) in metres, from the centre of the earth or on a plane, of positions (…, 2)."""
    places = np.asarray(positions, dtype=np.float64)
    if frame != DEGREES:
        return np.concatenate([places, np.zeros_like(places[..., :1])], axis=-1)
    latitude, longitude = np.radians(places[..., 0]), np.radians(places[..., 1])
    squeezed = (1 - _FLATTENING) ** 2
    normal = _AXIS / np.sqrt(1 - (1 - squeezed) * np.sin(latitude) ** 2)
    across = normal * np.cos(latitude)
    x, y, z = across * np.cos(longitude), across * np.sin(longitude), normal * squeezed * np.sin(latitude)
    return np.stack([x, y, z], axis=-1)


def arc(straight: ArrayLike, frame: str | None) -> np.ndarray:
    """Metres on the ground of straight distances between points of `in_space`."""
    metres = np.asarray(straight, dtype=np.float64)
    return 2 * _RADIUS * np.arcsin(np.minimum(metres / (2 * _RADIUS), 1)) if frame == DEGREES else metres


def metres_between(first: ArrayLike, second: ArrayLike, frame: str | None) -> np.ndarray:
    """Metres on the ground between positions (…, 2) of one frame, NaN where one is unknown."""
    difference = in_space(first, frame) - in_space(second, frame)
    return arc(np.linalg.norm(difference, axis=-1), frame)


def map_metres(positions: ArrayLike, centre: ArrayLike, frame: str | None) -> np.ndarray:
    """East and north (N, 2) in metres of positions (N, 2) from a centre (2,), to be drawn on a map.

    Degrees are mapped azimuthally: distances and directions from the centre are true, anywhere.
    """
    if frame != DEGREES:
        return np.asarray(positions, np.float64) - np.asarray(centre, np.float64)
    latitude, longitude = np.radians(np.asarray(centre, np.float64))
    east = [-np.sin(longitude), np.cos(longitude), 0.0]
    north = np.cross([np.cos(latitude) * east[1], -np.cos(latitude) * east[0], np.sin(latitude)], east)
    flat = (in_space(positions, frame) - in_space(centre, frame)) @ np.stack([east, north], axis=1)
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    return flat / np.where(length > 0, length, 1) * metres_between(positions, centre, frame)[..., None]


def common_zone(degrees: np.ndarray) -> str | None:
    """The UTM zone on whose plane all positions (N, 2) in degrees have true distances, if there is one.

    True means within 0.15 %, as it is up to 60 km beyond a zone's border. The first one's zone is preferred.
    """
    known = degrees[np.isfinite(degrees).all(axis=1)]
    zone = zone_of(*known[0]) if len(known) else None
    if zone is None:
        return None
    numbers = np.unique((known[:, 1] + 180) // 6 % 60 + 1).astype(int).tolist()
    candidates = dict.fromkeys([zone, *(f"{number}{zone[-1]}" for number in numbers)])
    return next((each for each in candidates if _fits(known, each).all()), None)


def _fits(degrees: np.ndarray, zone: str) -> np.ndarray:
    """Whether each position (N, 2) in degrees is where a zone's metres are true: bool (N,)."""
    latitude, longitude = degrees.T
    off = np.abs((longitude - (6 * parse_zone(zone)[0] - 183) + 180) % 360 - 180)
    near = (off <= _WIDEST) & (np.radians(off) * _AXIS * np.cos(np.radians(latitude)) <= _REACH)
    return near & (latitude >= LATITUDES[0]) & (latitude <= LATITUDES[1])


def in_one_frame(
    parts: Sequence[tuple[np.ndarray, str | None]], zone: str | None = None
) -> tuple[list[np.ndarray], str | None]:
    """Positions (N, 2) of several frames in one: metres of one plane where distances stay true, else degrees.

    zone: the UTM zone that is wanted.
    Raises DatasetError where only some are known on the globe, and for a zone without true distances.
    """
    frames = {frame for positions, frame in parts if np.isfinite(positions).all(axis=1).any()}
    frame = next(iter(frames), parts[0][1])
    if len(frames) <= 1 and frame != DEGREES and (zone is None or plain_zone(zone) == frame):
        return [positions for positions, _ in parts], frame
    if None in frames:
        known = ", ".join(str(each or "an unknown UTM zone") for each in sorted(frames, key=str))
        remedy = "give the zone of each (a column zone, utmZone)"
        raise DatasetError(f"positions in {known} cannot be compared: {remedy}")
    degrees = [to_degrees(positions, frame or DEGREES) for positions, frame in parts]
    plane = plain_zone(zone) if zone else common_zone(np.concatenate(degrees))
    if plane is None:
        return degrees, DEGREES
    return [latlon_to_utm(each[:, 0], each[:, 1], plane)[0] for each in degrees], plane


def zone_of(latitude: float, longitude: float) -> str | None:
    """A position's UTM zone, like '33N', with Norway's and Svalbard's exceptions; None beyond -80 and 84."""
    import utm

    if not LATITUDES[0] <= latitude <= LATITUDES[1]:
        return None
    return f"{utm.latlon_to_zone_number(latitude, longitude)}{'N' if latitude >= 0 else 'S'}"


def parse_zone(zone: str) -> tuple[int, bool]:
    """A zone's number, and whether it is northern. Raises DatasetError for another string.

    >>> parse_zone("33U"), parse_zone("56S")
    ((33, True), (56, False))
    """
    found = re.fullmatch(r"\s*(\d{1,2})\s*([C-HJ-NP-X])\s*", zone.upper(), re.ASCII)
    if found is None or not 1 <= int(found[1]) <= 60:
        raise DatasetError(f"{zone!r} is not a UTM zone: give number and hemisphere, as in '33N' or '56S'")
    return int(found[1]), found[2] >= "N" and found[2] != "S"


def plain_zone(zone: str) -> str:
    """A zone by its number and hemisphere: '33N' for '33U'. Raises DatasetError for another string."""
    number, northern = parse_zone(zone)
    return f"{number}{'N' if northern else 'S'}"


def map_link(latitude: float, longitude: float) -> str:
    """An OpenStreetMap link with a marker at a position in degrees."""
    at = f"{latitude:.6f}", f"{longitude:.6f}"
    return f"https://www.openstreetmap.org/?mlat={at[0]}&mlon={at[1]}#map=19/{at[0]}/{at[1]}"
