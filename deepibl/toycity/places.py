"""Where and in what light photos of the toy city are taken: by a camera car, and by people on another day.

The database of a split is made like a street-view collection: a car stops every 14 m along the streets of the
split's district and takes four photos, obliquely to the houses ahead and behind on either side. Query j is a
photo by somebody on foot near stop j, with another date, time of day, height, direction and zoom. Each
depends on its own number alone, so a larger city only adds photos (queries beyond the number of stops start
again).

`Weather` is the light of a photo; `radiance` and `expose` make of surfaces the picture of a day or a night.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from deepibl.errors import DatasetError
from deepibl.toycity.camera import Frame, View
from deepibl.toycity.plan import DISTRICTS, City, Segment, spiral
from deepibl.toycity.styles import Dice, noise, soft_noise
from deepibl.toycity.surfaces import (
    BUS_WINDOW,
    DOOR_LIGHT,
    HEAD_LIGHT,
    LAMP,
    SEASONS,
    SHOPS,
    SIGNS,
    SKY,
    TAIL_LIGHT,
    VEHICLE_GLASS,
    WINDOWS,
)

TIMES = ("day", "sunset", "night")
LINEAR = ((np.arange(256, dtype=np.float32) / 255) ** np.float32(2.2)).reshape(1, 256)
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Weather:
    """One date at one time of day.

    time: day, sunset or night. date: a number that parked cars, lit windows and clouds depend on.
    season: summer, spring, autumn or winter.
    sun: its colour and strength, linear RGB; zero when overcast or at night.
    azimuth, elevation: of the sun, degrees (compass; above the horizon).
    ambient: light from all sides, linear RGB; zenith, skyline: colours of the sky.
    clouds: 0 … 1; haze: distance in metres at which a facade is two thirds haze.
    lamps: strength of street lamps; lit: fraction of the windows that are lit.
    """

    time: str
    date: int
    season: str
    sun: Rgb
    azimuth: float
    elevation: float
    ambient: Rgb
    zenith: Rgb
    skyline: Rgb
    clouds: float
    haze: float
    lamps: float
    lit: float

    @property
    def towards_sun(self) -> np.ndarray:
        """Unit vector (3,) east, north, up towards the sun."""
        a, e = math.radians(self.azimuth), math.radians(self.elevation)
        return np.array([math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)])

    @property
    def sunny(self) -> bool:
        return any(self.sun)

    def veil(self, distance: float) -> float:
        """How much haze is before something at that distance in metres, 0 … 1."""
        return 1 - math.exp(-max(distance, 0.0) / self.haze)


def _scaled(colour: Rgb, factor: float) -> Rgb:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def draw_weather(time: str, date: int, seed: int) -> Weather:
    """The weather of a date at day, sunset or night; the same for every photo of that date."""
    dice = Dice(seed, "weather", time, date)
    season = dice.pick(SEASONS)
    clouds = dice.pick((0.05, 0.2, 0.45, 0.8, 1.0))
    haze = dice.pick((900.0, 600.0, 350.0, 220.0))
    if time == "day":
        strength = 0.0 if clouds > 0.7 else dice.uniform(1.3, 2.4)
        sky = 0.75 if clouds > 0.7 else dice.uniform(0.34, 0.5)
        ambient = _scaled((0.93, 1.0, 1.1) if strength else (1.0, 1.0, 1.0), sky)
        return Weather(
            time, date, season, _scaled((1.0, 0.93, 0.82), strength), dice.uniform(80, 280),
            dice.uniform(18, 58), ambient, (0.14, 0.30, 0.66), (0.62, 0.74, 0.86), clouds, haze, 0.0, 0.02,
        )  # fmt: skip
    if time == "sunset":
        strength = 0.0 if clouds > 0.7 else dice.uniform(0.35, 0.8)
        glow = dice.pick(((0.95, 0.45, 0.18), (0.9, 0.55, 0.32), (0.75, 0.4, 0.38)))
        return Weather(
            time, date, season, _scaled((1.0, 0.52, 0.24), strength), dice.uniform(235, 300),
            dice.uniform(3, 9), _scaled((0.95, 0.88, 1.0), dice.uniform(0.14, 0.24)), (0.10, 0.14, 0.32),
            glow, clouds, haze, dice.pick((0.0, 0.25, 0.4)), dice.uniform(0.12, 0.3),
        )  # fmt: skip
    town = dice.uniform(0.004, 0.02)
    return Weather(
        time, date, season, (0.0, 0.0, 0.0), 0.0, 30.0,
        _scaled((0.9, 0.85, 1.0), dice.uniform(0.02, 0.05)), (0.002, 0.003, 0.009),
        (town * 1.6, town * 1.1, town), clouds, haze * 0.7, dice.uniform(0.6, 1.1), dice.uniform(0.2, 0.45),
    )  # fmt: skip


def _label_tables(weather: Weather, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What each label emits, (256, 3), and how much of the sky it mirrors, (256,); both float32."""
    dice = Dice(seed, "lights", weather.time, weather.date)
    shine, mirror = np.zeros((256, 3), np.float32), np.zeros(256, np.float32)
    mirror[WINDOWS] = 0.06 + 0.34 * dice.array(len(WINDOWS)) ** 2
    mirror[SHOPS] = 0.04 + 0.14 * dice.array(len(SHOPS))
    mirror[[BUS_WINDOW, VEHICLE_GLASS]] = 0.25
    lamps = ((1.0, 0.72, 0.40), (1.0, 0.80, 0.55), (1.0, 0.62, 0.30), (0.8, 0.9, 1.0), (0.5, 0.65, 1.0))
    for label in WINDOWS:
        colour, strength, on = dice.pick(lamps[:4] + lamps), dice.uniform(0.25, 1.3), dice.chance(weather.lit)
        if on:
            shine[label] = np.array(colour) * strength
    dark = weather.time != "day"
    for label in SHOPS:
        on = dice.chance(0.75 if dark else 0.5)
        shine[label] = np.array((1.0, 0.86, 0.66)) * dice.uniform(0.5, 1.6) * on * (1.0 if dark else 0.25)
    if weather.lamps:
        for label in SIGNS:
            shine[label] = np.array((1.3, 1.3, 1.3)) * dice.uniform(0.6, 2.0) * dice.chance(0.8)
        shine[DOOR_LIGHT] = (0.7, 0.5, 0.28)
        shine[LAMP] = (5.0, 4.0, 2.6)
        shine[HEAD_LIGHT], shine[TAIL_LIGHT] = (3.0, 2.9, 2.6), (1.8, 0.1, 0.08)
        shine[BUS_WINDOW] = (1.1, 1.0, 0.8)
    return shine, mirror


def _sky(frame: Frame, weather: Weather, seed: int) -> np.ndarray:
    """The sky behind a frame, (rows, cols, 3) float32 linear RGB; found on a coarse grid."""
    dice = Dice(seed, "clouds", weather.time, weather.date)
    rows, cols = max(2, frame.rows // 4), max(2, frame.cols // 4)
    y = (frame.cy - (np.arange(rows) + 0.5) * 4)[:, None] / frame.focal
    x = ((np.arange(cols) + 0.5) * 4 - frame.cx)[None, :] / frame.focal
    high = np.clip(y / np.sqrt(1 + x * x), 0, None)
    blend = (np.exp(-3.2 * high)).astype(np.float32)[:, :, None]
    zenith, skyline = np.array(weather.zenith, np.float32), np.array(weather.skyline, np.float32)
    sky = zenith + (skyline - zenith) * blend
    sheet = soft_noise(256, 256, (10, 10), dice) + 0.5 * soft_noise(256, 256, (40, 40), dice)
    turn = math.radians(frame.view.heading)
    reach = 30 / (high + 0.12)
    east, north = (
        (side * reach % 256).astype(np.float32)
        for side in (x * math.cos(turn) + math.sin(turn), math.cos(turn) - x * math.sin(turn))
    )
    cover = cv2.remap(sheet, east, north, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
    part = np.clip((cover + 2.4 * weather.clouds - 1.2) * 1.1, 0, 1)[:, :, None]
    grey = (np.array(weather.ambient) + 0.35 * np.array(weather.sun)).astype(np.float32)
    tops = grey * (1.05 if weather.time == "day" else 0.8) + 0.25 * skyline
    sky += (tops * (0.9 + 0.12 * cover[:, :, None]) - sky) * part
    return cv2.resize(sky.astype(np.float32), (frame.cols, frame.rows), interpolation=cv2.INTER_LINEAR)


def _lamp_light(frame: Frame, lamps: list[np.ndarray]) -> np.ndarray:
    """Light of street lamps at world positions (3,) on each pixel, (rows, cols) float32; low resolution."""
    rows, cols = max(2, frame.rows // 4), max(2, frame.cols // 4)
    pool = np.full((rows, cols), 0.12, np.float32)
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float32) * 4
    for lamp in lamps:
        column, row, depth = frame.project(frame.relative(lamp))
        foot = frame.cy + frame.focal * frame.view.height / max(depth, 2.0)
        if depth > 1.0 and depth < 80:
            middle, reach = row + 0.6 * (foot - row), frame.focal * 6.5 / max(depth, 4.0)
            far = ((x - column) ** 2 + (y - middle) ** 2) / np.float32(reach * reach)
            pool += np.float32(1.0) / (1 + far * far * 3)
            bulb = np.float32((frame.focal * 0.7 / max(depth, 2.0)) ** 2 + 9)
            near = ((x - column) ** 2 + (y - row) ** 2) / bulb
            pool += 0.5 / (1 + near * near)
    return cv2.resize(np.minimum(pool, 1.8), (frame.cols, frame.rows), interpolation=cv2.INTER_LINEAR)


def _table(values: np.ndarray) -> np.ndarray:
    """(256,) or (256, 3) numbers as a table for cv2.LUT with three channels."""
    wide = np.broadcast_to(values.reshape(256, -1), (256, 3))
    return np.ascontiguousarray(wide, dtype=np.float32).reshape(1, 256, 3)


def radiance(frame: Frame, weather: Weather, lamps: list[np.ndarray], seed: int) -> np.ndarray:
    """Light that reaches the camera, (rows, cols, 3) float32, linear RGB."""
    steps = np.arange(256, dtype=np.float32)[:, None] / 255
    ambient, sunlight = np.array(weather.ambient, np.float32), np.array(weather.sun, np.float32)
    shine, mirror = _label_tables(weather, seed)
    sky = _sky(frame, weather, seed)
    skyline = np.array(weather.skyline, np.float32)
    above = 0.6 * sky[: max(2, frame.rows // 8)].mean(axis=(0, 1)) + 0.4 * skyline
    labels = cv2.merge([frame.labels] * 3)
    light = cv2.LUT(cv2.merge([frame.sun] * 3), _table(ambient + steps * sunlight))
    if weather.lamps:
        glow = _lamp_light(frame, lamps) * np.float32(weather.lamps * 0.5)
        light = cv2.add(light, cv2.merge([glow, glow * np.float32(0.78), glow * np.float32(0.48)]))
    light = cv2.multiply(light, cv2.LUT(labels, _table(1 - mirror)), light)
    light = cv2.add(light, cv2.LUT(labels, _table(shine)), light)
    light = cv2.multiply(light, cv2.LUT(frame.image, LINEAR), light)
    light = cv2.add(light, cv2.LUT(labels, _table(mirror[:, None] * above + 0.12 * shine)), light)
    if weather.lamps:
        small = cv2.resize(light, (frame.cols // 4, frame.rows // 4), interpolation=cv2.INTER_AREA)
        halo = 0.35 * cv2.GaussianBlur(np.clip(small - 0.35, 0, 3), (0, 0), frame.cols / 160)
        halo = cv2.resize(halo, (frame.cols, frame.rows), interpolation=cv2.INTER_LINEAR)
        light = cv2.add(light, halo, light)
    veil = skyline * np.float32(0.55) + ambient * np.float32(0.4)
    haze = cv2.merge([frame.haze] * 3)
    light = cv2.multiply(light, cv2.LUT(haze, _table(1 - steps)), light)
    light = cv2.add(light, cv2.LUT(haze, _table(steps * veil)), light)
    cv2.copyTo(sky, (frame.labels == SKY).view(np.uint8), light)
    return light


def expose(light: np.ndarray, weather: Weather, dice: Dice) -> np.ndarray:
    """The photo (rows, cols, 3), uint8 RGB: exposure, white balance, vignette, response, blur, noise."""
    rows, cols = light.shape[:2]
    mean = float(light.mean()) + 1e-4
    target = {"day": 0.30, "sunset": 0.26, "night": 0.13}[weather.time]
    gain = target / mean ** (0.75 if weather.time == "day" else 0.6) * 0.26 ** (-0.25) * 0.72
    gain *= 2 ** dice.normal(0.28)
    warmth, green = dice.normal(0.07), dice.normal(0.025)
    balance = np.array([1 + warmth, 1 + green, 1 - warmth], np.float32) * np.float32(gain)
    fall = dice.uniform(0.0, 0.3)
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in (rows, cols))
    vignette = 1 - np.float32(fall / 2) * (x * x + (y * y)[:, None])
    light = cv2.multiply(light, cv2.merge([vignette * part for part in balance]))
    blur = dice.uniform(0.0, 0.75) * cols / 320
    if blur > 0.3:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    grain = {"day": 0.008, "sunset": 0.014, "night": 0.035}[weather.time] * dice.uniform(0.4, 1.6)
    light = light * (1 + light * np.float32(0.16)) / (1 + light * np.float32(0.55))  # soft highlights
    root = cv2.sqrt(np.maximum(light, 0))
    bend = np.float32(dice.uniform(-0.12, 0.22))  # darker or brighter middle tones
    picture = root + bend * root * (1 - root) * (root - np.float32(0.45)) * 4
    speckle = noise(rows, cols * 3, dice).reshape(rows, cols, 3)
    picture = cv2.addWeighted(picture, 255, speckle, 255 * grain, 0.0)
    return cv2.convertScaleAbs(np.maximum(picture, 0))


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
    for cell in spiral(DISTRICTS[split]):
        for line in ("row", "column"):
            segment = city.segment(line, *cell)
            for at in np.arange(12.0, segment.length - 9.0, SPACING).tolist():
                yield segment, at


def database_shots(city: City, split: str, count: int, size: tuple[int, int]) -> list[Shot]:
    """The first `count` database photos of a split."""
    shots = []
    for stop, (segment, at) in enumerate(islice(stops(city, split), -(-count // len(YAWS)))):
        dice = city.dice("stop", split, stop)
        place = segment.at(at + dice.uniform(-1, 1), segment.road * 0.13 + dice.uniform(-0.3, 0.3))
        for number, yaw in enumerate(YAWS):
            own = city.dice("photo", split, stop, number)
            view = View(
                (float(place[0]), float(place[1])), (segment.heading + yaw + own.normal(4)) % 360,
                2.4, own.uniform(4, 9), own.normal(0.5), 70.0, size,
            )  # fmt: skip
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
        dice = city.dice("query", split, stop, lap)
        along = at + dice.pick((-1, 1)) * dice.uniform(1.2, 5.0)
        yaw = dice.pick(YAWS)
        away = -0.8 if yaw > 0 else 0.8  # most people step back from what they photograph
        place = segment.at(along, away * dice.uniform(-0.2, 0.9) * (segment.half - 1.0))
        yaw += dice.normal(6)
        view = View(
            (float(place[0]), float(place[1])), (segment.heading + yaw) % 360,
            dice.uniform(1.5, 1.8), dice.uniform(3, 12), dice.normal(1.2), dice.uniform(62, 76), size,
        )  # fmt: skip
        time = times[(number + lap) % len(times)]
        name = f"queries/{split}_{number:05d}_{time}.jpg"
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
        place = segment.at(min(max(at, 9.0), segment.length - 9.0), segment.road * 0.13 * spot.uniform(0, 1))
        own = Dice(city.seed, "named", name, date)
        yaw, pitch = _YAW.search(name), _PITCH.search(name)
        turn = 30.0 * int(yaw.group(1)) if yaw else own.pick(YAWS)
        tilt = {"1": 4.0, "2": 22.0}.get(pitch.group(1) if pitch else "1", 4.0)
        view = View(
            (float(place[0]), float(place[1])), (segment.heading + turn + 15 + own.normal(2)) % 360, 2.2,
            tilt + own.normal(1), own.normal(0.5), 66.0 + own.normal(2), size,
        )  # fmt: skip
        shots.append(Shot(name, view, time, date + spot.whole(0, 40), ("named", name, date)))
    return shots
