"""The ground of the toy city: painted strips of street with sidewalks, markings and crossings, and what
stands there.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from deepibl.toycity.blocks import Thing
from deepibl.toycity.dice import Dice
from deepibl.toycity.surfaces import CLEAR, Canvas, Colour, Texture, material, mix, shade

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
