"""What stands on a block of the toy city, as rectangles in space: facades, party walls, roofs, hedges, trees.

Heights are metres above the street; a block is a list of `Quad`s in numpy arrays so that a view projects
them at once.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from deepibl.toycity.dice import Dice
from deepibl.toycity.styles import QUARTERS, Facade, draw_facade

if TYPE_CHECKING:
    from deepibl.toycity.plan import City

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
