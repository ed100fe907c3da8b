"""The plan of the toy city: an endless grid of streets in UTM metres, and what is on its blocks.

Nodes (i, j) form a bent and jittered grid. A *segment* of street joins two neighbouring nodes; its kind
(lane, street, avenue) belongs to its row or column. A *block* (i, j) fills the space between four segments
with houses, villas or a park: facades, party walls, roofs and hedges as rectangles ("quads"), and trees.
Everything follows from the seed, whatever part of the city was looked at before.

    node (i,j+1) ── row j+1 ── node (i+1,j+1)
        │                          │
     column i     block (i,j)   column i+1
        │                          │
    node (i,j) ──── row j ──── node (i+1,j)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from deepibl.toycity.styles import QUARTERS, Dice, Facade, draw_facade

# UTM zone 31N: 55.0 N, 3.0 E, in the North Sea, so that no real place is meant
ORIGIN = (500_000.0, 6_100_000.0)
ZONE = (31, "N")

# mean distance of nodes east-west and north-south, metres
GRID = (104.0, 80.0)

# the cell where a split's district begins
DISTRICTS = {"train": (0, 0), "val": (300, 0), "test": (0, 300)}

# widths of the roadway and of one sidewalk, metres
STREET_KINDS = {"lane": (6.0, 2.0), "street": (8.0, 3.0), "avenue": (13.0, 4.5)}
DEPTH = 10.0  # metres from a facade to the back of its house


class Segment:
    """A piece of street between two nodes.

    key: ("row" or "column", i, j).
    start, end: UTM of the two nodes, (2,) float64; length: the distance between them, metres.
    kind: lane, street or avenue; road, walk: widths of the roadway and of one sidewalk; half: from the
        centre line to the houses; metres.
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


@dataclass(frozen=True)
class Plain:
    """A surface without windows: `kind` roof, party, hedge …; `variant` 0 … 7 chooses its colour; metres."""

    kind: str
    variant: int
    width: float
    height: float


Skin = Facade | Plain
Keys = tuple[int | str, ...]


@dataclass(frozen=True)
class Thing:
    """An upright object: `kind` tree, lamp, bin …; `position` UTM (2,); `size` its height in metres."""

    kind: str
    position: np.ndarray
    size: float
    variant: int


@dataclass
class Block:
    """The contents of the space between four segments.

    kind: built, villas or park.
    ground: its corners, (4, 2) UTM.
    skins: what is on each quad; things: the trees.
    origin: lower left corner of each quad seen from outside, (n, 3); across, up: its sides, (n, 3);
        metres above the street.
    centre: middle of the house it belongs to, (n, 2), for sorting; rank: order within the house.
    """

    kind: str
    ground: np.ndarray
    skins: list[Skin] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)

    def add(self, skin: Skin, origin: np.ndarray, across: np.ndarray, up: Any, house: Any, rank: int) -> None:
        """Adds a quad: `origin` (2,) on the ground or (3,), `across` a vector (2,) of the side's full length,
        `up` a height or a vector (3,), `house` the centre (2,) of its house.
        """
        up = up if np.ndim(up) else (0, 0, up)
        self.rows.append(np.stack([_space(origin), _space(across), up, np.append(house, rank)]))
        self.skins.append(skin)

    def freeze(self) -> "Block":
        """Stacks the quads into arrays; call it when all have been added."""
        stacked = np.array(self.rows, dtype=np.float64).reshape(-1, 4, 3)
        self.origin, self.across, self.up, last = np.ascontiguousarray(stacked.transpose(1, 0, 2))
        self.centre, self.rank = last[:, :2], last[:, 2]
        self.rows = []
        return self


class City:
    """An endless toy city; the same seed is the same city.

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

    def _block(self, i: int, j: int) -> Block:
        """The block between nodes (i, j) and (i+1, j+1)."""
        dice, keys = self.dice("block", i, j), (self.seed, i, j)
        styles = QUARTERS[self.dice("quarter", i // 3, j // 3).pick(sorted(QUARTERS))]
        draw = dice.uniform()
        block = Block(
            "park" if draw < 0.05 else "villas" if draw < 0.17 else "built", self.block_ground(i, j)
        )
        if block.kind == "park":
            _fill_park(block, dice)
        elif block.kind == "villas":
            _fill_villas(block, dice, keys)
        else:
            _fill_houses(block, dice, keys, styles)
        return block.freeze()

    def cell(self, position: np.ndarray) -> tuple[int, int]:
        """The (i, j) of the block at or near a UTM position."""
        east, north = self._turn.T @ (np.asarray(position, dtype=np.float64) - self.origin)
        return math.floor(east / GRID[0]), math.floor(north / GRID[1])

    def block_ground(self, i: int, j: int) -> np.ndarray:
        """The corners of block (i, j) inside the sidewalks, counter-clockwise from south-west, (4, 2) UTM."""
        cells = (
            ("row", i, j, 1.0),
            ("column", i + 1, j, 1.0),
            ("row", i, j + 1, -1.0),
            ("column", i, j, -1.0),
        )
        lines = []
        for line, a, b, sign in cells:
            segment = self.segment(line, a, b)
            lines.append((segment.start - segment.right * sign * segment.half, segment.along))
        return np.array([_crossing(*lines[k - 1], *lines[k]) for k in range(4)])

    def _segments(self, i: int, j: int, cells: int) -> tuple[list[Segment], np.ndarray]:
        segments = [self.segment(line, *cell) for cell in _around(i, j, cells) for line in ("row", "column")]
        return segments, np.array([(s.start, s.end) for s in segments])

    def segments_near(self, position: np.ndarray, cells: int) -> tuple[list[Segment], np.ndarray]:
        """The segments of the cells around a UTM position, and their ends (n, 2, 2)."""
        return self.segments(*self.cell(position), cells)

    def blocks_near(self, position: np.ndarray, cells: int) -> list[Block]:
        """The blocks of the cells around a UTM position."""
        return [self.block(*cell) for cell in _around(*self.cell(position), cells)]

    def nearest_street(self, position: np.ndarray) -> tuple[Segment, float]:
        """The segment nearest to a UTM position, and the distance along it of its point nearest to it."""
        segments, ends = self.segments_near(position, 1)
        way = ends[:, 1] - ends[:, 0]
        part = ((position - ends[:, 0]) * way).sum(1) / (way * way).sum(1)
        foot = ends[:, 0] + way * part.clip(0, 1)[:, None]
        nearest = int(np.hypot(*(foot - position).T).argmin())
        return segments[nearest], float(part.clip(0, 1)[nearest]) * segments[nearest].length


def _around(i: int, j: int, cells: int) -> list[tuple[int, int]]:
    return [(i + a, j + b) for a in range(-cells, cells + 1) for b in range(-cells, cells + 1)]


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


def _space(v: np.ndarray, z: float = 0.0) -> np.ndarray:
    """A vector (2,) at height z, or one of (3,) as it is."""
    return v if len(v) == 3 else np.array([v[0], v[1], z])


def _side(block: Block, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Start corner, unit direction, unit vector inward, (2,) each, and length of a side of a block."""
    start, end = block.ground[side], block.ground[(side + 1) % 4]
    length = float(np.hypot(*(end - start)))
    along = (end - start) / length
    return start, along, np.array([-along[1], along[0]]), length


def _edge(block: Block, dice: Dice, side: int, kind: str, height: float) -> None:
    """A hedge, fence or wall along a side of a block."""
    start, along, _, length = _side(block, side)
    skin = Plain(kind, dice.whole(0, 7), length, height)
    block.add(skin, start, along * length, height, start + along * length / 2, 2)


def _fill_houses(block: Block, dice: Dice, keys: Keys, styles: tuple[str, ...]) -> None:
    """Closed rows of houses along all four sides; a corner house has a facade on each of its two sides."""
    corners = [draw_facade(dice.pick(styles), (*keys, "corner", k), (*keys, "corner", k)) for k in range(4)]
    fronts = [(min(c.width, 16.0), min(dice.uniform(8, 14), 16.0)) for c in corners]

    def end(corner: int, width: float, side: int, name: str) -> Facade:
        house = corners[corner]
        roof = "pitched" if house.roof in ("gable", "stepped") else house.roof
        return replace(house, keys=(*house.keys, side, name), width=width, roof=roof)

    for side in range(4):
        start, along, inward, length = _side(block, side)
        after = (side + 1) % 4
        left, right = fronts[side][0], fronts[after][1]
        between = _row_between(dice, (*keys, side), styles, length - left - right)
        row = [end(side, left, side, "a"), *between, end(after, right, side, "b")]
        _place_row(block, dice, row, start, along, inward)


def _row_between(dice: Dice, keys: Keys, styles: tuple[str, ...], room: float) -> list[Facade]:
    """Facades that fill `room` metres; those of a terrace are built to one plan."""
    row: list[Facade] = []
    main = dice.pick(styles)
    while sum(f.width for f in row) < room - 3.0:
        number = len(row)
        style = main if dice.chance(0.6) else dice.pick(styles)
        row.append(draw_facade(style, (*keys, number), (*keys, "terrace" if style == "terrace" else number)))
    if len(row) > 1 and room / sum(f.width for f in row) < 0.6:
        row.pop()
    total = sum(f.width for f in row)
    return [replace(f, width=f.width * (room / total)) for f in row]


def _place_row(
    block: Block, dice: Dice, row: list[Facade], start: np.ndarray, along: np.ndarray, inward: np.ndarray
) -> None:
    """Puts a row of facades along a side, with roofs and with party walls above lower neighbours."""
    at, before = 0.0, 0.0
    for number, facade in enumerate(row):
        left, width, wall = start + at * along, facade.width, facade.wall
        centre = left + along * width / 2 + inward * DEPTH / 2
        block.add(facade, left, along * width, facade.height, centre, 2)
        after = row[number + 1].wall if number + 1 < len(row) else wall
        variant = dice.whole(0, 7)
        if wall > before + 0.3 and number:
            party = Plain("party", variant, DEPTH, wall - before)
            corner = _space(left + inward * DEPTH, before)
            block.add(party, corner, -inward * DEPTH, wall - before, centre, 1)
        if wall > after + 0.3:
            party = Plain("party", variant, DEPTH, wall - after)
            block.add(party, _space(left + along * width, after), inward * DEPTH, wall - after, centre, 1)
        if facade.roof == "pitched":  # slopes towards the street
            up = _space(inward) * 0.45 * DEPTH + np.array([0, 0, 3.2])
            skin = Plain("roof", variant, width, float(np.linalg.norm(up)))
            block.add(skin, _space(left, wall), along * width, up, centre, 0)
        elif facade.roof in ("gable", "stepped"):
            _saddle(block, left, along, inward, width, wall, facade.top, DEPTH, centre, variant)
        at, before = at + width, wall


def _saddle(
    block: Block, left: np.ndarray, along: np.ndarray, inward: np.ndarray,
    width: float, eave: float, rise: float, depth: float, centre: np.ndarray, variant: int,
) -> None:  # fmt: skip
    """Two roof planes whose ridge runs inward from the middle of a front."""
    skin = Plain("roof", variant, depth, float(np.hypot(width / 2, rise)))
    for corner, way, across in ((left + inward * depth, 1, -inward), (left + along * width, -1, inward)):
        up = way * _space(along) * width / 2 + np.array([0, 0, rise])
        block.add(skin, _space(corner, eave), across * depth, up, centre, 0)


def _fill_villas(block: Block, dice: Dice, keys: Keys) -> None:
    """Detached houses behind gardens, with hedges, fences or walls at the sidewalk."""
    for side in range(4):
        start, along, inward, length = _side(block, side)
        _edge(block, dice, side, dice.pick(("hedge", "fence", "hedge", "wall")), dice.uniform(0.8, 1.4))
        at, number, depth = 4.0 + 8.0, 0, 8.0
        while at < length - 14.0:
            facade = draw_facade("villa", (*keys, side, number), (*keys, side, number))
            left = start + inward * dice.uniform(3.5, 6.0) + along * at
            width, wall = facade.width, facade.wall
            centre = left + along * width / 2 + inward * depth / 2
            variant = dice.whole(0, 7)
            block.add(facade, left, along * width, facade.height, centre, 2)
            for origin, across, size in (
                (left + along * width, inward, depth),
                (left + along * width + inward * depth, -along, width),
                (left + inward * depth, -inward, depth),
            ):
                skin = Plain("villa side", variant, size, wall)
                block.add(skin, origin, across * size, wall, centre, 2)
            rise = dice.uniform(2.2, 3.6)
            corner, a, b, span, run = left, along, inward, width, depth
            if dice.chance(0.5):  # the ridge runs along the street
                corner, a, b, span, run = left + along * width, inward, -along, depth, width
            _saddle(block, corner, a, b, span, wall, rise, run, centre, variant)
            for origin, across in ((corner, a), (corner + a * span + b * run, -a)):
                skin = Plain("gable", variant, span, rise)
                block.add(skin, _space(origin, wall), across * span, rise, centre, 1)
            gap = dice.uniform(3.5, 7.0)
            spot = start + along * (at + width + gap / 2) + inward * dice.uniform(2, 8)
            block.things.append(Thing("tree", spot, dice.uniform(3.5, 8), dice.whole(0, 11)))
            at, number = at + width + gap, number + 1


def _fill_park(block: Block, dice: Dice) -> None:
    """Lawn, trees and a low wall, hedge or railing."""
    edge, height = dice.pick(("hedge", "fence", "wall")), dice.uniform(0.5, 1.2)
    for side in range(4):
        _edge(block, dice, side, edge, height)
    a, b, c, d = block.ground
    for _ in range(dice.whole(14, 26)):
        s, t = dice.uniform(0.05, 0.95), dice.uniform(0.05, 0.95)
        spot = (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * d + s * c)
        block.things.append(Thing("tree", spot, dice.uniform(6, 13), dice.whole(0, 11)))
