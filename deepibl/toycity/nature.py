"""Trees and people of the toy city: upright pictures with masks, made once for each variant."""

import math
from functools import lru_cache

import cv2
import numpy as np

from deepibl.toycity.dice import Dice, noise
from deepibl.toycity.surfaces import Colour, mix, shade

LEAVES: dict[str, list[Colour]] = {
    "summer": [(62, 92, 44), (74, 104, 48), (54, 84, 50), (88, 112, 56)],
    "spring": [(110, 140, 62), (128, 150, 74), (214, 178, 190), (96, 132, 64)],
    "autumn": [(176, 122, 40), (160, 84, 36), (148, 130, 52), (120, 60, 34)],
}
SEASONS = ("summer", "spring", "autumn", "winter")
SIZE = (192, 256)  # width and height of a tree's picture


@lru_cache(maxsize=64)
def tree(variant: int, season: str) -> tuple[np.ndarray, np.ndarray]:
    """Picture (256, 192, 3) uint8 and mask (256, 192) uint8 (0 or 255) of a tree; the foot is at the
    bottom middle.
    """
    dice = Dice("tree", variant)
    width, height = SIZE
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    bark = mix((74, 60, 48), (112, 104, 94), dice.uniform())
    conifer = variant % 12 == 11
    _branch(image, mask, (width / 2, height - 1.0), -math.pi / 2, height * 0.34, 9.0, 5, bark, dice)
    if conifer:
        _cone(image, mask, (48, 72, 50), dice)
    elif season != "winter":
        _crown(image, mask, dice.pick(LEAVES[season]), dice, variant)
    image.setflags(write=False)
    mask.setflags(write=False)
    return image, mask


def _branch(
    image: np.ndarray,
    mask: np.ndarray,
    foot: tuple[float, float],
    angle: float,
    length: float,
    thick: float,
    depth: int,
    bark: Colour,
    dice: Dice,
) -> None:
    tip = (foot[0] + length * math.cos(angle), foot[1] + length * math.sin(angle))
    ends = (round(foot[0]), round(foot[1])), (round(tip[0]), round(tip[1]))
    cv2.line(image, *ends, shade(bark, dice.uniform(0.8, 1.1)), max(1, round(thick)))
    cv2.line(mask, *ends, 255, max(1, round(thick)))
    if depth:
        for turn in (-0.5, 0.05, 0.5):
            spread = angle + turn + dice.uniform(-0.25, 0.25)
            _branch(
                image,
                mask,
                tip,
                spread,
                length * dice.uniform(0.55, 0.75),
                thick * 0.6,
                depth - 1,
                bark,
                dice,
            )


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


def _cone(image: np.ndarray, mask: np.ndarray, green: Colour, dice: Dice) -> None:
    height, width = mask.shape
    for k in range(12):
        y, half = height * (0.82 - 0.065 * k), width * 0.36 * (1 - k / 13)
        points = np.array(
            [[width / 2 - half, y], [width / 2, y - height * 0.16], [width / 2 + half, y]], np.int32
        )
        cv2.fillPoly(image, [points], shade(green, dice.uniform(0.75, 1.2)))
        cv2.fillPoly(mask, [points], 255)


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
        shape(
            [(35 - 6, 90), (35 + 6, 90), (foot + 5, 176), (foot - 5, 176)], shade(trousers, 1 + 0.15 * side)
        )
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
