"""Facades of the toy city, painted from their measures: wall, windows, balconies, cornice, roof line.

Ground floors have shops with signs and awnings, arches, doors, garages; and lettering.
"""

import cv2
import numpy as np

from deepibl.toycity.styles import STYLES, VILLA, Dice, Facade, soft_noise
from deepibl.toycity.surfaces import (
    DOOR_LIGHT,
    ROOFS,
    SHOPS,
    SIGNS,
    WINDOWS,
    Canvas,
    Colour,
    Texture,
    arch,
    material,
    mix,
    shade,
)
from deepibl.toycity.windows import WindowLook, paint_roof, stamp

ACCENTS: list[Colour] = [
    (140, 34, 36), (28, 66, 108), (34, 88, 62), (196, 146, 30), (60, 40, 74), (24, 26, 32), (188, 88, 30),
    (20, 108, 120), (214, 206, 190), (96, 30, 52), (54, 58, 62), (36, 120, 60), (200, 60, 60),
    (240, 236, 226),
]  # fmt: skip

DOORS: list[Colour] = [
    (92, 56, 36), (40, 62, 48), (36, 46, 78), (120, 30, 30), (30, 30, 34), (150, 140, 124), (70, 40, 28),
    (200, 196, 186),
]  # fmt: skip


def letters(
    canvas: Canvas, x0: float, z0: float, x1: float, z1: float, colour: Colour, label: int, dice: Dice
) -> None:
    """A word of made-up letters, two to four strokes between nine points each, centred in the rectangle."""
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
    """Shelves, lights and people, half seen: blotches and a few bright lines."""
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
    label = dice.pick(SHOPS)
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
    lit = dice.pick(SIGNS)
    board = accent if dice.chance(0.5) else paper
    ink = (236, 230, 214) if sum(board) < 360 else (40, 36, 40)
    canvas.rect(x0 + 0.05, top - sign, x1 - 0.05, top - 0.08, board, lit if dice.chance(0.35) else 0)
    letters(canvas, x0 + 0.1, top - sign, x1 - 0.1, top - 0.08, ink, lit, dice)
    canvas.rect(x0 + 0.05, top - 0.08, x1 - 0.05, top, shade(board, 0.7))
    if dice.chance(0.4):  # an awning
        colour, z = dice.pick(ACCENTS), top - sign
        drop, striped = dice.uniform(0.6, 0.95), dice.chance(0.6)
        canvas.tint(x0 + 0.1, z - drop - 0.5, x1 - 0.1, z - drop, 0.72)
        for k, x in enumerate(np.arange(x0 + 0.1, x1 - 0.15, 0.35)):
            stripe: Colour = (232, 228, 218) if striped and k % 2 else colour
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
        return
    paint = {"arches": _arches, "lobby": _lobby, "garage": _garage}.get(facade.base, _house_front)
    paint(canvas, facade, trim, layout, dice)


def _arches(canvas: Canvas, facade: Facade, trim: Colour, layout: Dice, dice: Dice) -> None:
    """An arcade: round openings, one of them the entrance."""
    count = max(2, round(facade.width / layout.uniform(2.8, 4.2)))
    bay = facade.width / count
    entrance = layout.whole(0, count - 1)
    radius, spring = bay * 0.36, facade.ground - 0.55 - bay * 0.36
    for k in range(count):
        middle = (k + 0.5) * bay
        glass = dice.pick(SHOPS)
        for reach, colour, label in ((radius + 0.22, trim, 0), (radius, (46, 48, 52), glass)):
            round_top = arch(middle, spring, reach, reach, 15)
            canvas.polygon([(middle + reach, 0.0), *round_top, (middle - reach, 0.0)], colour, label)
        canvas.rect(middle - 0.03, 0.4, middle + 0.03, spring, shade(trim, 0.7))
        canvas.rect(middle - radius, spring - 0.04, middle + radius, spring + 0.04, shade(trim, 0.7))
        if k == entrance:
            door(canvas, middle - radius * 0.8, radius * 1.6, spring, dice.pick(DOORS), dice, trim)
        else:
            canvas.rect(middle - radius, 0, middle + radius, 0.45, shade(trim, 0.85))


def _lobby(canvas: Canvas, facade: Facade, trim: Colour, layout: Dice, dice: Dice) -> None:
    """Glass all along with columns before it, and a canopy over the door."""
    label = dice.pick(SHOPS)
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
    letters(canvas, at, top - 0.72, at + 3.2, top - 0.33, (240, 238, 230), dice.pick(SIGNS), dice)


def _garage(canvas: Canvas, facade: Facade, trim: Colour, layout: Dice, dice: Dice) -> None:
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
        label = dice.pick(SIGNS)
        letters(canvas, 0.5, z, facade.width * 0.8, z + 0.7, ink, label, dice)


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
        label = dice.pick(WINDOWS)
        canvas.rect(middle - half, sill, middle + half, head, (54, 60, 68), label)
        cloth = dice.pick(((54, 60, 68), (150, 146, 138), (120, 96, 84)))
        curtain, low = mix(cloth, (54, 60, 68), 0.4), sill + (head - sill) * 0.5
        canvas.rect(middle - half, low, middle + half, head, curtain, label)
        canvas.rect(middle - 0.03, sill, middle + 0.03, head, (224, 222, 216))
        canvas.rect(middle - half, sill + 1.05, middle + half, sill + 1.1, (224, 222, 216))


COLOURS: dict[str, list[Colour]] = {
    "plaster": [
        (224, 212, 184), (214, 190, 142), (206, 168, 140), (222, 206, 196), (196, 204, 190), (186, 196, 206),
        (230, 228, 220), (204, 146, 110), (216, 196, 112), (178, 176, 170), (200, 170, 170), (160, 178, 170),
    ],
    "brick": [
        (142, 72, 54), (164, 90, 64), (120, 66, 54), (186, 142, 98), (104, 78, 66), (172, 112, 84),
        (198, 168, 124), (88, 62, 56),
    ],
    "stone": [(196, 186, 164), (176, 168, 152), (206, 194, 166), (160, 154, 144), (188, 170, 146)],
    "panels": [
        (186, 188, 188), (150, 156, 160), (204, 198, 188), (118, 124, 130), (168, 150, 128), (96, 100, 104),
    ],
    "tiles": [(188, 184, 172), (124, 140, 148), (168, 142, 110), (210, 206, 198), (110, 90, 80)],
    "concrete": [(172, 170, 164), (150, 148, 142), (188, 182, 172)],
    "render": [(226, 222, 212), (196, 178, 150), (178, 190, 196), (210, 170, 130), (150, 158, 150)],
    "timber": [(226, 216, 194), (214, 196, 160), (232, 228, 218)],
    "boards": [(146, 60, 48), (226, 222, 210), (92, 110, 120), (190, 160, 96), (110, 124, 92), (70, 62, 58)],
}  # fmt: skip

FRAMES: list[Colour] = [(236, 234, 228), (236, 234, 228), (70, 60, 54), (52, 56, 60), (120, 84, 58)]

# kind of window -> metres between windows, its width over that, its height and its sill over the storey's
MEASURES = {
    "strip": (4.2, 0.96, 0.5, 0.24), "wide": (3.6, 0.68, 0.52, 0.24), "grid": (2.4, 0.9, 0.8, 0.1),
    "factory": (3.6, 0.78, 0.68, 0.24), "shutters": (2.9, 0.36, 0.58, 0.24), "bay": (3.0, 0.5, 0.58, 0.24),
    "pair": (2.9, 0.42, 0.58, 0.24), "french": (2.5, 0.42, 0.78, 0.12),
}  # fmt: skip


class FacadePainter:
    """Paints one facade; `scale` is the texture's pixels a metre."""

    def __init__(self, facade: Facade, scale: float) -> None:
        self.facade = facade
        self.layout, self.dice = Dice("layout", *facade.plan), Dice("paint", *facade.keys)
        self.canvas = Canvas(facade.width, facade.height, scale)
        self.colour = self.dice.pick(COLOURS[facade.material])
        pale = mix((226, 218, 202), self.colour, self.layout.uniform(0.0, 0.35))
        light = sum(self.colour) >= 600
        self.trim: Colour = shade(self.colour, self.layout.uniform(0.72, 0.88)) if light else pale

    def paint(self) -> Texture:
        """The finished texture."""
        canvas, facade, layout, dice = self.canvas, self.facade, self.layout, self.dice
        canvas.image = material(canvas.labels.shape, canvas.scale, facade.material, self.colour, dice)
        if facade.material == "timber":
            self._beams()
        if facade.style in ("classic", "modern") and layout.chance(0.6):  # another stone at the base
            other = mix(self.colour, dice.pick(COLOURS["stone"]), 0.8)
            box = canvas.box(0, 0, facade.width, facade.ground - 0.1)
            canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, "stone", other, dice)
        canvas.tint(0, 0, facade.width, layout.uniform(0.3, 0.8), 0.78)
        paint_ground_floor(canvas, facade, self.trim, layout, dice)
        self._bands()
        self._storeys()
        self._extras()
        # dirt: streaks that run down, and a wall that is darker low and at the edges
        rows, cols = canvas.labels.shape
        columns = cv2.GaussianBlur(dice.array(1, cols), (0, 0), max(0.6, 0.12 * canvas.scale))
        streaks = 1 - dice.uniform(0.0, 0.22) * np.clip(columns - 0.5, 0, None) * 2
        fade = np.linspace(1.03, 0.93, rows, dtype=np.float32)[:, None]
        factor = np.broadcast_to((streaks * fade)[:, :, None], canvas.image.shape)
        cv2.multiply(canvas.image, np.ascontiguousarray(factor), canvas.image, dtype=cv2.CV_8U)
        canvas.tint(0, 0, 0.12, facade.wall, 0.75)
        paint_roof(canvas, facade, self.trim, dice.pick(ROOFS), layout, dice)
        return canvas.texture()

    def _beams(self) -> None:
        """Half-timbering: posts, rails and braces."""
        facade, dark = self.facade, mix((58, 40, 30), (96, 50, 40), self.dice.uniform())
        for k in range(facade.storeys):
            z = facade.ground + k * facade.floor
            self.canvas.rect(0, z - 0.24, facade.width, z, dark)
        count = max(4, round(facade.width / 1.3))
        for k in range(count + 1):
            x = facade.width * k / count
            self.canvas.rect(x - 0.1, facade.ground - 0.2, x + 0.1, facade.height, dark)
            if self.layout.chance(0.4) and k < count:
                z = facade.ground + facade.floor * self.layout.whole(0, facade.storeys)
                self.canvas.line([(x, z), (x + facade.width / count, z + facade.floor)], dark, 0.16)

    def _bands(self) -> None:
        """String courses between storeys, pilasters or quoins at the ends."""
        facade, canvas, layout = self.facade, self.canvas, self.layout
        heights = [facade.ground] + [facade.ground + k * facade.floor for k in range(1, facade.storeys - 1)]
        every = layout.chance(0.4)
        if facade.material not in ("timber", "boards"):
            for z in heights if every else heights[:1]:
                canvas.rect(0, z - 0.18, facade.width, z + 0.1, self.trim)
                canvas.tint(0, z - 0.26, facade.width, z - 0.18, 0.62)
        if facade.style in ("classic", "brick") and layout.chance(0.45):
            for k, z in enumerate(np.arange(0.2, facade.wall - 0.4, 0.5)):
                long = 0.7 if k % 2 else 0.42
                canvas.rect(0, z, long, z + 0.42, self.trim)
                canvas.rect(facade.width - long, z, facade.width, z + 0.42, self.trim)
        elif facade.style in ("classic", "modern") and layout.chance(0.3):
            for x in np.linspace(0, facade.width - 0.5, max(2, round(facade.width / 5))):
                canvas.rect(x, facade.ground, x + 0.5, facade.wall, self.trim)
                canvas.tint(x + 0.4, facade.ground, x + 0.5, facade.wall, 0.75)

    def _storeys(self) -> None:
        facade, canvas, dice, layout = self.facade, self.canvas, self.dice, self.layout
        if facade.storeys < 2:
            return
        spacing, part, tall, spot = MEASURES.get(facade.window, (2.5, 0.42, 0.58, 0.24))
        spacing *= layout.uniform(0.85, 1.2)
        bays = max(2, round(facade.width / spacing)) if facade.width > 4 else 1
        pitch = facade.width / bays
        frame = layout.pick(FRAMES)
        accent = dice.pick(ACCENTS)
        look = WindowLook(facade.window, pitch * part, facade.floor * tall, self.trim, frame, accent, layout)
        pictures = [look.picture(canvas.scale, dressing) for dressing in ("bare", "curtain", "half", "blind")]
        blind_bay = layout.whole(0, bays - 1) if bays > 3 and layout.chance(0.25) else -1
        balconies = self._balcony_places(bays)
        for storey in range(1, facade.storeys):
            z = facade.ground + (storey - 1) * facade.floor + facade.floor * spot
            for bay in range(bays):
                x = (bay + 0.5) * pitch - look.width / 2
                if bay == blind_bay:
                    continue
                label = dice.pick(WINDOWS)
                picture = pictures[min(3, int(4.6 * dice.uniform() ** 1.4))]
                stamp(canvas, picture, x - look.side, z - look.below, label)
                if (storey, bay) in balconies:
                    self._balcony(x - 0.3, x + look.width + 0.3, z - 0.12)
                elif facade.window == "french":
                    self._railing(x - 0.05, x + look.width + 0.05, z, 0.85)
                elif dice.chance(0.05):  # flowers
                    canvas.rect(x, z - 0.05, x + look.width, z + 0.18, (120, 74, 50))
                    for a in np.arange(x, x + look.width, 0.16):
                        tint = dice.pick(((70, 110, 50), (196, 50, 60), (90, 130, 60), (220, 130, 170)))
                        canvas.rect(a, z + 0.14, a + 0.13, z + dice.uniform(0.25, 0.45), tint)

    def _balcony_places(self, bays: int) -> set[tuple[int, int]]:
        """Where balconies are: along the first floor, in some columns, or here and there."""
        facade, layout = self.facade, self.layout
        chance = STYLES.get(facade.style, VILLA).balconies
        if facade.window in ("strip", "factory", "bay") or not layout.chance(chance):
            return set()
        floors = range(1, facade.storeys)
        how = layout.pick(("first", "columns", "columns", "some"))
        if how == "first":
            return {(1, bay) for bay in range(bays)}
        if how == "columns":
            chosen = {bay for bay in range(bays) if layout.chance(0.4)} or {bays // 2}
            return {(floor, bay) for floor in floors for bay in chosen}
        return {(floor, bay) for floor in floors for bay in range(bays) if layout.chance(0.3)}

    def _balcony(self, x0: float, x1: float, z: float) -> None:
        canvas = self.canvas
        canvas.rect(x0, z - 0.16, x1, z, shade(self.trim, 1.02))
        canvas.tint(x0, z - 0.75, x1, z - 0.16, 0.58)
        if self.facade.style == "modern":
            panel = mix(self.dice.pick(ACCENTS), (190, 200, 204), 0.75)
            canvas.rect(x0, z, x1, z + 0.95, panel)
            canvas.rect(x0, z + 0.95, x1, z + 1.02, (90, 92, 96))
        else:
            self._railing(x0, x1, z, 0.95)

    def _railing(self, x0: float, x1: float, z: float, height: float) -> None:
        dark: Colour = (38, 38, 40)
        for x in np.arange(x0, x1 + 0.01, 0.2):
            self.canvas.rect(x, z, x + 0.05, z + height, dark, None)
        self.canvas.rect(x0, z + height - 0.06, x1 + 0.05, z + height, dark, None)
        self.canvas.rect(x0, z + 0.04, x1 + 0.05, z + 0.1, dark, None)

    def _extras(self) -> None:
        """Drainpipes, a painted sign on the wall, a blade sign."""
        facade, canvas, dice = self.facade, self.canvas, self.dice
        if dice.chance(0.5):
            x = dice.pick((0.15, facade.width - 0.25))
            canvas.rect(x, 0, x + 0.11, facade.wall, shade(self.colour, 0.6))
        if facade.storeys > 2 and facade.style in ("brick", "works", "classic") and dice.chance(0.2):
            z = facade.ground + facade.floor * dice.whole(1, facade.storeys - 2) - 0.42
            ink = (240, 234, 220) if sum(self.colour) < 400 else (52, 44, 60)
            letters(canvas, 0.5, z, facade.width - 0.5, z + 0.9, ink, 0, dice)
        if facade.base == "shops" and dice.chance(0.5):
            x, z = dice.uniform(0.3, facade.width - 1.2), facade.ground + dice.uniform(0.2, 0.9)
            label = dice.pick(SIGNS)
            canvas.rect(x, z, x + 0.75, z + 1.5, dice.pick(ACCENTS), label)
            letters(canvas, x, z + 0.5, x + 0.75, z + 1.0, (244, 240, 228), label, dice)


def paint_facade(facade: Facade, scale: float) -> Texture:
    """The texture of a facade at `scale` pixels a metre."""
    return FacadePainter(facade, scale).paint()
