"""Photos of the toy city: what stands around a camera is gathered, sorted, culled and drawn, then lit and exposed."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from deepibl.toycity_blocks import Block, Plain, Skin, Thing
from deepibl.toycity_camera import NEAR, Frame, View
from deepibl.toycity_dice import Dice
from deepibl.toycity_facades import paint_facade
from deepibl.toycity_nature import person, tree
from deepibl.toycity_plan import City, Segment
from deepibl.toycity_streets import paint_street, street_things
from deepibl.toycity_styles import Facade
from deepibl.toycity_surfaces import Colour, Texture, paint_plain
from deepibl.toycity_things import paint_thing
from deepibl.toycity_traffic import Walker, moving, parked, visible
from deepibl.toycity_vehicles import Vehicle, paint_vehicle
from deepibl.toycity_weather import Weather, expose, radiance

SIGHT = 260.0  # metres; nothing further is drawn
TILE = 22.0  # metres of street that are warped at a time
CACHE_BYTES = 256 * 2**20


class TextureStore:
    """Textures by what they show, the oldest dropped first when they take too much memory."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._kept: OrderedDict[tuple[object, ...], Texture] = OrderedDict()

    def get(self, key: tuple[object, ...], make) -> Texture:  # type: ignore[no-untyped-def]
        """The texture of that key, made by `make()` when it is not there."""
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


@dataclass(frozen=True)
class Walls:
    """The rectangles around a camera, stacked: see `toycity_blocks.Block`. origin is relative to the camera."""

    origin: np.ndarray
    across: np.ndarray
    up: np.ndarray
    distance: np.ndarray
    rank: np.ndarray
    skins: list[Skin]


class Renderer:
    """Takes photos of a city; textures are kept from one photo to the next.

    Args:
        city: the city.
        width: of the photos in pixels; textures are painted as finely as that needs.
    """

    def __init__(self, city: City, width: int = 320) -> None:
        self.city = city
        self.scale = 22.0 * width / 320
        self.store = TextureStore(int(CACHE_BYTES * max(1.0, (width / 320) ** 1.5)))

    def photo(self, view: View, weather: Weather, dice: Dice) -> np.ndarray:
        """A photo, (height, width, 3) uint8 RGB; `dice` decides what passes by and how the camera errs."""
        frame = Frame(view)
        i, j = self.city.cell(frame.position)
        blocks = [self.city.block(i + a, j + b) for a in range(-3, 4) for b in range(-3, 4)]
        segments = [s for s in self.city.segments_near(frame.position, 3) if self._ahead(frame, s)]
        self._ground(frame, blocks, segments, weather)
        self._walls(frame, blocks, weather)
        lamps = self._street(frame, blocks, segments, weather, dice)
        light = radiance(frame, weather, lamps, self.city.seed)
        return expose(frame.finish(light), weather, dice)

    @staticmethod
    def _ahead(frame: Frame, segment: Segment) -> bool:
        ends = np.stack([segment.start, segment.end]) - frame.position
        depth, side = ends @ frame.forward, np.abs(ends @ frame.right)
        return bool((depth > -segment.half).any() and (side - 15 < np.maximum(depth, 0) * 1.1 + 15).any())

    def _haze(self, weather: Weather, distance: float) -> float:
        return 1 - math.exp(-max(distance, 0.0) / weather.haze)

    def _ground(self, frame: Frame, blocks: list[Block], segments: list[Segment], weather: Weather) -> None:
        horizon, sun = frame.horizon, float(weather.towards_sun[2]) if any(weather.sun) else 0.0
        frame.image[horizon:] = (104, 102, 98)
        frame.labels[horizon:] = 0
        depth = frame.focal * frame.view.height / (np.arange(horizon, frame.rows) + 0.5 - frame.cy).clip(0.05)
        frame.light[horizon:, :, 0] = round(255 * sun)
        frame.light[horizon:, :, 1] = np.rint(255 * (1 - np.exp(-depth / weather.haze))).astype(np.uint8)[:, None]
        for segment in segments:
            for node in (segment.start, segment.end):
                corner = np.array([segment.along + segment.right, segment.right - segment.along])
                square = node + np.concatenate([corner, -corner]) * (segment.half + 1.0)
                distance = float(np.hypot(*(node - frame.position)))
                if distance < SIGHT:
                    frame.polygon(square, (146, 142, 136), 0, sun, self._haze(weather, distance))
        for block in blocks:
            lawn: Colour = (86, 104, 62) if block.kind != "built" else (110, 106, 100)
            distance = float(np.hypot(*(block.ground.mean(0) - frame.position)))
            frame.polygon(block.ground, lawn, 0, sun, self._haze(weather, distance - 40))
        for segment in sorted(segments, key=lambda s: s.road):
            self._strip(frame, segment, sun, weather)
        if sun:
            reach = 11.0 / math.tan(math.radians(weather.elevation))
            shift = -weather.towards_sun[:2] / np.hypot(*weather.towards_sun[:2]) * min(reach, 60.0)
            for block in blocks:
                if block.kind == "built":
                    self._block_shadow(frame, block, shift)

    def _block_shadow(self, frame: Frame, block: Block, shift: np.ndarray) -> None:
        import cv2

        outline = np.concatenate([block.ground, block.ground + shift]) - frame.position
        hull = cv2.convexHull(outline.astype(np.float32))[:, 0].astype(np.float64)
        frame.darken(hull + frame.position, 0.0)

    def _strip(self, frame: Frame, segment: Segment, sun: float, weather: Weather) -> None:
        texture = self.store.get(
            ("street", segment.key), lambda: paint_street(self.city, segment, self.scale * 0.55)
        )
        origin = frame.relative(segment.at(0, segment.half))
        across = np.array([*(segment.along * segment.length), 0.0])
        up = np.array([*(-segment.right * 2 * segment.half), 0.0])
        count = max(1, math.ceil(segment.length / TILE))
        for k in range(count):
            middle = origin + across * (k + 0.5) / count + up / 2
            distance = float(np.hypot(middle[0], middle[1]))
            if distance < SIGHT:
                part = (k / count, (k + 1) / count)
                frame.ground(texture, origin, across, up, part, sun, self._haze(weather, distance))

    def _gather(self, frame: Frame, blocks: list[Block]) -> Walls:
        """All rectangles that face the camera and may be in the frame."""
        blocks = [block for block in blocks if len(block.skins)]
        origin = np.concatenate([block.origin for block in blocks])
        across = np.concatenate([block.across for block in blocks])
        up = np.concatenate([block.up for block in blocks])
        origin = frame.relative(origin)
        corners = np.stack([origin, origin + across, origin + up], axis=1)
        depth, side = corners[:, :, :2] @ frame.forward, corners[:, :, :2] @ frame.right
        normal = np.cross(across, up)
        facing = (normal * origin).sum(1) < 0
        left, right = frame.cx / frame.focal, (frame.cols - frame.cx) / frame.focal
        keep = facing & (depth.max(1) > NEAR) & (depth.min(1) < SIGHT)
        keep &= ~((side < -left * depth).all(1) | (side > right * depth).all(1))
        chosen = np.flatnonzero(keep)
        centre = np.concatenate([block.centre for block in blocks])[chosen] - frame.position
        rank = np.concatenate([block.rank for block in blocks])[chosen]
        skins = [skin for block in blocks for skin in block.skins]
        return Walls(
            origin[chosen], across[chosen], up[chosen], np.hypot(centre[:, 0], centre[:, 1]), rank,
            [skins[k] for k in chosen],
        )  # fmt: skip

    def _walls(self, frame: Frame, blocks: list[Block], weather: Weather) -> None:
        """Draws houses, roofs, hedges, and the trees of gardens and parks, far to near, the hidden ones left out."""
        walls = self._gather(frame, blocks)
        order = np.lexsort((-walls.rank, walls.distance))
        seen = [k for k in order.tolist() if self._uncovered(frame, walls, k)]
        jobs: list[tuple[float, float, int, Thing | None]] = [
            (float(walls.distance[k]), float(-walls.rank[k]), k, None) for k in seen
        ]
        for block in blocks:
            for thing in block.things:
                distance = float(np.hypot(*(thing.position - frame.position)))
                if 2.0 < distance < SIGHT * 0.6:
                    jobs.append((distance, 0.0, -1, thing))
        for distance, _, k, thing in sorted(jobs, key=lambda job: job[:3], reverse=True):
            if thing is None:
                self._wall(frame, walls, k, distance, weather)
            else:
                self._draw_thing(frame, thing, weather, distance)

    def _uncovered(self, frame: Frame, walls: Walls, k: int) -> bool:
        """Whether any of a rectangle can be seen past the nearer facades; a facade then covers what is behind it."""
        origin, across, up = walls.origin[k], walls.across[k], walls.up[k]
        ends = np.array([origin, origin + across])
        depth = ends[:, :2] @ frame.forward
        if depth.min() < NEAR:
            t = (NEAR - depth[0]) / (depth[1] - depth[0])
            ends[int(depth[1] < NEAR)] = origin + across * t
        feet = frame.project(ends)
        if feet[0, 0] > feet[1, 0]:
            return True  # a roof seen from its back side
        x0, x1 = max(0, math.floor(feet[0, 0])), min(frame.cols, math.ceil(feet[1, 0]) + 1)
        if x1 <= x0:
            return False
        tops = frame.project(ends + up)[:, 1]
        part = (np.arange(x0, x1) - feet[0, 0]) / max(feet[1, 0] - feet[0, 0], 1e-6)
        line = tops[0] + (tops[1] - tops[0]) * part.clip(0, 1)
        if (frame.covered[x0:x1] <= line).all():
            return False
        skin = walls.skins[k]
        if isinstance(skin, Facade) and origin[2] < -frame.view.height + 0.1:
            wall = frame.project(ends + up * (skin.wall / skin.height))[:, 1]
            line = wall[0] + (wall[1] - wall[0]) * part.clip(0, 1)
            frame.covered[x0:x1] = np.minimum(frame.covered[x0:x1], line)
        return True

    def _wall(self, frame: Frame, walls: Walls, k: int, distance: float, weather: Weather) -> None:
        origin, across, up, skin = walls.origin[k], walls.across[k], walls.up[k], walls.skins[k]
        normal = np.cross(across, up)
        normal /= np.linalg.norm(normal)
        sun = max(0.0, float(normal @ weather.towards_sun)) if any(weather.sun) else 0.0
        haze = self._haze(weather, distance)
        texture = self.store.get((skin,), lambda: self._paint(skin))
        if abs(up[0]) + abs(up[1]) > 1e-6:
            frame.tilted(texture, origin, across, up, sun, haze)
            return
        frame.wall(texture, origin, across, up, sun, haze)
        if sun and isinstance(skin, Facade):
            self._cast(frame, skin, origin, across, normal, weather, distance)

    def _paint(self, skin: Skin) -> Texture:
        if isinstance(skin, Plain):
            return paint_plain(skin, self.scale * 0.6, self.city.seed)
        return paint_facade(skin, self.scale)

    def _cast(
        self, frame: Frame, skin: Facade, origin: np.ndarray, across: np.ndarray, normal: np.ndarray, weather: Weather,
        distance: float,
    ) -> None:  # fmt: skip
        """The shadow of the houses over the street on the lower part of a facade."""
        sun = weather.towards_sun
        way = 15.0 / max(0.15, float(normal[:2] @ sun[:2]) / math.cos(math.radians(weather.elevation)))
        dice = Dice("roofs over the street", *skin.keys)
        shadow = min(dice.uniform(6, 17) - way * math.tan(math.radians(weather.elevation)), skin.wall)
        if shadow > 0.3:
            low = origin + np.array([*frame.position, frame.view.height])
            high = low + np.array([0, 0, shadow])
            frame.darken(np.array([low, low + across, high + across, high]), 0.0)

    def _street(
        self, frame: Frame, blocks: list[Block], segments: list[Segment], weather: Weather, dice: Dice
    ) -> list[np.ndarray]:
        """Draws trees, lamps, vehicles and people in the streets, far to near; returns the lamps in sight, (3,) each."""
        things: list[Thing | Vehicle | Walker] = []
        for segment in segments:
            ends = frame.relative(np.stack([segment.start, segment.end]))
            if np.hypot(ends[:, 0], ends[:, 1]).min() < 120:
                things += street_things(self.city, segment)
                things += parked(self.city, segment, weather)
        things += moving(self.city, frame, weather, dice)
        places = np.array([thing.position for thing in things]).reshape(-1, 2)
        distances = np.hypot(*(places - frame.position).T)
        opaque = [block.ground for block in blocks if block.kind != "park"]
        shown = np.flatnonzero(visible(frame, places, opaque) & (distances < 130))
        lamps = []
        for k in shown[np.argsort(-distances[shown], kind="stable")].tolist():
            thing = things[k]
            self._draw_thing(frame, thing, weather, float(distances[k]))
            if isinstance(thing, Thing) and thing.kind == "lamp":
                lamps.append(np.array([*thing.position, thing.size]))
        return lamps

    def _draw_thing(
        self, frame: Frame, thing: Thing | Vehicle | Walker, weather: Weather, distance: float
    ) -> None:
        haze, sun = self._haze(weather, distance), 0.6 if any(weather.sun) else 0.0
        if isinstance(thing, Vehicle):
            if distance > 3.2:
                paint_vehicle(frame, thing, sun, haze)
        elif isinstance(thing, Walker):
            if distance > 2.0:
                image, mask = person(thing.variant)
                frame.sprite(image, mask, thing.position, thing.height * 0.39, thing.height, sun, haze)
        elif thing.kind == "tree":
            if distance > 2.0:
                image, mask = tree(thing.variant, weather.season)
                frame.sprite(image, mask, thing.position, thing.size * 0.75, thing.size, sun, haze)
        elif distance > 2.5:
            paint_thing(frame, thing, sun, haze)
