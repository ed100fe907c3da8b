"""The light of the toy city: the weather of a date, and what it makes of surfaces: a photo."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from deepibl.toycity.camera import Frame
from deepibl.toycity.dice import Dice, noise, soft_noise
from deepibl.toycity.paint import CAR_GLASS, HEAD_LIGHT, LAMP, SHOPS, SIGNS, SKY, TAIL_LIGHT, WINDOWS

TIMES = ("day", "sunset", "night")
SEASONS = ("summer", "spring", "autumn", "winter")
Rgb = np.ndarray  # (3,) float32, linear
_LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)


@dataclass(frozen=True)
class Weather:
    """One date at one time of day; the same for every photo of it.

    season: of the leaves. sun: its colour and strength, zero when overcast or at night; towards: unit vector
    (3,) east, north, up. ambient: light from all sides; zenith, skyline: colours of the sky. clouds: 0 … 1;
    haze: distance in metres at which a facade is two thirds haze. lamps: strength of street lamps; lit: share
    of the windows that are lit.
    """

    time: str
    date: int
    season: str
    sun: Rgb
    towards: np.ndarray
    ambient: Rgb
    zenith: Rgb
    skyline: Rgb
    clouds: float
    haze: float
    lamps: float
    lit: float


def draw_weather(time: str, date: int, seed: int) -> Weather:
    """The weather of a date at day, sunset or night."""
    dice = Dice(seed, "weather", time, date)
    season, clouds = dice.pick(SEASONS), dice.pick((0.05, 0.2, 0.45, 0.8, 1.0))
    haze, clear = dice.pick((900.0, 600.0, 350.0, 220.0)), clouds < 0.7
    if time == "day":
        sun, strength = (1.0, 0.93, 0.82), dice.uniform(1.3, 2.4)
        azimuth, elevation, ambient = dice.uniform(80, 280), dice.uniform(18, 58), (0.93, 1.0, 1.1)
        sky, lamps, lit = dice.uniform(0.34, 0.5) if clear else 0.75, 0.0, 0.02
        zenith, skyline = (0.14, 0.30, 0.66), (0.62, 0.74, 0.86)
    elif time == "sunset":
        sun, strength = (1.0, 0.52, 0.24), dice.uniform(0.35, 0.8)
        azimuth, elevation, ambient = dice.uniform(235, 300), dice.uniform(3, 9), (0.95, 0.88, 1.0)
        sky, lamps, lit = dice.uniform(0.14, 0.24), dice.pick((0.0, 0.25, 0.4)), dice.uniform(0.12, 0.3)
        zenith, skyline = (
            (0.10, 0.14, 0.32),
            dice.pick(((0.95, 0.45, 0.18), (0.9, 0.55, 0.32), (0.75, 0.4, 0.38))),
        )
    else:
        sun, strength, azimuth, elevation, ambient = (0.0, 0.0, 0.0), 0.0, 0.0, 30.0, (0.9, 0.85, 1.0)
        sky, lamps, lit = dice.uniform(0.02, 0.05), dice.uniform(0.6, 1.1), dice.uniform(0.2, 0.45)
        town = dice.uniform(0.004, 0.02)
        zenith, skyline = (0.002, 0.003, 0.009), (town * 1.6, town * 1.1, town)
    a, e = math.radians(azimuth), math.radians(elevation)
    towards = np.array([math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)])
    colours = (np.array(sun) * strength * clear, np.array(ambient) * sky, zenith, skyline)
    sunlight, around, top, low = (np.array(colour, np.float32) for colour in colours)
    return Weather(time, date, season, sunlight, towards, around, top, low, clouds, haze, lamps, lit)


def _labels(weather: Weather, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What each label emits, (256, 3), and how much of the sky it mirrors, (256, 1); float32."""
    dice = Dice(seed, "lights", weather.time, weather.date)
    shine, mirror = np.zeros((256, 3), np.float32), np.zeros((256, 1), np.float32)
    mirror[WINDOWS] = 0.06 + 0.34 * dice.array(len(WINDOWS), 1) ** 2
    mirror[SHOPS] = 0.04 + 0.14 * dice.array(len(SHOPS), 1)
    mirror[CAR_GLASS] = 0.25
    dark, colours = (
        weather.time != "day",
        ((1.0, 0.72, 0.40), (1.0, 0.80, 0.55), (1.0, 0.62, 0.30), (0.7, 0.8, 1.0)),
    )
    for label in WINDOWS:
        shine[label] = np.array(dice.pick(colours)) * dice.uniform(0.25, 1.3) * dice.chance(weather.lit)
    for label in SHOPS:
        on = dice.chance(0.75) if dark else 0.25 * dice.chance(0.5)
        shine[label] = np.array((1.0, 0.86, 0.66)) * dice.uniform(0.5, 1.6) * on
    if weather.lamps:
        for label in SIGNS:
            shine[label] = 1.3 * dice.uniform(0.6, 2.0) * dice.chance(0.8)
        shine[LAMP], shine[HEAD_LIGHT], shine[TAIL_LIGHT] = (5.0, 4.0, 2.6), (3.0, 2.9, 2.6), (1.8, 0.1, 0.08)
    return shine, mirror


def _sky(frame: Frame, weather: Weather, seed: int) -> np.ndarray:
    """The sky behind a frame, (rows, cols, 3) float32 linear RGB; found on a coarse grid."""
    dice = Dice(seed, "clouds", weather.time, weather.date)
    rows, cols = max(2, frame.rows // 4), max(2, frame.cols // 4)
    y = (frame.cy - (np.arange(rows) + 0.5) * 4)[:, None] / frame.focal
    x = ((np.arange(cols) + 0.5) * 4 - frame.cx)[None, :] / frame.focal
    high = np.clip(y / np.sqrt(1 + x * x), 0, None)
    sky = weather.zenith + (weather.skyline - weather.zenith) * np.exp(-3.2 * high)[:, :, None]
    sheet = soft_noise(256, 256, (10, 10), dice) + 0.5 * soft_noise(256, 256, (40, 40), dice)
    reach, (right, ahead) = 30 / (high + 0.12), (frame.right, frame.forward)
    east, north = (((x * right[k] + ahead[k]) * reach % 256).astype(np.float32) for k in (0, 1))
    cover = cv2.remap(sheet, east, north, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)[:, :, None]
    part = np.clip((cover + 2.4 * weather.clouds - 1.2) * 1.1, 0, 1)
    grey = (weather.ambient + 0.35 * weather.sun) * (
        1.05 if weather.time == "day" else 0.8
    ) + 0.25 * weather.skyline
    sky += (grey * (0.9 + 0.12 * cover) - sky) * part
    return cv2.resize(sky.astype(np.float32), (frame.cols, frame.rows), interpolation=cv2.INTER_LINEAR)


def _lamp_light(frame: Frame, lamps: list[np.ndarray]) -> np.ndarray:
    """Light of street lamps at relative positions (3,) on each pixel, (rows, cols, 1) float32."""
    rows, cols = max(2, frame.rows // 4), max(2, frame.cols // 4)
    pool = np.full((rows, cols), 0.12, np.float32)
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float32) * 4
    for lamp in lamps:
        column, row, depth = frame.project(lamp).tolist()
        foot = frame.cy + frame.focal * frame.view.height / depth
        reach = frame.focal * 6.5 / max(depth, 4.0)
        far = ((x - column) ** 2 + (y - row - 0.6 * (foot - row)) ** 2) / (reach * reach)
        near = ((x - column) ** 2 + (y - row) ** 2) / ((frame.focal * 0.7 / depth) ** 2 + 9)
        pool += 1 / (1 + far * far * 3) + 0.5 / (1 + near * near)
    return cv2.resize(np.minimum(pool, 1.8), (frame.cols, frame.rows), interpolation=cv2.INTER_LINEAR)[
        :, :, None
    ]


def radiance(frame: Frame, weather: Weather, lamps: list[np.ndarray], seed: int) -> np.ndarray:
    """Light that reaches the camera, (rows, cols, 3) float32, linear RGB; lamps: relative positions (3,)."""
    (shine, mirror), sky = _labels(weather, seed), _sky(frame, weather, seed)
    above = 0.6 * sky[: max(2, frame.rows // 8)].mean((0, 1)) + 0.4 * weather.skyline
    light = weather.ambient + frame.sun[:, :, None] * weather.sun
    if weather.lamps:
        light += _lamp_light(frame, lamps) * (weather.lamps * 0.5 * np.array((1, 0.78, 0.48), np.float32))
    emitted, mirrored = (np.take(table, frame.labels, axis=0) for table in (shine, mirror))
    light = (
        (light * (1 - mirrored) + emitted) * cv2.LUT(frame.image, _LINEAR) + mirrored * above + 0.12 * emitted
    )
    if weather.lamps:
        small = cv2.resize(light, (frame.cols // 4, frame.rows // 4), interpolation=cv2.INTER_AREA)
        halo = 0.35 * cv2.GaussianBlur(np.clip(small - 0.35, 0, 3), (0, 0), frame.cols / 160)
        light += cv2.resize(halo, (frame.cols, frame.rows), interpolation=cv2.INTER_LINEAR)
    clear = np.exp(-frame.depth / np.float32(weather.haze))[:, :, None]
    light = light * clear + (1 - clear) * (0.55 * weather.skyline + 0.4 * weather.ambient)
    return np.where((frame.labels == SKY)[:, :, None], sky, light).astype(np.float32)


def expose(light: np.ndarray, weather: Weather, dice: Dice) -> np.ndarray:
    """The photo (rows, cols, 3), uint8 RGB: exposure, white balance, vignette, response, blur, noise."""
    rows, cols = light.shape[:2]
    day, mean = weather.time == "day", float(light.mean()) + 1e-4
    target = {"day": 0.30, "sunset": 0.26, "night": 0.13}[weather.time]
    gain = target / mean ** (0.75 if day else 0.6) * 2 ** dice.normal(0.28)
    warmth, green, fall = dice.normal(0.07), dice.normal(0.025), dice.uniform(0.0, 0.3)
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in (rows, cols))
    vignette = 1 - fall / 2 * (x * x + (y * y)[:, None])
    light = light * (
        vignette[:, :, None] * np.array((1 + warmth, 1 + green, 1 - warmth), np.float32) * np.float32(gain)
    )
    blur = dice.uniform(0.0, 0.75) * cols / 320
    if blur > 0.3:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    root = np.sqrt((light * (1 + light * 0.16) / (1 + light * 0.55)).clip(0))  # soft highlights
    bend = dice.uniform(-0.12, 0.22)  # darker or brighter middle tones
    picture = root + bend * root * (1 - root) * (root - 0.45) * 4
    grain = {"day": 0.008, "sunset": 0.014, "night": 0.035}[weather.time] * dice.uniform(0.4, 1.6)
    picture += grain * noise(rows, cols * 3, dice).reshape(rows, cols, 3)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
