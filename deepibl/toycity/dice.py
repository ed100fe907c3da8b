"""Random draws of the toy city: every thing in it has a generator of its own, found from its name.

`Dice(seed, "block", 3, -1)` gives the same numbers whatever was drawn before, on any machine. Only
`Generator.random` of PCG64 is used, because the streams of the other methods may change between versions
of numpy.
"""

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def _word(key: int | str) -> int:
    """A key as 32 bits: the checksum of a text, a whole number modulo 2^32."""
    return zlib.crc32(key.encode()) if isinstance(key, str) else int(key) & 0xFFFFFFFF


class Dice:
    """Draws that depend on the keys alone.

    Args:
        keys: whole numbers (also negative) and texts that name the thing drawn for.
    """

    def __init__(self, *keys: int | str) -> None:
        self._generator = np.random.Generator(np.random.PCG64([_word(key) for key in keys]))

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
def noise_tile() -> np.ndarray:
    """A fixed (1024, 2048) float32 tile of white noise, mean 0 and deviation 1; read-only."""
    tile = Dice("noise tile").array(1024, 2048) + Dice("noise tile", 2).array(1024, 2048) - np.float32(1.0)
    tile *= np.float32(math.sqrt(6.0))
    tile.setflags(write=False)
    return tile


def cut(tile: np.ndarray, height: int, width: int, dice: Dice, row: int | None = None) -> np.ndarray:
    """A (height, width) piece of a tile from a random place, or from that row on; repeated where it is too
    small.
    """
    rows, cols = tile.shape
    if height > rows or width > cols:
        tile = np.tile(tile[: max(height, 1)], (-(-height // rows), -(-width // cols)))
        rows, cols = tile.shape
    top, left = dice.whole(0, rows - height), dice.whole(0, cols - width)
    if row is not None:
        top = row
    return tile[top : top + height, left : left + width]


def noise(height: int, width: int, dice: Dice) -> np.ndarray:
    """A (height, width) piece of the white-noise tile at a random place; read-only."""
    return cut(noise_tile(), height, width, dice)


def soft_noise(height: int, width: int, cells: tuple[int, int], dice: Dice) -> np.ndarray:
    """Smooth noise of (height, width): `cells` random values a side, enlarged; about -1 … 1."""
    import cv2

    coarse = dice.array(max(2, cells[0]), max(2, cells[1])) * 2 - 1
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
