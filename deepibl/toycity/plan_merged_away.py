"""The plan of the toy city: an endless net of streets in UTM metres, made on demand from the seed.

Nodes (i, j) stand in a bent and jittered grid. A *street segment* joins two neighbouring nodes; its kind
(lane,
street, avenue) belongs to its row or column of the grid. A *block* (i, j) fills the space between four
segments; what
stands on it is made by `blocks`. Nothing depends on how much of the city was looked at before.

    node (i,j+1) ── row j+1 ── node (i+1,j+1)
        │                          │
     column i     block (i,j)   column i+1
        │                          │
    node (i,j) ──── row j ──── node (i+1,j)
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from deepibl.toycity.dice import Dice

if TYPE_CHECKING:
    from deepibl.toycity.blocks import Block

# UTM zone 31N: 55.0 N, 3.0 E, in the North Sea, so that no real place is meant
ORIGIN = (500_000.0, 6_100_000.0)
ZONE = (31, "N")
# mean distance of nodes east-west and north-south, metres
GRID = (104.0, 80.0)
# the cell where a split's district begins
DISTRICTS = {"train": (0, 0), "val": (300, 0), "test": (0, 300)}
# widths of the roadway and of one sidewalk, metres
STREET_KINDS = {"lane": (6.0, 2.0), "street": (8.0, 3.0), "avenue": (13.0, 4.5)}


class Segment:
    """A piece of street between two nodes.

    Attributes:
        key: ("row" or "column", i, j).
        start, end: UTM of the two nodes, (2,) float64; length: between them, metres.
        kind: lane, street or avenue; road, walk: widths of the roadway and of one sidewalk; half: from the
            centre
            line to the houses; metres.
        along, right: unit vectors (2,) from start to end, and to the right of it.
        heading: compass direction of `along`, degrees clockwise from north.
    """

    def __init__(self, key: tuple[str, int, int], start: np.ndarray, end: np.ndarray, kind: str) -> None:
        self.key, self.start, self.end, self.kind = key, start, end, kind
        self.road, self.walk = STREET_KINDS[kind]
        self.half = self.road / 2 + self.walk
        self.length = float(np.hypot(*(end - start)))
        self.along = (end - start) / self.length
        self.right = np.array([self.along[1], -self.along[0]])
        self.heading = math.degrees(math.atan2(self.along[0], self.along[1])) % 360

    def at(self, distance: float, offset: float = 0.0) -> np.ndarray:
        """UTM of the point `distance` metres from the start and `offset` metres to the right."""
        return self.start + distance * self.along + offset * self.right


class City:
    """An endless toy city; the same seed is the same city.

    Args:
        seed: a whole number.
        origin: UTM (east, north) of node (0, 0), metres.
    """

    def __init__(self, seed: int = 0, origin: tuple[float, float] = ORIGIN) -> None:
        self.seed = int(seed)
        self.origin = np.array(origin, dtype=np.float64)
        dice = Dice(self.seed, "city")
        turn = math.radians(dice.uniform(-25, 25))
        self._turn = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        self._phases = [dice.uniform(0, 2 * math.pi) for _ in range(4)]
        self.node = lru_cache(maxsize=4096)(self._node)
        self.segment = lru_cache(maxsize=2048)(self._segment)
        self.segments = lru_cache(maxsize=64)(self._segments)
        self.block = lru_cache(maxsize=256)(self._block)

    def dice(self, *keys: int | str) -> Dice:
        """The generator of the thing with that name in this city."""
        return Dice(self.seed, *keys)

    def _node(self, i: int, j: int) -> np.ndarray:
        dice = self.dice("node", i, j)
        a, b, c, d = self._phases
        east = i * GRID[0] + 16 * math.sin(0.7 * j + a) + 8 * math.sin(0.31 * i + b) + dice.uniform(-7, 7)
        north = j * GRID[1] + 13 * math.sin(0.6 * i + c) + 6 * math.sin(0.37 * j + d) + dice.uniform(-5, 5)
        return self.origin + self._turn @ np.array([east, north])

    def street_kind(self, line: str, number: int) -> str:
        """lane, street or avenue: the kind of a whole row or column."""
        draw = self.dice("street kind", line, number).uniform()
        return "lane" if draw < 0.3 else "street" if draw < 0.8 else "avenue"

    def _segment(self, line: str, i: int, j: int) -> Segment:
        end = self.node(i + 1, j) if line == "row" else self.node(i, j + 1)
        return Segment((line, i, j), self.node(i, j), end, self.street_kind(line, j if line == "row" else i))

    def _block(self, i: int, j: int) -> "Block":
        from deepibl.toycity.blocks import make_block

        return make_block(self, i, j)

    def cell(self, position: np.ndarray) -> tuple[int, int]:
        """The (i, j) of the block at or near a UTM position."""
        east, north = self._turn.T @ (np.asarray(position, dtype=np.float64) - self.origin)
        return math.floor(east / GRID[0]), math.floor(north / GRID[1])

    def block_ground(self, i: int, j: int) -> np.ndarray:
        """The four corners of block (i, j) inside the sidewalks, counter-clockwise from south-west, (4, 2)
        UTM.
        """
        sides = [
            (self.segment("row", i, j), 1.0),
            (self.segment("column", i + 1, j), 1.0),
            (self.segment("row", i, j + 1), -1.0),
            (self.segment("column", i, j), -1.0),
        ]
        lines = []
        for segment, sign in sides:
            inward = -segment.right * sign
            lines.append((segment.start + inward * segment.half, segment.along))
        return np.array([_crossing(*lines[k - 1], *lines[k]) for k in range(4)])

    def _segments(self, i: int, j: int, cells: int) -> tuple[list[Segment], np.ndarray]:
        around = [(i + a, j + b) for a in range(-cells, cells + 1) for b in range(-cells, cells + 1)]
        segments = [self.segment(line, *cell) for cell in around for line in ("row", "column")]
        return segments, np.array([(s.start, s.end) for s in segments])

    def segments_near(self, position: np.ndarray, cells: int) -> tuple[list[Segment], np.ndarray]:
        """The segments of the cells around a UTM position, and their ends (n, 2, 2)."""
        return self.segments(*self.cell(position), cells)

    def blocks_near(self, position: np.ndarray, cells: int) -> list["Block"]:
        """The blocks of the cells around a UTM position."""
        i, j = self.cell(position)
        return [self.block(i + a, j + b) for a in range(-cells, cells + 1) for b in range(-cells, cells + 1)]

    def nearest_street(self, position: np.ndarray) -> tuple[Segment, float]:
        """The segment nearest to a UTM position, and the distance from its start of the nearest point on
        it.
        """
        segments, ends = self.segments_near(position, 1)
        way = ends[:, 1] - ends[:, 0]
        part = ((position - ends[:, 0]) * way).sum(1) / (way * way).sum(1)
        foot = ends[:, 0] + way * part.clip(0, 1)[:, None]
        nearest = int(np.hypot(*(foot - position).T).argmin())
        return segments[nearest], float(part.clip(0, 1)[nearest]) * segments[nearest].length


def _crossing(p: np.ndarray, d: np.ndarray, q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Where the lines p + s d and q + t e cross, (2,)."""
    s = ((q[0] - p[0]) * e[1] - (q[1] - p[1]) * e[0]) / (d[0] * e[1] - d[1] * e[0])
    return p + s * d


def spiral(start: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Cells around `start` in a square spiral, without end."""
    i, j = start
    step, direction = 1, 0
    yield i, j
    while True:
        for _ in range(2):
            di, dj = ((1, 0), (0, 1), (-1, 0), (0, -1))[direction]
            for _ in range(step):
                i, j = i + di, j + dj
                yield i, j
            direction = (direction + 1) % 4
        step += 1
