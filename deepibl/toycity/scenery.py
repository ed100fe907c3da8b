"""What is in the streets of the toy city besides houses: road, trees, lamps, signs, vehicles, people."""

import math
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from deepibl.toycity.dice import Dice, noise
from deepibl.toycity.facades import ACCENTS
from deepibl.toycity.paint import (
    CAR_GLASS,
    CLEAR,
    HEAD_LIGHT,
    LAMP,
    TAIL_LIGHT,
    Canvas,
    Colour,
    Point,
    Texture,
    material,
    mix,
    shade,
)
from deepibl.toycity.plan import STREET_KINDS, City, Segment, Thing

WHITE: Colour = (206, 206, 200)
LEAVES: dict[str, list[Colour]] = {
    "summer": [(62, 92, 44), (74, 104, 48), (54, 84, 50), (88, 112, 56)],
    "spring": [(110, 140, 62), (128, 150, 74), (214, 178, 190), (96, 132, 64)],
    "autumn": [(176, 122, 40), (160, 84, 36), (148, 130, 52), (120, 60, 34)],
    "winter": [],
}
WIDTHS = {"tree": 0.75, "person": 0.39, "lamp": 0.3, "sign": 0.35, "bin": 0.8}  # over the height


def paint_street(city: City, segment: Segment, scale: float) -> Texture:
    """A strip along a segment: x along it, z from its right edge to its left; `scale` pixels a metre."""
    dice, walk, length = city.dice("street", *segment.key), segment.walk, segment.length
    high = walk + segment.road  # where the left sidewalk begins
    canvas = Canvas(length, 2 * segment.half, scale)
    road = mix((74, 76, 80), (112, 108, 104), dice.uniform())
    cobbles = segment.kind == "lane" and dice.chance(0.45)
    canvas.image = material(canvas.labels.shape, scale, "setts" if cobbles else "asphalt", road, dice)
    if not cobbles:
        for _ in range(int(length / 9)):  # patches of other asphalt
            x, z, size = dice.uniform(0, length), dice.uniform(walk, high - 1.5), dice.uniform(1, 6)
            canvas.tint(x, z, x + size, min(z + dice.uniform(0.6, 2), high), dice.uniform(0.75, 1.2))
        step, dash = dice.pick(((6.0, 3.0), (200.0, length))) if segment.kind != "lane" else (200.0, 0.0)
        for x in np.arange(0, length, step):  # the centre line
            canvas.rect(x, segment.half - 0.07, x + dash, segment.half + 0.07, WHITE)
        for z in (walk + 2.1, high - 2.1) if segment.kind != "lane" and dice.chance(0.6) else ():
            for x in np.arange(0, length, 5.6):  # the edge of parking bays
                canvas.rect(x, z - 0.05, x + 5.2, z + 0.05, shade(WHITE, 0.9))
    colour = dice.pick(((150, 146, 140), (164, 156, 146), (132, 130, 128), (160, 138, 124)))
    name = dice.pick(("slabs", "setts", "slabs"))
    for z, curb in ((0.0, walk), (high, high)):
        box = canvas.box(0, z, length, z + walk)
        canvas.image[box] = material(canvas.labels[box].shape, scale, name, colour, dice)
        canvas.rect(0, curb - 0.12, length, curb + 0.12, (178, 176, 170))
    # open sidewalks where another street crosses, and zebra crossings before it
    line, i, j = segment.key
    across, number = ("column", i) if line == "row" else ("row", j)
    for end in (0, 1):
        width, side = STREET_KINDS[city.street_kind(across, number + end)]
        reach = width / 2 + 0.6
        for z in (0.0, high):
            canvas.labels[canvas.box(end * (length - reach), z, reach + end * (length - reach), z + walk)] = (
                CLEAR
            )
        if not cobbles and segment.kind != "lane" and dice.chance(0.8):
            start = length - reach - side - 1.8 if end else reach + side - 1.4
            for z in np.arange(walk + 0.4, high - 0.5, 1.0):
                canvas.rect(start, z, start + 3.0, z + 0.5, WHITE)
    return canvas.texture()


def street_things(city: City, segment: Segment) -> list[Thing]:
    """Trees, lamps, signs and bins along a segment; the same on every day."""
    dice, edge, things = city.dice("furniture", *segment.key), segment.road / 2 + 0.7, list[Thing]()
    tall, side = dice.uniform(5.5, 7.5), dice.pick((-1, 1))
    for number, at in enumerate(np.arange(12, segment.length - 8, dice.uniform(22, 30))):
        things.append(Thing("lamp", segment.at(at, side * (-1) ** number * edge), tall, 0))
    if dice.chance({"avenue": 0.85, "street": 0.35, "lane": 0.08}[segment.kind]):
        variant = dice.whole(0, 11)
        for at in np.arange(17, segment.length - 9, dice.uniform(9, 16)):
            for way in (-1, 1):
                if dice.chance(0.7):
                    spot = segment.at(at + dice.uniform(-1, 1), way * (edge + 0.2))
                    things.append(Thing("tree", spot, dice.uniform(5, 9.5), variant))
    for _ in range(int(segment.length / 14)):
        spot = segment.at(dice.uniform(10, segment.length - 10), dice.pick((-1, 1)) * (edge - 0.2))
        kind, height = dice.pick((("bin", 1.1), ("sign", 2.9)))
        things.append(Thing(kind, spot, height, dice.whole(0, 11)))
    return things


@lru_cache(maxsize=256)
def picture(kind: str, variant: int, season: str) -> Texture:
    """The picture of a `Thing`; the season matters to trees only."""
    dice = Dice(kind, variant)
    height, scale = {
        "tree": (8.0, 32),
        "person": (1.8, 90),
        "lamp": (6.5, 24),
        "sign": (2.9, 60),
        "bin": (1.1, 60),
    }[kind]
    canvas = Canvas(height * WIDTHS[kind], height, scale, CLEAR)
    {"tree": _tree, "person": _person, "lamp": _lamp, "sign": _sign, "bin": _bin}[kind](
        canvas, dice, LEAVES[season]
    )
    return canvas.texture()


def _tree(canvas: Canvas, dice: Dice, leaves: list[Colour]) -> None:
    bark, middle = mix((74, 60, 48), (112, 104, 94), dice.uniform()), canvas.width / 2

    def branch(foot: Point, angle: float, length: float, thick: float, depth: int) -> None:
        tip = foot[0] + length * math.cos(angle), foot[1] + length * math.sin(angle)
        canvas.line([foot, tip], shade(bark, dice.uniform(0.8, 1.1)), thick)
        for turn in (-0.5, 0.05, 0.5) if depth else ():
            way, shorter = angle + turn + dice.uniform(-0.25, 0.25), length * dice.uniform(0.55, 0.75)
            branch(tip, way, shorter, thick * 0.6, depth - 1)

    branch((middle, 0.0), math.pi / 2, canvas.height * 0.34, 0.28, 5)
    if not leaves:
        return
    green, wide, tall = dice.pick(leaves), dice.uniform(0.28, 0.4), dice.uniform(0.25, 0.33)
    spots = []
    for _ in range(70):  # clumps of leaves in an oval, darker below
        angle, reach = dice.uniform(0, 2 * math.pi), math.sqrt(dice.uniform())
        x, z = (
            middle + canvas.width * wide * reach * math.cos(angle),
            canvas.height * (0.6 + tall * reach * math.sin(angle)),
        )
        spots.append((z, x, dice.uniform(0.22, 0.6), dice.uniform(0.75, 1.25)))
    for z, x, radius, tone in sorted(spots):
        round_clump = [(x + radius * math.cos(a), z + radius * math.sin(a)) for a in np.linspace(0, 6.3, 9)]
        canvas.polygon(round_clump, shade(green, tone * (0.6 + 0.6 * z / canvas.height)))
    leafy = cv2.GaussianBlur(noise(*canvas.labels.shape, dice), (0, 0), 1.0) * 3
    canvas.image = np.clip(canvas.image * (1 + 0.22 * leafy)[:, :, None], 0, 255).astype(np.uint8)
    canvas.labels[: int(0.72 * len(leafy))][leafy[: int(0.72 * len(leafy))] < -1.5] = CLEAR


def _person(canvas: Canvas, dice: Dice, _: list[Colour]) -> None:
    coat, trousers, middle = dice.pick(ACCENTS), shade(dice.pick(ACCENTS), 0.7), canvas.width / 2
    skin = dice.pick(((224, 184, 160), (190, 140, 108), (140, 96, 70), (96, 64, 48)))
    stride, lean = dice.uniform(0.02, 0.14), dice.uniform(-0.03, 0.03)
    for side in (-1, 1):
        foot, hand = middle + side * stride, middle + side * (0.19 + stride * 0.3)
        leg = [(middle - 0.07, 0.9), (middle + 0.07, 0.9), (foot + 0.05, 0.0), (foot - 0.06, 0.0)]
        canvas.polygon(leg, shade(trousers, 1 + 0.15 * side))
        arm = [
            (middle + side * 0.12, 1.45),
            (middle + side * 0.19, 1.4),
            (hand + 0.03, 0.88),
            (hand - 0.04, 0.88),
        ]
        canvas.polygon(arm, shade(coat, 0.8))
    hem = dice.pick((0.6, 0.8, 0.8))
    body = [
        (middle - 0.15 + lean, 1.48),
        (middle + 0.15 + lean, 1.48),
        (middle + 0.14, hem),
        (middle - 0.14, hem),
    ]
    canvas.polygon(body, coat)
    for z, colour in ((1.63, dice.pick(((30, 24, 20), (90, 60, 36), (160, 130, 90)))), (1.59, skin)):
        canvas.polygon(
            [(middle + lean + 0.1 * math.cos(a), z + 0.12 * math.sin(a)) for a in np.linspace(0, 6.3, 9)],
            colour,
        )


def _lamp(canvas: Canvas, dice: Dice, _: list[Colour]) -> None:
    top, middle, grey = canvas.height, canvas.width / 2, (62, 64, 66)
    canvas.rect(middle - 0.09, 0, middle + 0.09, 0.9, grey)
    canvas.rect(middle - 0.055, 0.9, middle + 0.055, top, grey)
    canvas.rect(middle - 0.055, top - 0.08, middle + 0.75, top, grey)
    canvas.rect(middle + 0.35, top - 0.25, middle + 0.85, top - 0.08, (214, 210, 196), LAMP)


def _sign(canvas: Canvas, dice: Dice, _: list[Colour]) -> None:
    colour, middle = dice.pick(ACCENTS), canvas.width / 2
    canvas.rect(middle - 0.035, 0, middle + 0.035, 2.8, (140, 142, 144))
    low = 2.8 - dice.uniform(0.4, 0.8)
    canvas.rect(middle - 0.4, low, middle + 0.4, 2.8, colour)
    canvas.rect(middle - 0.28, (low + 2.8) / 2 - 0.08, middle + 0.28, (low + 2.8) / 2 + 0.08, (230, 228, 222))


def _bin(canvas: Canvas, dice: Dice, _: list[Colour]) -> None:
    colour, half = (
        dice.pick(((50, 84, 60), (70, 72, 76), (120, 60, 40), (190, 160, 50))),
        dice.uniform(0.25, 0.42),
    )
    middle = canvas.width / 2
    canvas.rect(middle - half, 0, middle + half, 1.0, colour)
    canvas.rect(middle - half, 0.5, middle + half, 0.7, shade(colour, 0.75))
    canvas.rect(middle - half - 0.03, 1.0, middle + half + 0.03, 1.1, shade(colour, 0.7))


# of a vehicle: length, width, height of the body and of the whole, where the cabin begins and ends at its top
MODELS = {
    "car": (4.4, 1.8, 0.95, 1.48, 1.2, 2.8), "hatch": (3.9, 1.7, 0.95, 1.5, 0.3, 2.3),
    "van": (5.4, 2.0, 1.2, 2.45, 0.0, 4.0), "bus": (11.8, 2.5, 1.1, 3.05, 0.0, 11.6),
}  # fmt: skip


@lru_cache(maxsize=256)
def vehicle(model: str, paint: Colour, side: str) -> Texture:
    """A vehicle's picture; side: right, left (mirrored), front or rear."""
    length, width, body, height, start, end = MODELS[model]
    windows = body + 0.05, height - 0.1
    if side in ("front", "rear"):
        canvas = Canvas(width, height, 40, CLEAR)
        canvas.rect(0.05, 0.3, width - 0.05, body, paint)
        canvas.rect(0.15, body, width - 0.15, height, paint)
        canvas.rect(0.25, windows[0], width - 0.25, windows[1], (44, 50, 58), CAR_GLASS)
        for x in (0.1, width - 0.4):
            canvas.rect(x, 0.6, x + 0.3, 0.8, (220, 214, 190), HEAD_LIGHT if side == "front" else TAIL_LIGHT)
            canvas.rect(x, 0, x + 0.25, 0.35, (24, 24, 26))
        return canvas.texture()
    canvas = Canvas(length, height, 40, CLEAR)
    slope = 0.5 if model != "bus" else 0.1
    canvas.polygon([(0, 0.3), (0, body), (length - 0.1, body * 0.85), (length, 0.3)], paint)
    cabin = [(max(start - slope, 0), body - 0.05), (start, height), (end, height), (end + slope, body - 0.05)]
    canvas.polygon(cabin, paint)
    canvas.rect(0, 0.3, length, 0.42, shade(paint, 0.6))
    edges = np.linspace(start + 0.1 if model != "van" else end - 1.2, end, 3 if model != "bus" else 9)
    for a, b in pairwise(edges):
        canvas.rect(a + 0.06, windows[0], b - 0.06, windows[1], (44, 50, 58), CAR_GLASS)
    for x in (length * 0.19, length * 0.8):
        wheel = [(x + 0.33 * math.cos(a), 0.33 + 0.33 * math.sin(a)) for a in np.linspace(0, 6.3, 13)]
        canvas.polygon(wheel, (24, 24, 26))
    made = canvas.texture()
    return made if side == "right" else Texture(made.image[:, ::-1].copy(), made.labels[:, ::-1].copy())
