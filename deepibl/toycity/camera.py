"""The camera of the toy city: for each pixel, which house or which point of the ground its ray meets.

Verticals stay vertical: pitch shifts the picture, as an architect's lens does.
"""

import math
from dataclasses import dataclass

import numpy as np

NEAR, SIGHT = 0.4, 260.0  # metres; no house nearer or farther is seen
ROWS_OF_HOUSES = 4  # a ray that passes over more houses than these meets the sky


@dataclass(frozen=True)
class View:
    """Where a photo is taken from.

    position: UTM (east, north), metres. heading: compass direction, degrees clockwise from north.
    height: of the camera above the street, metres; pitch: degrees upwards. fov: horizontal field of view,
    degrees; size: (width, height) of the image in pixels.
    """

    position: tuple[float, float]
    heading: float
    height: float = 2.2
    pitch: float = 4.0
    fov: float = 66.0
    size: tuple[int, int] = (320, 240)


class Camera:
    """A view's pinhole camera, with `finer` pixels for each of the photo's, in either direction.

    right, up: metres that the ray of each column and of each row goes to the right and up, per metre ahead.
    rays: the ray of each column, (columns, 2) east and north, per metre ahead.
    """

    def __init__(self, view: View, finer: int = 1) -> None:
        cols, rows = finer * view.size[0], finer * view.size[1]
        heading, shift = math.radians(view.heading), math.tan(math.radians(view.pitch))
        self.height, self.position = view.height, np.array(view.position, dtype=float)
        self.focal = cols / 2 / math.tan(math.radians(view.fov) / 2)
        self.middle = np.array([cols / 2, rows / 2 + self.focal * shift])  # the horizon is straight ahead
        self.right = (np.arange(cols) + 0.5 - self.middle[0]) / self.focal
        self.up = ((self.middle[1] - np.arange(rows) - 0.5) / self.focal).astype(np.float32)
        self.ahead = np.array([math.sin(heading), math.cos(heading)])
        self.side = np.array([math.cos(heading), -math.sin(heading)])
        self.rays = self.ahead + self.right[:, None] * self.side

    def project(self, place: np.ndarray, height: np.ndarray | float) -> np.ndarray:
        """Column, row and depth in metres, (…, 3), of UTM (…, 2) and metres above the street.

        Valid where the depth is positive.
        """
        around = place - self.position
        depth = around @ self.ahead
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        column = self.middle[0] + self.focal * (around @ self.side) / safe
        row = self.middle[1] + self.focal * (self.height - height) / safe
        return np.stack([column, row, depth], axis=-1)

    def before(self, houses: np.ndarray) -> np.ndarray:
        """Those of the houses, (n,) of `plan.HOUSE`, that are ahead and turn their facade to the camera."""
        start = houses["origin"] - self.position
        ends = np.stack([start, start + houses["across"]]) @ self.ahead
        return houses[(_cross(start, houses["across"]) < 0) & (ends.max(0) > NEAR) & (ends.min(0) < SIGHT)]

    def look(self, houses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each pixel shows of the houses `before` the camera; (rows, columns) each:

        the number of the house, -1 on the ground and in the sky; metres from the house's left corner; depth
        in metres, infinite in the sky; float32.
        """
        start, across = houses["origin"] - self.position, houses["across"]
        # start + share * across = depth * ray
        facing = np.outer(self.rays[:, 0], across[:, 1]) - np.outer(self.rays[:, 1], across[:, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = _cross(start, across) / facing
            share = _cross(start, self.rays[:, None]) / facing
            slope = np.where(houses["gable"], np.abs(2 * share - 1), 0)
            top = (houses["wall"] + houses["roof"] * (1 - slope) - self.height) / depth
        missed = ~((facing < 0) & (share >= 0) & (share < 1) & (depth > NEAR))
        depth[missed], top[missed] = np.inf, -np.inf
        nearest = np.argsort(depth, axis=1)[:, :ROWS_OF_HOUSES]
        depth, share, top = (np.take_along_axis(each, nearest, 1) for each in (depth, share, top))
        # how many of them a ray goes over
        over = np.maximum.accumulate(top, axis=1).astype(np.float32).T
        column = np.arange(len(self.rays))
        passed = sum((self.up[:, None] >= each).astype(np.int8) for each in over)
        last = np.minimum(passed, len(over) - 1)
        wall = np.where(passed < len(over), depth[column, last], np.inf)
        ground = np.where(self.up < 0, self.height / np.maximum(-self.up, 1e-9), np.inf)[:, None]
        house = np.where((wall < ground) & (wall < np.inf), nearest[column, last], -1)
        along = (share * houses["width"][nearest])[column, last]
        return house, along.astype(np.float32), np.minimum(wall, ground).astype(np.float32)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
