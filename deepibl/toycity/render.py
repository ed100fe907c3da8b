"""Photos of the toy city: the streets before a camera, houses from near to far, then the rest."""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial

import cv2
import numpy as np

from deepibl.toycity.camera import Frame, View
from deepibl.toycity.dice import Dice
from deepibl.toycity.facades import ACCENTS, paint_facade
from deepibl.toycity.light import Weather, expose, radiance
from deepibl.toycity.paint import Colour, Texture
from deepibl.toycity.plan import Block, City, Facade, Segment, Thing
from deepibl.toycity.scenery import MODELS, WIDTHS, paint_street, picture, street_things, vehicle

SIGHT, STREETS, THINGS = 260.0, 170.0, 110.0  # metres up to which houses, streets and small things are drawn
TILE = 28.0  # metres of street that are warped at a time
MEAN_HEIGHT = 11.0  # metres: of the houses that cast a shadow
CACHE_BYTES = 256 * 2**20
BODIES: list[Colour] = [
    (226, 226, 224), (172, 174, 178), (112, 116, 120), (36, 36, 40), (134, 28, 30), (36, 60, 106),
    (80, 92, 84), (150, 132, 104), (60, 110, 150), (212, 168, 40),
]  # fmt: skip


class Renderer:
    """Takes photos of a city; textures are kept from one photo to the next.

    city: the city. width: of the photos in pixels; textures are painted as finely as that needs.
    """

    def __init__(self, city: City, width: int = 320) -> None:
        self.city, self.scale = city, 22.0 * width / 320
        self._limit, self._bytes = int(CACHE_BYTES * max(1.0, (width / 320) ** 1.5)), 0
        self._kept: OrderedDict[object, Texture] = OrderedDict()
        self._fixed = lru_cache(maxsize=512)(lambda *key: street_things(city, city.segment(*key)))

    def photo(self, view: View, weather: Weather, dice: Dice) -> np.ndarray:
        """A photo, (height, width, 3) uint8 RGB; `dice` draws the passers-by and the camera's errors."""
        frame = Frame(view)
        blocks = [self.city.block(*cell) for cell in self.city.around(frame.position, 3)]
        segments = [segment for segment in self.city.segments(frame.position, 2) if _ahead(frame, segment)]
        self._ground(frame, segments, blocks, weather)
        self._houses(frame, blocks, weather)
        lamps = self._things(frame, segments, blocks, weather, dice)
        return expose(frame.finish(radiance(frame, weather, lamps, self.city.seed)), weather, dice)

    def _texture(self, key: object, paint: Callable[[], Texture]) -> Texture:
        """The texture of that key; the least recently used are dropped when they take too much memory."""
        if key not in self._kept:
            made = self._kept[key] = paint()
            self._bytes += made.image.nbytes + made.labels.nbytes
            while self._bytes > self._limit and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._bytes -= old.image.nbytes + old.labels.nbytes
        self._kept.move_to_end(key)
        return self._kept[key]

    def _ground(self, frame: Frame, segments: list[Segment], blocks: list[Block], weather: Weather) -> None:
        """Streets (wide ones over narrow ones), lawns, and the shadows of the blocks."""
        sun = float(weather.towards[2]) if weather.sun.any() else 0.0
        frame.earth((112, 110, 106), sun)
        for segment in segments:  # sidewalk around the nodes
            corner = np.array([segment.along + segment.right, segment.right - segment.along])
            square = segment.start + np.concatenate([corner, -corner]) * (segment.half + 1.0)
            frame.polygon(square, (146, 142, 136))
        for block in blocks:
            if block.trees:
                frame.polygon(block.ground, (86, 104, 62))
        for segment in sorted(segments, key=lambda each: each.road):
            paint = partial(paint_street, self.city, segment, self.scale * 0.55)
            texture = self._texture(segment.key, paint)
            count = math.ceil(segment.length / TILE)
            columns = np.linspace(0, texture.labels.shape[1], count + 1).astype(int)
            for k in range(count):
                at = segment.length * columns[k : k + 2] / columns[-1]
                if np.hypot(*(segment.at(at.mean()) - frame.position)) < STREETS:
                    cut = partial(_columns, texture, columns[k], columns[k + 1])
                    tile = self._texture((segment.key, k), cut)
                    along, up = segment.along * (at[1] - at[0]), -segment.right * 2 * segment.half
                    frame.street(tile, segment.at(at[0], segment.half), along, up, sun)
        if sun:
            reach = min(MEAN_HEIGHT * float(np.hypot(*weather.towards[:2])) / sun, 60.0)
            shift = -weather.towards[:2] / np.hypot(*weather.towards[:2]) * reach
            for block in blocks:
                if block.facades:
                    outline = np.concatenate([block.ground, block.ground + shift]) - frame.position
                    frame.polygon(cv2.convexHull(outline.astype(np.float32))[:, 0] + frame.position, None)

    def _houses(self, frame: Frame, blocks: list[Block], weather: Weather) -> None:
        """Facades that face the camera, from near to far, with the shadow of the houses opposite."""
        facades = [facade for block in blocks for facade in block.facades]
        origin, across = (
            np.concatenate([getattr(block, name) for block in blocks]) for name in ("origin", "across")
        )
        outward = np.stack([across[:, 1], -across[:, 0]], axis=1) / np.hypot(*across.T)[:, None]
        ends = np.stack([origin, origin + across], axis=1) - frame.position
        distance, depth = np.hypot(*ends.mean(1).T), ends @ frame.forward
        shown = ((outward * ends[:, 0]).sum(1) < 0) & (depth.max(1) > 0) & (distance < SIGHT)
        for k in np.flatnonzero(shown)[np.argsort(distance[shown], kind="stable")].tolist():
            facade, towards = facades[k], weather.towards
            sun, shadow = max(0.0, float(outward[k] @ towards[:2])) if weather.sun.any() else 0.0, 0.0
            if sun:
                facing = max(0.15, sun / float(np.hypot(*towards[:2])))
                shadow = MEAN_HEIGHT - 15.0 / facing * float(towards[2] / np.hypot(*towards[:2]))
            frame.wall(
                origin[k], across[k], facade.height, sun, partial(self._facade, facade),
                eaves=facade.wall, shadow=max(0.0, min(shadow, facade.wall)),
            )  # fmt: skip

    def _facade(self, facade: Facade, pixels: float) -> Texture:
        scale = self.scale if pixels > 0.45 * self.scale else self.scale / 2
        return self._texture((facade, scale), lambda: paint_facade(facade, scale))

    def _things(
        self, frame: Frame, segments: list[Segment], blocks: list[Block], weather: Weather, dice: Dice
    ) -> list[np.ndarray]:
        """Draws trees, lamps, signs, people and vehicles; returns the lamps' heads, relative, (3,) each."""
        things, sun = [tree for block in blocks for tree in block.trees], 0.6 if weather.sun.any() else 0.0
        for segment in segments:
            things += self._fixed(*segment.key)
            self._parked(frame, segment, weather)
        things += self._passing(frame, weather, dice)
        lamps = []
        for thing in things:
            around = thing.position - frame.position
            if 2.0 < around @ frame.forward < THINGS:
                texture = picture(thing.kind, thing.variant, weather.season)
                across = frame.right * thing.height * WIDTHS[thing.kind]
                frame.wall(thing.position - across / 2, across, thing.height, sun, texture)
                if thing.kind == "lamp":
                    lamps.append(np.array([*around, thing.height - frame.view.height]))
        return lamps

    def _parked(self, frame: Frame, segment: Segment, weather: Weather) -> None:
        """The cars along both curbs of a segment on that date."""
        crowd = self.city.dice("parking", *segment.key).uniform(-0.2, 0.75)
        dice = self.city.dice("parked", weather.time, weather.date, *segment.key)
        for side in (-1, 1):
            for at in np.arange(16.0, segment.length - 15.0, 5.9):
                if dice.chance(crowd):
                    spot = segment.at(at + dice.uniform(-0.4, 0.4), side * (segment.road / 2 - 1.0))
                    model = dice.pick(("car", "car", "hatch", "van"))
                    self._vehicle(frame, spot, segment.along * side, model, dice)

    def _passing(self, frame: Frame, weather: Weather, dice: Dice) -> list[Thing]:
        """Draws cars and buses that happen to pass; returns people."""
        segment, here = self.city.nearest_street(frame.position)
        crowd, people = {"day": 1.0, "sunset": 0.9, "night": 0.5}[weather.time], []
        for _ in range(dice.whole(0, 3)):
            at, side = here + dice.pick((-1, 1)) * dice.uniform(8, 55), dice.pick((-1, 1))
            model = dice.pick(("car", "hatch", "van", "bus"))
            if 4 < at < segment.length - 4 and dice.chance(crowd):
                spot = segment.at(at, side * segment.road * 0.15)
                self._vehicle(frame, spot, segment.along * side, model, dice)
        for _ in range(dice.whole(0, 9)):
            at = here + dice.pick((-1, 1)) * dice.uniform(3, 45)
            offset = dice.pick((-1, 1)) * (segment.half - dice.uniform(0.3, segment.walk - 0.2))
            if -10 < at < segment.length + 10 and dice.chance(crowd):
                person = Thing("person", segment.at(at, offset), dice.uniform(1.55, 1.92), dice.whole(0, 47))
                people.append(person)
        return people

    def _vehicle(self, frame: Frame, middle: np.ndarray, heading: np.ndarray, model: str, dice: Dice) -> None:
        """Draws the side and the end of a vehicle that the camera sees; heading: unit vector (2,)."""
        length, width, _, height, *_ = MODELS[model]
        paint, towards = dice.pick(ACCENTS if model == "bus" else BODIES), frame.position - middle
        if not 3.5 < np.hypot(*towards) < THINGS or -towards @ frame.forward < 0:
            return
        right, sun = np.array([heading[1], -heading[0]]), 0.6 if frame.sun.any() else 0.0
        front, side = float(towards @ heading) > 0, float(towards @ right) > 0
        for name, outward, half, reach in (
            ("right" if side else "left", right if side else -right, width / 2, length),
            ("front" if front else "rear", heading if front else -heading, length / 2 - 0.2, width),
        ):
            across = np.array([-outward[1], outward[0]]) * reach  # to the right, seen from outside
            origin = middle + outward * half - across / 2
            frame.wall(origin, across, height, sun, vehicle(model, paint, name))


def _columns(texture: Texture, first: int, last: int) -> Texture:
    return Texture(
        np.ascontiguousarray(texture.image[:, first:last]),
        np.ascontiguousarray(texture.labels[:, first:last]),
    )


def _ahead(frame: Frame, segment: Segment) -> bool:
    """Whether some of a segment may be before the camera, in its field of view and near enough."""
    around = np.stack([segment.start, segment.end]) - frame.position
    depth, side = around @ frame.forward, np.abs(around @ frame.right)
    near = float(np.hypot(*around.T).min())
    wide = near < 100 or (side < depth.clip(0) * 1.1 + 30).any()
    return bool(wide and depth.max() > -10 and near < STREETS)
