"""The plan of the toy city: an endless grid of streets in UTM metres, and what is on its blocks.

Nodes (i, j) form a bent and jittered grid. A *segment* of street joins two neighbouring nodes; its kind
(lane, street, avenue) belongs to its row or column. A *block* (i, j) fills the space between four segments
with rows of houses, or is a park. All follows from the seed, whatever part of the city was looked at before.

    node (i,j+1) ── row j+1 ── node (i+1,j+1)
        │                          │
     column i     block (i,j)   column i+1
        │                          │
    node (i,j) ──── row j ──── node (i+1,j)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from deepibl.toycity.dice import Dice

ORIGIN = (500_000.0, 6_100_000.0)  # 55.0 N, 3.0 E, in the North Sea: no real place is meant
ZONE = "31N"
GRID = (104.0, 80.0)  # mean distance of nodes east-west and north-south, metres
DISTRICTS = {"train": (0, 0), "val": (300, 0), "test": (0, 300)}  # the cell where a split's district begins
STREET_KINDS = {"lane": (6.0, 2.0), "street": (8.0, 3.0), "avenue": (13.0, 4.5)}  # roadway, sidewalk; metres


class Segment:
    """A piece of street between two nodes.

    key: ("row" or "column", i, j).
    start, end: UTM of the two nodes, (2,); length: metres. along, right: unit vectors (2,).
    road, walk: widths of the roadway and of one sidewalk; half: from the centre line to the houses; metres.
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


class Style(NamedTuple):
    """Ranges (low, high) in metres or counts, and choices, from which a facade is drawn."""

    width: tuple[float, float]
    storeys: tuple[int, int]
    ground: tuple[float, float]
    floor: tuple[float, float]
    materials: tuple[str, ...]
    roofs: tuple[str, ...]
    windows: tuple[str, ...]
    bases: tuple[str, ...]


STYLES = {
    "classic": Style(
        (10, 19), (3, 5), (4.0, 5.0), (3.2, 3.8), ("plaster", "plaster", "stone"), ("mansard", "flat"),
        ("framed", "arched", "french"), ("shops", "arches", "doors"),
    ),
    "brick": Style(
        (6, 15), (2, 5), (3.4, 4.4), (2.9, 3.4), ("brick",), ("flat", "mansard", "gable"),
        ("arched", "sash", "shutters"), ("shops", "doors", "doors"),
    ),
    "modern": Style(
        (14, 28), (3, 8), (3.8, 4.6), (2.9, 3.3), ("panels", "concrete"), ("flat",),
        ("strip", "grid", "wide"), ("shops", "garage"),
    ),
    "old": Style(
        (6, 11), (2, 4), (3.0, 3.6), (2.6, 3.0), ("plaster", "timber", "stone"),
        ("gable", "stepped", "mansard"), ("shutters", "sash", "framed"), ("shops", "doors", "doors"),
    ),
}  # fmt: skip
QUARTERS = (
    ("old", "old", "classic", "brick"), ("classic", "classic", "modern"), ("brick", "brick", "modern"),
    ("modern", "modern", "brick"), ("classic", "brick", "modern", "old"),
)  # fmt: skip


@dataclass(frozen=True)
class Facade:
    """The measures of one facade; everything painted on it follows from its keys.

    style: of `STYLES`. width, ground, floor: metres; `ground` is the height of the ground floor, `floor` of
    each storey above. storeys: with the ground floor.
    """

    keys: tuple[int | str, ...]
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
    def height(self) -> float:
        """Height with the part of the roof in the plane of the facade, metres."""
        gable = min(max(0.5 * self.width, 2.0), 5.0)
        return self.wall + {"flat": 0.7, "mansard": 3.0}.get(self.roof, gable)


def draw_facade(style: str, keys: tuple[int | str, ...]) -> Facade:
    """A facade of that style."""
    data, dice = STYLES[style], Dice("measures", *keys)
    measures = (dice.uniform(*data.width), dice.whole(*data.storeys), dice.uniform(*data.ground))
    choices = (dice.pick(of) for of in (data.materials, data.roofs, data.windows, data.bases))
    return Facade(keys, style, *measures, dice.uniform(*data.floor), *choices)


@dataclass(frozen=True)
class Thing:
    """Something upright that faces the camera: `kind` tree, lamp, person …; UTM (2,); height in metres."""

    kind: str
    position: np.ndarray
    height: float
    variant: int


@dataclass(frozen=True)
class Block:
    """What is between four segments: corners (4, 2), facades, and the trees of a park.

    origin, across: lower left corner and lower edge of each facade, seen from outside; (n, 2) UTM, metres.
    """

    ground: np.ndarray
    facades: list[Facade]
    origin: np.ndarray
    across: np.ndarray
    trees: list[Thing]


class City:
    """An endless toy city; the same seed is the same city.

    seed: a whole number. origin: UTM (east, north) of node (0, 0), metres.
    """

    def __init__(self, seed: int = 0, origin: tuple[float, float] = ORIGIN) -> None:
        self.seed = int(seed)
        self.origin = np.array(origin, dtype=np.float64)
        dice = self.dice("city")
        turn = math.radians(dice.uniform(-25, 25))
        self._turn = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        self._phases = [dice.uniform(0, 2 * math.pi) for _ in range(4)]
        self.node = lru_cache(maxsize=4096)(self._node)
        self.segment = lru_cache(maxsize=2048)(self._segment)
        self.block = lru_cache(maxsize=512)(self._block)

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

    def _block(self, i: int, j: int) -> Block:
        """The block between nodes (i, j) and (i+1, j+1)."""
        dice, ground = self.dice("block", i, j), self._ground(i, j)
        facades: list[Facade] = []
        places: list[tuple[np.ndarray, np.ndarray]] = []
        if dice.chance(0.06):  # a park
            trees = []
            for _ in range(dice.whole(14, 26)):
                s, t = dice.uniform(0.05, 0.95), dice.uniform(0.05, 0.95)
                spot = (1 - t) * ((1 - s) * ground[0] + s * ground[1]) + t * (
                    (1 - s) * ground[3] + s * ground[2]
                )
                trees.append(Thing("tree", spot, dice.uniform(6, 13), dice.whole(0, 11)))
            return Block(ground, [], np.zeros((0, 2)), np.zeros((0, 2)), trees)
        styles = self.dice("quarter", i // 3, j // 3).pick(QUARTERS)
        for side in range(4):
            start, way = ground[side], ground[(side + 1) % 4] - ground[side]
            length, main, row = float(np.hypot(*way)), dice.pick(styles), list[Facade]()
            while sum(facade.width for facade in row) < length - 3.0:
                style = main if dice.chance(0.6) else dice.pick(styles)
                row.append(draw_facade(style, (self.seed, i, j, side, len(row))))
            fit = length / sum(facade.width for facade in row)
            at = 0.0
            for facade in row:
                facades.append(replace(facade, width=facade.width * fit))
                places.append((start + way * (at / length), way * (facades[-1].width / length)))
                at += facades[-1].width
        origin, across = np.array(places).transpose(1, 0, 2)
        return Block(ground, facades, origin, across, [])

    def cell(self, position: np.ndarray) -> tuple[int, int]:
        """The (i, j) of the block at or near a UTM position."""
        east, north = self._turn.T @ (np.asarray(position, dtype=np.float64) - self.origin)
        return math.floor(east / GRID[0]), math.floor(north / GRID[1])

    def _ground(self, i: int, j: int) -> np.ndarray:
        """The corners of block (i, j) inside the sidewalks, counter-clockwise from south-west, (4, 2) UTM."""
        lines = []
        for line, a, b, sign in (
            ("row", i, j, 1),
            ("column", i + 1, j, 1),
            ("row", i, j + 1, -1),
            ("column", i, j, -1),
        ):
            segment = self.segment(line, a, b)
            lines.append((segment.start - segment.right * sign * segment.half, segment.along))
        return np.array([_crossing(*lines[k - 1], *lines[k]) for k in range(4)])

    def around(self, position: np.ndarray, cells: int) -> list[tuple[int, int]]:
        """The cells around a UTM position: `cells` to each side."""
        i, j = self.cell(position)
        return [(i + a, j + b) for a in range(-cells, cells + 1) for b in range(-cells, cells + 1)]

    def segments(self, position: np.ndarray, cells: int) -> list[Segment]:
        """The segments of the cells around a UTM position."""
        return [
            self.segment(line, *cell) for cell in self.around(position, cells) for line in ("row", "column")
        ]

    def nearest_street(self, position: np.ndarray) -> tuple[Segment, float]:
        """The segment nearest to a UTM position, and the distance along it of its point nearest to it."""
        found = []
        for number, segment in enumerate(self.segments(position, 1)):
            at = min(max(float((position - segment.start) @ segment.along), 0.0), segment.length)
            found.append((float(np.hypot(*(segment.at(at) - position))), number, segment, at))
        return min(found)[2:]


def _crossing(p: np.ndarray, d: np.ndarray, q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Where the lines p + s d and q + t e cross, (2,)."""
    return p + np.linalg.solve(np.stack([d, -e], axis=1), q - p)[0] * d


def spiral(start: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Cells around `start` in a square spiral, without end."""
    (i, j), step = start, 0
    yield i, j
    while True:
        for turn, (di, dj) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
            step += turn % 2 == 0
            for _ in range(step):
                i, j = i + di, j + dj
                yield i, j
