"""Small things in the streets of the toy city: lamps, bins, posts, signs, boxes, planters, benches."""

from functools import lru_cache

import numpy as np

from deepibl.toycity.blocks import Thing
from deepibl.toycity.camera import NEAR, Frame
from deepibl.toycity.dice import Dice
from deepibl.toycity.surfaces import LAMP, Colour, shade

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
