"""The camera of the toy city and what it draws on: textures on upright rectangles and on the ground.

Everything is drawn level (verticals stay vertical) on a frame somewhat larger than the image; pitch and roll
come last, as one homography. A frame holds for each pixel the surface's colour, its label (see `paint`), how
much sun reaches it, and its distance, by which nearer things hide others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from deepibl.toycity.paint import CLEAR, SKY, Texture

NEAR = 0.4  # metres; nothing nearer is drawn


@dataclass(frozen=True)
class View:
    """Where a photo is taken from.

    position: UTM (east, north), metres. heading: compass direction, degrees clockwise from north.
    height: of the camera above the street, metres; pitch: degrees upwards; roll: degrees clockwise.
    fov: horizontal field of view, degrees; size: (width, height) of the image in pixels.
    """

    position: tuple[float, float]
    heading: float
    height: float = 2.2
    pitch: float = 4.0
    roll: float = 0.0
    fov: float = 66.0
    size: tuple[int, int] = (320, 240)


class Frame:
    """A level picture while it is drawn.

    image: (rows, cols, 3) uint8 RGB; labels: (rows, cols) uint8; sun: 0 … 1, depth: metres, float32.
    covered: for each column the row above which the sky shows over the houses drawn so far.
    """

    def __init__(self, view: View) -> None:
        width, height = view.size
        self.view, self.focal = view, width / 2 / math.tan(math.radians(view.fov) / 2)
        pitch, roll, heading = (math.radians(each) for each in (view.pitch, view.roll, view.heading))
        tilt = cv2.Rodrigues(np.array([pitch, 0, 0]))[0] @ cv2.Rodrigues(np.array([0, 0, roll]))[0]
        lens = np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1]])
        rays = tilt @ np.linalg.inv(lens)
        corners = rays @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]], dtype=float)
        x, y = corners[:2] / corners[2] * self.focal
        self.cx, self.cy = 2 - float(x.min()), 2 - float(y.min())
        self.cols, self.rows = math.ceil(x.max() + self.cx) + 2, math.ceil(y.max() + self.cy) + 2
        inner = np.array([[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1]])
        self.to_frame = inner @ rays
        self.forward = np.array([math.sin(heading), math.cos(heading)])
        self.right = np.array([math.cos(heading), -math.sin(heading)])
        self.position = np.array(view.position, dtype=np.float64)
        self.projection = inner @ np.array([[*self.right, 0], [0, 0, -1], [*self.forward, 0]])
        self.image = np.zeros((self.rows, self.cols, 3), np.uint8)
        self.labels = np.full((self.rows, self.cols), SKY, np.uint8)
        self.sun = np.zeros((self.rows, self.cols), np.float32)
        self.depth = np.full((self.rows, self.cols), np.inf, np.float32)
        self.covered = np.full(self.cols, float(self.rows))

    @property
    def horizon(self) -> int:
        """The first row below the horizon."""
        return min(max(math.ceil(self.cy), 0), self.rows)

    def relative(self, points: np.ndarray, height: float = 0.0) -> np.ndarray:
        """World points (…, 2) at a height in metres as (…, 3) from the camera."""
        level = np.full((*np.shape(points)[:-1], 1), height - self.view.height)
        return np.concatenate([np.asarray(points, dtype=np.float64) - self.position, level], axis=-1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Relative points (…, 3) to column, row and depth in metres; valid where the depth is positive."""
        mapped = points @ self.projection.T
        depth = mapped[..., 2:]
        return np.concatenate([mapped[..., :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth), depth], axis=-1)

    def earth(self, colour: tuple[float, float, float], sun: float) -> None:
        """Fills everything below the horizon."""
        rows = np.arange(self.horizon, self.rows) + 0.5 - self.cy
        self.image[self.horizon :], self.labels[self.horizon :], self.sun[self.horizon :] = colour, 0, sun
        self.depth[self.horizon :] = (self.focal * self.view.height / rows.clip(0.05))[:, None]

    def on_ground(self, corners: np.ndarray) -> np.ndarray | None:
        """The pixels (m, 2) float of the part of a polygon on the ground, (k, 2) UTM, before the camera."""
        around = self.relative(corners)
        depth = around[:, :2] @ self.forward
        kept = []
        for k in range(len(around)):
            a, b, da, db = around[k - 1], around[k], depth[k - 1], depth[k]
            if (da < NEAR) != (db < NEAR):
                kept.append(a + (b - a) * ((NEAR - da) / (db - da)))
            if db >= NEAR:
                kept.append(b)
        return self.project(np.array(kept))[:, :2] if kept else None

    def polygon(self, corners: np.ndarray, colour: tuple[float, float, float] | None) -> None:
        """Fills a convex polygon on the ground, (k, 2) UTM; colour None: a shadow."""
        pixels = self.on_ground(corners)
        if pixels is not None:
            rounded = np.rint(pixels.clip(-30000, 30000)).astype(np.int32)
            if colour is None:
                cv2.fillConvexPoly(self.sun, rounded, 0.0)
            else:
                cv2.fillConvexPoly(self.image, rounded, colour)

    def street(
        self, texture: Texture, origin: np.ndarray, along: np.ndarray, up: np.ndarray, sun: float
    ) -> None:
        """Draws a texture on a rectangle of the ground: lower left corner and sides, (2,) UTM."""
        pixels = self.on_ground(np.array([origin, origin + along, origin + along + up, origin + up]))
        if pixels is not None:
            sides = self.relative(origin), np.array([*along, 0.0]), np.array([*up, 0.0])
            found = self._warp(texture, *sides, pixels, self.horizon)
            if found is not None:
                self._put(*found, found[2] != CLEAR, None, sun)

    def wall(
        self, origin: np.ndarray, across: np.ndarray, height: float, sun: float,
        texture: Texture | Callable[[float], Texture], *, eaves: float = 0.0, shadow: float = 0.0,
    ) -> None:  # fmt: skip
        """Draws a texture on an upright rectangle, where it shows past what is nearer.

        origin, across: UTM of its lower left corner and its lower edge, seen from the front, (2,). height:
        metres. texture: where a function, it is called with the most pixels a metre that it is seen with.
        eaves: the height to which it hides all that is behind it. shadow: the height up to which no sun
        reaches it.
        """
        base, side = self.relative(origin), np.array([*across, 0.0])
        d0, dd, r0, dr = (float(v[:2] @ axis) for axis in (self.forward, self.right) for v in (base, side))
        t0, t1 = 0.0, 1.0
        left, right = self.cx / self.focal, (self.cols - self.cx) / self.focal
        # value + t * change >= 0: before the camera, and inside the left and the right edge of the frame
        sides = ((d0 - NEAR, dd), (left * d0 + r0, left * dd + dr), (right * d0 - r0, right * dd - dr))
        for value, change in sides:
            if abs(change) > 1e-12:
                t0, t1 = (max(t0, -value / change), t1) if change > 0 else (t0, min(t1, -value / change))
            elif value < 0:
                return
        if t1 - t0 < 1e-4:
            return
        heights = np.array([0.0, height, eaves, shadow])[:, None] * [0, 0, 1.0]
        ends = self.project(base + np.array([t0, t1])[:, None, None] * side + heights)  # (2, 4, 3)
        if ends[1, 0, 0] <= ends[0, 0, 0]:  # seen from behind
            return
        x0, x1 = max(0, math.floor(ends[0, 0, 0])), min(self.cols, math.ceil(ends[1, 0, 0]) + 1)
        columns = np.arange(x0, x1) + 0.5
        lines = [np.interp(columns, ends[:, 0, 0], ends[:, k, 1]) for k in range(4)]
        if x1 <= x0 or (eaves and (lines[1] >= self.covered[x0:x1]).all()):
            return
        painted = texture(self.focal / float(ends[:, 0, 2].min())) if callable(texture) else texture
        up = np.array([0.0, 0.0, height])
        found = self._warp(painted, base, side, up, ends[:, :2, :2].reshape(4, 2), 0)
        if found is not None:
            part, _, labels = found
            near = np.arange(part[1].start, part[1].stop) - x0
            depth = 1 / np.interp(columns, ends[:, 0, 0], 1 / ends[:, 0, 2])[near]
            light: np.ndarray | float = sun
            if shadow > 0:
                light = sun * (np.arange(part[0].start, part[0].stop)[:, None] < lines[3][near])
            self._put(*found, (labels != CLEAR) & (depth < self.depth[part]), depth, light)
            if eaves:
                np.minimum(self.covered[x0:x1], lines[2], out=self.covered[x0:x1])

    def _warp(
        self,
        texture: Texture,
        origin: np.ndarray,
        across: np.ndarray,
        up: np.ndarray,
        ends: np.ndarray,
        top: int,
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
        """The box around pixels `ends` (n, 2) below row `top`, and a texture's colours and labels in it."""
        x0, y0 = np.floor(ends.min(0)).clip((0, top), None).astype(int).tolist()
        x1, y1 = (np.ceil(ends.max(0)) + 1).clip(None, (self.cols, self.rows)).astype(int).tolist()
        if x0 >= x1 or y0 >= y1:
            return None
        have, want = np.array(texture.labels.shape[::-1]), np.maximum(ends.max(0) - ends.min(0), 1)
        halvings = np.log2(np.maximum(have / want, 1)).astype(int).clip(0, 4)
        image, labels = texture.level(*halvings.tolist())
        rows, cols = labels.shape
        # texture pixel -> its middle -> relative point -> pixel of the frame -> of the box
        middle, shift = np.eye(3), np.eye(3)
        middle[:2, 2], shift[:2, 2] = 0.5, (-x0, -y0)
        plane = np.stack([across / cols, -up / rows, origin + up], axis=1)
        matrix, size = shift @ self.projection @ plane @ middle, (x1 - x0, y1 - y0)
        seen = cv2.warpPerspective(labels, matrix, size, flags=cv2.INTER_NEAREST, borderValue=CLEAR)
        colours = cv2.warpPerspective(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return (slice(y0, y1), slice(x0, x1)), colours, seen

    def _put(
        self, part: tuple[slice, slice], colours: np.ndarray, labels: np.ndarray, mask: np.ndarray,
        depth: np.ndarray | None, sun: np.ndarray | float,
    ) -> None:  # fmt: skip
        """Writes what the mask (bool) shows into a part of the frame; depth None keeps the ground's."""
        cv2.copyTo(colours, mask.view(np.uint8), self.image[part])
        np.copyto(self.labels[part], labels, where=mask)
        np.copyto(self.sun[part], sun, where=mask, casting="same_kind")
        if depth is not None:
            np.copyto(self.depth[part], depth, where=mask, casting="same_kind")

    def finish(self, picture: np.ndarray) -> np.ndarray:
        """A picture of the frame's size (rows, cols, …) seen with the view's pitch, roll and size."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(
            picture, self.to_frame, self.view.size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
