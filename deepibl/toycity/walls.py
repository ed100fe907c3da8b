"""Which houses a camera of the toy city sees, and drawing them far to near."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deepibl.toycity.blocks import Block, Skin
from deepibl.toycity.camera import NEAR, Frame, Patch
from deepibl.toycity.dice import Dice
from deepibl.toycity.styles import Facade
from deepibl.toycity.surfaces import Texture
from deepibl.toycity.weather import Weather

SIGHT = 260.0  # metres; nothing further is drawn


@dataclass(frozen=True)
class Walls:
    """The rectangles that face a camera, the nearest house first: see `blocks.Block`.

    Attributes:
        origin: relative to the camera, (n, 3); across, up: (n, 3); normal: unit vectors (n, 3), outward.
        distance: of the house each belongs to, (n,) metres.
        feet, tops, eaves: columns and rows of both ends' lower and upper edge and, of a facade, of its
            wall's top
            below the roof, (n, 2, 2), the part behind the camera cut off.
    """

    origin: np.ndarray
    across: np.ndarray
    up: np.ndarray
    normal: np.ndarray
    distance: np.ndarray
    skins: list[Skin]
    feet: np.ndarray
    tops: np.ndarray
    eaves: np.ndarray


def gather(frame: Frame, blocks: list[Block]) -> Walls:
    """All rectangles of the blocks that face the camera and may be in the frame."""
    blocks = [block for block in blocks if len(block.skins)]
    origin, across, up, centre = (
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("origin", "across", "up", "centre")
    )
    rank = np.concatenate([block.rank for block in blocks])
    origin = frame.relative(origin)
    normal = np.cross(across, up)
    depth = np.stack([origin, origin + across, origin + up], axis=1)[:, :, :2] @ frame.forward
    side = np.stack([origin, origin + across, origin + up], axis=1)[:, :, :2] @ frame.right
    left, right = frame.cx / frame.focal, (frame.cols - frame.cx) / frame.focal
    keep = ((normal * origin).sum(1) < 0) & (depth.max(1) > NEAR) & (depth.min(1) < SIGHT)
    keep &= ~((side < -left * depth).all(1) | (side > right * depth).all(1))
    chosen = np.flatnonzero(keep)
    distance = np.hypot(*(centre[chosen] - frame.position).T)
    order = np.lexsort((-rank[chosen], distance))
    chosen, distance = chosen[order], distance[order]
    skins = [skin for block in blocks for skin in block.skins]
    kept = [skins[k] for k in chosen.tolist()]
    origin, across, up, normal = origin[chosen], across[chosen], up[chosen], normal[chosen]
    normal = normal / np.sqrt((normal**2).sum(1, keepdims=True))
    ends = _before_camera(frame, origin, across)
    wall = np.array([skin.wall / skin.height if isinstance(skin, Facade) else 0.0 for skin in kept])
    feet, tops, eaves = (
        frame.project(ends + up[:, None] * part[:, None, None])[:, :, :2]
        for part in (np.zeros(len(kept)), np.ones(len(kept)), wall)
    )
    return Walls(origin, across, up, normal, distance, kept, feet, tops, eaves)


def _before_camera(frame: Frame, origin: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Both ends (n, 2, 3) of lower edges, moved along them to where they are before the camera."""
    ends = np.stack([origin, origin + across], axis=1)
    depth = ends[:, :, :2] @ frame.forward
    change = depth[:, 1] - depth[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(change != 0, (NEAR - depth[:, 0]) / change, 0.0)
    cut = origin + across * np.clip(np.nan_to_num(part), 0, 1)[:, None]
    return np.where((depth < NEAR)[:, :, None], cut[:, None], ends)


def uncovered(frame: Frame, walls: Walls) -> list[int]:
    """Numbers of the rectangles of which anything can be seen past nearer facades, the nearest first."""
    seen = []
    columns = np.arange(frame.cols, dtype=np.float64)
    low, high = walls.feet[:, 0, 0].tolist(), walls.feet[:, 1, 0].tolist()
    tops, eaves = walls.tops[:, :, 1].tolist(), walls.eaves[:, :, 1].tolist()
    for k, skin in enumerate(walls.skins):
        if low[k] > high[k]:  # the far side of a roof
            seen.append(k)
            continue
        x0, x1 = max(0, math.floor(low[k])), min(frame.cols, math.ceil(high[k]) + 1)
        if x1 <= x0:
            continue
        if min(tops[k]) >= float(frame.covered[x0:x1].max()):
            continue
        part = (columns[x0:x1] - low[k]) / max(high[k] - low[k], 1e-6)
        np.clip(part, 0, 1, out=part)
        line = tops[k][0] + (tops[k][1] - tops[k][0]) * part
        if (frame.covered[x0:x1] <= line).all():
            continue
        seen.append(k)
        if isinstance(skin, Facade):
            line = eaves[k][0] + (eaves[k][1] - eaves[k][0]) * part
            np.minimum(frame.covered[x0:x1], line, out=frame.covered[x0:x1])
    return seen


def draw_wall(
    frame: Frame,
    walls: Walls,
    k: int,
    weather: Weather,
    haze: float,
    texture: Callable[[Skin, float], Texture],
) -> None:
    """Draws rectangle k, and on a facade in the sun the shadow of the houses over the street.

    `texture(skin, pixels)` gives what is on it, fine enough for so many pixels a metre.
    """
    origin, across, up, skin = walls.origin[k], walls.across[k], walls.up[k], walls.skins[k]
    sun = max(0.0, float(walls.normal[k] @ weather.towards_sun)) if weather.sunny else 0.0
    pixels = float((walls.feet[k, :, 1] - walls.tops[k, :, 1]).max()) / skin.height
    patch = Patch(origin, across, up, sun, haze)
    if abs(up[0]) + abs(up[1]) > 1e-6:
        frame.tilted(texture(skin, pixels), patch)
        return
    frame.wall(texture(skin, pixels), patch)
    if sun and isinstance(skin, Facade):
        steep = math.tan(math.radians(weather.elevation))
        facing = float(walls.normal[k, :2] @ weather.towards_sun[:2]) / math.cos(
            math.radians(weather.elevation)
        )
        shadow = min(_height_opposite(skin.keys) - 15.0 / max(0.15, facing) * steep, skin.wall)
        if shadow > 0.3:
            rise = np.array([0, 0, shadow])
            frame.darken(np.array([origin, origin + across, origin + across + rise, origin + rise]))


@lru_cache(maxsize=4096)
def _height_opposite(keys: tuple[int | str, ...]) -> float:
    """A height for the houses on the other side of the street, metres."""
    return Dice("roofs over the street", *keys).uniform(6, 17)
