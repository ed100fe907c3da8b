"""Photos of the toy city: what is around a camera is gathered, sorted, culled and drawn, lit and exposed.

Houses that the camera sees are drawn far to near; before them the ground: streets, lawns, and the shadows of
the blocks on them.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from deepibl.toycity.camera import NEAR, Frame, Patch, View
from deepibl.toycity.facades import paint_facade
from deepibl.toycity.places import Weather, expose, radiance
from deepibl.toycity.plan import Block, City, Plain, Segment, Skin, Thing
from deepibl.toycity.streets import paint_street, paint_thing, street_things
from deepibl.toycity.styles import Dice, Facade
from deepibl.toycity.surfaces import Texture, paint_plain, person, tree
from deepibl.toycity.traffic import Vehicle, Walker, hiding, moving, paint_vehicle, parked, visible

SIGHT = 260.0  # metres; nothing further is drawn


@dataclass(frozen=True)
class Walls:
    """The rectangles that face a camera, the nearest house first: see `plan.Block`.

    origin: relative to the camera, (n, 3); across, up: (n, 3); normal: unit vectors (n, 3), outward.
    distance: to the house each belongs to, (n,) metres.
    feet, tops, eaves: columns and rows of both ends' lower and upper edge and, of a facade, of its wall's
        top below the roof, (n, 2, 2), the part behind the camera cut off.
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
    origin, across, up, centre, rank = (
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("origin", "across", "up", "centre", "rank")
    )
    origin = frame.relative(origin)
    normal = np.cross(across, up)
    corners = np.stack([origin, origin + across, origin + up], axis=1)[:, :, :2]
    depth, side = corners @ frame.forward, corners @ frame.right
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
    # both ends (n, 2, 3) of the lower edges, moved along them to where they are before the camera
    ends = np.stack([origin, origin + across], axis=1)
    depth = ends[:, :, :2] @ frame.forward
    change = depth[:, 1] - depth[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(change != 0, (NEAR - depth[:, 0]) / change, 0.0)
    cut = origin + across * np.clip(np.nan_to_num(part), 0, 1)[:, None]
    ends = np.where((depth < NEAR)[:, :, None], cut[:, None], ends)
    wall = np.array([skin.wall / skin.height if isinstance(skin, Facade) else 0.0 for skin in kept])
    feet, tops, eaves = (
        frame.project(ends + up[:, None] * part[:, None, None])[:, :, :2]
        for part in (np.zeros(len(kept)), np.ones(len(kept)), wall)
    )
    return Walls(origin, across, up, normal, distance, kept, feet, tops, eaves)


def uncovered(frame: Frame, walls: Walls) -> list[int]:
    """Indices of the rectangles of which any part shows past nearer facades, the nearest first."""
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
    frame: Frame, walls: Walls, k: int, weather: Weather, texture: Callable[[Skin, float], Texture]
) -> None:
    """Draws rectangle k, and on a facade in the sun the shadow of the houses opposite.

    `texture(skin, pixels)` returns what is on it, fine enough for that many pixels a metre.
    """
    origin, across, up, skin = walls.origin[k], walls.across[k], walls.up[k], walls.skins[k]
    sun = max(0.0, float(walls.normal[k] @ weather.towards_sun)) if weather.sunny else 0.0
    pixels = float((walls.feet[k, :, 1] - walls.tops[k, :, 1]).max()) / skin.height
    patch = Patch(origin, across, up, sun, weather.veil(float(walls.distance[k])))
    if abs(up[0]) + abs(up[1]) > 1e-6:
        frame.tilted(texture(skin, pixels), patch)
        return
    frame.wall(texture(skin, pixels), patch)
    if sun and isinstance(skin, Facade):
        elevation = math.radians(weather.elevation)
        facing = float(walls.normal[k, :2] @ weather.towards_sun[:2]) / math.cos(elevation)
        opposite = Dice("roofs over the street", *skin.keys).uniform(6, 17)  # height of the houses there
        shadow = min(opposite - 15.0 / max(0.15, facing) * math.tan(elevation), skin.wall)
        if shadow > 0.3:
            rise = np.array([0, 0, shadow])
            frame.darken(np.array([origin, origin + across, origin + across + rise, origin + rise]))


TILE = 28.0  # metres of street that are warped at a time
MEAN_HEIGHT = 11.0  # metres: of the houses of a block, for its shadow


def draw_ground(
    frame: Frame, blocks: list[Block], segments: list[Segment], opaque: np.ndarray, weather: Weather,
    texture: Callable[[Segment], Texture],
) -> None:  # fmt: skip
    """Draws everything flat. `opaque` (b, 4, 2) are the blocks that hide what is behind them."""
    horizon, sun = frame.horizon, float(weather.towards_sun[2]) if weather.sunny else 0.0
    frame.image[horizon:] = (104, 102, 98)
    frame.labels[horizon:] = 0
    depth = frame.focal * frame.view.height / (np.arange(horizon, frame.rows) + 0.5 - frame.cy).clip(0.05)
    frame.sun[horizon:] = round(255 * sun)
    frame.haze[horizon:] = np.rint(255 * (1 - np.exp(-depth / weather.haze))).astype(np.uint8)[:, None]
    # squares of sidewalk colour at the nodes; the streets are drawn over them
    nodes = {segment.key: segment for segment in segments}.values()
    places = np.array([segment.start for segment in nodes]).reshape(-1, 2)
    distances = np.hypot(*(places - frame.position).T)
    near = (distances < 20) | (visible(frame, places, opaque) & (distances < SIGHT))
    for segment, distance, seen in zip(nodes, distances.tolist(), near.tolist(), strict=True):
        if seen:
            corner = np.array([segment.along + segment.right, segment.right - segment.along])
            square = segment.start + np.concatenate([corner, -corner]) * (segment.half + 1.0)
            frame.polygon(square, (146, 142, 136), 0, sun, weather.veil(distance))
    for block in blocks:
        if block.kind != "built":  # a lawn
            distance = float(np.hypot(*(block.ground.mean(0) - frame.position)))
            frame.polygon(block.ground, (86, 104, 62), 0, sun, weather.veil(distance - 40))
    _streets(frame, segments, opaque, sun, weather, texture)
    if not sun:
        return
    reach = min(MEAN_HEIGHT / math.tan(math.radians(weather.elevation)), 60.0)
    shift = -weather.towards_sun[:2] / np.hypot(*weather.towards_sun[:2]) * reach
    for block in blocks:  # their shadows
        if block.kind == "built" and np.hypot(*(block.ground.mean(0) - frame.position)) < 180:
            outline = np.concatenate([block.ground, block.ground + shift]) - frame.position
            hull = cv2.convexHull(outline.astype(np.float32))[:, 0].astype(np.float64)
            frame.darken(frame.relative(hull + frame.position))


def _streets(
    frame: Frame, segments: list[Segment], opaque: np.ndarray, sun: float, weather: Weather,
    texture: Callable[[Segment], Texture],
) -> None:  # fmt: skip
    """Strips of street, in tiles of which some part can be seen; wide streets over narrow ones."""
    ordered = [(s, max(1, math.ceil(s.length / TILE))) for s in sorted(segments, key=lambda s: s.road)]
    grids = []
    for segment, count in ordered:
        steps, offsets = np.arange(2 * count + 1) * (segment.length / (2 * count)), np.array([-0.9, 0.0, 0.9])
        lines = segment.start + steps[:, None, None] * segment.along
        grids.append(lines + offsets[:, None] * (segment.half * segment.right))
    points = np.concatenate(grids)  # (all steps, 3, 2)
    distances = np.hypot(*(points[:, 1] - frame.position).T)
    seen = visible(frame, points.reshape(-1, 2), opaque).reshape(-1, 3).any(1)
    shown = ((seen | (distances < TILE)) & (distances < SIGHT)).tolist()
    first = 0
    for segment, count in ordered:
        origin = frame.relative(segment.at(0, segment.half))
        across = np.array([*(segment.along * segment.length), 0.0])
        up = np.array([*(-segment.right * 2 * segment.half), 0.0])
        for k in range(count):
            if any(shown[first + 2 * k : first + 2 * k + 3]):
                haze = weather.veil(float(distances[first + 2 * k + 1]))
                patch = Patch(origin, across, up, sun, haze)
                frame.ground(texture(segment), patch, (k / count, (k + 1) / count))
        first += 2 * count + 1


CACHE_BYTES = 256 * 2**20
THINGS_SEEN = 120.0  # metres; nothing smaller than a house is drawn further away


class TextureStore:
    """Textures by key; the least recently used are dropped when they take too much memory."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._kept: OrderedDict[object, Texture] = OrderedDict()

    def get(self, key: object, make: Callable[[], Texture]) -> Texture:
        """The texture of that key, made by `make()` where it is missing."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        texture = make()
        self._kept[key] = texture
        self._bytes += texture.image.nbytes + texture.labels.nbytes
        while self._bytes > self._limit and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.image.nbytes + old.labels.nbytes
        return texture


class Renderer:
    """Takes photos of a city; textures are kept from one photo to the next.

    city: the city.
    width: of the photos in pixels; textures are painted as finely as that needs.
    """

    def __init__(self, city: City, width: int = 320) -> None:
        self.city = city
        self.scale = 22.0 * width / 320
        self.store = TextureStore(int(CACHE_BYTES * max(1.0, (width / 320) ** 1.5)))
        self._fixed = lru_cache(maxsize=512)(lambda key: street_things(city, city.segment(*key)))
        self._parked = lru_cache(maxsize=512)(lambda key, weather: parked(city, city.segment(*key), weather))

    def photo(self, view: View, weather: Weather, dice: Dice) -> np.ndarray:
        """A photo, (height, width, 3) uint8 RGB; `dice` draws the passers-by and the camera's errors."""
        frame = Frame(view)
        blocks = self.city.blocks_near(frame.position, 3)
        segments = _ahead(frame, *self.city.segments_near(frame.position, 3))
        opaque = hiding(frame, blocks)

        def street_texture(segment: Segment) -> Texture:
            return self.store.get(segment.key, lambda: paint_street(self.city, segment, self.scale * 0.55))

        draw_ground(frame, blocks, segments, opaque, weather, street_texture)
        self._houses(frame, blocks, opaque, weather)
        lamps = self._street(frame, segments, opaque, weather, dice)
        light = radiance(frame, weather, lamps, self.city.seed)
        return expose(frame.finish(light), weather, dice)

    def _wall_texture(self, skin: Skin, pixels: float) -> Texture:
        """What is on a rectangle; half as fine where it is seen with few pixels a metre."""
        if isinstance(skin, Plain):
            return self.store.get(skin, lambda: paint_plain(skin, self.scale * 0.6, self.city.seed))
        scale = self.scale if pixels > 0.45 * self.scale else self.scale / 2
        return self.store.get((skin, scale), lambda: paint_facade(skin, scale))

    def _houses(self, frame: Frame, blocks: list[Block], opaque: np.ndarray, weather: Weather) -> None:
        """Draws houses, roofs, hedges, and the trees of gardens and parks, far to near."""
        walls = gather(frame, blocks)
        jobs: list[tuple[float, int, Thing | None]] = [
            (float(walls.distance[k]), -k, None) for k in uncovered(frame, walls)
        ]
        for block in blocks:
            if block.things:
                places = np.array([thing.position for thing in block.things])
                others = opaque[(opaque != block.ground).any((1, 2))]
                distances = np.hypot(*(places - frame.position).T)
                shown = visible(frame, places, others) & (distances > 2) & (distances < THINGS_SEEN)
                jobs += [(float(distances[k]), 1, block.things[k]) for k in np.flatnonzero(shown).tolist()]
        for distance, minus_k, thing in sorted(jobs, key=lambda job: (-job[0], job[1])):
            if thing is None:
                draw_wall(frame, walls, -minus_k, weather, self._wall_texture)
            else:
                _draw_thing(frame, thing, weather, distance)

    def _street(
        self, frame: Frame, segments: list[Segment], opaque: np.ndarray, weather: Weather, dice: Dice
    ) -> list[np.ndarray]:
        """Draws trees, lamps, vehicles and people, far to near; returns the lamps in sight, (3,) each."""
        things: list[Thing | Vehicle | Walker] = []
        for segment in segments:
            ends = frame.relative(np.stack([segment.start, segment.end]))
            if np.hypot(ends[:, 0], ends[:, 1]).min() < THINGS_SEEN:
                things += self._fixed(segment.key)
                things += self._parked(segment.key, weather)
        things += moving(self.city, frame, weather, dice)
        places = np.array([thing.position for thing in things]).reshape(-1, 2)
        distances = np.hypot(*(places - frame.position).T)
        shown = np.flatnonzero(visible(frame, places, opaque) & (distances < THINGS_SEEN))
        lamps = []
        for k in shown[np.argsort(-distances[shown], kind="stable")].tolist():
            thing = things[k]
            _draw_thing(frame, thing, weather, float(distances[k]))
            if isinstance(thing, Thing) and thing.kind == "lamp":
                lamps.append(np.array([*thing.position, thing.size]))
        return lamps


def _draw_thing(frame: Frame, thing: Thing | Vehicle | Walker, weather: Weather, distance: float) -> None:
    haze, sun = weather.veil(distance), 0.6 if weather.sunny else 0.0
    if isinstance(thing, Vehicle):
        if distance > 3.2:
            paint_vehicle(frame, thing, sun, haze)
    elif isinstance(thing, Walker):
        if distance > 2.0:
            size = (thing.height * 0.39, thing.height)
            frame.sprite(person(thing.variant), thing.position, size, (sun, haze))
    elif thing.kind == "tree":
        if distance > 2.0:
            size = (thing.size * 0.75, thing.size)
            frame.sprite(tree(thing.variant, weather.season), thing.position, size, (sun, haze))
    elif distance > 2.5:
        paint_thing(frame, thing, sun, haze)


def _ahead(frame: Frame, segments: list[Segment], ends: np.ndarray) -> list[Segment]:
    """The segments, given with their ends (n, 2, 2), that may be before the camera and within sight."""
    around = ends - frame.position
    depth, side = around @ frame.forward, np.abs(around @ frame.right)
    near = np.hypot(around[..., 0], around[..., 1]).min(1) < 120
    seen = (depth.max(1) > -10) & (depth.min(1) < SIGHT) & ((side < depth.clip(0) * 1.1 + 30).any(1) | near)
    return [segments[k] for k in np.flatnonzero(seen).tolist()]
