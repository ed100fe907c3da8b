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

What stands on a block of the toy city, as rectangles in space: facades, party walls, roofs, hedges, trees.

Heights are metres above the street; a block is a list of `Quad`s in numpy arrays so that a view projects
them at once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

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


DEPTH = 10.0  # metres from a facade to the back of its house


@dataclass(frozen=True)
class Plain:
    """A surface without windows: `kind` is a key of `surfaces.SURFACES`, `variant` chooses its
    colour.
    """

    kind: str
    variant: int
    width: float
    height: float


Skin = Facade | Plain

Keys = tuple[int | str, ...]


@dataclass(frozen=True)
class Thing:
    """Something upright on a fixed place: `kind` tree, lamp, bin …; `position` UTM (2,); `size` its height
    in metres.
    """

    kind: str
    position: np.ndarray
    size: float
    variant: int


@dataclass
class Block:
    """One block.

    Attributes:
        kind: built, villas or park.
        ground: its corners, (4, 2) UTM.
        origin: lower left corner of each quad seen from outside, (n, 3); across, up: its sides, (n, 3).
        centre: middle of the house it belongs to, (n, 2), for sorting; rank: order within the house.
        solid: True where nothing can be seen through or over the lower edge of it.
        skins: what is on it, one a quad.
    """

    kind: str
    ground: np.ndarray
    skins: list[Skin] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(
        self,
        skin: Skin,
        origin: np.ndarray,
        across: np.ndarray,
        up: np.ndarray,
        centre: np.ndarray,
        rank: int,
    ) -> None:
        """Adds a quad; origin, across and up are (3,), centre is (2,)."""
        self.skins.append(skin)
        self.rows.append((origin, across, up, np.append(centre, rank)))

    def freeze(self) -> "Block":
        """Stacks the quads into arrays; call it when all have been added."""
        columns = [np.array([row[k] for row in self.rows], dtype=np.float64).reshape(-1, 3) for k in range(4)]
        self.origin, self.across, self.up, last = columns
        self.centre, self.rank = last[:, :2], last[:, 2]
        self.solid = np.array([isinstance(skin, Facade) for skin in self.skins], dtype=bool)
        self.rows = []
        return self


def _flat(v: np.ndarray, z: float = 0.0) -> np.ndarray:
    return np.array([v[0], v[1], z])


def make_block(city: "City", i: int, j: int) -> Block:
    """The block between nodes (i, j) and (i+1, j+1) of a city."""
    dice = city.dice("block", i, j)
    quarter = city.dice("quarter", i // 3, j // 3)
    names = sorted(QUARTERS)
    styles = QUARTERS[quarter.pick(names)]
    draw = dice.uniform()
    kind = "park" if draw < 0.05 else "villas" if draw < 0.17 else "built"
    block = Block(kind, city.block_ground(i, j))
    if kind == "park":
        _fill_park(block, dice, (city.seed, i, j))
    elif kind == "villas":
        _fill_villas(block, dice, (city.seed, i, j))
    else:
        _fill_houses(block, dice, (city.seed, i, j), styles)
    return block.freeze()


def _side(block: Block, side: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Start corner (2,), unit direction (2,) and length of a side; the inside is to the left."""
    start, end = block.ground[side], block.ground[(side + 1) % 4]
    length = float(np.hypot(*(end - start)))
    return start, (end - start) / length, length


def _fill_houses(block: Block, dice: Dice, keys: Keys, styles: tuple[str, ...]) -> None:
    """Closed rows of houses along all four sides; a corner house has a facade on each of its two sides."""
    corners = [draw_facade(dice.pick(styles), (*keys, "corner", k), (*keys, "corner", k)) for k in range(4)]
    fronts = [(min(c.width, 16.0), min(dice.uniform(8, 14), 16.0)) for c in corners]
    for side in range(4):
        start, along, length = _side(block, side)
        this, following = corners[side], corners[(side + 1) % 4]
        room = length - fronts[side][0] - fronts[(side + 1) % 4][1]
        row = [_resized(this, fronts[side][0], side, "a")]
        row += _row_between(dice, (*keys, side), styles, room)
        row.append(_resized(following, fronts[(side + 1) % 4][1], side, "b"))
        _place_row(block, dice, row, start, along)


def _resized(corner: Facade, width: float, side: int, end: str) -> Facade:
    roof = "pitched" if corner.roof in ("gable", "stepped") else corner.roof
    return Facade(
        (*corner.keys, side, end), corner.plan, corner.style, width, corner.storeys, corner.ground,
        corner.floor, corner.material, roof, corner.window, corner.base,
    )  # fmt: skip


def _row_between(dice: Dice, keys: Keys, styles: tuple[str, ...], room: float) -> list[Facade]:
    """Facades that fill `room` metres; those of a terrace are built to one plan."""
    row: list[Facade] = []
    main = dice.pick(styles)
    while sum(f.width for f in row) < room - 3.0:
        number = len(row)
        style = main if dice.chance(0.6) else dice.pick(styles)
        plan = (*keys, "terrace") if style == "terrace" else (*keys, number)
        row.append(draw_facade(style, (*keys, number), plan))
    if not row:
        return []
    factor = room / sum(f.width for f in row)
    if factor < 0.6 and len(row) > 1:
        row.pop()
        factor = room / sum(f.width for f in row)
    return [draw_facade(f.style, f.keys, f.plan, f.width * factor) for f in row]


def _place_row(block: Block, dice: Dice, row: list[Facade], start: np.ndarray, along: np.ndarray) -> None:
    """Puts a row of facades along a side, with party walls above lower neighbours and roofs."""
    inward = np.array([-along[1], along[0]])
    at, before = 0.0, 0.0
    for number, facade in enumerate(row):
        left = start + at * along
        centre = left + along * facade.width / 2 + inward * DEPTH / 2
        block.add(
            facade, _flat(left), _flat(along) * facade.width, np.array([0, 0, facade.height]), centre, 2
        )
        after = row[number + 1].wall if number + 1 < len(row) else facade.wall
        variant = dice.whole(0, 7)
        if facade.wall > before + 0.3 and number:
            _party_wall(block, left + inward * DEPTH, -inward, before, facade.wall, centre, variant)
        if facade.wall > after + 0.3:
            _party_wall(block, left + along * facade.width, inward, after, facade.wall, centre, variant)
        _roof(block, facade, left, along, inward, centre, variant)
        at, before = at + facade.width, facade.wall


def _party_wall(
    block: Block,
    origin: np.ndarray,
    across: np.ndarray,
    low: float,
    high: float,
    centre: np.ndarray,
    variant: int,
) -> None:
    skin = Plain("party", variant, DEPTH, high - low)
    block.add(skin, _flat(origin, low), _flat(across) * DEPTH, np.array([0, 0, high - low]), centre, 1)


def _roof(
    block: Block,
    facade: Facade,
    left: np.ndarray,
    along: np.ndarray,
    inward: np.ndarray,
    centre: np.ndarray,
    variant: int,
) -> None:
    """Sloping roofs: towards the street (pitched), or to both sides of a front gable."""
    if facade.roof == "pitched":
        rise = 3.2
        up = _flat(inward) * 0.45 * DEPTH + np.array([0, 0, rise])
        skin = Plain("roof", variant, facade.width, float(np.linalg.norm(up)))
        block.add(skin, _flat(left, facade.wall), _flat(along) * facade.width, up, centre, 0)
    if facade.roof in ("gable", "stepped"):
        _saddle(block, left, along, inward, facade.width, facade.wall, facade.top, DEPTH, centre, variant)


def _saddle(
    block: Block,
    left: np.ndarray,
    along: np.ndarray,
    inward: np.ndarray,
    width: float,
    eave: float,
    rise: float,
    depth: float,
    centre: np.ndarray,
    variant: int,
) -> None:
    """Two roof planes whose ridge runs inward from the middle of a front."""
    slope = float(np.hypot(width / 2, rise))
    skin = Plain("roof", variant, depth, slope)
    to_ridge = _flat(along) * width / 2 + np.array([0, 0, rise])
    block.add(skin, _flat(left + inward * depth, eave), -_flat(inward) * depth, to_ridge, centre, 0)
    to_ridge = -_flat(along) * width / 2 + np.array([0, 0, rise])
    block.add(skin, _flat(left + along * width, eave), _flat(inward) * depth, to_ridge, centre, 0)


def _fill_villas(block: Block, dice: Dice, keys: Keys) -> None:
    """Houses that stand free behind gardens, hedges or fences at the sidewalk."""
    for side in range(4):
        start, along, length = _side(block, side)
        inward = np.array([-along[1], along[0]])
        edge = dice.pick(("hedge", "fence", "hedge", "wall"))
        height = dice.uniform(0.8, 1.4)
        skin = Plain(edge, dice.whole(0, 7), length, height)
        block.add(
            skin, _flat(start), _flat(along) * length, np.array([0, 0, height]), start + along * length / 2, 2
        )
        at, number = 4.0 + 8.0, 0
        while at < length - 14.0:
            facade = draw_facade("villa", (*keys, side, number), (*keys, side, number))
            back = start + inward * dice.uniform(3.5, 6.0) + along * at
            _villa(block, dice, facade, back, along, inward)
            gap = dice.uniform(3.5, 7.0)
            spot = start + along * (at + facade.width + gap / 2) + inward * dice.uniform(2, 8)
            block.things.append(Thing("tree", spot, dice.uniform(3.5, 8), dice.whole(0, 11)))
            at, number = at + facade.width + gap, number + 1


def _villa(
    block: Block, dice: Dice, facade: Facade, left: np.ndarray, along: np.ndarray, inward: np.ndarray
) -> None:
    width, wall, depth = facade.width, facade.wall, 8.0
    centre = left + along * width / 2 + inward * depth / 2
    variant = dice.whole(0, 7)
    sides = [
        (left, along, width, True),
        (left + along * width, inward, depth, False),
        (left + along * width + inward * depth, -along, width, False),
        (left + inward * depth, -inward, depth, False),
    ]
    for origin, across, size, front in sides:
        skin: Skin = facade if front else Plain("villa side", variant, size, wall)
        height = facade.height if front else wall
        block.add(skin, _flat(origin), _flat(across) * size, np.array([0, 0, height]), centre, 2)
    rise = dice.uniform(2.2, 3.6)
    corner, a, b, span, run = left, along, inward, width, depth
    if dice.chance(0.5):  # the ridge runs along the street
        corner, a, b, span, run = left + along * width, inward, -along, depth, width
    _saddle(block, corner, a, b, span, wall, rise, run, centre, variant)
    for origin, across in ((corner, a), (corner + a * span + b * run, -a)):
        gable = Plain("gable", variant, span, rise)
        block.add(gable, _flat(origin, wall), _flat(across) * span, np.array([0, 0, rise]), centre, 1)


def _fill_park(block: Block, dice: Dice, keys: Keys) -> None:
    """Lawn, trees and a low wall, hedge or railing."""
    edge, height = dice.pick(("hedge", "fence", "wall")), dice.uniform(0.5, 1.2)
    for side in range(4):
        start, along, length = _side(block, side)
        skin = Plain(edge, dice.whole(0, 7), length, height)
        block.add(
            skin, _flat(start), _flat(along) * length, np.array([0, 0, height]), start + along * length / 2, 2
        )
    a, b, c, d = block.ground
    for _ in range(dice.whole(14, 26)):
        s, t = dice.uniform(0.05, 0.95), dice.uniform(0.05, 0.95)
        spot = (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * d + s * c)
        block.things.append(Thing("tree", spot, dice.uniform(6, 13), dice.whole(0, 11)))
