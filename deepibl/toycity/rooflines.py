"""The upper end of a facade of the toy city: cornice, parapet, mansard with dormers, gables, sawteeth."""

from dataclasses import dataclass

import cv2
import numpy as np

from deepibl.toycity.dice import Dice
from deepibl.toycity.styles import Facade
from deepibl.toycity.surfaces import CLEAR, WINDOW_GROUPS, WINDOWS, Canvas, Colour, material, shade

Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class RoofPainter:
    """Paints the roof line of one facade.

    Attributes:
        canvas: the facade's; facade: its measures; trim, roof: colours of stone and of tiles.
        layout, dice: draws that a terrace shares, and the facade's own.
    """

    canvas: Canvas
    facade: Facade
    trim: Colour
    roof: Colour
    layout: Dice
    dice: Dice

    def paint(self) -> None:
        """Paints what the facade's kind of roof asks for."""
        facade, canvas = self.facade, self.canvas
        width, wall, height = facade.width, facade.wall, facade.height
        if facade.roof in ("gable", "stepped"):
            self._gable(_gable_outline(facade))
            return
        canvas.rect(0, wall - 0.35, width, wall, self.trim)
        canvas.tint(0, wall - 0.5, width, wall - 0.35, 0.6)
        if facade.style == "classic":
            for x in np.arange(0.1, width, 0.5):
                canvas.rect(x, wall - 0.5, x + 0.2, wall - 0.3, shade(self.trim, 0.86))
        if facade.roof == "mansard":
            self._mansard()
        elif facade.roof == "sawtooth":
            canvas.labels[canvas.box(0, wall, width, height + 1)] = CLEAR
            for x in np.arange(0, width - 1, 4.0):
                tooth = [(x, wall), (min(x + 4, width), wall), (x, height)]
                canvas.polygon(tooth, shade(self.roof, 0.9))
        else:
            canvas.rect(0, wall, width, height + 1, shade(self.trim, 0.92))
            canvas.rect(0, height - 0.12, width, height + 1, shade(self.trim, 0.7))

    def _mansard(self) -> None:
        facade, canvas, layout = self.facade, self.canvas, self.layout
        width, wall, height = facade.width, facade.wall, facade.height
        box = canvas.box(0, wall, width, height + 1)
        canvas.image[box] = material(canvas.labels[box].shape, canvas.scale, "roof", self.roof, self.dice)
        canvas.labels[canvas.box(0, height - 0.55, width, height + 1)] = CLEAR
        for _ in range(layout.whole(1, 3)):  # chimneys
            x = layout.uniform(0.3, width - 1.3)
            canvas.rect(x, height - 0.6, x + 0.9, height + 1, (134, 84, 66))
        count = max(1, round(width / layout.uniform(2.4, 3.6)))
        for k in range(count):
            x = width * (k + 0.5) / count
            canvas.rect(x - 0.75, wall + 0.15, x + 0.75, wall + 1.75, self.trim)
            hood = [(x - 0.9, wall + 1.7), (x + 0.9, wall + 1.7), (x, wall + 2.3)]
            canvas.polygon(hood, shade(self.roof, 0.7))
            canvas.rect(x - 0.5, wall + 0.3, x + 0.5, wall + 1.6, (52, 60, 70), self._glass())
            canvas.rect(x - 0.03, wall + 0.3, x + 0.03, wall + 1.6, (226, 224, 216))

    def _gable(self, outline: Outline) -> None:
        facade, canvas = self.facade, self.canvas
        width, wall, height = facade.width, facade.wall, facade.height
        inside = np.zeros(canvas.labels.shape, np.uint8)
        cv2.fillPoly(inside, [canvas.points([(0, 0), *outline, (width, 0)])], 1)
        z = wall + (height - wall) * 0.25
        canvas.rect(width / 2 - 0.55, z - 0.1, width / 2 + 0.55, z + 1.25, self.trim)
        canvas.rect(width / 2 - 0.42, z, width / 2 + 0.42, z + 1.15, (50, 56, 64), self._glass())
        canvas.line(outline, self.trim, 0.26)
        canvas.labels[inside == 0] = CLEAR

    def _glass(self) -> int:
        return WINDOWS + self.dice.whole(0, WINDOW_GROUPS - 1)


def _gable_outline(facade: Facade, steps: int = 5) -> Outline:
    """From the left eave over the top to the right one, straight or in steps; metres."""
    width, wall, height = facade.width, facade.wall, facade.height
    if facade.roof == "gable":
        return [(0.0, wall), (width / 2, height), (width, wall)]
    outline = [(0.0, wall)]
    for k in range(steps):
        z = wall + (height - wall) * (k + 1) / steps
        outline += [(width / 2 * k / steps, z), (width / 2 * (k + 1) / steps, z)]
    return outline + [(width - x, z) for x, z in reversed(outline)]
