"""Light of the toy city: weather by date and time of day, sky, lamps, and the camera's exposure.

Light is linear RGB, (rows, columns, 3) float32.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from deepibl.toycity.dice import dice

TIMES = ("day", "sunset", "night")
WARM = np.array([1.0, 0.74, 0.42])  # the light of lamps and lit windows
LEAVES = ((0.26, 0.36, 0.18), (0.34, 0.44, 0.22), (0.60, 0.42, 0.15), (0.33, 0.26, 0.20))


@dataclass(frozen=True)
class Weather:
    """One date at one time of day; the same for every photo of it.

    sun: its colour and strength, zero when overcast or at night; towards: unit vector (3,) east, north, up.
    ambient: light from all sides; zenith, skyline: colours of the sky. haze: distance in metres at which a
    house is two thirds haze. lit: share of the windows that are lit. leaves: colour of the trees.
    """

    time: str
    date: int
    sun: np.ndarray
    towards: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    skyline: np.ndarray
    haze: float
    lit: float
    leaves: tuple[float, float, float]

    @property
    def night(self) -> bool:
        """Whether street lamps are on."""
        return self.time == "night"


def draw_weather(time: str, date: int, seed: int) -> Weather:
    """The weather of a date at day, sunset or night."""
    draw = dice(seed, "weather", time, date)
    clear, azimuth, haze = draw.random() < 0.6, draw.uniform(80, 280), draw.choice((900.0, 500.0, 250.0))
    leaves = LEAVES[draw.integers(len(LEAVES))]
    if time == "day":
        elevation, lit = draw.uniform(18, 58), 0.02
        sun = np.array([1.0, 0.93, 0.82]) * draw.uniform(1.3, 2.2)
        ambient = np.array([0.93, 1.0, 1.1]) * (draw.uniform(0.4, 0.6) if clear else 0.8)
        zenith, skyline = ((0.14, 0.30, 0.66), (0.62, 0.74, 0.86)) if clear else ((0.6,) * 3, (0.75,) * 3)
    elif time == "sunset":
        elevation, lit = draw.uniform(3, 9), draw.uniform(0.1, 0.3)
        azimuth = 270 + draw.uniform(-35, 30)
        sun = np.array([1.0, 0.52, 0.24]) * draw.uniform(0.35, 0.8)
        ambient = np.array([0.95, 0.88, 1.0]) * draw.uniform(0.16, 0.26)
        zenith, skyline = (0.10, 0.14, 0.32), (0.9, draw.uniform(0.4, 0.6), 0.28)
    else:
        elevation, lit, sun = 30.0, draw.uniform(0.2, 0.45), np.zeros(3)
        ambient = np.array([0.9, 0.85, 1.0]) * draw.uniform(0.02, 0.04)
        zenith, skyline = (0.002, 0.003, 0.009), (0.02, 0.015, 0.012)
    a, e = math.radians(azimuth), math.radians(elevation)
    towards = np.array([math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)])
    sky = np.array([zenith, skyline])
    return Weather(time, date, sun * clear, towards, ambient, sky[0], sky[1], haze, lit, leaves)


def sky(up: np.ndarray, cols: int, weather: Weather, draw: np.random.Generator) -> np.ndarray:
    """The sky behind rays that go `up` (rows,) metres per metre ahead: a gradient with clouds."""
    clear = np.exp(-3 * up.clip(0))[:, None].astype(np.float32)
    clouds = cv2.resize(draw.random((9, 7), np.float32), (cols, len(up)), interpolation=cv2.INTER_CUBIC)
    pale = clear + (1 - clear) * (1.6 * clouds - 0.6).clip(0, 1)
    colours = np.stack([weather.zenith, weather.skyline - weather.zenith]).astype(np.float32)
    return colours[0] + pale[:, :, None] * colours[1]


def hazy(light: np.ndarray, depth: np.ndarray | float, weather: Weather) -> np.ndarray:
    """Light (…, 3) from `depth` (…, 1) metres away, as haze leaves it."""
    haze = (0.5 * weather.skyline + 0.4 * weather.ambient).astype(np.float32)
    return haze + (light - haze) * np.exp(-depth / np.float32(weather.haze))


def expose(light: np.ndarray, weather: Weather, draw: np.random.Generator) -> np.ndarray:
    """The photo (rows, cols, 3), uint8 RGB: exposure, white balance, vignette, blur, noise."""
    rows, cols = light.shape[:2]
    if weather.night:
        light = light + 0.3 * cv2.GaussianBlur((light - 0.3).clip(0, 2), (0, 0), cols / 60)
    brightness, power, grain = {"day": (0.30, 0.75, 0.01), "sunset": (0.26, 0.6, 0.015)}.get(
        weather.time, (0.13, 0.6, 0.03)
    )
    gain = brightness / (float(light.mean()) + 1e-4) ** power * 2 ** draw.normal(0, 0.28)
    warmth, fall = draw.normal(0, 0.07), draw.uniform(0, 0.15)
    y, x = (np.linspace(-1, 1, side)[:, None] for side in (rows, cols))
    light = light * ((1 - fall * (x.T**2 + y**2))[:, :, None] * gain * np.array([1 + warmth, 1, 1 - warmth]))
    light = cv2.GaussianBlur(light, (0, 0), draw.uniform(0.1, 0.7) * cols / 320)
    picture = np.sqrt((light * (1 + 0.16 * light) / (1 + 0.55 * light)).clip(0))  # soft highlights
    picture += grain * draw.uniform(0.4, 1.6) * draw.standard_normal(picture.shape)
    return np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
