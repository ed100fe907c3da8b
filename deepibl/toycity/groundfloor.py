"""Ground floors of the toy city: shops with signs and awnings, arches, doors, garages; and letters nobody
can read.
"""

import cv2
import numpy as np

from deepibl.toycity.dice import Dice, soft_noise
from deepibl.toycity.styles import Facade
from deepibl.toycity.surfaces import (
    DOOR_LIGHT,
    SHOP_GROUPS,
    SHOPS,
    SIGN_GROUPS,
    SIGNS,
    WINDOW_GROUPS,
    WINDOWS,
    Canvas,
    Colour,
    mix,
    shade,
)

ACCENTS: list[Colour] = [
    (140, 34, 36), (28, 66, 108), (34, 88, 62), (196, 146, 30), (60, 40, 74), (24, 26, 32), (188, 88, 30),
    (20, 108, 120), (214, 206, 190), (96, 30, 52), (54, 58, 62), (36, 120, 60), (200, 60, 60), (240, 236,
    226),
]  # fmt: skip
DOORS: list[Colour] = [
    (92, 56, 36), (40, 62, 48), (36, 46, 78), (120, 30, 30), (30, 30, 34), (150, 140, 124), (70, 40, 28),
    (200, 196, 186)
]  # fmt: skip


def letters(
    canvas: Canvas, x0: float, z0: float, x1: float, z1: float, colour: Colour, label: int, dice: Dice
) -> None:
    """A word of made-up letters, each of two to four strokes between nine points, centred in the
    rectangle.
    """
    height = (z1 - z0) * 0.62
    advance = height * 0.78
    count = min(dice.whole(3, 11), int((x1 - x0) * 0.92 / advance))
    at, base = (x0 + x1) / 2 - count * advance / 2, z0 + (z1 - z0) * 0.19
    thick = max(1, round(height * 0.17 * canvas.scale))
    for _ in range(count):
        grid = [(at + height * 0.27 * (k % 3), base + height * 0.5 * (k // 3)) for k in range(9)]
        strokes = [[grid[0], grid[6]]] if dice.chance(0.6) else []
        for _ in range(dice.whole(1, 3)):
            strokes.append([grid[dice.whole(0, 8)], grid[dice.whole(0, 8)], grid[dice.whole(0, 8)]])
        for stroke in strokes:
            points = canvas.points(stroke)
            cv2.polylines(canvas.image, [points], False, colour, thick, cv2.LINE_AA)
            cv2.polylines(canvas.labels, [points], False, int(label), thick)
        at += advance


def door(
    canvas: Canvas, x: float, width: float, height: float, colour: Colour, dice: Dice, trim: Colour
) -> None:
    """A door with panels, a light above it and steps; x is its left edge."""
    canvas.rect(x - 0.16, 0, x + width + 0.16, height + 0.2, trim)
    canvas.rect(x, 0, x + width, height, shade(colour, 0.6))
    canvas.rect(x + 0.06, 0.1, x + width - 0.06, height * 0.8, colour)
    canvas.rect(x + 0.08, height * 0.83, x + width - 0.08, height - 0.06, (70, 80, 88), DOOR_LIGHT)
    leaves = 2 if width > 1.3 else 1
    for k in range(leaves):
        a, b = x + width * (k + 0.14) / leaves, x + width * (k + 0.86) / leaves
        for low, high in ((0.14, 0.36), (0.42, 0.74)):
            canvas.rect(a, height * low, b, height * high, shade(colour, 0.76))
            canvas.rect(a, height * low, b, height * low + 0.05, shade(colour, 1.2))
    canvas.rect(x - 0.3, 0, x + width + 0.3, 0.14, (150, 146, 140))
    if dice.chance(0.3):
        canvas.rect(x - 0.35, height + 0.25, x + width + 0.35, height + 0.4, shade(trim, 0.8))


def _behind_glass(canvas: Canvas, x0: float, z0: float, x1: float, z1: float, dice: Dice) -> None:
    """Shelves, lights and people one half sees: blotches and a few bright lines."""
    box = canvas.box(x0, z0, x1, z1)
    rows, cols = canvas.labels[box].shape
    if rows < 2 or cols < 2:
        return
    cells = (2 + round((z1 - z0) / 0.6), 2 + round((x1 - x0) / 0.5))
    light = (1.1 + 0.45 * soft_noise(rows, cols, cells, dice))[:, :, None]
    canvas.image[box] = np.clip(canvas.image[box] * light, 0, 255).astype(np.uint8)
    for _ in range(dice.whole(1, 4)):
        z = dice.uniform(z0 + 0.2, z1)
        a = dice.uniform(x0, x1 - 0.5)
        canvas.tint(a, z, min(a + dice.uniform(0.5, 2.5), x1), z + 0.06, 1.9)


def shop(canvas: Canvas, x0: float, x1: float, top: float, dice: Dice) -> None:
    """One shop from x0 to x1: frame, glass with goods, door, sign with letters, perhaps an awning."""
    accent, paper = dice.pick(ACCENTS), dice.pick(ACCENTS)
    sign = min(0.85, top * 0.2)
    label = SHOPS + dice.whole(0, SHOP_GROUPS - 1)
    canvas.rect(x0 + 0.1, 0, x1 - 0.1, top - sign, accent)
    canvas.rect(x0 + 0.25, 0.45, x1 - 0.25, top - sign - 0.15, (44, 50, 56), label)
    _behind_glass(canvas, x0 + 0.25, 0.45, x1 - 0.25, top - sign - 0.15, dice)
    for _ in range(dice.whole(3, 9)):  # goods in the window
        a = dice.uniform(x0 + 0.3, x1 - 0.8)
        b = dice.uniform(0.5, top * 0.35)
        goods = mix(dice.pick(ACCENTS), (90, 90, 90), 0.4)
        canvas.rect(a, b, a + dice.uniform(0.2, 0.7), b + dice.uniform(0.2, 0.9), goods, label)
    entrance = dice.uniform(x0 + 0.3, max(x0 + 0.35, x1 - 1.4))
    canvas.rect(entrance, 0, entrance + 1.05, top - sign - 0.1, shade(accent, 0.8))
    canvas.rect(entrance + 0.1, 0.2, entrance + 0.95, top - sign - 0.25, (60, 66, 70), label)
    panes = max(1, round((x1 - x0) / 1.7))
    for k in range(1, panes):
        x = x0 + (x1 - x0) * k / panes
        canvas.rect(x - 0.05, 0.4, x + 0.05, top - sign, shade(accent, 0.9))
    lit = SIGNS + dice.whole(0, SIGN_GROUPS - 1)
    board = accent if dice.chance(0.5) else paper
    ink = (236, 230, 214) if sum(board) < 360 else (40, 36, 40)
    canvas.rect(x0 + 0.05, top - sign, x1 - 0.05, top - 0.08, board, lit if dice.chance(0.35) else 0)
    letters(canvas, x0 + 0.1, top - sign, x1 - 0.1, top - 0.08, ink, lit, dice)
    canvas.rect(x0 + 0.05, top - 0.08, x1 - 0.05, top, shade(board, 0.7))
    if dice.chance(0.4):
        _awning(canvas, x0, x1, top - sign, dice)


def _awning(canvas: Canvas, x0: float, x1: float, z: float, dice: Dice) -> None:
    colour, other = dice.pick(ACCENTS), (232, 228, 218)
    drop, striped = dice.uniform(0.6, 0.95), dice.chance(0.6)
    canvas.tint(x0 + 0.1, z - drop - 0.5, x1 - 0.1, z - drop, 0.72)
    for k, x in enumerate(np.arange(x0 + 0.1, x1 - 0.15, 0.35)):
        stripe = other if striped and k % 2 else colour
        end = min(x + 0.35, x1 - 0.1)
        canvas.rect(x, z - drop, end, z, stripe)
        canvas.rect(x, z - drop - 0.16, end, z - drop, shade(stripe, 0.75))


def paint_ground_floor(canvas: Canvas, facade: Facade, trim: Colour, layout: Dice, dice: Dice) -> None:
    """The ground floor of a facade; `layout` decides what neighbours in a terrace share, `dice` the rest."""
    width, top = facade.width, facade.ground - 0.25
    if facade.base == "shops":
        count = max(1, round(width / layout.uniform(4.0, 6.5)))
        edges = np.linspace(0.25, width - 0.25, count + 1)
        spare = layout.whole(0, count - 1) if count > 1 else -1
        for k in range(count):
            if k == spare and layout.chance(0.6):
                middle = float(edges[k] + edges[k + 1]) / 2
                door(canvas, middle - 0.7, 1.4, min(2.9, top * 0.8), dice.pick(DOORS), dice, trim)
            else:
                shop(canvas, float(edges[k]), float(edges[k + 1]), top, dice)
    elif facade.base == "arches":
        _arches(canvas, facade, trim, layout, dice)
    elif facade.base == "lobby":
        _lobby(canvas, facade, dice)
    elif facade.base == "garage":
        _garage(canvas, facade, dice)
    else:
        _house_front(canvas, facade, trim, layout, dice)


def _arches(canvas: Canvas, facade: Facade, trim: Colour, layout: Dice, dice: Dice) -> None:
    """An arcade: round openings, one of them the entrance."""
    count = max(2, round(facade.width / layout.uniform(2.8, 4.2)))
    bay = facade.width / count
    entrance = layout.whole(0, count - 1)
    radius, spring = bay * 0.36, facade.ground - 0.55 - bay * 0.36
    for k in range(count):
        middle = (k + 0.5) * bay
        angles = np.linspace(0, np.pi, 15)
        for extra, colour, label in (
            (0.22, trim, 0),
            (0.0, (46, 48, 52), SHOPS + dice.whole(0, SHOP_GROUPS - 1)),
        ):
            arch = [
                (middle + (radius + extra) * float(np.cos(t)), spring + (radius + extra) * float(np.sin(t)))
                for t in angles
            ]
            canvas.polygon(
                [(middle + radius + extra, 0.0), *arch, (middle - radius - extra, 0.0)], colour, label
            )
        canvas.rect(middle - 0.03, 0.4, middle + 0.03, spring, shade(trim, 0.7))
        canvas.rect(middle - radius, spring - 0.04, middle + radius, spring + 0.04, shade(trim, 0.7))
        if k == entrance:
            door(canvas, middle - radius * 0.8, radius * 1.6, spring, dice.pick(DOORS), dice, trim)
        else:
            canvas.rect(middle - radius, 0, middle + radius, 0.45, shade(trim, 0.85))


def _lobby(canvas: Canvas, facade: Facade, dice: Dice) -> None:
    """Glass all along with columns before it, and a canopy over the door."""
    label = SHOPS + dice.whole(0, SHOP_GROUPS - 1)
    top, column = facade.ground - 0.4, dice.pick(((190, 188, 184), (90, 90, 94), (160, 130, 104)))
    canvas.rect(0.2, 0.1, facade.width - 0.2, top, (58, 68, 76), label)
    canvas.rect(0.2, top * 0.6, facade.width - 0.2, top, (80, 92, 100), label)
    _behind_glass(canvas, 0.2, 0.1, facade.width - 0.2, top, dice)
    for x in np.arange(0, facade.width, 1.4):
        canvas.rect(x, 0, x + 0.06, top, (70, 72, 76))
    for x in np.linspace(0.1, facade.width - 0.5, max(2, round(facade.width / dice.uniform(4, 6)))):
        canvas.rect(x, 0, x + 0.45, top, column)
        canvas.rect(x + 0.32, 0, x + 0.45, top, shade(column, 0.75))
    at = dice.uniform(1, facade.width - 4)
    canvas.rect(at, top - 0.7, at + 3.2, top - 0.35, dice.pick(ACCENTS))
    letters(canvas, at, top - 0.72, at + 3.2, top - 0.33, (240, 238, 230), SIGNS + dice.whole(0, 7), dice)


def _garage(canvas: Canvas, facade: Facade, dice: Dice) -> None:
    """Roller doors, a small door, bare wall."""
    colour = dice.pick(((150, 154, 158), (86, 98, 90), (70, 86, 110), (130, 60, 46)))
    at = dice.uniform(0.4, 1.5)
    while at < facade.width - 3.4:
        width, height = dice.uniform(2.6, 4.0), min(3.2, facade.ground - 0.9)
        if dice.chance(0.75):
            canvas.rect(at, 0, at + width, height, colour)
            for z in np.arange(0.2, height, 0.28):
                canvas.rect(at, z, at + width, z + 0.07, shade(colour, 0.8))
            canvas.rect(at, height, at + width, height + 0.15, shade(colour, 0.6))
        else:
            door(canvas, at + 0.6, 1.0, 2.2, dice.pick(DOORS), dice, (120, 120, 118))
        at += width + dice.uniform(0.5, 1.6)
    if dice.chance(0.5):
        ink, z = dice.pick(ACCENTS), facade.ground - 0.85
        letters(
            canvas, 0.5, z, facade.width * 0.8, z + 0.7, ink, SIGNS + dice.whole(0, SIGN_GROUPS - 1), dice
        )


def _house_front(canvas: Canvas, facade: Facade, trim: Colour, layout: Dice, dice: Dice) -> None:
    """A door and windows; bands of stone where the base is rustic."""
    if facade.base == "rustic":
        for z in np.arange(0.4, facade.ground - 0.3, 0.45):
            canvas.tint(0, z, facade.width, z + 0.06, 0.72)
    bays = max(2, round(facade.width / 2.7))
    bay = facade.width / bays
    entrance = layout.pick((0, bays - 1, bays // 2))
    sill, head = 1.0, min(facade.ground - 0.6, 2.75)
    colour = dice.pick(DOORS)
    for k in range(bays):
        middle = (k + 0.5) * bay
        if k == entrance:
            door(canvas, middle - 0.5, 1.0, min(2.35, facade.ground - 0.5), colour, dice, trim)
            continue
        half = min(0.62, bay * 0.33)
        canvas.rect(middle - half - 0.12, sill - 0.12, middle + half + 0.12, head + 0.14, trim)
        label = WINDOWS + dice.whole(0, WINDOW_GROUPS - 1)
        canvas.rect(middle - half, sill, middle + half, head, (54, 60, 68), label)
        cloth = dice.pick(((54, 60, 68), (150, 146, 138), (120, 96, 84)))
        canvas.rect(
            middle - half,
            sill + (head - sill) * 0.5,
            middle + half,
            head,
            mix(cloth, (54, 60, 68), 0.4),
            label,
        )
        canvas.rect(middle - 0.03, sill, middle + 0.03, head, (224, 222, 216))
        canvas.rect(middle - half, sill + 1.05, middle + half, sill + 1.1, (224, 222, 216))
