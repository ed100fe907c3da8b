"""The plan of the toy city: an endless grid of streets in UTM metres, with rows of houses between them.

Nodes (i, j) form a bent and jittered grid. A *segment* of street joins two neighbouring nodes; its width
belongs to its row or column. A *block* (i, j) has rows of houses on its four sides. All follows from the
seed, whatever part of the city was looked at before.

    node (i,j+1) ── row j+1 ── node (i+1,j+1)
        │                          │
     column i     block (i,j)   column i+1
        │                          │
    node (i,j) ──── row j ──── node (i+1,j)
"""

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from deepibl.toycity.dice import dice

ORIGIN = (500_000.0, 6_100_000.0)  # 55.0 N, 3.0 E, in the North Sea: no real place is meant
ZONE = "31N"
GRID = np.array([104.0, 80.0])  # mean distance of nodes east-west and north-south, metres
DISTRICTS = {"train": (0, 0), "val": (300, 0), "test": (0, 300)}  # the cell where a split's district begins
STREETS = ((6.0, 2.0), (8.0, 3.0), (8.0, 3.0), (13.0, 4.5))  # roadway, one sidewalk; metres

# A house: what one sees of it from the street. Lengths in metres, colours RGB 0 to 1.
HOUSE = np.dtype(
    [
        ("origin", float, 2),  # UTM of its lower left corner, seen from outside
        ("across", float, 2),  # from there to its lower right corner
        ("key", int),
        ("width", "f4"),
        ("wall", "f4"),  # height up to the roof
        ("roof", "f4"),  # height of the roof in the plane of the wall
        ("gable", bool),  # whether the roof is a triangle
        ("ground", "f4"),  # height of the ground floor
        ("floor", "f4"),  # height of each storey above
        ("bay", "f4"),  # from a window to the next
        ("half", "f4"),  # half of a window's width
        ("sill", "f4"),  # its lower edge above the floor
        ("head", "f4"),  # its upper edge
        ("arched", bool),
        ("panes", int, 2),  # across and up
        ("shutters", bool),
        ("rails", bool),
        ("shop", "f4"),  # width of a shop; 0: windows and a door
        ("door", int),  # the bay of the door
        ("unit", "f4", 2),  # width and height of a brick, stone or panel
        ("spread", "f4"),  # how much these differ in brightness
        ("colour", "f4", 3),
        ("trim", "f4", 3),
        ("accent", "f4", 3),
        ("tiles", "f4", 3),
    ]
)
# colour, width and height of the unit, spread: plaster, brick, stone, panels
MATERIALS = [
    ((0.88, 0.83, 0.72), (2.4, 1.2), 0.04), ((0.82, 0.70, 0.50), (2.4, 1.2), 0.04),
    ((0.77, 0.80, 0.74), (2.4, 1.2), 0.04), ((0.80, 0.57, 0.43), (2.4, 1.2), 0.04),
    ((0.85, 0.77, 0.44), (2.4, 1.2), 0.04), ((0.66, 0.72, 0.80), (2.4, 1.2), 0.04),
    ((0.56, 0.28, 0.21), (0.30, 0.15), 0.4), ((0.64, 0.35, 0.25), (0.30, 0.15), 0.4),
    ((0.73, 0.56, 0.38), (0.30, 0.15), 0.4), ((0.41, 0.31, 0.26), (0.30, 0.15), 0.4),
    ((0.74, 0.68, 0.58), (0.95, 0.48), 0.2), ((0.62, 0.60, 0.56), (0.95, 0.48), 0.2),
    ((0.60, 0.62, 0.64), (2.4, 1.50), 0.1), ((0.42, 0.45, 0.48), (2.4, 1.50), 0.1),
]  # fmt: skip
_COLOURS, _UNITS, _SPREADS = (np.array(column, np.float32) for column in zip(*MATERIALS, strict=True))
TRIMS = np.array([(0.92, 0.90, 0.86), (0.75, 0.70, 0.62), (0.30, 0.28, 0.26), (0.55, 0.50, 0.46)], np.float32)
ACCENTS = np.array(
    [
        (0.55, 0.13, 0.14), (0.11, 0.26, 0.42), (0.13, 0.35, 0.24), (0.77, 0.57, 0.12), (0.24, 0.16, 0.29),
        (0.09, 0.10, 0.13), (0.74, 0.35, 0.12), (0.08, 0.42, 0.47), (0.84, 0.81, 0.75), (0.38, 0.12, 0.20),
    ],
    np.float32,
)  # fmt: skip
TILES = np.array([(0.56, 0.31, 0.24), (0.35, 0.33, 0.34), (0.27, 0.28, 0.31), (0.63, 0.38, 0.27)], np.float32)


class Segment:
    """A piece of street between two nodes.

    key: ("row" or "column", i, j).
    start, end: UTM of the two nodes, (2,); length: metres. along, right: unit vectors (2,).
    road, walk: widths of the roadway and of one sidewalk; half: from the centre line to the houses; metres.
    heading: compass direction of `along`, degrees clockwise from north.
    """

    def __init__(
        self, key: tuple[str, int, int], start: np.ndarray, end: np.ndarray, road: float, walk: float
    ) -> None:
        self.key, self.start, self.end, self.road, self.walk = key, start, end, road, walk
        self.half = road / 2 + walk
        self.length = float(np.hypot(*(end - start)))
        self.along = (end - start) / self.length
        self.right = np.array([self.along[1], -self.along[0]])
        self.heading = math.degrees(math.atan2(self.along[0], self.along[1])) % 360

    def at(self, distance: float, offset: float = 0.0) -> np.ndarray:
        """UTM of the point `distance` metres from the start and `offset` metres to the right."""
        return self.start + distance * self.along + offset * self.right


class City:
    """An endless toy city; the same seed is the same city.

    seed: a whole number. origin: UTM (east, north) of node (0, 0), metres.
    """

    def __init__(self, seed: int = 0, origin: tuple[float, float] = ORIGIN) -> None:
        self.seed = int(seed)
        self.origin = np.array(origin, dtype=np.float64)
        draw = self.dice("city")
        turn = math.radians(draw.uniform(-25, 25))
        self._turn = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        self._phases = draw.uniform(0, 2 * math.pi, 2)
        self.node = lru_cache(maxsize=4096)(self._node)
        self.segment = lru_cache(maxsize=2048)(self._segment)
        self.block = lru_cache(maxsize=512)(self._block)

    def dice(self, *keys: int | str) -> np.random.Generator:
        """The generator of the thing with these keys in this city."""
        return dice(self.seed, *keys)

    def _node(self, i: int, j: int) -> np.ndarray:
        bend = np.array([16.0, 13.0]) * np.sin(np.array([0.7 * j, 0.6 * i]) + self._phases)
        jitter = self.dice("node", i, j).uniform(-6, 6, 2)
        return self.origin + self._turn @ (np.array([i, j]) * GRID + bend + jitter)

    def _segment(self, line: str, i: int, j: int) -> Segment:
        end = self.node(i + 1, j) if line == "row" else self.node(i, j + 1)
        width = self.dice("street", line, j if line == "row" else i).integers(len(STREETS))
        return Segment((line, i, j), self.node(i, j), end, *STREETS[width])

    def _block(self, i: int, j: int) -> np.ndarray:
        """The houses of the block between nodes (i, j) and (i+1, j+1), (n,) of HOUSE."""
        draw, corners, rows = self.dice("block", i, j), self._corners(i, j), []
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            widths = draw.uniform(7, 20, 30)
            edges = np.concatenate([[0.0], widths.cumsum()])
            edges = edges[: int((edges < np.hypot(*(end - start)) - 5).sum()) + 1]
            points = start + (edges / edges[-1])[:, None] * (end - start)
            row = np.zeros(len(points) - 1, HOUSE)
            row["origin"], row["across"] = points[:-1], np.diff(points, axis=0)
            rows.append(row)
        houses = np.concatenate(rows)
        _furnish(houses, draw)
        return houses

    def _corners(self, i: int, j: int) -> np.ndarray:
        """The corners of block (i, j) inside the sidewalks, counter-clockwise from south-west, (4, 2) UTM."""
        around = (("row", i, j, 1), ("column", i + 1, j, 1), ("row", i, j + 1, -1), ("column", i, j, -1))
        lines = []
        for line, a, b, side in around:
            segment = self.segment(line, a, b)
            lines.append((segment.start - segment.right * side * segment.half, segment.along))
        pairs = zip(lines[-1:] + lines[:-1], lines, strict=True)  # p + s d crosses q + t e
        return np.array([p + np.linalg.solve(np.stack([d, -e], 1), q - p)[0] * d for (p, d), (q, e) in pairs])

    def around(self, position: np.ndarray, cells: int) -> list[tuple[int, int]]:
        """The cells (i, j) around a UTM position: `cells` to each side."""
        i, j = np.floor(self._turn.T @ (np.asarray(position) - self.origin) / GRID).astype(int).tolist()
        reach = range(-cells, cells + 1)
        return [(i + a, j + b) for a in reach for b in reach]

    def segments(self, position: np.ndarray, cells: int) -> list[Segment]:
        """The segments of the cells around a UTM position."""
        cell_lines = itertools.product(self.around(position, cells), ("row", "column"))
        return [self.segment(line, *cell) for cell, line in cell_lines]

    def nearest_street(self, position: np.ndarray) -> tuple[Segment, float]:
        """The segment nearest to a UTM position, and the distance along it of its point nearest to it."""
        found = []
        for number, segment in enumerate(self.segments(position, 1)):
            at = min(max(float((position - segment.start) @ segment.along), 0.0), segment.length)
            found.append((float(np.hypot(*(segment.at(at) - position))), number, segment, at))
        return min(found)[2:]


def _furnish(houses: np.ndarray, draw: np.random.Generator) -> None:
    """Draws how houses look whose place is known."""
    n = len(houses)
    houses["key"] = draw.integers(1 << 30, size=n)
    houses["width"] = width = np.hypot(*houses["across"].T)
    houses["ground"], houses["floor"] = draw.uniform(3.2, 4.8, n), draw.uniform(2.7, 3.7, n)
    houses["wall"] = houses["ground"] + draw.integers(1, 5, n) * houses["floor"]
    houses["gable"] = gable = draw.random(n) < 0.3
    houses["roof"] = np.where(gable, width.clip(4, 10) / 2, draw.choice([0.6, 2.8], n))
    houses["bay"] = bay = width / (width / draw.uniform(2.0, 4.2, n)).round().clip(1)
    houses["half"] = bay * draw.choice([0.2, 0.25, 0.35, 0.47], n)
    houses["sill"] = houses["floor"] * draw.uniform(0.1, 0.3, n)
    houses["head"] = houses["floor"] * draw.uniform(0.72, 0.92, n)
    tall = houses["head"] - houses["sill"]
    houses["arched"], houses["shutters"] = (
        (draw.random(n) < 0.4) & (houses["half"] < 0.5 * tall),
        draw.random(n) < 0.2,
    )
    houses["rails"], houses["panes"] = draw.random(n) < 0.2, draw.integers(1, 4, (n, 2))
    shops = width / (width / draw.uniform(4, 6.5, n)).round().clip(1)
    houses["shop"] = np.where(draw.random(n) < 0.5, shops, 0)
    houses["door"] = draw.integers(0, (width / bay).round().astype(int))
    material = draw.integers(len(MATERIALS), size=n)
    houses["unit"], houses["spread"] = _UNITS[material], _SPREADS[material]
    houses["colour"] = (_COLOURS[material] * draw.uniform(0.85, 1.1, (n, 1))).clip(0, 1)
    for name, choices in (("trim", TRIMS), ("accent", ACCENTS), ("tiles", TILES)):
        houses[name] = draw.choice(choices, n)


def growing_square(i: int, j: int) -> Iterator[tuple[int, int]]:
    """Cells from (i, j) on, without end: after n * n cells they are a square of n to a side."""
    for n in itertools.count():
        yield from ((i + k, j + n) for k in range(n + 1))
        yield from ((i + n, j + k) for k in range(n))
