"""Painted surfaces of the toy city: the canvas in metres, wall materials, plain surfaces, trees and people.

Colours are RGB. Besides its colours a surface has labels, one byte a pixel, that mark what shines or mirrors.
Trees and people are upright pictures with masks, made once for each variant.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from deepibl.toycity.plan import Plain
from deepibl.toycity.styles import Dice, cut, noise, soft_noise

Colour = tuple[float, float, float]

# Labels. Glass comes in groups, so that another set of windows is lit on another evening.
WINDOWS, SHOPS = range(1, 33), range(33, 41)
SIGNS = range(41, 49)  # letters and boards that shine at night
DOOR_LIGHT, LAMP, HEAD_LIGHT, TAIL_LIGHT, BUS_WINDOW, VEHICLE_GLASS = 49, 50, 51, 52, 53, 54
SKY, CLEAR = 254, 255


@dataclass
class Texture:
    """Colours (h, w, 3) uint8 and labels (h, w) uint8 of a surface, and smaller copies of them."""

    image: np.ndarray
    labels: np.ndarray
    _smaller: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def level(self, across: int, up: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (area averages) and labels (nearest), their sides halved `across` and `up` times."""
        if (across, up) not in self._smaller:
            height, width = self.labels.shape
            size = (max(1, width >> across), max(1, height >> up))
            image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
            labels = cv2.resize(self.labels, size, interpolation=cv2.INTER_NEAREST)
            self._smaller[across, up] = (image, labels)
        return self._smaller[across, up]


class Canvas:
    """A wall to paint on, in metres: x from the left, z upwards from the ground.

    width, height: metres.
    scale: pixels a metre.
    """

    def __init__(self, width: float, height: float, scale: float) -> None:
        self.width, self.height, self.scale = width, height, scale
        rows, cols = max(2, round(height * scale)), max(2, round(width * scale))
        self.image = np.zeros((rows, cols, 3), np.uint8)
        self.labels = np.zeros((rows, cols), np.uint8)

    def box(self, x0: float, z0: float, x1: float, z1: float) -> tuple[slice, slice]:
        """Rows and columns of a rectangle (x0 <= x1, z0 <= z1), cut to the canvas."""
        scale, rows = self.scale, len(self.labels)
        top, bottom = rows - round(z1 * scale), rows - round(z0 * scale)
        left, right = round(x0 * scale), round(x1 * scale)
        return slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))

    def rect(self, x0: float, z0: float, x1: float, z1: float, colour: Colour, label: int | None = 0) -> None:
        """Fills a rectangle; label None keeps the labels."""
        box = self.box(x0, z0, x1, z1)
        self.image[box] = colour
        if label is not None:
            self.labels[box] = label

    def tint(self, x0: float, z0: float, x1: float, z1: float, factor: float) -> None:
        """Darkens (below 1) or brightens a rectangle."""
        box = self.box(x0, z0, x1, z1)
        if self.labels[box].size:
            self.image[box] = cv2.convertScaleAbs(np.ascontiguousarray(self.image[box]), alpha=factor)

    def points(self, corners: list[tuple[float, float]]) -> np.ndarray:
        rows = self.labels.shape[0]
        return np.array([[round(x * self.scale), rows - round(z * self.scale)] for x, z in corners], np.int32)

    def polygon(self, corners: list[tuple[float, float]], colour: Colour, label: int | None = 0) -> None:
        points = self.points(corners)
        cv2.fillPoly(self.image, [points], colour)
        if label is not None:
            cv2.fillPoly(self.labels, [points], int(label))

    def line(self, corners: list[tuple[float, float]], colour: Colour, width: float = 0.05) -> None:
        thick = max(1, round(width * self.scale))
        cv2.polylines(self.image, [self.points(corners)], False, colour, thick, cv2.LINE_AA)

    def texture(self) -> Texture:
        return Texture(self.image, self.labels)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker or brighter colour."""
    r, g, b = (min(255.0, part * factor) for part in colour)
    return r, g, b


def arch(x: float, z: float, half: float, rise: float, count: int) -> list[tuple[float, float]]:
    """`count` points of half an ellipse around (x, z), from the right over the top to the left."""
    angles = np.linspace(0, np.pi, count)
    return [(x + half * float(np.cos(t)), z + rise * float(np.sin(t))) for t in angles]


def mix(a: Colour, b: Colour, part: float) -> Colour:
    """The colour `part` of the way from a to b."""
    return (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part)


UNITS = {  # unit (width, height) in metres, brightness of the joints, spread of the units, bonded
    "brick": ((0.30, 0.11), 1.22, 0.16, True),
    "stone": ((0.95, 0.48), 0.82, 0.09, True),
    "panels": ((2.4, 1.5), 0.72, 0.05, False),
    "concrete": ((3.2, 3.2), 0.85, 0.03, False),
    "tiles": ((0.6, 0.4), 0.86, 0.08, False),
    "boards": ((40.0, 0.2), 0.72, 0.05, False),
    "roof": ((0.3, 0.36), 0.66, 0.10, True),
    "slabs": ((0.5, 0.5), 0.80, 0.07, False),
    "flags": ((0.9, 0.6), 0.82, 0.07, True),
    "setts": ((0.3, 0.25), 0.7, 0.15, True),
}


@lru_cache(maxsize=32)
def masonry(name: str, scale: float) -> np.ndarray:
    """Brightness of a wall of `UNITS[name]` around 1, (rows, cols) float32, some 1000 pixels a side.

    It repeats itself upwards and sideways; row 0 is at the bottom of a unit. Read-only.
    """
    (width, height), joint, vary, bond = UNITS[name]
    courses, units = max(2, 2 * round(500 / (height * scale))), max(1, round(1000 / (width * scale)))
    rows, cols = max(1, round(courses * height * scale)), max(1, round(units * width * scale))
    y, x = np.arange(rows) * courses / rows, np.arange(cols) * units / cols
    course = y.astype(np.int32)
    shifted = (x[None, :] + (0.5 * (course % 2)[:, None] if bond else 0.0)) % units
    tone = 1 + vary * (Dice("masonry", name).array(courses, units) * 2 - 1)
    bright = tone[course[:, None], shifted.astype(np.int32)]
    thin = (y % 1 < courses / rows)[:, None] | (shifted % 1 < units / cols)
    strength = min(1.0, scale * height / 4)
    bright = np.where(thin, bright * (1 + (joint - 1) * strength), bright).astype(np.float32)
    bright.setflags(write=False)
    return bright


def material(
    shape: tuple[int, int], scale: float, name: str, colour: Colour, dice: Dice, weather: float = 1.0
) -> np.ndarray:
    """A wall of a material, its patches of weather and its grain; (rows, cols, 3) uint8."""
    rows, cols = shape
    cells = (2 + int(rows / scale / 2.5), 2 + int(cols / scale / 2.5))
    light = soft_noise(rows, cols, cells, dice)
    light = cv2.addWeighted(light, weather * dice.uniform(0.03, 0.09), noise(rows, cols, dice), 0.03, 1.0)
    if name in UNITS:
        tile = masonry(name, scale)
        cv2.multiply(light, cut(tile, rows, cols, dice, 0)[::-1].copy(), light)
    return cv2.merge([cv2.convertScaleAbs(light, alpha=float(part)) for part in colour])


ROOFS: list[Colour] = [
    (142, 78, 60), (120, 66, 54), (88, 84, 86), (70, 72, 80), (160, 96, 70), (104, 92, 84), (60, 62, 64),
    (128, 84, 66)
]  # fmt: skip

WALLS: list[Colour] = [
    (196, 186, 168), (170, 150, 130), (150, 96, 78), (186, 182, 176), (204, 196, 186), (140, 132, 124),
    (178, 160, 132), (128, 88, 74),
]  # fmt: skip

GREENS: list[Colour] = [
    (58, 84, 44), (66, 96, 50), (74, 92, 56), (50, 76, 44), (84, 104, 60), (60, 90, 60), (70, 84, 42),
    (92, 110, 66)
]  # fmt: skip


def paint_plain(skin: Plain, scale: float, seed: int) -> Texture:
    """The texture of a surface without windows."""
    dice = Dice(seed, "plain", skin.kind, skin.variant, round(skin.width * 10), round(skin.height * 10))
    width, height = skin.width, skin.height
    canvas = Canvas(width, height, scale)
    shape = canvas.labels.shape
    if skin.kind == "roof":
        canvas.image = material(shape, scale, "roof", ROOFS[skin.variant], dice)
    elif skin.kind == "hedge":
        leaves = np.array(GREENS[skin.variant], np.float32) * (1 + 0.22 * noise(*shape, dice))[:, :, None]
        canvas.image = np.clip(leaves, 0, 255).astype(np.uint8)
        canvas.tint(0, 0, width, height * 0.25, 0.6)
    elif skin.kind == "fence":  # pickets with gaps one can see through
        colour = mix((60, 52, 46), (226, 222, 214), skin.variant / 7)
        canvas.labels[:] = CLEAR
        canvas.rect(0, 0, width, 0.12, shade(colour, 0.8))
        for x in np.arange(0, width, 0.28):
            tall, tone = height * dice.uniform(0.93, 1.0), dice.uniform(0.9, 1.05)
            canvas.rect(x, 0, x + 0.14, tall, shade(colour, tone))
        for z in (0.3, 0.75):
            canvas.rect(0, height * z, width, height * z + 0.08, shade(colour, 0.85))
    else:
        kind = "brick" if skin.variant in (2, 7) else "render"
        canvas.image = material(shape, scale, kind, WALLS[skin.variant], dice)
        for x in (width * 0.28, width * 0.72) if skin.kind == "villa side" else ():
            for z in np.arange(1.0, height - 1.2, 2.8):
                if dice.chance(0.6):
                    canvas.rect(x - 0.6, z, x + 0.6, z + 1.3, (226, 224, 218))
                    label = dice.pick(WINDOWS)
                    canvas.rect(x - 0.5, z + 0.1, x + 0.5, z + 1.2, (52, 58, 66), label)
        if skin.kind == "gable":
            canvas.labels[:] = CLEAR
            cv2.fillPoly(canvas.labels, [canvas.points([(0, 0), (width / 2, height), (width, 0)])], 0)
    return canvas.texture()


LEAVES: dict[str, list[Colour]] = {
    "summer": [(62, 92, 44), (74, 104, 48), (54, 84, 50), (88, 112, 56)],
    "spring": [(110, 140, 62), (128, 150, 74), (214, 178, 190), (96, 132, 64)],
    "autumn": [(176, 122, 40), (160, 84, 36), (148, 130, 52), (120, 60, 34)],
}

SEASONS = ("summer", "spring", "autumn", "winter")
SIZE = (192, 256)  # width and height of a tree's picture


@lru_cache(maxsize=64)
def tree(variant: int, season: str) -> tuple[np.ndarray, np.ndarray]:
    """Picture (256, 192, 3) and mask (256, 192; 0 or 255), uint8, of a tree; its foot is at the middle."""
    dice = Dice("tree", variant)
    width, height = SIZE
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    bark = mix((74, 60, 48), (112, 104, 94), dice.uniform())
    conifer = variant % 12 == 11
    _branch(image, mask, (width / 2, height - 1.0), -math.pi / 2, height * 0.34, 9.0, 5, bark, dice)
    if conifer:
        for k in range(12):
            y, half, middle = height * (0.82 - 0.065 * k), width * 0.36 * (1 - k / 13), width / 2
            cone = np.array([[middle - half, y], [middle, y - height * 0.16], [middle + half, y]], np.int32)
            cv2.fillPoly(image, [cone], shade((48, 72, 50), dice.uniform(0.75, 1.2)))
            cv2.fillPoly(mask, [cone], 255)
    elif season != "winter":
        _crown(image, mask, dice.pick(LEAVES[season]), dice, variant)
    image.setflags(write=False)
    mask.setflags(write=False)
    return image, mask


def _branch(
    image: np.ndarray, mask: np.ndarray, foot: tuple[float, float], angle: float, length: float, thick: float,
    depth: int, bark: Colour, dice: Dice,
) -> None:  # fmt: skip
    tip = (foot[0] + length * math.cos(angle), foot[1] + length * math.sin(angle))
    ends = (round(foot[0]), round(foot[1])), (round(tip[0]), round(tip[1]))
    cv2.line(image, *ends, shade(bark, dice.uniform(0.8, 1.1)), max(1, round(thick)))
    cv2.line(mask, *ends, 255, max(1, round(thick)))
    for turn in (-0.5, 0.05, 0.5) if depth else ():
        spread, shorter = angle + turn + dice.uniform(-0.25, 0.25), length * dice.uniform(0.55, 0.75)
        _branch(image, mask, tip, spread, shorter, thick * 0.6, depth - 1, bark, dice)


def _crown(image: np.ndarray, mask: np.ndarray, green: Colour, dice: Dice, variant: int) -> None:
    """Clumps of leaves in an oval, darker below, with holes."""
    height, width = mask.shape
    wide, tall = 0.30 + 0.1 * (variant % 3) / 2, 0.26 + 0.06 * (variant % 4) / 3
    spots = []
    for _ in range(70):
        angle, reach = dice.uniform(0, 2 * math.pi), math.sqrt(dice.uniform())
        x = width * (0.5 + wide * reach * math.cos(angle))
        y = height * (0.40 + tall * reach * math.sin(angle))
        spots.append((y, x, dice.uniform(7, 19), dice.uniform(0.75, 1.25)))
    for y, x, radius, tone in sorted(spots, reverse=True):
        light = tone * (1.15 - 0.55 * (y / height - 0.1) / 0.6)
        cv2.circle(image, (round(x), round(y)), round(radius), shade(green, light), -1)
        cv2.circle(mask, (round(x), round(y)), round(radius), 255, -1)
    leafy = cv2.GaussianBlur(noise(height, width, dice), (0, 0), 1.0) * 3
    lit = image * (1 + 0.22 * leafy)[:, :, None]
    image[:] = np.clip(lit, 0, 255).astype(np.uint8)
    top = np.s_[: int(height * 0.72)]
    mask[top][(leafy[top] < -1.5)] = 0
    edge = (leafy < -0.2) & (cv2.erode(mask, np.ones((9, 9), np.uint8)) == 0)
    mask[top][edge[top]] = 0


CLOTHES: list[Colour] = [
    (36, 40, 52), (60, 60, 64), (150, 40, 44), (196, 190, 178), (40, 70, 110), (30, 30, 32), (120, 100, 74),
    (200, 160, 60), (70, 96, 70), (170, 120, 140), (226, 226, 224), (90, 110, 140),
]  # fmt: skip

SKINS: list[Colour] = [(224, 184, 160), (190, 140, 108), (140, 96, 70), (96, 64, 48)]


@lru_cache(maxsize=64)
def person(variant: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture (180, 70, 3) uint8 and mask (180, 70) uint8 of somebody walking or standing."""
    dice = Dice("person", variant)
    image, mask = np.zeros((180, 70, 3), np.uint8), np.zeros((180, 70), np.uint8)
    coat, trousers, skin = dice.pick(CLOTHES), shade(dice.pick(CLOTHES), 0.7), dice.pick(SKINS)
    stride, lean = dice.uniform(2, 13), dice.uniform(-3, 3)
    hair = dice.pick(((30, 24, 20), (90, 60, 36), (160, 130, 90), (120, 120, 120)))

    def shape(points: list[tuple[float, float]], colour: Colour) -> None:
        corners = np.array(points, np.float32).round().astype(np.int32)
        cv2.fillPoly(image, [corners], colour)
        cv2.fillPoly(mask, [corners], 255)

    for side in (-1, 1):
        foot = 35 + side * stride
        leg: list[tuple[float, float]] = [(35 - 6, 90), (35 + 6, 90), (foot + 5, 176), (foot - 5, 176)]
        shape(leg, shade(trousers, 1 + 0.15 * side))
        shape([(foot - 6, 172), (foot + 8, 172), (foot + 8, 179), (foot - 6, 179)], (30, 28, 28))
        hand = 35 + side * (17 + stride * 0.3)
        shape([(35 + side * 12, 38), (35 + side * 18, 42), (hand + 3, 92), (hand - 4, 92)], shade(coat, 0.8))
    hem = 118 if dice.chance(0.35) else 98
    shape([(35 - 14 + lean, 36), (35 + 14 + lean, 36), (35 + 13, hem), (35 - 13, hem)], coat)
    if dice.chance(0.3):
        shape([(48, 50), (60, 50), (58, 84), (47, 84)], dice.pick(CLOTHES))
    middle = (round(35 + lean), 21)
    for target, head, top in ((image, skin, hair), (mask, 255, 255)):
        cv2.ellipse(target, middle, (9, 12), 0, 0, 360, head, -1)
        cv2.ellipse(target, (middle[0], 17), (10, 10), 0, 180, 360, top, -1)
    image.setflags(write=False)
    mask.setflags(write=False)
    return image, mask
