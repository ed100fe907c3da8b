"""What the toy city is painted with: textures, a canvas in metres, walls of bricks, stones or slabs.

Colours are RGB, 0 to 255. Besides its colours a surface has labels, a byte a pixel, that say what shines or
mirrors, and where one can see through it.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from deepibl.toycity.dice import Dice, noise, soft_noise

Colour = tuple[float, float, float]
Point = tuple[float, float]
# Labels. Glass comes in groups, so that other windows are lit on another evening.
WINDOWS, SHOPS, SIGNS = range(1, 33), range(33, 41), range(41, 49)
LAMP, HEAD_LIGHT, TAIL_LIGHT, CAR_GLASS, SKY, CLEAR = 49, 50, 51, 52, 254, 255


@dataclass
class Texture:
    """Colours (h, w, 3) uint8 and labels (h, w) uint8 of a surface, and smaller copies of them."""

    image: np.ndarray
    labels: np.ndarray
    _smaller: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def level(self, across: int, up: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (area averages) and labels (nearest), their sides halved `across` and `up` times."""
        if (across, up) not in self._smaller:
            rows, cols = self.labels.shape
            size = (max(1, cols >> across), max(1, rows >> up))
            image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
            self._smaller[across, up] = image, cv2.resize(self.labels, size, interpolation=cv2.INTER_NEAREST)
        return self._smaller[across, up]


class Canvas:
    """A surface to paint on, width x height metres at `scale` pixels a metre; x from the left, z upwards."""

    def __init__(self, width: float, height: float, scale: float, label: int = 0) -> None:
        self.width, self.height, self.scale = width, height, scale
        rows, cols = max(2, round(height * scale)), max(2, round(width * scale))
        self.image = np.zeros((rows, cols, 3), np.uint8)
        self.labels = np.full((rows, cols), label, np.uint8)

    def box(self, x0: float, z0: float, x1: float, z1: float) -> tuple[slice, slice]:
        """Rows and columns of a rectangle (x0 <= x1, z0 <= z1), cut to the canvas."""
        rows = len(self.labels)
        top, bottom = rows - round(z1 * self.scale), rows - round(z0 * self.scale)
        left, right = round(x0 * self.scale), round(x1 * self.scale)
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
        self.image[box] = np.minimum(self.image[box] * np.float32(factor), 255)

    def points(self, corners: list[Point]) -> np.ndarray:
        """Corners in metres as pixels (n, 2) int32."""
        return np.rint(np.array(corners) * (self.scale, -self.scale) + (0, len(self.labels))).astype(np.int32)

    def polygon(self, corners: list[Point], colour: Colour, label: int = 0) -> None:
        """Fills a polygon."""
        cv2.fillPoly(self.image, [self.points(corners)], colour)
        cv2.fillPoly(self.labels, [self.points(corners)], label)

    def line(self, corners: list[Point], colour: Colour, width: float, label: int = 0) -> None:
        """Draws a line of that width in metres."""
        thick = max(1, round(width * self.scale))
        cv2.polylines(self.image, [self.points(corners)], False, colour, thick, cv2.LINE_AA)
        cv2.polylines(self.labels, [self.points(corners)], False, label, thick)

    def texture(self) -> Texture:
        """What was painted."""
        return Texture(self.image, self.labels)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker or brighter colour."""
    r, g, b = (min(255.0, part * factor) for part in colour)
    return r, g, b


def mix(a: Colour, b: Colour, part: float) -> Colour:
    """The colour `part` of the way from a to b."""
    return (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part)


def arch(x: float, z: float, half: float, rise: float) -> list[Point]:
    """Points of half an ellipse around (x, z), from the right over the top to the left."""
    return [(x + half * float(np.cos(t)), z + rise * float(np.sin(t))) for t in np.linspace(0, np.pi, 15)]


# of a material: width and height of its units in metres, brightness of the joints, spread of the units
UNITS = {
    "brick": (0.30, 0.11, 1.22, 0.16), "stone": (0.95, 0.48, 0.82, 0.09), "panels": (2.4, 1.5, 0.72, 0.05),
    "concrete": (3.2, 3.2, 0.85, 0.03), "roof": (0.3, 0.36, 0.66, 0.10), "slabs": (0.6, 0.5, 0.80, 0.07),
    "setts": (0.3, 0.25, 0.7, 0.15),
}  # fmt: skip


def material(shape: tuple[int, int], scale: float, name: str, colour: Colour, dice: Dice) -> np.ndarray:
    """A surface (rows, cols, 3) uint8 with patches of weather, grain and, for those of `UNITS`, joints."""
    rows, cols = shape
    cells = (2 + int(rows / scale / 2.5), 2 + int(cols / scale / 2.5))
    light = 1 + dice.uniform(0.03, 0.09) * soft_noise(rows, cols, cells, dice)
    light += 0.03 * noise(rows, cols, dice)
    if name in UNITS:
        width, height, joint, spread = UNITS[name]
        y = np.arange(rows, dtype=np.float32)[::-1, None] / (scale * height)  # in units
        x = np.arange(cols, dtype=np.float32) / (scale * width) + 0.5 * (
            np.floor(y) % 2
        )  # courses are shifted
        light *= (1 + spread * (dice.array(64, 64) * 2 - 1))[y.astype(int) % 64, x.astype(int) % 64]
        thin = (y % 1 < 1 / (scale * height)) | (x % 1 < 1 / (scale * width))
        light[thin] *= 1 + (joint - 1) * min(1.0, scale * height / 4)
    return np.clip(light[:, :, None] * np.array(colour, np.float32), 0, 255).astype(np.uint8)
