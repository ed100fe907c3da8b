"""Draws that depend on names alone: a thing of a city is the same whatever was drawn before."""

import zlib

import numpy as np

_TABLE = np.random.default_rng(0).random(1 << 16, dtype=np.float32)
_FACTORS = np.array([73856093, 19349663, 83492791, 49979687], np.uint32)


def dice(*keys: int | str) -> np.random.Generator:
    """The generator of the thing with these keys: integers (also negative) and strings."""
    words = [zlib.crc32(key.encode()) if isinstance(key, str) else int(key) & 0xFFFFFFFF for key in keys]
    return np.random.default_rng(words)


def noise(*numbers: np.ndarray | float) -> np.ndarray:
    """A number in [0, 1) for each combination of at most 4 numbers, whose fractions are cut off; float32."""
    mixed = np.uint32(0)
    for number, factor in zip(numbers, _FACTORS, strict=False):
        mixed = mixed ^ (np.asarray(number).astype(np.int32).view(np.uint32) * factor)
    return _TABLE[(mixed ^ (mixed >> np.uint32(16))) & np.uint32(0xFFFF)]
