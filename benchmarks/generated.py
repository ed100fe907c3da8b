"""Generated descriptors of a generated city, of any size, in which it is known what is near what.

A descriptor is the sum of its street's, its place's and its own direction, scaled to length 1. Half of its
own part is in 256 directions that all pictures share, as light, trees and sky are shared: without that, near
pictures are so distinct that every index finds them. Two pictures of one place (20) have a cosine of about
0.35, of one street (100 places) 0.2, of two streets 0, each within 0.02. This is chosen, not measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SEED = 5
PLACE, STREET = 20, 2000  # pictures
SHARE_STREET, SHARE_PLACE = 0.20, 0.15  # of a descriptor's squared length; the rest is the picture's own
SHARED = 256  # directions


def write_descriptors(path: Path, count: int, dim: int, dtype: type = np.float16) -> np.ndarray:
    """A .npy file of unit vectors (count, dim), written a few streets at a time; memory-mapped."""
    rows = np.lib.format.open_memmap(path, "w+", dtype, (count, dim))
    directions = _shared(dim)
    for start in range(0, count, STREET):
        block = _street(start // STREET, dim)[: count - start]
        block += _own(_random(1, start // STREET), len(block), directions)
        rows[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    rows.flush()
    del rows
    return np.load(path, mmap_mode="r")


def new_pictures(places: np.ndarray, dim: int) -> np.ndarray:
    """Descriptors (Q, dim) float32 of pictures that are not in the file, one of the place of each row id."""
    found = np.empty((len(places), dim), np.float32)
    for i, row in enumerate(places):
        found[i] = _street(int(row) // STREET, dim)[int(row) % STREET]
    found += _own(_random(2, 0), len(places), _shared(dim))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _street(number: int, dim: int) -> np.ndarray:
    """What the pictures (STREET, dim) of a street have from it and from their places."""
    random = _random(0, number)
    street = _scaled(random, 1, dim, SHARE_STREET)
    return street + _scaled(random, STREET // PLACE, dim, SHARE_PLACE).repeat(PLACE, 0)


def _shared(dim: int) -> np.ndarray:
    """The shared directions (at most 256, dim), unit vectors."""
    rows = _scaled(_random(3, 0), min(SHARED, dim // 4), dim, 1.0)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _own(random: np.random.Generator, count: int, directions: np.ndarray) -> np.ndarray:
    """What `count` pictures have of their own: half of it anywhere, half in the shared directions."""
    half = (1 - SHARE_STREET - SHARE_PLACE) / 2
    few, dim = directions.shape
    return _scaled(random, count, dim, half) + _scaled(random, count, few, half) @ directions


def _random(kind: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64([SEED, kind, number]))


def _scaled(random: np.random.Generator, count: int, dim: int, share: float) -> np.ndarray:
    return random.standard_normal((count, dim), dtype=np.float32) * np.float32((share / dim) ** 0.5)
