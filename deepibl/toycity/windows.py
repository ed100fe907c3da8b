"""Windows and roof lines of the toy city.

A window is a small picture with a mask that says what is frame and what is glass. The upper end of a facade
is a cornice, a parapet, a mansard with dormers, gables or sawteeth.
"""

import cv2
import numpy as np

from deepibl.toycity.styles import Dice, Facade
from deepibl.toycity.surfaces import CLEAR, WINDOWS, Canvas, Colour, arch, material, mix, shade

OPEN, SOLID, GLASS = 255, 0, 1  # labels of a window's picture: nothing there, frame or trim, glass


class WindowLook:
    """What the windows of one facade share.

    kind: framed, pediment, arched, french, plain, segment, pair, shutters, strip, wide, grid, factory or
        bay.
    width, height: of the opening, metres.
    trim: colour of the stone around it; frame: of the wood; accent: of shutters.
    """

    def __init__(
        self, kind: str, width: float, height: float, trim: Colour, frame: Colour, accent: Colour, dice: Dice
    ) -> None:
        self.kind, self.width, self.height = kind, width, height
        self.trim, self.frame, self.accent = trim, frame, accent
        side = {"shutters": 0.5 * width + 0.06, "pediment": 0.3, "framed": 0.22, "bay": 0.35}
        self.side = side.get(kind, 0.14)
        self.above = {"pediment": 0.75, "framed": 0.35, "segment": 0.4, "arched": 0.3}.get(kind, 0.16)
        self.below = {"pediment": 0.35, "bay": 0.7, "french": 0.05, "strip": 0.0, "grid": 0.0}.get(kind, 0.2)
        self.panes = dice.pick(((2, 1), (2, 2), (2, 3), (1, 2), (2, 2)))
        self.hood = dice.chance(0.5)
        self.glass = mix((40, 48, 58), (78, 92, 104), dice.uniform())

    def picture(self, scale: float, dressing: str) -> tuple[np.ndarray, np.ndarray]:
        """Colours (h, w, 3) and mask (h, w) of a window with a dressing: bare, curtain, blind or half."""
        canvas = Canvas(self.width + 2 * self.side, self.height + self.above + self.below, scale)
        canvas.labels[:] = OPEN
        x0, x1, z0, z1 = self.side, self.side + self.width, self.below, self.below + self.height
        kind, trim = self.kind, self.trim
        if kind in ("framed", "pediment"):
            canvas.rect(x0 - 0.16, z0 - 0.05, x1 + 0.16, z1 + 0.18, trim)
            canvas.rect(x1 + 0.10, z0, x1 + 0.16, z1 + 0.12, shade(trim, 0.8))
        if kind == "pediment":
            middle = (x0 + x1) / 2
            for out, low, high, tone in ((0.3, 0.28, 0.72, 1.03), (0.05, 0.34, 0.6, 0.78)):
                corners = [(x0 - out, z1 + low), (x1 + out, z1 + low), (middle, z1 + high)]
                canvas.polygon(corners, shade(trim, tone))
            canvas.rect(x0 - 0.3, z1 + 0.18, x1 + 0.3, z1 + 0.28, shade(trim, 0.9))
        if kind == "framed" and self.hood:
            canvas.rect(x0 - 0.22, z1 + 0.2, x1 + 0.22, z1 + 0.33, shade(trim, 1.05))
            canvas.rect(x0 - 0.2, z1 + 0.14, x1 + 0.2, z1 + 0.2, shade(trim, 0.62))
        if kind == "shutters":
            for a, b in ((x0 - self.width / 2, x0 - 0.03), (x1 + 0.03, x1 + self.width / 2)):
                canvas.rect(a, z0, b, z1, self.accent)
                for z in np.arange(z0 + 0.08, z1, 0.16):
                    canvas.rect(a + 0.05, z, b - 0.05, z + 0.06, shade(self.accent, 0.78))
        if kind == "bay":
            canvas.rect(x0 - 0.35, 0, x1 + 0.35, z1 + 0.12, trim)
            canvas.rect(x0 - 0.35, 0, x0, z1 + 0.12, shade(trim, 0.82))
            canvas.rect(x1, 0, x1 + 0.35, z1 + 0.12, shade(trim, 0.68))
            canvas.rect(x0 - 0.3, z0, x0 - 0.06, z1 - 0.05, shade(self.glass, 0.8), GLASS)
            canvas.rect(x1 + 0.06, z0, x1 + 0.3, z1 - 0.05, shade(self.glass, 0.7), GLASS)
        if kind not in ("strip", "grid", "french", "bay"):  # a sill and its shadow
            canvas.rect(x0 - 0.12, z0 - 0.12, x1 + 0.12, z0, shade(trim, 1.05))
            canvas.rect(x0 - 0.1, z0 - 0.2, x1 + 0.1, z0 - 0.12, (70, 66, 62))
        # glass, and what hangs behind it
        edge = 0.04 if self.kind in ("strip", "grid", "factory") else 0.08
        canvas.rect(x0, z0, x1, z1, self.frame)
        a, b, c, d = x0 + edge, x1 - edge, z0 + edge, z1 - edge
        canvas.rect(a, c, b, d, self.glass, GLASS)
        canvas.rect(a, c + (d - c) * 0.55, b, d, shade(self.glass, 1.25), GLASS)
        cloth = mix((224, 220, 208), self.accent, 0.15)
        if dressing == "curtain":
            reach = (b - a) * 0.24
            canvas.rect(a, c, a + reach, d, mix(self.glass, cloth, 0.6), GLASS)
            canvas.rect(b - reach, c, b, d, mix(self.glass, cloth, 0.6), GLASS)
        elif dressing == "blind":
            canvas.rect(a, c + (d - c) * 0.12, b, d, mix(self.glass, cloth, 0.75), GLASS)
        elif dressing == "half":
            canvas.rect(a, c + (d - c) * 0.6, b, d, mix(self.glass, cloth, 0.65), GLASS)
        canvas.tint(x0, d - 0.14, x1, z1, 0.62)  # the shadow of the reveal
        canvas.tint(x0, z0, x0 + 0.07, z1, 0.7)
        # bars
        across, up = self.panes
        if self.kind == "factory":
            across, up = max(3, round(self.width / 0.5)), max(3, round(self.height / 0.6))
        elif self.kind in ("strip", "wide"):
            across, up = max(2, round(self.width / 1.1)), 1
        elif self.kind == "grid":
            across, up = 2, 1
        elif self.kind == "pair":
            across, up = 2, 2
        thick = 0.3 if self.kind == "pair" else 0.06
        for k in range(1, across):
            x = x0 + (x1 - x0) * k / across
            wide = thick if self.kind != "pair" or k == across / 2 else 0.06
            canvas.rect(x - wide / 2, z0, x + wide / 2, z1, self.trim if wide > 0.2 else self.frame)
        for k in range(1, up):
            z = z0 + (z1 - z0) * (0.68 if up == 2 else k / up)
            canvas.rect(x0, z - 0.03, x1, z + 0.03, self.frame)
        if self.kind in ("arched", "segment"):
            self._round_top(canvas, x0, x1, z1)
        return canvas.image, canvas.labels

    def _round_top(self, canvas: Canvas, x0: float, x1: float, z1: float) -> None:
        """Cuts the corners off above an arch and lays its stones around."""
        half = (x1 - x0) / 2
        rise = half if self.kind == "arched" else (x1 - x0) * 0.16
        middle, base = (x0 + x1) / 2, z1 - rise
        keep, corner, ring = np.zeros((3, *canvas.labels.shape), np.uint8)
        cv2.fillPoly(keep, [canvas.points([(x1, 0), *arch(middle, base, half, rise, 17), (x0, 0)])], 1)
        corner[canvas.box(x0, base, x1, z1 + 0.02)] = 1
        canvas.labels[(corner == 1) & (keep == 0)] = OPEN
        outer = canvas.points(arch(middle, base, half + 0.12, rise + 0.14, 17))
        cv2.polylines(ring, [outer], False, 1, max(1, round(0.24 * canvas.scale)))
        ring[canvas.box(0, 0, canvas.width, base)] = 0
        canvas.image[ring == 1] = self.trim
        canvas.labels[ring == 1] = SOLID
        if self.kind == "arched":
            canvas.rect(middle - 0.12, z1, middle + 0.12, z1 + 0.28, shade(self.trim, 0.86))


def stamp(canvas: Canvas, picture: tuple[np.ndarray, np.ndarray], x: float, z: float, label: int) -> None:
    """Puts a window's picture with its lower left corner at (x, z) metres; its glass gets `label`."""
    image, mask = picture
    rows, cols = canvas.labels.shape
    left, bottom = round(x * canvas.scale), rows - round(z * canvas.scale)
    top = bottom - mask.shape[0]
    a, b, c, d = max(top, 0), min(bottom, rows), max(left, 0), min(left + mask.shape[1], cols)
    if a >= b or c >= d:
        return
    part = np.s_[a - top : b - top, c - left : d - left]
    visible = (mask[part] != OPEN).astype(np.uint8)
    cv2.copyTo(np.ascontiguousarray(image[part]), visible, canvas.image[a:b, c:d])
    glass = np.where(mask[part] == GLASS, np.uint8(label), np.uint8(0))
    np.copyto(canvas.labels[a:b, c:d], glass, where=visible.astype(bool))


def paint_roof(canvas: Canvas, facade: Facade, trim: Colour, roof: Colour, layout: Dice, dice: Dice) -> None:
    """Paints the roof line of a facade; `layout` draws what a terrace shares, `dice` the facade's own."""
    width, wall, height = facade.width, facade.wall, facade.height
    if facade.roof in ("gable", "stepped"):
        _paint_gable(canvas, facade, trim, dice)
        return
    canvas.rect(0, wall - 0.35, width, wall, trim)
    canvas.tint(0, wall - 0.5, width, wall - 0.35, 0.6)
    if facade.style == "classic":
        for x in np.arange(0.1, width, 0.5):
            canvas.rect(x, wall - 0.5, x + 0.2, wall - 0.3, shade(trim, 0.86))
    if facade.roof == "mansard":
        box = canvas.box(0, wall, width, height + 1)
        canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, "roof", roof, dice)
        canvas.labels[canvas.box(0, height - 0.55, width, height + 1)] = CLEAR
        for _ in range(layout.whole(1, 3)):  # chimneys
            x = layout.uniform(0.3, width - 1.3)
            canvas.rect(x, height - 0.6, x + 0.9, height + 1, (134, 84, 66))
        count = max(1, round(width / layout.uniform(2.4, 3.6)))
        for k in range(count):  # dormers
            x = width * (k + 0.5) / count
            canvas.rect(x - 0.75, wall + 0.15, x + 0.75, wall + 1.75, trim)
            hood = [(x - 0.9, wall + 1.7), (x + 0.9, wall + 1.7), (x, wall + 2.3)]
            canvas.polygon(hood, shade(roof, 0.7))
            canvas.rect(x - 0.5, wall + 0.3, x + 0.5, wall + 1.6, (52, 60, 70), dice.pick(WINDOWS))
            canvas.rect(x - 0.03, wall + 0.3, x + 0.03, wall + 1.6, (226, 224, 216))
    elif facade.roof == "sawtooth":
        canvas.labels[canvas.box(0, wall, width, height + 1)] = CLEAR
        for x in np.arange(0, width - 1, 4.0):
            tooth = [(x, wall), (min(x + 4, width), wall), (x, height)]
            canvas.polygon(tooth, shade(roof, 0.9))
    else:
        canvas.rect(0, wall, width, height + 1, shade(trim, 0.92))
        canvas.rect(0, height - 0.12, width, height + 1, shade(trim, 0.7))


def _paint_gable(canvas: Canvas, facade: Facade, trim: Colour, dice: Dice, steps: int = 5) -> None:
    width, wall, height = facade.width, facade.wall, facade.height
    # from the left eave over the top to the right one, straight or in steps
    outline = [(0.0, wall), (width / 2, height), (width, wall)]
    if facade.roof == "stepped":
        outline = [(0.0, wall)]
        for k in range(steps):
            z = wall + (height - wall) * (k + 1) / steps
            outline += [(width / 2 * k / steps, z), (width / 2 * (k + 1) / steps, z)]
        outline += [(width - x, z) for x, z in reversed(outline)]
    inside = np.zeros(canvas.labels.shape, np.uint8)
    cv2.fillPoly(inside, [canvas.points([(0, 0), *outline, (width, 0)])], 1)
    z = wall + (height - wall) * 0.25
    canvas.rect(width / 2 - 0.55, z - 0.1, width / 2 + 0.55, z + 1.25, trim)
    canvas.rect(width / 2 - 0.42, z, width / 2 + 0.42, z + 1.15, (50, 56, 64), dice.pick(WINDOWS))
    canvas.line(outline, trim, 0.26)
    canvas.labels[inside == 0] = CLEAR
