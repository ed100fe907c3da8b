"""The ground of the toy city: painted strips of street with sidewalks, markings and crossings, and what
stands there.

Small things in the streets of the toy city: lamps, bins, posts, signs, boxes, planters, benches.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from deepibl.toycity.camera import NEAR, Frame
from deepibl.toycity.plan import Thing
from deepibl.toycity.styles import Dice
from deepibl.toycity.surfaces import CLEAR, LAMP, Canvas, Colour, Texture, material, mix, shade

if TYPE_CHECKING:
    from deepibl.toycity.plan import City, Segment

WHITE: Colour = (206, 206, 200)


def paint_street(city: "City", segment: "Segment", scale: float) -> Texture:
    """A strip along a segment: x along it, z from its right edge to its left; `scale` pixels a metre."""
    dice = city.dice("street", *segment.key)
    canvas = Canvas(segment.length, 2 * segment.half, scale)
    road = mix((74, 76, 80), (112, 108, 104), dice.uniform())
    cobbles = segment.kind == "lane" and dice.chance(0.45)
    name, colour = ("setts", mix(road, (140, 130, 120), 0.5)) if cobbles else ("asphalt", road)
    canvas.image = material(canvas.labels.shape, scale, name, colour, dice, 1.6)
    if not cobbles:
        _repairs(canvas, segment, dice)
        _markings(canvas, segment, dice)
    _sidewalks(canvas, segment, dice)
    _ends(canvas, city, segment, dice, cobbles)
    return canvas.texture()


def _repairs(canvas: Canvas, segment: "Segment", dice: Dice) -> None:
    """Patches of other asphalt, cracks and manholes."""
    for _ in range(int(segment.length / 9)):
        x = dice.uniform(0, segment.length)
        z = dice.uniform(segment.walk, segment.walk + segment.road - 1.5)
        if dice.chance(0.5):
            length, width = dice.uniform(1, 6), dice.uniform(0.6, 2)
            canvas.tint(
                x, z, x + length, min(z + width, segment.walk + segment.road), dice.uniform(0.75, 1.2)
            )
        else:
            middle = tuple(int(v) for v in canvas.points([(x, z + 0.5)])[0])
            cv2.circle(canvas.image, middle, max(1, round(0.35 * canvas.scale)), (52, 50, 50), -1)
    for _ in range(int(segment.length / 20)):
        x, z = dice.uniform(0, segment.length), dice.uniform(segment.walk, segment.walk + segment.road)
        path = [(x + 1.2 * k, z + dice.uniform(-0.5, 0.5)) for k in range(dice.whole(3, 8))]
        canvas.line(path, (58, 58, 60), 0.05)


def _markings(canvas: Canvas, segment: "Segment", dice: Dice) -> None:
    """Middle line, lanes, edges of parking."""
    middle, length = segment.half, segment.length
    yellow = dice.chance(0.3)
    colour: Colour = (200, 170, 70) if yellow else WHITE
    style = dice.pick(("dashed", "full", "none")) if segment.kind != "avenue" else "full"
    if style != "none":
        step = 6.0 if style == "dashed" else 200.0
        for x in np.arange(0, length, step):
            canvas.rect(x, middle - 0.07, x + (3.0 if style == "dashed" else length), middle + 0.07, colour)
    if segment.kind == "avenue":
        for side in (-1, 1):
            for x in np.arange(0, length, 9.0):
                canvas.rect(x, middle + side * 3.25 - 0.06, x + 3, middle + side * 3.25 + 0.06, WHITE)
    if segment.kind != "lane" and dice.chance(0.6):
        for z in (segment.walk + 2.1, segment.walk + segment.road - 2.1):
            for x in np.arange(0, length, 5.6):
                canvas.rect(x, z - 0.05, x + 5.2, z + 0.05, shade(WHITE, 0.9))


def _sidewalks(canvas: Canvas, segment: "Segment", dice: Dice) -> None:
    colour = dice.pick(((150, 146, 140), (164, 156, 146), (132, 130, 128), (160, 138, 124)))
    name = dice.pick(("slabs", "flags", "setts", "slabs"))
    for low in (0.0, segment.walk + segment.road):
        box = canvas.box(0, low, canvas.width, low + segment.walk)
        canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, name, colour, dice)
    for z, gutter in ((segment.walk, 1), (segment.walk + segment.road, -1)):
        canvas.rect(0, z - 0.12, canvas.width, z + 0.12, (178, 176, 170))
        canvas.tint(0, z + gutter * 0.12, canvas.width, z + gutter * 0.5, 0.7)


def _ends(canvas: Canvas, city: "City", segment: "Segment", dice: Dice, cobbles: bool) -> None:
    """Opens the sidewalks where another street crosses, and paints zebra crossings before it."""
    line, i, j = segment.key
    across = ("column", i) if line == "row" else ("row", j)
    for end in (0, 1):
        from deepibl.toycity.plan import STREET_KINDS

        road, walk = STREET_KINDS[city.street_kind(across[0], across[1] + end)]
        reach = road / 2 + 0.6
        for low in (0.0, segment.walk + segment.road):
            x0, x1 = (0.0, reach) if end == 0 else (segment.length - reach, segment.length)
            canvas.labels[canvas.box(x0, low, x1, low + segment.walk)] = CLEAR
        if not cobbles and segment.kind != "lane" and dice.chance(0.8):
            start = reach + walk - 1.4 if end == 0 else segment.length - reach - walk - 1.8
            for z in np.arange(segment.walk + 0.4, segment.walk + segment.road - 0.5, 1.0):
                canvas.rect(start, z, start + 3.0, z + 0.5, WHITE)


def street_things(city: "City", segment: "Segment") -> list[Thing]:
    """Trees, lamps, bins and the like along a segment; the same on every day."""
    dice = city.dice("furniture", *segment.key)
    things = []
    edge = segment.road / 2 + 0.7
    lamp_step, lamp_side = dice.uniform(22, 30), dice.pick((-1, 1))
    for number, at in enumerate(np.arange(12, segment.length - 8, lamp_step)):
        side = lamp_side * (-1) ** number
        things.append(Thing("lamp", segment.at(at, side * edge), dice.uniform(5.5, 7.5), side % 3))
    trees = {"avenue": 0.85, "street": 0.35, "lane": 0.08}[segment.kind]
    if dice.chance(trees):
        step, kind, both = dice.uniform(9, 16), dice.whole(0, 11), dice.chance(0.7)
        for at in np.arange(14, segment.length - 12, step):
            for side in (-1, 1) if both else (1,):
                if dice.chance(0.8):
                    spot = segment.at(at + dice.uniform(-1, 1) + 3, side * (edge + 0.2))
                    things.append(Thing("tree", spot, dice.uniform(5, 9.5), kind))
    for _ in range(int(segment.length / 14)):
        kind_name = dice.pick(("bin", "post", "sign", "box", "planter", "bench", "sign"))
        spot = segment.at(dice.uniform(10, segment.length - 10), dice.pick((-1, 1)) * (edge - 0.2))
        things.append(Thing(kind_name, spot, 1.0, dice.whole(0, 11)))
    return things


BOARD_COLOURS: list[Colour] = [
    (28, 66, 128), (180, 36, 36), (220, 220, 216), (226, 190, 40), (30, 110, 66), (90, 92, 96),
]  # fmt: skip


class _Pen:
    """Collects shapes that face the camera: x to the right, z up, metres from the foot."""

    def __init__(self) -> None:
        self.shapes: list[tuple[np.ndarray, Colour, int]] = []

    def shape(self, corners: list[tuple[float, float]], colour: Colour, label: int = 0) -> None:
        self.shapes.append((np.array(corners, dtype=np.float64), colour, label))

    def box(self, x0: float, z0: float, x1: float, z1: float, colour: Colour, label: int = 0) -> None:
        self.shape([(x0, z0), (x1, z0), (x1, z1), (x0, z1)], colour, label)

    def disc(self, z: float, radius: float, colour: Colour) -> None:
        angles = np.linspace(0, 2 * np.pi, 11)[:-1]
        self.shape([(radius * float(np.cos(t)), z + radius * float(np.sin(t))) for t in angles], colour)


def paint_thing(frame: Frame, thing: Thing, sun: float, haze: float) -> None:
    """Draws a thing that is no tree; `sun` and `haze` are 0 … 1."""
    column, row, depth = frame.project(frame.relative(thing.position))
    if depth < NEAR:
        return
    zoom = frame.focal / depth
    for corners, colour, label in _shapes(thing.kind, thing.variant, round(thing.size, 1)):
        pixels = np.rint(np.array([column, row]) + corners * (zoom, -zoom)).astype(np.int32)
        frame.fill(pixels, colour, label, round(255 * sun), round(255 * haze))


@lru_cache(maxsize=512)
def _shapes(kind: str, variant: int, size: float) -> list[tuple[np.ndarray, Colour, int]]:
    pen, dice = _Pen(), Dice("thing", kind, variant)
    if kind == "lamp":
        _lamp(pen, size)
    else:
        {"bin": _bin, "post": _post, "sign": _sign, "box": _box, "planter": _planter, "bench": _bench}[kind](
            pen, dice
        )
    return pen.shapes


def _lamp(pen: _Pen, top: float) -> None:
    grey = (62, 64, 66)
    pen.box(-0.09, 0, 0.09, 0.9, grey)
    pen.box(-0.055, 0.9, 0.055, top, grey)
    pen.box(-0.055, top - 0.06, 0.75, top, grey)
    pen.shape(
        [(0.35, top - 0.06), (0.85, top - 0.06), (0.75, top - 0.2), (0.42, top - 0.2)], (214, 210, 196), LAMP
    )


def _bin(pen: _Pen, dice: Dice) -> None:
    colour = dice.pick(((50, 84, 60), (70, 72, 76), (120, 60, 40)))
    pen.shape([(-0.25, 0), (0.25, 0), (0.3, 0.95), (-0.3, 0.95)], colour)
    pen.box(-0.32, 0.95, 0.32, 1.05, shade(colour, 0.7))


def _post(pen: _Pen, dice: Dice) -> None:
    pen.box(-0.07, 0, 0.07, 0.95, (54, 54, 56))
    pen.box(-0.07, 0.7, 0.07, 0.8, (214, 210, 200))


def _sign(pen: _Pen, dice: Dice) -> None:
    pen.box(-0.035, 0, 0.035, 2.8, (140, 142, 144))
    colour = dice.pick(BOARD_COLOURS)
    if dice.chance(0.4):
        pen.disc(2.6, 0.34, dice.pick(((200, 30, 34), (28, 66, 140))))
        pen.disc(2.6, 0.23, (228, 226, 220))
    else:
        pen.box(-0.35, 2.1, 0.35, 2.8, colour)
        pen.box(-0.25, 2.35, 0.25, 2.5, (230, 228, 222) if sum(colour) < 450 else (40, 40, 44))


def _box(pen: _Pen, dice: Dice) -> None:
    colour = dice.pick(((190, 160, 50), (170, 40, 40), (110, 116, 112), (60, 80, 70), (160, 160, 156)))
    width, height = dice.uniform(0.3, 0.7), dice.uniform(1.0, 1.5)
    pen.box(-width, 0, width, height, colour)
    pen.box(-width, height - 0.12, width, height, shade(colour, 1.15))
    pen.box(-width * 0.7, height * 0.5, width * 0.7, height * 0.72, shade(colour, 0.75))


def _planter(pen: _Pen, dice: Dice) -> None:
    leaf = dice.pick(((70, 96, 54), (84, 110, 60), (56, 80, 52)))
    pen.box(-0.6, 0, 0.6, 0.5, (150, 140, 128))
    for k in range(5):
        x = -0.5 + 0.25 * k
        tip = (x, 0.75 + 0.3 * dice.uniform())
        pen.shape([(x - 0.18, 0.5), (x + 0.18, 0.5), tip], shade(leaf, dice.uniform(0.8, 1.2)))


def _bench(pen: _Pen, dice: Dice) -> None:
    wood = (122, 84, 54)
    for x in (-0.75, 0.65):
        pen.box(x, 0, x + 0.1, 0.45, (48, 48, 50))
    pen.box(-0.85, 0.42, 0.85, 0.52, wood)
    pen.box(-0.85, 0.6, 0.85, 0.9, shade(wood, 0.85))
