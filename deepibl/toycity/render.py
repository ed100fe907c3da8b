"""Photos of the toy city: what stands around a camera is gathered, sorted, culled and drawn, then lit and
exposed.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from deepibl.toycity.blocks import Block, Plain, Skin, Thing
from deepibl.toycity.camera import Frame, View
from deepibl.toycity.dice import Dice
from deepibl.toycity.facades import paint_facade
from deepibl.toycity.ground import draw_ground
from deepibl.toycity.nature import person, tree
from deepibl.toycity.plan import City, Segment
from deepibl.toycity.streets import paint_street, street_things
from deepibl.toycity.surfaces import Texture, paint_plain
from deepibl.toycity.things import paint_thing
from deepibl.toycity.traffic import Walker, hiding, moving, parked, visible
from deepibl.toycity.vehicles import Vehicle, paint_vehicle
from deepibl.toycity.walls import SIGHT, draw_wall, gather, uncovered
from deepibl.toycity.weather import Weather, expose, radiance

CACHE_BYTES = 256 * 2**20
THINGS_SEEN = 120.0  # metres; nothing smaller than a house is drawn further away


class TextureStore:
    """Textures by what they show, those not used for longest dropped when they take too much memory."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._kept: OrderedDict[object, Texture] = OrderedDict()

    def get(self, key: object, make: Callable[[], Texture]) -> Texture:
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
        self._fixed = lru_cache(maxsize=512)(lambda key: street_things(city, city.segment(*key)))
        self._parked = lru_cache(maxsize=512)(lambda key, weather: parked(city, city.segment(*key), weather))

    def photo(self, view: View, weather: Weather, dice: Dice) -> np.ndarray:
        """A photo, (height, width, 3) uint8 RGB; `dice` decides what passes by and how the camera errs."""
        frame = Frame(view)
        blocks = self.city.blocks_near(frame.position, 3)
        segments = _ahead(frame, *self.city.segments_near(frame.position, 3))
        opaque = hiding(frame, blocks)
        draw_ground(frame, blocks, segments, opaque, weather, self._street_texture)
        self._houses(frame, blocks, opaque, weather)
        lamps = self._street(frame, segments, opaque, weather, dice)
        light = radiance(frame, weather, lamps, self.city.seed)
        return expose(frame.finish(light), weather, dice)

    def _street_texture(self, segment: Segment) -> Texture:
        return self.store.get(segment.key, lambda: paint_street(self.city, segment, self.scale * 0.55))

    def _wall_texture(self, skin: Skin, pixels: float) -> Texture:
        """What is on a rectangle; half as fine where it is seen with few pixels a metre."""
        if isinstance(skin, Plain):
            return self.store.get(skin, lambda: paint_plain(skin, self.scale * 0.6, self.city.seed))
        scale = self.scale if pixels > 0.45 * self.scale else self.scale / 2
        return self.store.get((skin, scale), lambda: paint_facade(skin, scale))

    def _houses(self, frame: Frame, blocks: list[Block], opaque: np.ndarray, weather: Weather) -> None:
        """Draws houses, roofs, hedges, and the trees of gardens and parks, far to near, the hidden ones
        left out.
        """
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
                draw_wall(frame, walls, -minus_k, weather, weather.veil(distance), self._wall_texture)
            else:
                self._draw_thing(frame, thing, weather, distance)

    def _street(
        self, frame: Frame, segments: list[Segment], opaque: np.ndarray, weather: Weather, dice: Dice
    ) -> list[np.ndarray]:
        """Draws trees, lamps, vehicles and people in the streets, far to near; returns the lamps in sight,
        (3,) each.
        """
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
            self._draw_thing(frame, thing, weather, float(distances[k]))
            if isinstance(thing, Thing) and thing.kind == "lamp":
                lamps.append(np.array([*thing.position, thing.size]))
        return lamps

    def _draw_thing(
        self, frame: Frame, thing: Thing | Vehicle | Walker, weather: Weather, distance: float
    ) -> None:
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
                picture = tree(thing.variant, weather.season)
                frame.sprite(picture, thing.position, (thing.size * 0.75, thing.size), (sun, haze))
        elif distance > 2.5:
            paint_thing(frame, thing, sun, haze)


def _ahead(frame: Frame, segments: list[Segment], ends: np.ndarray) -> list[Segment]:
    """The segments, with their ends (n, 2, 2), of which some part may be before the camera and within
    sight.
    """
    around = ends - frame.position
    depth, side = around @ frame.forward, np.abs(around @ frame.right)
    near = np.hypot(around[..., 0], around[..., 1]).min(1) < 120
    seen = (depth.max(1) > -10) & (depth.min(1) < SIGHT) & ((side < depth.clip(0) * 1.1 + 30).any(1) | near)
    return [segments[k] for k in np.flatnonzero(seen).tolist()]
