"""What houses of the toy city can be like: styles as data, and the draw of one facade's measures.

Each thing in the city has its own generator, seeded by its name: `Dice(seed, "block", 3, -1)` gives the same
numbers on any machine, whatever was drawn before. Only `Generator.random` of PCG64 is used: the streams of
the other methods may change between versions of numpy.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Draws that depend on the keys alone.

    keys: integers (also negative) and strings that name the thing drawn for.
    """

    def __init__(self, *keys: int | str) -> None:
        words = [zlib.crc32(key.encode()) if isinstance(key, str) else int(key) & 0xFFFFFFFF for key in keys]
        self._generator = np.random.Generator(np.random.PCG64(words))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._generator.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return float(self._generator.random()) < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self._generator.random() * len(options))]

    def normal(self, sigma: float = 1.0) -> float:
        """A normally distributed number of mean 0 (Box and Muller)."""
        first, second = self._generator.random(2)
        return sigma * math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(2.0 * math.pi * second)

    def array(self, *shape: int) -> np.ndarray:
        """Float32 numbers in [0, 1) of that shape."""
        return self._generator.random(shape).astype(np.float32)


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    """A fixed (1024, 2048) float32 tile of white noise, mean 0 and deviation 1; read-only."""
    tile = Dice("noise tile").array(1024, 2048) + Dice("noise tile", 2).array(1024, 2048) - np.float32(1.0)
    tile *= np.float32(math.sqrt(6.0))
    tile.setflags(write=False)
    return tile


def cut(tile: np.ndarray, height: int, width: int, dice: Dice, row: int | None = None) -> np.ndarray:
    """A (height, width) piece of a tile, repeated where too small; from a random place or from `row`."""
    rows, cols = tile.shape
    if height > rows or width > cols:
        tile = np.tile(tile[: max(height, 1)], (-(-height // rows), -(-width // cols)))
        rows, cols = tile.shape
    top, left = dice.whole(0, rows - height), dice.whole(0, cols - width)
    top = top if row is None else row
    return tile[top : top + height, left : left + width]


def noise(height: int, width: int, dice: Dice) -> np.ndarray:
    """A (height, width) piece of the white-noise tile at a random place; read-only."""
    return cut(_noise_tile(), height, width, dice)


def soft_noise(height: int, width: int, cells: tuple[int, int], dice: Dice) -> np.ndarray:
    """Smooth noise of (height, width): `cells` random values a side, enlarged; about -1 … 1."""
    import cv2

    coarse = dice.array(max(2, cells[0]), max(2, cells[1])) * 2 - 1
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@dataclass(frozen=True)
class Style:
    """Ranges (low, high) in metres or counts, and choices, from which a facade is drawn."""

    width: tuple[float, float]
    storeys: tuple[int, int]
    ground: tuple[float, float]
    floor: tuple[float, float]
    materials: tuple[str, ...]
    roofs: tuple[str, ...]
    windows: tuple[str, ...]
    grounds: tuple[str, ...]
    balconies: float


STYLES = {
    "classic": Style(
        (10, 19), (3, 5), (4.0, 5.0), (3.2, 3.8),
        ("plaster", "plaster", "stone"), ("mansard", "pitched", "flat"),
        ("framed", "pediment", "arched", "french"), ("shops", "arches", "rustic", "rustic"), 0.5,
    ),
    "brick": Style(
        (8, 16), (3, 5), (3.6, 4.4), (3.0, 3.4),
        ("brick",), ("flat", "pitched", "mansard"),
        ("segment", "plain", "arched", "pair"), ("shops", "windows", "arches"), 0.35,
    ),
    "terrace": Style(
        (5.2, 7.2), (2, 3), (3.0, 3.3), (2.8, 3.1),
        ("brick", "brick", "plaster"), ("pitched", "gable", "flat"),
        ("segment", "plain", "bay"), ("doorway",), 0.05,
    ),
    "modern": Style(
        (14, 28), (4, 8), (3.8, 4.6), (2.9, 3.3),
        ("panels", "tiles", "concrete", "render"), ("flat",),
        ("strip", "plain", "grid", "wide"), ("lobby", "shops", "garage"), 0.6,
    ),
    "old": Style(
        (6, 11), (2, 4), (3.0, 3.6), (2.6, 3.0),
        ("plaster", "timber", "stone", "boards"), ("gable", "stepped", "pitched", "mansard"),
        ("shutters", "plain", "framed"), ("shops", "windows", "doorway"), 0.15,
    ),
    "works": Style(
        (14, 26), (1, 3), (4.5, 6.0), (3.8, 4.6),
        ("brick", "concrete", "boards"), ("flat", "sawtooth"),
        ("factory", "segment", "grid"), ("garage", "lobby", "windows"), 0.0,
    ),
}  # fmt: skip

VILLA = Style(
    (8.5, 12), (1, 2), (2.9, 3.2), (2.6, 2.9),
    ("plaster", "boards", "brick", "render"), ("villa",),
    ("plain", "shutters", "pair"), ("doorway",), 0.2,
)  # fmt: skip

QUARTERS = {
    "old town": ("old", "old", "classic", "brick"),
    "boulevards": ("classic", "classic", "classic", "modern"),
    "brick town": ("brick", "terrace", "brick", "works"),
    "terraces": ("terrace", "terrace", "terrace", "brick"),
    "new town": ("modern", "modern", "works", "brick"),
    "mixed": ("classic", "brick", "modern", "old", "terrace", "works"),
}


@dataclass(frozen=True)
class Facade:
    """The measures of one facade; everything drawn on it follows from its keys.

    keys: name the facade: colours, curtains, signs and dirt follow from them.
    plan: names its layout, which the houses of a terrace share.
    style: key of `STYLES`, or "villa".
    width, ground, floor: metres; `ground` is the height of the ground floor, `floor` of each one above.
    storeys: number of storeys, the ground floor included.
    """

    keys: tuple[int | str, ...]
    plan: tuple[int | str, ...]
    style: str
    width: float
    storeys: int
    ground: float
    floor: float
    material: str
    roof: str
    window: str
    base: str

    @property
    def wall(self) -> float:
        """Height of the wall below the roof, metres."""
        return self.ground + (self.storeys - 1) * self.floor

    @property
    def top(self) -> float:
        """Height of what rises above the wall in the plane of the facade, metres."""
        gable = min(max(0.5 * self.width, 2.0), 5.0)
        tops = {"flat": 0.7, "mansard": 3.0, "gable": gable, "stepped": gable + 0.4, "sawtooth": 2.0}
        return tops.get(self.roof, 0.35)

    @property
    def height(self) -> float:
        return self.wall + self.top


def draw_facade(style: str, keys: tuple[int | str, ...], plan: tuple[int | str, ...]) -> Facade:
    """A facade of that style; `plan` decides its measures, `keys` only names it."""
    data, dice = VILLA if style == "villa" else STYLES[style], Dice("measures", *plan)
    width, storeys = dice.uniform(*data.width), dice.whole(*data.storeys)
    heights = dice.uniform(*data.ground), dice.uniform(*data.floor)
    choices = (dice.pick(of) for of in (data.materials, data.roofs, data.windows, data.grounds))
    return Facade(keys, plan, style, width, storeys, *heights, *choices)
