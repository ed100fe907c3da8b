"""The camera of the toy city and what it draws on: projection of rectangles and polygons, far to near.

Everything is drawn level (verticals stay vertical) on a frame somewhat larger than the image; pitch and roll
come last, as one homography. A frame holds, for each pixel, the colour of the surface (RGB), its label (see
`surfaces`), how much sun reaches it and how much haze is before it; `weather` turns these into light.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from deepibl.toycity.surfaces import CLEAR, SKY, Colour, Texture

NEAR = 0.4  # metres; nothing nearer is drawn
FINER = 1.0  # pixels of the frame for one of the image, at its middle


@dataclass(frozen=True)
class View:
    """Where a photo is taken from.

    position: UTM (east, north), metres.
    heading: compass direction of the view, degrees clockwise from north.
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


class Patch(NamedTuple):
    """A rectangle to draw on, relative to the camera: lower left corner and sides, (3,); sun, haze 0 … 1."""

    origin: np.ndarray
    across: np.ndarray
    up: np.ndarray
    sun: float
    haze: float


class Frame:
    """A level picture while it is drawn.

    image: (rows, cols, 3) uint8 RGB; labels, sun, haze: (rows, cols) uint8.
    covered: for each column, the row above which the sky shows over the houses drawn so far.
    """

    def __init__(self, view: View) -> None:
        width, height = view.size
        focal = width / 2 / math.tan(math.radians(view.fov) / 2)
        self.view, self.focal = view, focal * FINER
        pitch, roll, heading = (math.radians(v) for v in (view.pitch, view.roll, view.heading))
        tilt = np.array(
            [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
        ) @ np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
        rays = tilt @ np.linalg.inv(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]))
        corners = rays @ np.array(
            [[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]], dtype=np.float64
        )
        x, y = corners[0] / corners[2] * self.focal, corners[1] / corners[2] * self.focal
        self.cx, self.cy = 2 - float(x.min()), 2 - float(y.min())
        self.cols, self.rows = math.ceil(x.max() + self.cx) + 2, math.ceil(y.max() + self.cy) + 2
        self.to_frame = np.array([[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1]]) @ rays
        self.forward = np.array([math.sin(heading), math.cos(heading)])
        self.right = np.array([math.cos(heading), -math.sin(heading)])
        self.position = np.array(view.position, dtype=np.float64)
        axes = np.array([[*self.right, 0], [0, 0, -1], [*self.forward, 0]])
        self.projection = np.array([[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1]]) @ axes
        self.image = np.zeros((self.rows, self.cols, 3), np.uint8)
        self.labels = np.full((self.rows, self.cols), SKY, np.uint8)
        self.sun = np.zeros((self.rows, self.cols), np.uint8)
        self.haze = np.zeros((self.rows, self.cols), np.uint8)
        self.covered = np.full(self.cols, float(self.rows))

    @property
    def horizon(self) -> int:
        """The first row below the horizon."""
        return min(max(math.ceil(self.cy), 0), self.rows)

    def relative(self, points: np.ndarray) -> np.ndarray:
        """World points (…, 2) or (…, 3) as (…, 3) from the camera."""
        points = np.asarray(points, dtype=np.float64)
        heights = points[..., 2:] if points.shape[-1] == 3 else np.zeros((*points.shape[:-1], 1))
        return np.concatenate([points[..., :2] - self.position, heights - self.view.height], axis=-1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Relative points (…, 3) to column, row and depth in metres; valid where the depth is positive."""
        mapped = points @ self.projection.T
        depth = mapped[..., 2:]
        return np.concatenate([mapped[..., :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth), depth], axis=-1)

    def polygon(self, points: np.ndarray, colour: Colour, label: int, sun: float, haze: float) -> None:
        """Fills a convex polygon of world points (k, 3) or (k, 2) on the ground."""
        pixels = self._clipped(self.relative(points))
        if pixels is not None:
            self.fill(pixels, colour, label, round(255 * sun), round(255 * haze))

    def fill(self, pixels: np.ndarray, colour: Colour, label: int, sun: int, haze: int) -> None:
        """Fills a convex polygon of int32 pixels (k, 2); sun and haze are 0 … 255."""
        cv2.fillConvexPoly(self.image, pixels, colour)
        cv2.fillConvexPoly(self.labels, pixels, label)
        cv2.fillConvexPoly(self.sun, pixels, sun)
        cv2.fillConvexPoly(self.haze, pixels, haze)

    def darken(self, relative: np.ndarray) -> None:
        """Removes the sun from a convex polygon of relative points (k, 3): a shadow."""
        pixels = self._clipped(relative)
        if pixels is not None:
            cv2.fillConvexPoly(self.sun, pixels, 0)

    def _clipped(self, around: np.ndarray) -> np.ndarray | None:
        """Integer pixels (m, 2) of the part of a polygon of relative points before the camera, or None."""
        depth = around[:, :2] @ self.forward
        if (depth < NEAR).any():
            if (depth < NEAR).all():
                return None
            kept = []
            for k in range(len(around)):
                a, b, da, db = around[k - 1], around[k], depth[k - 1], depth[k]
                if (da < NEAR) != (db < NEAR):
                    kept.append(a + (b - a) * ((NEAR - da) / (db - da)))
                if db >= NEAR:
                    kept.append(b)
            around = np.array(kept)
        pixels = self.project(around)[:, :2]
        if len(pixels) < 3 or (pixels.max(0) < 0).any() or (pixels.min(0) > (self.cols, self.rows)).any():
            return None
        return np.clip(np.rint(pixels), -30000, 30000).astype(np.int32)

    def wall(self, texture: Texture, patch: Patch) -> None:
        """Draws a texture on an upright rectangle, as far as it is inside the frame."""
        origin, across, up = patch.origin, patch.across, patch.up
        (d0, r0), (dd, dr) = (
            (float(v[:2] @ self.forward), float(v[:2] @ self.right)) for v in (origin, across)
        )
        t0, t1 = 0.0, 1.0
        # value + t * change >= 0 before the camera, and inside the left and the right edge of the frame
        left, right = self.cx / self.focal, (self.cols - self.cx) / self.focal
        sides = ((d0 - NEAR, dd), (left * d0 + r0, left * dd + dr), (right * d0 - r0, right * dd - dr))
        for value, change in sides:
            if change > 1e-12:
                t0 = max(t0, -value / change)
            elif change < -1e-12:
                t1 = min(t1, -value / change)
            elif value < 0:
                return
        if t1 - t0 >= 1e-4:
            ends = self.project(np.array([origin + across * t + up * s for t in (t0, t1) for s in (0, 1)]))
            self._warp(texture, patch, (t0, t1), ends, 0)

    def tilted(self, texture: Texture, patch: Patch) -> None:
        """Draws a texture on any rectangle that is wholly before the camera."""
        origin, across, up = patch.origin, patch.across, patch.up
        ends = self.project(np.array([origin, origin + up, origin + across, origin + across + up]))
        if (ends[:, 2] > NEAR).all():
            self._warp(texture, patch, (0.0, 1.0), ends, 0)

    def ground(self, texture: Texture, patch: Patch, part: tuple[float, float]) -> None:
        """Draws a part (from, to; of 0 … 1) of a texture that is on the street."""
        a, b = patch.origin + patch.across * part[0], patch.origin + patch.across * part[1]
        pixels = self._clipped(np.array([a, b, b + patch.up, a + patch.up]))
        if pixels is not None:
            self._warp(texture, patch, part, pixels.astype(np.float64), self.horizon)

    def _warp(
        self, texture: Texture, patch: Patch, part: tuple[float, float], ends: np.ndarray, top: int
    ) -> None:
        """Warps the columns `part` of a texture into the rectangle that `ends` span, below row `top`."""
        x0, x1 = max(0, math.floor(ends[:, 0].min())), min(self.cols, math.ceil(ends[:, 0].max()) + 1)
        y0, y1 = max(top, math.floor(ends[:, 1].min())), min(self.rows, math.ceil(ends[:, 1].max()) + 1)
        if x0 >= x1 or y0 >= y1:
            return
        rows, cols = texture.labels.shape
        spans = ends[:, :2].max(0) - ends[:, :2].min(0)
        image, labels = texture.level(
            _halvings(cols * (part[1] - part[0]), float(spans[0])), _halvings(rows, float(spans[1]))
        )
        rows, cols = labels.shape
        c0, c1 = max(0, math.floor(part[0] * cols)), min(cols, math.ceil(part[1] * cols) + 1)
        if c1 <= c0:
            return
        # texture pixel -> relative point -> pixel of the frame -> of the rectangle
        plane = np.stack([patch.across / cols, -patch.up / rows, patch.origin + patch.up], axis=1)
        start = np.array([[1, 0, c0 + 0.5], [0, 1, 0.5], [0, 0, 1]])
        shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], dtype=np.float64)
        matrix = shift @ self.projection @ plane @ start
        size = (x1 - x0, y1 - y0)
        seen = cv2.warpPerspective(
            np.ascontiguousarray(labels[:, c0:c1]), matrix, size, flags=cv2.INTER_NEAREST, borderValue=CLEAR
        )
        colours = cv2.warpPerspective(
            np.ascontiguousarray(image[:, c0:c1]), matrix, size, borderMode=cv2.BORDER_REPLICATE
        )
        self._put((y0, y1, x0, x1), colours, seen, seen != CLEAR, (patch.sun, patch.haze))

    def _put(
        self, box: tuple[int, int, int, int], colours: np.ndarray, labels: np.ndarray | int, mask: np.ndarray,
        light: tuple[float, float],
    ) -> None:  # fmt: skip
        """Writes what the mask (bool) shows into the rows and columns of the box; light: sun and haze."""
        part = np.s_[box[0] : box[1], box[2] : box[3]]
        cv2.copyTo(colours, mask.view(np.uint8), self.image[part])
        values = (labels, round(255 * light[0]), round(255 * light[1]))
        for plane, value in zip((self.labels, self.sun, self.haze), values, strict=True):
            np.copyto(plane[part], value, where=mask, casting="unsafe")

    def sprite(
        self, picture: tuple[np.ndarray, np.ndarray], position: np.ndarray, size: tuple[float, float],
        light: tuple[float, float],
    ) -> None:  # fmt: skip
        """Draws a picture and its mask upright on the street, facing the camera.

        position: UTM (2,). size: width and height in metres. light: sun and haze, 0 … 1.
        """
        image, mask = picture
        column, row, depth = self.project(self.relative(position))
        if depth < NEAR:
            return
        w, h = (max(1, round(side * self.focal / depth)) for side in size)
        left, top = round(column - w / 2), round(row) - h
        x0, x1, y0, y1 = max(left, 0), min(left + w, self.cols), max(top, 0), min(top + h, self.rows)
        if x0 >= x1 or y0 >= y1:
            return
        a, b = mask.shape[1] / w, mask.shape[0] / h
        if a > 2:  # far away: shrink first, so that leaves do not flicker
            image, mask = (cv2.resize(plane, (w, h), interpolation=cv2.INTER_AREA) for plane in (image, mask))
            a = b = 1.0
        scale = np.array([[a, 0, (x0 - left) * a], [0, b, (y0 - top) * b]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(mask, scale, (x1 - x0, y1 - y0), flags=flags) > 127
        colours = cv2.warpAffine(image, scale, (x1 - x0, y1 - y0), flags=flags)
        self._put((y0, y1, x0, x1), colours, 0, seen, light)

    def finish(self, picture: np.ndarray) -> np.ndarray:
        """A picture of the frame's size (rows, cols, …) seen with the view's pitch, roll and size."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(
            picture, self.to_frame, self.view.size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )


def _halvings(have: float, want: float) -> int:
    """How often `have` texture pixels can be halved and still be `want` or more; at most 4 times."""
    return min(4, max(0, int(math.log2(max(have / max(want, 1.0), 1.0)))))
