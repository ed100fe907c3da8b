"""The ground before a camera of the toy city: streets, lawns, and the shadows of the blocks on them."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from deepibl.toycity.blocks import Block
from deepibl.toycity.camera import Frame, Patch
from deepibl.toycity.plan import Segment
from deepibl.toycity.surfaces import Colour, Texture
from deepibl.toycity.traffic import visible
from deepibl.toycity.walls import SIGHT
from deepibl.toycity.weather import Weather

TILE = 28.0  # metres of street that are warped at a time
MEAN_HEIGHT = 11.0  # metres: of the houses of a block, for its shadow


def draw_ground(
    frame: Frame,
    blocks: list[Block],
    segments: list[Segment],
    opaque: np.ndarray,
    weather: Weather,
    texture: Callable[[Segment], Texture],
) -> None:
    """Draws all that lies flat. `opaque` (b, 4, 2) are the blocks that hide what is behind them."""
    horizon, sun = frame.horizon, float(weather.towards_sun[2]) if weather.sunny else 0.0
    frame.image[horizon:] = (104, 102, 98)
    frame.labels[horizon:] = 0
    depth = frame.focal * frame.view.height / (np.arange(horizon, frame.rows) + 0.5 - frame.cy).clip(0.05)
    frame.sun[horizon:] = round(255 * sun)
    frame.haze[horizon:] = np.rint(255 * (1 - np.exp(-depth / weather.haze))).astype(np.uint8)[:, None]
    _crossings(frame, segments, opaque, sun, weather)
    for block in blocks:
        if block.kind != "built":
            distance = float(np.hypot(*(block.ground.mean(0) - frame.position)))
            lawn: Colour = (86, 104, 62)
            frame.polygon(block.ground, lawn, 0, sun, weather.veil(distance - 40))
    _streets(frame, segments, opaque, sun, weather, texture)
    if sun:
        _shadows(frame, blocks, weather)


def _crossings(
    frame: Frame, segments: list[Segment], opaque: np.ndarray, sun: float, weather: Weather
) -> None:
    """Squares of sidewalk colour at the nodes; the streets are drawn over them."""
    nodes = {segment.key: (segment.start, segment) for segment in segments}
    places = np.array([node for node, _ in nodes.values()]).reshape(-1, 2)
    distances = np.hypot(*(places - frame.position).T)
    near = (distances < 20) | (visible(frame, places, opaque) & (distances < SIGHT))
    for (node, segment), distance, seen in zip(
        nodes.values(), distances.tolist(), near.tolist(), strict=True
    ):
        if seen:
            corner = np.array([segment.along + segment.right, segment.right - segment.along])
            square = node + np.concatenate([corner, -corner]) * (segment.half + 1.0)
            frame.polygon(square, (146, 142, 136), 0, sun, weather.veil(distance))


def _streets(
    frame: Frame,
    segments: list[Segment],
    opaque: np.ndarray,
    sun: float,
    weather: Weather,
    texture: Callable[[Segment], Texture],
) -> None:
    """Strips of street, in tiles of which some part can be seen; wide streets over narrow ones."""
    ordered = sorted(segments, key=lambda s: s.road)
    counts = [max(1, math.ceil(segment.length / TILE)) for segment in ordered]
    grids = []
    for segment, count in zip(ordered, counts, strict=True):
        steps, offsets = np.arange(2 * count + 1) * (segment.length / (2 * count)), np.array([-0.9, 0.0, 0.9])
        lines = segment.start + steps[:, None, None] * segment.along
        grids.append(lines + offsets[:, None] * (segment.half * segment.right))
    points = np.concatenate(grids)  # (all steps, 3, 2)
    distances = np.hypot(*(points[:, 1] - frame.position).T)
    seen = visible(frame, points.reshape(-1, 2), opaque).reshape(-1, 3).any(1)
    shown = ((seen | (distances < TILE)) & (distances < SIGHT)).tolist()
    first = 0
    for segment, count in zip(ordered, counts, strict=True):
        origin = frame.relative(segment.at(0, segment.half))
        across = np.array([*(segment.along * segment.length), 0.0])
        up = np.array([*(-segment.right * 2 * segment.half), 0.0])
        for k in range(count):
            if any(shown[first + 2 * k : first + 2 * k + 3]):
                haze = weather.veil(float(distances[first + 2 * k + 1]))
                patch = Patch(origin, across, up, sun, haze)
                frame.ground(texture(segment), patch, (k / count, (k + 1) / count))
        first += 2 * count + 1


def _shadows(frame: Frame, blocks: list[Block], weather: Weather) -> None:
    reach = min(MEAN_HEIGHT / math.tan(math.radians(weather.elevation)), 60.0)
    shift = -weather.towards_sun[:2] / np.hypot(*weather.towards_sun[:2]) * reach
    for block in blocks:
        if block.kind == "built" and np.hypot(*(block.ground.mean(0) - frame.position)) < 180:
            outline = np.concatenate([block.ground, block.ground + shift]) - frame.position
            hull = cv2.convexHull(outline.astype(np.float32))[:, 0].astype(np.float64)
            frame.darken(frame.relative(hull + frame.position))
