"""Where photos of the toy city are taken: by a camera car, and by people on another day.

The database of a split is made like a street-view collection: a car stops every 14 m along the streets of the
split's district and takes four photos, obliquely to the houses ahead and behind on either side. Query j is a
photo by somebody on foot near stop j, with another date, time of day, height, direction and zoom. Each
depends on its own number alone, so a larger city only adds photos (queries beyond the last stop start again).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from deepibl.errors import DatasetError
from deepibl.toycity.camera import View
from deepibl.toycity.light import TIMES
from deepibl.toycity.plan import DISTRICTS, City, Segment, growing_square

SPACING = 14.0  # metres between stops
YAWS = (42.0, -42.0, 138.0, -138.0)  # of the views of a stop, degrees from the street's direction
STOPS_A_DAY = 9  # then the car comes back on another date
_YAW, _PITCH = re.compile(r"yaw(\d+)"), re.compile(r"pitch(\d+)")


@dataclass(frozen=True)
class Shot:
    """One photo to take.

    name: file name relative to the data set's folder.
    view: where from; time: day, sunset or night; date: a number.
    key: names the photo's own random draws (traffic, exposure).
    """

    name: str
    view: View
    time: str
    date: int
    key: tuple[int | str, ...]


def stops(city: City, split: str) -> Iterator[tuple[Segment, float]]:
    """The stops of a split's district, without end: a segment and the distance along it in metres.

    Raises DatasetError for an unknown split.
    """
    if split not in DISTRICTS:
        raise DatasetError(f"the split must be one of {', '.join(DISTRICTS)}; got {split!r}")
    for cell in growing_square(*DISTRICTS[split]):
        for line in ("row", "column"):
            segment = city.segment(line, *cell)
            for at in np.arange(12.0, segment.length - 9.0, SPACING).tolist():
                yield segment, at


def database_shots(city: City, split: str, count: int, size: tuple[int, int]) -> list[Shot]:
    """The first `count` database photos of a split."""
    shots = []
    for stop, (segment, at) in enumerate(islice(stops(city, split), -(-count // len(YAWS)))):
        draw = city.dice("stop", split, stop)
        place = segment.at(at + draw.uniform(-1, 1), segment.road * 0.13 + draw.uniform(-0.3, 0.3))
        for number, yaw in enumerate(YAWS):
            heading = segment.heading + yaw + draw.normal(0, 4)
            view = View((place[0], place[1]), heading % 360, 2.4, draw.uniform(4, 9), 70.0, size)
            name = f"images/{split}_{stop:05d}_yaw{number}.jpg"
            shots.append(Shot(name, view, "day", stop // STOPS_A_DAY, ("photo", split, stop, number)))
    return shots[:count]


def query_shots(
    city: City, split: str, count: int, images: int, size: tuple[int, int], times: Sequence[str] = TIMES
) -> list[Shot]:
    """The first `count` queries of a split whose database has `images` images; `times` are taken in turn."""
    places = list(islice(stops(city, split), -(-images // len(YAWS))))
    shots = []
    for number in range(count):
        lap, stop = divmod(number, len(places))
        segment, at = places[stop]
        draw = city.dice("query", split, stop, lap)
        along, yaw = at + draw.choice((-1, 1)) * draw.uniform(1.2, 5.0), draw.choice(YAWS)
        away = -0.8 if yaw > 0 else 0.8  # most people step back from what they photograph
        place = segment.at(along, away * draw.uniform(-0.2, 0.9) * (segment.half - 1.0))
        heading = (segment.heading + yaw + draw.normal(0, 6)) % 360
        height, pitch, fov = draw.uniform(1.5, 1.8), draw.uniform(3, 12), draw.uniform(62, 76)
        time = times[(number + lap) % len(times)]
        name = f"queries/{split}_{number:05d}_{time}.jpg"
        view = View((place[0], place[1]), heading, height, pitch, fov, size)
        shots.append(Shot(name, view, time, 1000 + number, ("query", split, stop, lap)))
    return shots


def named_shots(
    city: City, names: Sequence[str], utm: np.ndarray, size: tuple[int, int], time: str, date: int
) -> list[Shot]:
    """Photos for names and UTM positions (N, 2) from elsewhere, for example a real dbStruct.

    A position is moved to the nearest street. The direction follows from yaw1 … yaw12 (30 degrees apart) and
    pitch1, pitch2 in the name, as in Pitts30k; otherwise from the name as a whole. Images that share a
    position share a date.
    """
    shots = []
    for name, position in zip(names, np.asarray(utm, dtype=np.float64).tolist(), strict=True):
        segment, at = city.nearest_street(np.array(position))
        spot = city.dice("spot", round(position[0] * 10), round(position[1] * 10))
        place = segment.at(min(max(at, 9.0), segment.length - 9.0), segment.road * 0.13 * spot.random())
        own = city.dice("named", name, date)
        yaw, pitch = _YAW.search(name), _PITCH.search(name)
        turn = 30.0 * int(yaw.group(1)) if yaw else own.choice(YAWS)
        tilt = 22.0 if pitch and pitch.group(1) == "2" else 4.0
        heading = (segment.heading + turn + 15 + own.normal(0, 2)) % 360
        view = View((place[0], place[1]), heading, 2.2, tilt + own.normal(), 66.0 + own.normal(0, 2), size)
        shots.append(Shot(name, view, time, date + int(spot.integers(41)), ("named", name, date)))
    return shots
