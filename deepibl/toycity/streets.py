"""The ground of the toy city: strips of street, sidewalks, markings and crossings, and their furniture.

The furniture is small: lamps, bins, posts, signs, boxes, planters, benches.
"""

from functools import lru_cache

import cv2
import numpy as np

from deepibl.toycity.camera import NEAR, Frame
from deepibl.toycity.plan import STREET_KINDS, City, Segment, Thing
from deepibl.toycity.styles import Dice
from deepibl.toycity.surfaces import CLEAR, LAMP, Canvas, Colour, Texture, material, mix, shade

WHITE: Colour = (206, 206, 200)


def paint_street(city: City, segment: Segment, scale: float) -> Texture:
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
    # sidewalks, curbs and gutters
    low, high = segment.walk, segment.walk + segment.road
    colour = dice.pick(((150, 146, 140), (164, 156, 146), (132, 130, 128), (160, 138, 124)))
    name = dice.pick(("slabs", "flags", "setts", "slabs"))
    for z in (0.0, high):
        box = canvas.box(0, z, canvas.width, z + segment.walk)
        canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, name, colour, dice)
    for z, gutter in ((low, 1), (high, -1)):
        canvas.rect(0, z - 0.12, canvas.width, z + 0.12, (178, 176, 170))
        canvas.tint(0, z + gutter * 0.12, canvas.width, z + gutter * 0.5, 0.7)
    # open sidewalks where another street crosses, and zebra crossings before it
    line, i, j = segment.key
    across, number = ("column", i) if line == "row" else ("row", j)
    for end in (0, 1):
        width, walk = STREET_KINDS[city.street_kind(across, number + end)]
        reach = width / 2 + 0.6
        x0, x1 = (0.0, reach) if end == 0 else (segment.length - reach, segment.length)
        for z in (0.0, high):
            canvas.labels[canvas.box(x0, z, x1, z + segment.walk)] = CLEAR
        if not cobbles and segment.kind != "lane" and dice.chance(0.8):
            start = reach + walk - 1.4 if end == 0 else segment.length - reach - walk - 1.8
            for z in np.arange(low + 0.4, high - 0.5, 1.0):
                canvas.rect(start, z, start + 3.0, z + 0.5, WHITE)
    return canvas.texture()


def _repairs(canvas: Canvas, segment: Segment, dice: Dice) -> None:
    """Patches of other asphalt, cracks and manholes."""
    low, high = segment.walk, segment.walk + segment.road
    for _ in range(int(segment.length / 9)):
        x, z = dice.uniform(0, segment.length), dice.uniform(low, high - 1.5)
        if dice.chance(0.5):
            length, width = dice.uniform(1, 6), dice.uniform(0.6, 2)
            canvas.tint(x, z, x + length, min(z + width, high), dice.uniform(0.75, 1.2))
        else:
            middle = tuple(int(v) for v in canvas.points([(x, z + 0.5)])[0])
            cv2.circle(canvas.image, middle, max(1, round(0.35 * canvas.scale)), (52, 50, 50), -1)
    for _ in range(int(segment.length / 20)):
        x, z = dice.uniform(0, segment.length), dice.uniform(low, high)
        path = [(x + 1.2 * k, z + dice.uniform(-0.5, 0.5)) for k in range(dice.whole(3, 8))]
        canvas.line(path, (58, 58, 60), 0.05)


def _markings(canvas: Canvas, segment: Segment, dice: Dice) -> None:
    """Centre line, lanes, edges of parking bays."""
    length, avenue = segment.length, segment.kind == "avenue"

    def dashes(z: float, step: float, dash: float, half: float, colour: Colour) -> None:
        for x in np.arange(0, length, step):
            canvas.rect(x, z - half, x + dash, z + half, colour)

    colour: Colour = (200, 170, 70) if dice.chance(0.3) else WHITE
    style = "full" if avenue else dice.pick(("dashed", "full", "none"))
    if style != "none":
        dashes(segment.half, *((6.0, 3.0) if style == "dashed" else (200.0, length)), 0.07, colour)
    for side in (-1, 1) if avenue else ():
        dashes(segment.half + side * 3.25, 9.0, 3, 0.06, WHITE)
    if segment.kind != "lane" and dice.chance(0.6):
        for z in (segment.walk + 2.1, segment.walk + segment.road - 2.1):
            dashes(z, 5.6, 5.2, 0.05, shade(WHITE, 0.9))


def street_things(city: City, segment: Segment) -> list[Thing]:
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


def paint_thing(frame: Frame, thing: Thing, sun: float, haze: float) -> None:
    """Draws a thing other than a tree; `sun` and `haze` are 0 … 1."""
    column, row, depth = frame.project(frame.relative(thing.position))
    if depth < NEAR:
        return
    zoom = frame.focal / depth
    for corners, colour, label in _shapes(thing.kind, thing.variant, round(thing.size, 1)):
        pixels = np.rint(np.array([column, row]) + corners * (zoom, -zoom)).astype(np.int32)
        frame.fill(pixels, colour, label, round(255 * sun), round(255 * haze))


@lru_cache(maxsize=512)
def _shapes(kind: str, variant: int, size: float) -> list[tuple[np.ndarray, Colour, int]]:
    """Shapes that face the camera: corners (x to the right, z up, metres from the foot), colour and label."""
    dice, shapes = Dice("thing", kind, variant), []
    colour: Colour

    def shape(corners: list[tuple[float, float]], colour: Colour, label: int = 0) -> None:
        shapes.append((np.array(corners, dtype=np.float64), colour, label))

    def box(x0: float, z0: float, x1: float, z1: float, colour: Colour) -> None:
        shape([(x0, z0), (x1, z0), (x1, z1), (x0, z1)], colour)

    def disc(z: float, radius: float, colour: Colour) -> None:
        angles = np.linspace(0, 2 * np.pi, 11)[:-1]
        shape([(radius * float(np.cos(t)), z + radius * float(np.sin(t))) for t in angles], colour)

    if kind == "lamp":
        grey, bulb = (62, 64, 66), (214, 210, 196)
        box(-0.09, 0, 0.09, 0.9, grey)
        box(-0.055, 0.9, 0.055, size, grey)
        box(-0.055, size - 0.06, 0.75, size, grey)
        low, high = size - 0.2, size - 0.06
        shape([(0.35, high), (0.85, high), (0.75, low), (0.42, low)], bulb, LAMP)
    elif kind == "bin":
        colour = dice.pick(((50, 84, 60), (70, 72, 76), (120, 60, 40)))
        shape([(-0.25, 0), (0.25, 0), (0.3, 0.95), (-0.3, 0.95)], colour)
        box(-0.32, 0.95, 0.32, 1.05, shade(colour, 0.7))
    elif kind == "post":
        box(-0.07, 0, 0.07, 0.95, (54, 54, 56))
        box(-0.07, 0.7, 0.07, 0.8, (214, 210, 200))
    elif kind == "sign":
        box(-0.035, 0, 0.035, 2.8, (140, 142, 144))
        colour = dice.pick(BOARD_COLOURS)
        if dice.chance(0.4):
            disc(2.6, 0.34, dice.pick(((200, 30, 34), (28, 66, 140))))
            disc(2.6, 0.23, (228, 226, 220))
        else:
            box(-0.35, 2.1, 0.35, 2.8, colour)
            box(-0.25, 2.35, 0.25, 2.5, (230, 228, 222) if sum(colour) < 450 else (40, 40, 44))
    elif kind == "box":
        colour = dice.pick(((190, 160, 50), (170, 40, 40), (110, 116, 112), (60, 80, 70), (160, 160, 156)))
        width, height = dice.uniform(0.3, 0.7), dice.uniform(1.0, 1.5)
        box(-width, 0, width, height, colour)
        box(-width, height - 0.12, width, height, shade(colour, 1.15))
        box(-width * 0.7, height * 0.5, width * 0.7, height * 0.72, shade(colour, 0.75))
    elif kind == "planter":
        leaf = dice.pick(((70, 96, 54), (84, 110, 60), (56, 80, 52)))
        box(-0.6, 0, 0.6, 0.5, (150, 140, 128))
        for x in np.arange(5) * 0.25 - 0.5:
            tip = (x, 0.75 + 0.3 * dice.uniform())
            shape([(x - 0.18, 0.5), (x + 0.18, 0.5), tip], shade(leaf, dice.uniform(0.8, 1.2)))
    elif kind == "bench":
        wood = (122, 84, 54)
        for x in (-0.75, 0.65):
            box(x, 0, x + 0.1, 0.45, (48, 48, 50))
        box(-0.85, 0.42, 0.85, 0.52, wood)
        box(-0.85, 0.6, 0.85, 0.9, shade(wood, 0.85))
    return shapes
