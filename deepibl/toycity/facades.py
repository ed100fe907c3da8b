"""Facades of the toy city, painted from their measures: wall, ground floor, windows, balconies, roof line."""

import cv2
import numpy as np

from deepibl.toycity.dice import Dice, soft_noise
from deepibl.toycity.paint import (
    CLEAR,
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
from deepibl.toycity.plan import Facade

ACCENTS: list[Colour] = [
    (140, 34, 36), (28, 66, 108), (34, 88, 62), (196, 146, 30), (60, 40, 74), (24, 26, 32), (188, 88, 30),
    (20, 108, 120), (214, 206, 190), (96, 30, 52), (54, 58, 62), (200, 60, 60), (240, 236, 226),
]  # fmt: skip
DOORS: list[Colour] = [(92, 56, 36), (40, 62, 48), (36, 46, 78), (120, 30, 30), (30, 30, 34), (200, 196, 186)]
ROOFS: list[Colour] = [(142, 78, 60), (120, 66, 54), (88, 84, 86), (70, 72, 80), (160, 96, 70), (60, 62, 64)]
COLOURS: dict[str, list[Colour]] = {
    "plaster": [
        (224, 212, 184), (214, 190, 142), (206, 168, 140), (222, 206, 196), (196, 204, 190), (186, 196, 206),
        (230, 228, 220), (204, 146, 110), (216, 196, 112), (178, 176, 170), (160, 178, 170),
    ],
    "brick": [
        (142, 72, 54), (164, 90, 64), (120, 66, 54), (186, 142, 98), (104, 78, 66), (198, 168, 124),
    ],
    "stone": [(196, 186, 164), (176, 168, 152), (206, 194, 166), (160, 154, 144), (188, 170, 146)],
    "panels": [(186, 188, 188), (150, 156, 160), (204, 198, 188), (118, 124, 130), (168, 150, 128)],
    "concrete": [(172, 170, 164), (150, 148, 142), (188, 182, 172)],
    "timber": [(226, 216, 194), (214, 196, 160), (232, 228, 218)],
}  # fmt: skip
FRAMES: list[Colour] = [(236, 234, 228), (236, 234, 228), (70, 60, 54), (52, 56, 60), (120, 84, 58)]
GLASS: Colour = (52, 60, 68)
DARK: Colour = (38, 38, 40)

# of a kind of window: metres from one to the next, its width over that, its height and its sill over the
# storey's; panes across and up
MEASURES = {
    "sash": (2.5, 0.42, 0.58, 0.24, 2, 2), "framed": (2.5, 0.42, 0.58, 0.24, 2, 3),
    "arched": (2.5, 0.42, 0.62, 0.22, 2, 2), "strip": (4.2, 0.96, 0.5, 0.24, 4, 1),
    "wide": (3.6, 0.68, 0.52, 0.24, 3, 1), "grid": (2.4, 0.9, 0.8, 0.1, 2, 1),
    "shutters": (2.9, 0.36, 0.58, 0.24, 2, 2), "french": (2.5, 0.42, 0.78, 0.12, 2, 3),
}  # fmt: skip


class FacadePainter:
    """Paints one facade; scale: the texture's pixels a metre."""

    def __init__(self, facade: Facade, scale: float) -> None:
        self.facade, self.dice = facade, Dice("paint", *facade.keys)
        self.canvas = Canvas(facade.width, facade.height, scale)
        self.colour = self.dice.pick(COLOURS[facade.material])
        light = sum(self.colour) >= 600
        self.trim = (
            shade(self.colour, 0.8)
            if light
            else mix((226, 218, 202), self.colour, self.dice.uniform(0, 0.35))
        )

    def paint(self) -> Texture:
        """The finished texture."""
        canvas, facade, dice = self.canvas, self.facade, self.dice
        canvas.image = material(canvas.labels.shape, canvas.scale, facade.material, self.colour, dice)
        if facade.material == "timber":
            self._beams()
        canvas.tint(0, 0, facade.width, dice.uniform(0.3, 0.8), 0.78)
        {"shops": self._shops, "arches": self._arches, "garage": self._garages}.get(
            facade.base, self._front
        )()
        if dice.chance(0.7):  # a string course
            canvas.rect(0, facade.ground - 0.18, facade.width, facade.ground + 0.1, self.trim)
            canvas.tint(0, facade.ground - 0.26, facade.width, facade.ground - 0.18, 0.62)
        self._storeys()
        if dice.chance(0.5):  # a drainpipe
            x = dice.pick((0.15, facade.width - 0.25))
            canvas.rect(x, 0, x + 0.11, facade.wall, shade(self.colour, 0.6))
        # dirt: streaks that run down, and a wall that is darker low
        rows, cols = canvas.labels.shape
        streaks = 1 - dice.uniform(0.0, 0.22) * soft_noise(1, cols, (2, cols // 3), dice).clip(0)
        fade = np.linspace(1.03, 0.93, rows, dtype=np.float32)[:, None]
        canvas.image = np.clip(canvas.image * (streaks * fade)[:, :, None], 0, 255).astype(np.uint8)
        canvas.tint(0, 0, 0.12, facade.wall, 0.75)
        self._roof()
        return canvas.texture()

    def _beams(self) -> None:
        """Half-timbering: posts, rails and braces."""
        facade, dark = self.facade, mix((58, 40, 30), (96, 50, 40), self.dice.uniform())
        for k in range(facade.storeys):
            z = facade.ground + k * facade.floor
            self.canvas.rect(0, z - 0.24, facade.width, z, dark)
        for x in np.linspace(0, facade.width, max(4, round(facade.width / 1.3)) + 1):
            self.canvas.rect(x - 0.1, facade.ground - 0.2, x + 0.1, facade.height, dark)
            if self.dice.chance(0.4):
                z = facade.ground + facade.floor * self.dice.whole(0, facade.storeys)
                self.canvas.line([(x, z), (x + 1.3, z + facade.floor)], dark, 0.16)

    def _letters(self, x0: float, z0: float, x1: float, z1: float, colour: Colour, label: int) -> None:
        """A word of made-up letters, some strokes between nine points each, centred in the rectangle."""
        dice, height = self.dice, (z1 - z0) * 0.62
        count = min(dice.whole(3, 11), int((x1 - x0) * 0.92 / (height * 0.78)))
        for k in range(count):
            at, base = (x0 + x1) / 2 + (k - count / 2) * height * 0.78, z0 + (z1 - z0) * 0.19
            grid = [(at + height * 0.27 * (p % 3), base + height * 0.5 * (p // 3)) for p in range(9)]
            strokes = [[grid[0], grid[6]]] if dice.chance(0.6) else []
            strokes += [[dice.pick(grid), dice.pick(grid), dice.pick(grid)] for _ in range(dice.whole(1, 3))]
            for stroke in strokes:
                self.canvas.line(stroke, colour, height * 0.17, label)

    def _door(self, x: float, width: float, height: float) -> None:
        """A door with panels and a light above it; x is its left edge."""
        canvas, colour = self.canvas, self.dice.pick(DOORS)
        canvas.rect(x - 0.16, 0, x + width + 0.16, height + 0.2, self.trim)
        canvas.rect(x, 0, x + width, height, colour)
        canvas.rect(x + 0.08, height * 0.83, x + width - 0.08, height - 0.06, (70, 80, 88), WINDOWS[0])
        for low, high in ((0.14, 0.36), (0.42, 0.74)):
            canvas.rect(x + width * 0.14, height * low, x + width * 0.86, height * high, shade(colour, 0.76))
        canvas.rect(x - 0.3, 0, x + width + 0.3, 0.14, (150, 146, 140))

    def _shops(self) -> None:
        """Shops side by side: glass with goods, a door, a sign with letters, perhaps an awning."""
        canvas, dice, facade = self.canvas, self.dice, self.facade
        edges = np.linspace(
            0.25, facade.width - 0.25, max(1, round(facade.width / dice.uniform(4.0, 6.5))) + 1
        )
        top = facade.ground - 0.25
        sign = top - min(0.85, top * 0.2)  # its lower edge
        for x0, x1 in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            accent, label = dice.pick(ACCENTS), dice.pick(SHOPS)
            canvas.rect(x0 + 0.1, 0, x1 - 0.1, sign, accent)
            canvas.rect(x0 + 0.25, 0.45, x1 - 0.25, sign - 0.15, GLASS, label)
            for _ in range(dice.whole(4, 11)):  # goods in the window
                a, b, goods = (
                    dice.uniform(x0 + 0.3, x1 - 0.8),
                    dice.uniform(0.5, top * 0.5),
                    dice.pick(ACCENTS),
                )
                size = dice.uniform(0.2, 0.7), dice.uniform(0.2, 0.9)
                canvas.rect(a, b, a + size[0], b + size[1], mix(goods, (90, 90, 90), 0.4), label)
            door = dice.uniform(x0 + 0.3, max(x0 + 0.35, x1 - 1.4))
            canvas.rect(door, 0, door + 1.05, sign - 0.1, shade(accent, 0.8))
            canvas.rect(door + 0.1, 0.2, door + 0.95, sign - 0.25, (60, 66, 70), label)
            board, lit = dice.pick((accent, dice.pick(ACCENTS))), dice.pick(SIGNS)
            canvas.rect(x0 + 0.05, sign, x1 - 0.05, top - 0.08, board, lit if dice.chance(0.35) else 0)
            ink = (236, 230, 214) if sum(board) < 360 else (40, 36, 40)
            self._letters(x0 + 0.1, sign, x1 - 0.1, top - 0.08, ink, lit)
            if dice.chance(0.4):  # an awning
                colour, drop, striped = dice.pick(ACCENTS), dice.uniform(0.6, 0.95), dice.chance(0.6)
                canvas.tint(x0 + 0.1, sign - drop - 0.5, x1 - 0.1, sign - drop, 0.72)
                for k, x in enumerate(np.arange(x0 + 0.1, x1 - 0.15, 0.35)):
                    stripe = (232, 228, 218) if striped and k % 2 else colour
                    canvas.rect(x, sign - drop, min(x + 0.35, x1 - 0.1), sign, stripe)

    def _arches(self) -> None:
        """An arcade: round openings, one of them the entrance."""
        canvas, facade, dice = self.canvas, self.facade, self.dice
        count = max(2, round(facade.width / dice.uniform(2.8, 4.2)))
        bay, entrance = facade.width / count, dice.whole(0, count - 1)
        radius, spring = bay * 0.36, facade.ground - 0.55 - bay * 0.36
        for k in range(count):
            middle, glass = (k + 0.5) * bay, dice.pick(SHOPS)
            for reach, colour, label in ((radius + 0.22, self.trim, 0), (radius, GLASS, glass)):
                outline = [(middle + reach, 0.0), *arch(middle, spring, reach, reach), (middle - reach, 0.0)]
                canvas.polygon(outline, colour, label)
            if k == entrance:
                self._door(middle - radius * 0.8, radius * 1.6, spring)
            else:
                canvas.rect(middle - radius, 0, middle + radius, 0.45, shade(self.trim, 0.85))

    def _garages(self) -> None:
        """Roller doors, a small door, bare wall; lettering."""
        facade, canvas, dice = self.facade, self.canvas, self.dice
        colour, at = (
            dice.pick(((150, 154, 158), (86, 98, 90), (70, 86, 110), (130, 60, 46))),
            dice.uniform(0.4, 1.5),
        )
        while at < facade.width - 3.4:
            width, height = dice.uniform(2.6, 4.0), min(3.2, facade.ground - 0.9)
            if dice.chance(0.75):
                canvas.rect(at, 0, at + width, height, colour)
                for z in np.arange(0.2, height, 0.28):
                    canvas.rect(at, z, at + width, z + 0.07, shade(colour, 0.8))
            else:
                self._door(at + 0.6, 1.0, 2.2)
            at += width + dice.uniform(0.5, 1.6)
        z = facade.ground - 0.85
        self._letters(0.5, z, facade.width * 0.8, z + 0.7, dice.pick(ACCENTS), dice.pick(SIGNS))

    def _front(self) -> None:
        """A door and windows."""
        facade, dice = self.facade, self.dice
        bays = max(2, round(facade.width / 2.7))
        bay, entrance = facade.width / bays, dice.pick((0, bays - 1, bays // 2))
        for k in range(bays):
            middle, half, head = (k + 0.5) * bay, min(0.62, bay * 0.33), min(facade.ground - 0.6, 2.75)
            if k == entrance:
                self._door(middle - 0.5, 1.0, min(2.35, facade.ground - 0.5))
                continue
            self.canvas.rect(middle - half - 0.12, 0.88, middle + half + 0.12, head + 0.14, self.trim)
            self._window(middle - half, 1.0, middle + half, head, 2, 2, FRAMES[0])

    def _window(
        self,
        x0: float,
        z0: float,
        x1: float,
        z1: float,
        across: int,
        up: int,
        frame: Colour,
        round_top: bool = False,
    ) -> None:
        """Frame, glass, perhaps a curtain or blind behind it, bars; the shadow of the reveal."""
        canvas, dice, label = self.canvas, self.dice, self.dice.pick(WINDOWS)
        canvas.rect(x0, z0, x1, z1, frame)
        canvas.rect(x0 + 0.06, z0 + 0.06, x1 - 0.06, z1 - 0.06, GLASS, label)
        canvas.rect(x0 + 0.06, (z0 + z1) / 2, x1 - 0.06, z1 - 0.06, shade(GLASS, 1.25), label)
        cloth, dressing = mix((224, 220, 208), GLASS, 0.35), dice.uniform()
        if dressing < 0.25:  # curtains
            for a in (x0 + 0.06, x1 - 0.06 - (x1 - x0) * 0.22):
                canvas.rect(a, z0 + 0.06, a + (x1 - x0) * 0.22, z1 - 0.06, cloth, label)
        elif dressing < 0.5:  # a blind
            canvas.rect(
                x0 + 0.06, z0 + (z1 - z0) * dice.uniform(0.1, 0.7), x1 - 0.06, z1 - 0.06, cloth, label
            )
        canvas.tint(x0, z1 - 0.18, x1, z1, 0.62)
        for x in np.linspace(x0, x1, across + 1)[1:-1]:
            canvas.rect(x - 0.03, z0, x + 0.03, z1, frame)
        for z in np.linspace(z0, z1, up + 1)[1:-1]:
            canvas.rect(x0, z - 0.03, x1, z + 0.03, frame)
        if round_top:
            half = (x1 - x0) / 2
            outline = arch(x0 + half, z1 - half, half, half)
            for corner, x in ((outline[:8], x1), (outline[7:], x0)):
                canvas.polygon([*corner, (x, z1)], self.colour)
            canvas.line(outline, self.trim, 0.2)

    def _storeys(self) -> None:
        facade, canvas, dice = self.facade, self.canvas, self.dice
        spacing, part, tall, spot, across, up = MEASURES[facade.window]
        bays = max(2, round(facade.width / (spacing * dice.uniform(0.85, 1.2)))) if facade.width > 4 else 1
        pitch, frame, accent = facade.width / bays, dice.pick(FRAMES), dice.pick(ACCENTS)
        half, height = pitch * part / 2, facade.floor * tall
        columns = (
            {bay for bay in range(bays) if dice.chance(0.4)} if dice.chance(0.35) else set[int]()
        )  # of balconies
        for storey in range(1, facade.storeys):
            z = facade.ground + (storey - 1) * facade.floor + facade.floor * spot
            for bay in range(bays):
                middle = (bay + 0.5) * pitch
                x0, x1 = middle - half, middle + half
                if facade.window == "framed":
                    canvas.rect(x0 - 0.16, z - 0.05, x1 + 0.16, z + height + 0.18, self.trim)
                    canvas.rect(
                        x0 - 0.22, z + height + 0.2, x1 + 0.22, z + height + 0.33, shade(self.trim, 1.05)
                    )
                elif facade.window == "shutters":
                    for a in (x0 - half, x1 + 0.03):
                        canvas.rect(a, z, a + half - 0.03, z + height, accent)
                if facade.window not in ("strip", "grid"):  # a sill and its shadow
                    canvas.rect(x0 - 0.12, z - 0.12, x1 + 0.12, z, shade(self.trim, 1.05))
                    canvas.rect(x0 - 0.1, z - 0.2, x1 + 0.1, z - 0.12, (70, 66, 62))
                self._window(x0, z, x1, z + height, across, up, frame, facade.window == "arched")
                if bay in columns or facade.window == "french":
                    canvas.rect(x0 - 0.3, z - 0.22, x1 + 0.3, z - 0.08, self.trim)
                    canvas.tint(x0 - 0.3, z - 0.7, x1 + 0.3, z - 0.22, 0.6)
                    for x in np.arange(x0 - 0.3, x1 + 0.3, 0.2):
                        canvas.rect(x, z - 0.1, x + 0.05, z + 0.85, DARK, None)
                    canvas.rect(x0 - 0.3, z + 0.8, x1 + 0.3, z + 0.86, DARK, None)

    def _roof(self) -> None:
        """The roof line: a parapet, a mansard with dormers and chimneys, or a gable, straight or in steps."""
        facade, canvas, dice, trim = self.facade, self.canvas, self.dice, self.trim
        width, wall, height, roof = facade.width, facade.wall, facade.height, dice.pick(ROOFS)
        if facade.roof in ("gable", "stepped"):
            outline = [(0.0, wall), (width / 2, height)]
            if facade.roof == "stepped":
                rise = (height - wall) / 5
                outline = [(width * (k + s) / 10, wall + rise * (k + 1)) for k in range(5) for s in (0, 1)]
            outline += [(width - x, z) for x, z in reversed(outline)]
            outside = np.ones(canvas.labels.shape, np.uint8)
            cv2.fillPoly(outside, [canvas.points([(0, 0), *outline, (width, 0)])], 0)
            self._window(width / 2 - 0.45, wall + 0.6, width / 2 + 0.45, wall + 1.7, 2, 1, trim)
            canvas.line(outline, trim, 0.26)
            canvas.labels[outside == 1] = CLEAR
            return
        canvas.rect(0, wall - 0.35, width, wall, trim)
        canvas.tint(0, wall - 0.5, width, wall - 0.35, 0.6)
        if facade.roof == "flat":
            canvas.rect(0, wall, width, height + 1, shade(trim, 0.92))
            canvas.rect(0, height - 0.12, width, height + 1, shade(trim, 0.7))
            return
        box = canvas.box(0, wall, width, height + 1)
        canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, "roof", roof, dice)
        canvas.labels[canvas.box(0, height - 0.55, width, height + 1)] = CLEAR
        for _ in range(dice.whole(1, 3)):  # chimneys
            x = dice.uniform(0.3, width - 1.3)
            canvas.rect(x, height - 0.6, x + 0.9, height + 1, (134, 84, 66))
        for x in (np.arange(count := max(1, round(width / dice.uniform(2.4, 3.6)))) + 0.5) * (width / count):
            canvas.rect(x - 0.75, wall + 0.15, x + 0.75, wall + 1.75, trim)
            canvas.polygon([(x - 0.9, wall + 1.7), (x + 0.9, wall + 1.7), (x, wall + 2.3)], shade(roof, 0.7))
            self._window(x - 0.5, wall + 0.3, x + 0.5, wall + 1.6, 2, 1, FRAMES[0])


def paint_facade(facade: Facade, scale: float) -> Texture:
    """The texture of a facade at `scale` pixels a metre."""
    return FacadePainter(facade, scale).paint()
