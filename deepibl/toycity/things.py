"""What is in the streets of the toy city besides houses: trees, lamps, vehicles and people, as polygons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deepibl.toycity.camera import Camera
from deepibl.toycity.light import WARM, Weather, hazy
from deepibl.toycity.plan import ACCENTS, City, Segment

CIRCLE = np.stack([np.cos(np.linspace(0, 6.28, 10)), np.sin(np.linspace(0, 6.28, 10))], axis=1)
VEHICLES = ((4.4, 1.8, 1.5), (3.9, 1.7, 1.5), (5.4, 2.0, 2.4), (11.5, 2.5, 3.0))  # length, width, height
FAR = 90.0  # metres up to which things are drawn


@dataclass(frozen=True)
class Thing:
    """kind: tree, lamp, vehicle or person; place: UTM (2,); key: of its draws; heading: unit vector (2,)."""

    kind: str
    place: np.ndarray
    key: int
    heading: np.ndarray


def street_things(city: City, segment: Segment) -> Iterator[Thing]:
    """Trees and lamps of a segment; the same on every day."""
    draw, edge = city.dice("furniture", *segment.key), segment.road / 2 + 0.7
    leafy = draw.random() < 0.4
    for number, at in enumerate(np.arange(12, segment.length - 8, draw.uniform(22, 30))):
        yield Thing("lamp", segment.at(at, (-1) ** number * edge), 0, segment.along)
    for at in np.arange(17, segment.length - 9, draw.uniform(9, 16)) if leafy else ():
        for side in (-1, 1):
            spot = segment.at(at + draw.uniform(-1, 1), side * edge)
            if draw.random() < 0.7:
                yield Thing("tree", spot, int(draw.integers(1000)), segment.along)


def parked(city: City, segment: Segment, time: str, date: int) -> Iterator[Thing]:
    """The vehicles along both curbs of a segment on that date."""
    crowd = city.dice("parking", *segment.key).uniform(-0.2, 0.75)
    draw = city.dice("parked", time, date, *segment.key)
    for side in (-1, 1):
        for at in np.arange(16.0, segment.length - 15.0, 5.9):
            spot, key = segment.at(at, side * (segment.road / 2 - 1)), int(draw.integers(3000))
            if draw.random() < crowd:
                yield Thing("vehicle", spot, key, segment.along * side)


def passing(city: City, place: np.ndarray, draw: np.random.Generator) -> Iterator[Thing]:
    """Vehicles and people that happen to pass near a place."""
    segment, here = city.nearest_street(place)
    for _ in range(draw.integers(4)):
        side, key = draw.choice((-1, 1)), int(draw.integers(4000))
        spot = segment.at(here + draw.choice((-1, 1)) * draw.uniform(10, 55), side * segment.road * 0.15)
        yield Thing("vehicle", spot, key, segment.along * side)
    for _ in range(draw.integers(8)):
        at, side = here + draw.choice((-1, 1)) * draw.uniform(4, 45), draw.choice((-1, 1))
        spot = segment.at(at, side * (segment.half - draw.uniform(0.3, segment.walk - 0.2)))
        yield Thing("person", spot, int(draw.integers(1000)), segment.along)


def draw_thing(image: np.ndarray, camera: Camera, thing: Thing, weather: Weather) -> None:
    """Draws a thing that is before the camera, and that no house hides, on the light of a photo."""
    around = weather.ambient + 0.4 * weather.sun + 0.1 * WARM * weather.night
    depth = camera.project(thing.place, 0.0)[2]

    def pen(
        outline: Sequence[tuple[float, float]] | np.ndarray,
        colour: Sequence[float] | np.ndarray,
        foot: np.ndarray = thing.place,
        way: np.ndarray = camera.side,
    ) -> None:
        """Fills an outline, (n, 2) metres along `way` and up from `foot`."""
        along, up = np.array(outline, dtype=float).T
        pixels = camera.project(foot + along[:, None] * way, up)
        if pixels[:, 2].min() > 0.5:
            corners = np.rint(pixels[:, :2].clip(-30000, 30000)).astype(np.int32)
            cv2.fillPoly(image, [corners], hazy(np.array(colour) ** 2 * around, depth, weather).tolist())

    draw = np.random.default_rng(thing.key)
    if thing.kind == "lamp":
        pen([(-0.07, 0), (0.07, 0), (0.07, 6.3), (0.8, 6.3), (0.8, 6.5), (-0.07, 6.5)], (0.25, 0.25, 0.26))
    elif thing.kind == "tree":
        tall = draw.uniform(5.5, 9)
        pen([(-0.13, 0), (0.13, 0), (0.13, tall * 0.6), (-0.13, tall * 0.6)], (0.33, 0.27, 0.22))
        for _ in range(40):
            spot = draw.normal((0, 0.68 * tall), 0.13 * tall)
            pen(spot + draw.uniform(0.3, 0.7) * CIRCLE, np.array(weather.leaves) * draw.uniform(0.6, 1.3))
    elif thing.kind == "person":
        coat, legs = draw.choice(ACCENTS, 2)
        pen([(-0.16, 0), (0.16, 0), (0.1, 0.9), (-0.1, 0.9)], legs * 0.6)
        pen([(-0.2, 0.8), (0.2, 0.8), (0.17, 1.5), (-0.17, 1.5)], coat)
        pen((0, 1.62) + 0.13 * CIRCLE, (0.7, 0.55, 0.45))
    else:
        length, width, height = VEHICLES[thing.key // 1000]
        colour, body = draw.choice(ACCENTS), 0.95 if height < 2 else 1.2
        right, towards = np.array([thing.heading[1], -thing.heading[0]]), camera.position - thing.place
        sides = ((thing.heading, length, width), (right, width, length))
        for axis, deep, wide in sorted(sides, key=lambda side: abs(towards @ side[0]) < side[1] / 2):
            outward = axis * np.sign(towards @ axis)
            face = thing.place + outward * deep / 2, np.array([-outward[1], outward[0]])
            half, top = wide / 2, wide / 2 - (0.18 * wide if height < 2 else 0.02)
            cabin = [(half, body), (top, height), (-top, height), (-half, body)]
            pen([(-half, 0.25), (half, 0.25), *cabin], colour, *face)
            pen(np.array(cabin) * (0.9, 0.8) + (0, 0.18 * height), (0.17, 0.2, 0.23), *face)
            for side in (-1, 1):
                pen((side * 0.6 * half, 0.32) + 0.32 * CIRCLE, (0.09, 0.09, 0.1), *face)
