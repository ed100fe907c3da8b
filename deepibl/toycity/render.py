"""A photo of the toy city: houses and ground ray by ray, then things from far to near, then the exposure."""

import cv2
import numpy as np

from deepibl.toycity.camera import Camera, View
from deepibl.toycity.light import WARM, Weather, expose, hazy, sky
from deepibl.toycity.plan import City, Segment
from deepibl.toycity.surfaces import HIGH, paint_ground, paint_house
from deepibl.toycity.things import FAR, draw_thing, parked, passing, street_things

SMALL = 240  # photos less wide are drawn twice as large, then reduced


def photo(city: City, view: View, weather: Weather, draw: np.random.Generator) -> np.ndarray:
    """A photo, (height, width, 3) uint8 RGB; `draw`: of passers-by, of clouds and of the camera's errors."""
    camera = Camera(view, 2 if view.size[0] < SMALL else 1)
    blocks = [city.block(*cell) for cell in city.around(camera.position, 2)]
    segments = [each for each in city.segments(camera.position, 2) if _near(camera, each)]
    things = [thing for segment in segments for thing in street_things(city, segment)]
    lamps = [thing.place for thing in things if thing.kind == "lamp"] if weather.night else []
    depth, colour, sun, shine = _surfaces(camera, np.concatenate(blocks), segments, weather)

    warm, ambient, sunlight = (each.astype(np.float32) for each in (WARM, weather.ambient, weather.sun))
    light = colour**2 * (ambient + _lamplight(camera, depth, lamps) * warm + sun[..., None] * sunlight)
    light += shine[..., None] * warm * (0.1 + colour)
    behind = sky(camera.up, len(camera.rays), weather, draw)
    light = np.where(np.isinf(depth)[..., None], behind, hazy(light, depth[..., None], weather))

    things += [car for segment in segments for car in parked(city, segment, weather.time, weather.date)]
    things += passing(city, camera.position, draw)
    horizon = depth[min(max(int(camera.middle[1]), 0), len(depth) - 1)]  # how far the houses are, by column
    at = camera.project(np.array([thing.place for thing in things]), 0.0)
    for k in np.argsort(-at[:, 2]):
        column, far = int(at[k, 0].clip(0, len(horizon) - 1)), float(at[k, 2])
        if 1.5 < far < min(FAR, horizon[column]):
            draw_thing(light, camera, things[k], weather)
    return expose(cv2.resize(light, view.size, interpolation=cv2.INTER_AREA), weather, draw)


def _surfaces(
    camera: Camera, houses: np.ndarray, segments: list[Segment], weather: Weather
) -> tuple[np.ndarray, ...]:
    """For each pixel: depth; colour, (…, 3); how much sun reaches it, 0 … 1; what it emits; float32."""
    houses = camera.before(houses)
    house, x, depth = camera.look(houses)
    colour, sun, shine = np.zeros((*depth.shape, 3), np.float32), *np.zeros((2, *depth.shape), np.float32)
    order = np.argsort(house, axis=None, kind="stable")
    ends = np.searchsorted(house.ravel()[order], np.arange(-1, len(houses)), side="right")
    level = float(np.hypot(*weather.towards[:2]))
    for k, one in enumerate(houses):
        where = np.unravel_index(order[ends[k] : ends[k + 1]], depth.shape)
        if where[0].size:
            z = camera.height + camera.up[where[0]] * depth[where]
            colour[where], shine[where] = paint_house(one, x[where], z, weather.date, weather.lit)
            (east, north), (a, b, _) = one["across"] / one["width"], weather.towards
            facing = max(a * -north + b * east, 0.0)
            shadow = HIGH - 15.0 / max(facing / level, 0.15) * weather.towards[2] / level  # of those opposite
            sun[where] = facing * (z > shadow)
    below = order[: ends[0]][np.isfinite(depth.ravel()[order[: ends[0]]])]
    where = np.unravel_index(below, depth.shape)
    points = camera.position + depth[where][:, None] * camera.rays[where[1]]
    colour[where], shaded = paint_ground(points, segments, weather.towards)
    sun[where] = ~shaded * weather.towards[2]
    return depth, colour, sun, shine


def _lamplight(camera: Camera, depth: np.ndarray, lamps: list[np.ndarray]) -> np.ndarray:
    """How bright street lamps at UTM (2,) make what is seen, (rows, columns, 1); coarse."""
    far = depth[::8, ::8].clip(max=1000)
    points, below = far[..., None] * camera.rays[::8], 6.4 - camera.height - camera.up[::8, None] * far
    light = np.zeros_like(far)
    for lamp in lamps:
        light += 0.3 / (1 + (((points - (lamp - camera.position)) ** 2).sum(2) + below**2) / 20)
    return cv2.resize(light, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)[..., None]


def _near(camera: Camera, segment: Segment) -> bool:
    """Whether some of a segment may be before the camera, and near enough."""
    ends = np.stack([segment.start, segment.end]) - camera.position
    return bool((ends @ camera.ahead).max() > -10 and np.hypot(*ends.T).min() < 130)
