"""Draws that depend on names alone, and noise made of them.

Only `Generator.random` of PCG64 is used: the streams of other methods may change between versions of numpy.
"""

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np

T = TypeVar("T")


class Dice:
    """A generator for each thing in the city: `Dice(seed, "block", 3, -1)` draws the same on any machine.

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
    """White noise (1024, 2048) float32, mean 0 and deviation 1; read-only."""
    tile = (Dice("noise").array(2, 1024, 2048).sum(0) - 1) * np.float32(math.sqrt(6.0))
    tile.setflags(write=False)
    return tile


def noise(rows: int, cols: int, dice: Dice) -> np.ndarray:
    """A (rows, cols) piece of a tile of white noise, from a random place on."""
    tile = _noise_tile()
    top, left = dice.whole(0, 1023), dice.whole(0, 2047)
    return tile[np.arange(top, top + rows)[:, None] % 1024, np.arange(left, left + cols) % 2048]


def soft_noise(rows: int, cols: int, cells: tuple[int, int], dice: Dice) -> np.ndarray:
    """Smooth noise (rows, cols): `cells` random values a side, enlarged; about -1 … 1."""
    coarse = dice.array(max(2, cells[0]), max(2, cells[1])) * 2 - 1
    return cv2.resize(coarse, (cols, rows), interpolation=cv2.INTER_CUBIC)
