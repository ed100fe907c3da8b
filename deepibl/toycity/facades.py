"""Facades of the toy city, painted from their measures: wall, windows, balconies, cornice, roof line."""

import cv2
import numpy as np

from deepibl.toycity.dice import Dice
from deepibl.toycity.groundfloor import ACCENTS, letters, paint_ground_floor
from deepibl.toycity.rooflines import RoofPainter
from deepibl.toycity.styles import STYLES, VILLA, Facade
from deepibl.toycity.surfaces import (
    ROOFS,
    SIGN_GROUPS,
    SIGNS,
    WINDOW_GROUPS,
    WINDOWS,
    Canvas,
    Colour,
    Texture,
    material,
    mix,
    shade,
)
from deepibl.toycity.windows import WindowLook, stamp

COLOURS: dict[str, list[Colour]] = {
    "plaster": [
        (224, 212, 184), (214, 190, 142), (206, 168, 140), (222, 206, 196), (196, 204, 190), (186, 196, 206),
        (230, 228, 220), (204, 146, 110), (216, 196, 112), (178, 176, 170), (200, 170, 170), (160, 178, 170),
    ],
    "brick": [
        (142, 72, 54), (164, 90, 64), (120, 66, 54), (186, 142, 98), (104, 78, 66), (172, 112, 84), (198,
        168, 124), (88, 62, 56)
    ],
    "stone": [(196, 186, 164), (176, 168, 152), (206, 194, 166), (160, 154, 144), (188, 170, 146)],
    "panels": [(186, 188, 188), (150, 156, 160), (204, 198, 188), (118, 124, 130), (168, 150, 128), (96,
    100, 104)],
    "tiles": [(188, 184, 172), (124, 140, 148), (168, 142, 110), (210, 206, 198), (110, 90, 80)],
    "concrete": [(172, 170, 164), (150, 148, 142), (188, 182, 172)],
    "render": [(226, 222, 212), (196, 178, 150), (178, 190, 196), (210, 170, 130), (150, 158, 150)],
    "timber": [(226, 216, 194), (214, 196, 160), (232, 228, 218)],
    "boards": [(146, 60, 48), (226, 222, 210), (92, 110, 120), (190, 160, 96), (110, 124, 92), (70, 62, 58)],
}  # fmt: skip


class FacadePainter:
    """Paints one facade.

    Args:
        facade: its measures.
        scale: pixels a metre of the texture.
    """

    def __init__(self, facade: Facade, scale: float) -> None:
        self.facade = facade
        self.layout = Dice("layout", *facade.plan)
        self.dice = Dice("paint", *facade.keys)
        self.canvas = Canvas(facade.width, facade.height, scale)
        self.colour = self.dice.pick(COLOURS[facade.material])
        pale = mix((226, 218, 202), self.colour, self.layout.uniform(0.0, 0.35))
        self.trim: Colour = (
            pale if sum(self.colour) < 600 else shade(self.colour, self.layout.uniform(0.72, 0.88))
        )

    def paint(self) -> Texture:
        """The finished texture."""
        canvas, facade = self.canvas, self.facade
        canvas.image = material(canvas.labels.shape, canvas.scale, facade.material, self.colour, self.dice)
        if facade.material == "timber":
            self._beams()
        self._base()
        paint_ground_floor(canvas, facade, self.trim, self.layout, self.dice)
        self._bands()
        self._storeys()
        self._extras()
        self._dirt()
        roof = self.dice.pick(ROOFS)
        RoofPainter(canvas, facade, self.trim, roof, self.layout, self.dice).paint()
        return canvas.texture()

    def _base(self) -> None:
        facade, canvas = self.facade, self.canvas
        if facade.style in ("classic", "modern") and self.layout.chance(0.6):
            other = mix(self.colour, self.dice.pick(COLOURS["stone"]), 0.8)
            box = canvas.box(0, 0, facade.width, facade.ground - 0.1)
            canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, "stone", other, self.dice)
        canvas.tint(0, 0, facade.width, self.layout.uniform(0.3, 0.8), 0.78)

    def _beams(self) -> None:
        """Half-timbering: posts, rails and braces."""
        facade, dark = self.facade, mix((58, 40, 30), (96, 50, 40), self.dice.uniform())
        for z in [facade.ground + k * facade.floor for k in range(facade.storeys)]:
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

    def _bays(self) -> tuple[int, WindowLook]:
        """How many windows a storey has, and what they look like."""
        facade, layout = self.facade, self.layout
        spacing = {
            "strip": 4.2,
            "wide": 3.6,
            "grid": 2.4,
            "factory": 3.6,
            "shutters": 2.9,
            "bay": 3.0,
            "pair": 2.9,
        }
        pitch = spacing.get(facade.window, 2.5) * layout.uniform(0.85, 1.2)
        bays = max(2, round(facade.width / pitch)) if facade.width > 4 else 1
        pitch = facade.width / bays
        part = {"strip": 0.96, "grid": 0.9, "wide": 0.68, "factory": 0.78, "shutters": 0.36, "bay": 0.5}
        width = pitch * part.get(facade.window, 0.42)
        tall = {"french": 0.78, "grid": 0.8, "factory": 0.68, "strip": 0.5, "wide": 0.52}.get(
            facade.window, 0.58
        )
        frame = self.layout.pick(
            ((236, 234, 228), (236, 234, 228), (70, 60, 54), (52, 56, 60), (120, 84, 58))
        )
        look = WindowLook(
            facade.window, width, facade.floor * tall, self.trim, frame, self.dice.pick(ACCENTS), self.layout
        )
        return bays, look

    def _storeys(self) -> None:
        facade, canvas, dice = self.facade, self.canvas, self.dice
        if facade.storeys < 2:
            return
        bays, look = self._bays()
        pitch = facade.width / bays
        pictures = [look.picture(canvas.scale, dressing) for dressing in ("bare", "curtain", "half", "blind")]
        spot = {"french": 0.12, "grid": 0.1}.get(facade.window, 0.24)
        blind_bay = self.layout.whole(0, bays - 1) if bays > 3 and self.layout.chance(0.25) else -1
        balconies = self._balcony_places(bays)
        for storey in range(1, facade.storeys):
            z = facade.ground + (storey - 1) * facade.floor + facade.floor * spot
            for bay in range(bays):
                x = (bay + 0.5) * pitch - look.width / 2
                if bay == blind_bay:
                    continue
                label = WINDOWS + dice.whole(0, WINDOW_GROUPS - 1)
                picture = pictures[min(3, int(4.6 * dice.uniform() ** 1.4))]
                stamp(canvas, picture, x - look.side, z - look.below, label)
                if (storey, bay) in balconies:
                    self._balcony(x - 0.3, x + look.width + 0.3, z - 0.12)
                elif facade.window == "french":
                    self._railing(x - 0.05, x + look.width + 0.05, z, 0.85)
                elif dice.chance(0.05):
                    self._flowers(x, x + look.width, z)

    def _balcony_places(self, bays: int) -> set[tuple[int, int]]:
        """Where balconies are: along the first floor, in some columns, or here and there."""
        facade, layout = self.facade, self.layout
        if facade.window in ("strip", "factory", "bay") or not layout.chance(self._balcony_chance()):
            return set()
        floors = range(1, facade.storeys)
        how = layout.pick(("first", "columns", "columns", "some"))
        if how == "first":
            return {(1, bay) for bay in range(bays)}
        if how == "columns":
            chosen = {bay for bay in range(bays) if layout.chance(0.4)} or {bays // 2}
            return {(floor, bay) for floor in floors for bay in chosen}
        return {(floor, bay) for floor in floors for bay in range(bays) if layout.chance(0.3)}

    def _balcony_chance(self) -> float:
        return STYLES.get(self.facade.style, VILLA).balconies

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

    def _flowers(self, x0: float, x1: float, z: float) -> None:
        self.canvas.rect(x0, z - 0.05, x1, z + 0.18, (120, 74, 50))
        for x in np.arange(x0, x1, 0.16):
            tint = self.dice.pick(((70, 110, 50), (196, 50, 60), (90, 130, 60), (220, 130, 170)))
            self.canvas.rect(x, z + 0.14, x + 0.13, z + self.dice.uniform(0.25, 0.45), tint)

    def _extras(self) -> None:
        """Drainpipes, a painted sign on the wall, a blade sign, wires."""
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
            label = SIGNS + dice.whole(0, SIGN_GROUPS - 1)
            canvas.rect(x, z, x + 0.75, z + 1.5, dice.pick(ACCENTS), label)
            letters(canvas, x, z + 0.5, x + 0.75, z + 1.0, (244, 240, 228), label, dice)

    def _dirt(self) -> None:
        """Streaks that run down, and a wall that is darker low and at the edges."""
        canvas, dice = self.canvas, self.dice
        rows, cols = canvas.labels.shape
        columns = cv2.GaussianBlur(dice.array(1, cols), (0, 0), max(0.6, 0.12 * canvas.scale))
        streaks = 1 - dice.uniform(0.0, 0.22) * np.clip(columns - 0.5, 0, None) * 2
        fade = np.linspace(1.03, 0.93, rows, dtype=np.float32)[:, None]
        factor = np.broadcast_to((streaks * fade)[:, :, None], canvas.image.shape)
        cv2.multiply(canvas.image, np.ascontiguousarray(factor), canvas.image, dtype=cv2.CV_8U)
        canvas.tint(0, 0, 0.12, self.facade.wall, 0.75)


def paint_facade(facade: Facade, scale: float) -> Texture:
    """The texture of a facade at `scale` pixels a metre."""
    return FacadePainter(facade, scale).paint()
