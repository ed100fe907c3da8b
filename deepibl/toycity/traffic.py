"""Traffic of the toy city: parked cars of a date, and passing cars, buses and people of a photo.

A car, van, lorry or bus is a side view drawn in metres, extruded to a solid.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from deepibl.toycity.camera import NEAR, Frame
from deepibl.toycity.places import Weather
from deepibl.toycity.plan import Block, City, Segment
from deepibl.toycity.styles import Dice
from deepibl.toycity.surfaces import BUS_WINDOW, HEAD_LIGHT, TAIL_LIGHT, VEHICLE_GLASS, Colour, shade

Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class Model:
    """A kind of vehicle.

    width: metres.
    outline: the side view from the rear bottom over the roof to the front bottom, (x, z) in metres, the
        front at larger x.
    glass: numbers of the outline's edges that are front and rear windows.
    windows: side windows, each an outline. wheels: x of the axles; radius: of the wheels.
    """

    width: float
    outline: Outline
    glass: tuple[int, ...]
    windows: list[Outline]
    wheels: tuple[float, ...]
    radius: float = 0.33


def _row_of_windows(start: float, end: float, low: float, high: float, count: int) -> list[Outline]:
    edges = [(a + 0.06, b - 0.06) for a, b in pairwise(np.linspace(start, end, count + 1).tolist())]
    return [[(a, low), (a, high), (b, high), (b, low)] for a, b in edges]


MODELS = {
    "sedan": Model(
        1.8,
        [(0, 0.3), (0, 0.95), (0.7, 1), (1.25, 1.45), (2.7, 1.47), (3.35, 1), (4.4, 0.8), (4.5, 0.3)], (2, 4),
        [[(1, 0.98), (1.4, 1.38), (1.95, 1.4), (1.95, 0.98)],
         [(2.05, 0.98), (2.05, 1.4), (2.6, 1.4), (3.15, 0.98)]], (0.85, 3.6),
    ),
    "hatch": Model(
        1.72, [(0, 0.3), (0, 0.95), (0.35, 1.48), (2.3, 1.52), (3, 1.02), (3.85, 0.82), (3.95, 0.3)], (1, 3),
        [[(0.25, 1), (0.5, 1.4), (1.35, 1.44), (1.35, 1)],
         [(1.45, 1), (1.45, 1.44), (2.2, 1.44), (2.8, 1)]], (0.7, 3.15),
    ),
    "suv": Model(
        1.88, [(0, 0.4), (0, 1.1), (0.25, 1.72), (2.8, 1.76), (3.4, 1.2), (4.5, 1.05), (4.6, 0.4)], (1, 3),
        [[(0.2, 1.2), (0.4, 1.62), (1.6, 1.66), (1.6, 1.2)],
         [(1.7, 1.2), (1.7, 1.66), (2.7, 1.66), (3.2, 1.2)]], (0.85, 3.65), 0.38,
    ),
    "van": Model(
        2.0, [(0, 0.4), (0, 2.4), (4, 2.45), (4.7, 1.4), (5.3, 1.15), (5.4, 0.4)], (2,),
        [[(3.4, 1.35), (3.4, 2.1), (3.95, 2.1), (4.5, 1.35)]], (0.95, 4.4), 0.36,
    ),
    "lorry": Model(
        2.4, [(0, 0.6), (0, 3.5), (6.2, 3.5), (6.2, 2.6), (7.7, 2.6), (8.1, 1.5), (8.1, 0.5)], (4,),
        [[(6.6, 1.5), (6.6, 2.4), (7.5, 2.4), (7.8, 1.5)]], (1.5, 6.9), 0.48,
    ),
    "bus": Model(
        2.5, [(0, 0.35), (0, 3.05), (11.6, 3.05), (11.9, 1.1), (11.9, 0.35)], (0, 2),
        _row_of_windows(0.3, 11.4, 1.25, 2.5, 8), (2.6, 9.0), 0.48,
    ),
}  # fmt: skip

PAINTS: list[Colour] = [
    (226, 226, 224), (172, 174, 178), (112, 116, 120), (36, 36, 40), (24, 24, 28), (134, 28, 30),
    (36, 60, 106), (206, 204, 198), (80, 92, 84), (150, 132, 104), (190, 40, 40), (60, 110, 150),
    (212, 168, 40), (90, 30, 40),
]  # fmt: skip

BUS_PAINTS: list[Colour] = [(196, 40, 36), (220, 178, 40), (40, 100, 60), (60, 120, 180), (220, 220, 216)]
GLASS: Colour = (44, 50, 58)
FINE = 40.0  # metres up to which wheels, lights and windows are drawn


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in the street: UTM `position` (2,) of its middle, `heading` a unit vector (2,), `paint`."""

    model: str
    position: np.ndarray
    heading: np.ndarray
    paint: Colour


@dataclass(frozen=True)
class Solid:
    """A model's faces, in drawing order for any camera that sees them.

    points: (p, 3): metres forward of the middle, to the left, up.
    faces: first and last point of each face; normals: (f, 3), outward.
    colours: one a face, None where the vehicle's paint goes; both are multiplied by `tones`.
    labels: one a face. detail: True for faces that are left out far away.
    """

    points: np.ndarray
    faces: list[tuple[int, int]]
    normals: np.ndarray
    colours: list[Colour | None]
    tones: list[float]
    labels: list[int]
    detail: np.ndarray


@lru_cache(maxsize=16)
def solid(name: str) -> Solid:
    """The faces of a model (a key of `MODELS`): shadow, ends and top, then the sides."""
    model = MODELS[name]
    outline, half, length = model.outline, model.width / 2, max(x for x, _ in model.outline)
    glass_label = BUS_WINDOW if name == "bus" else VEHICLE_GLASS
    points: list[np.ndarray] = []
    normals: list[tuple[float, float, float]] = []
    paints: list[tuple[Colour | None, float, int, bool]] = []

    def add(
        side_view: Outline, across: list[float], normal: tuple[float, float, float],
        colour: Colour | None, tone: float = 1.0, label: int = 0, detail: bool = False,
    ) -> None:  # fmt: skip
        """Adds a face by its corners in the side view and how far to the left each is."""
        corners = zip(side_view, across, strict=True)
        points.append(np.array([(x - length / 2, y, z) for (x, z), y in corners]))
        normals.append(normal)
        paints.append((colour, tone, label, detail))

    reach, last = half + 0.1, len(outline) - 2
    base = [(-0.1, 0.0), (length + 0.1, 0.0), (length + 0.1, 0.0), (-0.1, 0.0)]
    add(base, [-reach, -reach, reach, reach], (0, 0, 1), (22, 22, 24))
    for number, (a, b) in enumerate(pairwise(outline)):
        normal, across = (a[1] - b[1], 0.0, b[0] - a[0]), [half, half, -half, -half]
        if number in model.glass:
            add([a, b, b, a], across, normal, GLASS, 1.0, glass_label)
        else:
            add([a, b, b, a], across, normal, None, 1.12 if abs(a[1] - b[1]) < 0.25 else 0.85)
        if number in (0, last):  # lights at the rear and at the front
            x, way = (length + 0.02, 1.0) if number == last else (-0.02, -1.0)
            colour: Colour = (222, 222, 210) if number == last else (150, 24, 24)
            z = max(0.62, outline[0][1] + 0.3)
            for width in (-model.width, model.width):
                lamp = [(x, z), (x, z + 0.17), (x, z + 0.17), (x, z)]
                label = HEAD_LIGHT if number == last else TAIL_LIGHT
                add(lamp, [0.46 * width] * 2 + [0.3 * width] * 2, (way, 0.0, 0.0), colour, 1.0, label)
    bottom, radius = outline[0][1], model.radius
    for y, normal in ((-half, (0.0, -1.0, 0.0)), (half, (0.0, 1.0, 0.0))):
        for (x0, z0), (x1, z1) in pairwise(outline):  # upright strips, each of them convex
            if x1 > x0 + 1e-6:
                strip = [(x0, bottom), (x0, z0), (x1 + 0.02, z1), (x1 + 0.02, bottom)]
                add(strip, [y] * 4, normal, None, 0.96)
        for window in model.windows:
            add(window, [y] * len(window), normal, GLASS, 1.0, glass_label, True)
        angles = np.linspace(0, 2 * np.pi, 11)[:-1].tolist()
        for axle in model.wheels:
            for size, rubber in ((radius, (24, 24, 26)), (radius * 0.55, (128, 130, 134))):
                circle = [(axle + size * math.cos(t), radius + size * math.sin(t)) for t in angles]
                add(circle, [y * 1.01] * 10, normal, rubber, 1.0, 0, size < radius)
    ends = np.cumsum([0] + [len(p) for p in points]).tolist()
    colours, tones, labels, detail = (list(column) for column in zip(*paints, strict=True))
    faces = list(pairwise(ends))
    return Solid(np.concatenate(points), faces, np.array(normals), colours, tones, labels, np.array(detail))


def draw_vehicle(dice: Dice, position: np.ndarray, heading: np.ndarray, large: float = 0.15) -> Vehicle:
    """A random vehicle at a place; `large` is the chance of a van, lorry or bus."""
    if dice.chance(large):
        model = dice.pick(("van", "van", "lorry", "bus", "bus"))
    else:
        model = dice.pick(("sedan", "hatch", "hatch", "suv", "sedan"))
    return Vehicle(model, position, heading, dice.pick(BUS_PAINTS if model == "bus" else PAINTS))


def paint_vehicle(frame: Frame, vehicle: Vehicle, sun: float, haze: float) -> None:
    """Draws a vehicle with its shadow; `sun` and `haze` are 0 … 1."""
    shape = solid(vehicle.model)
    along = vehicle.heading
    axes = np.array([[*along, 0.0], [-along[1], along[0], 0.0], [0.0, 0.0, 1.0]])
    around = shape.points @ axes + frame.relative(vehicle.position)
    pixels = frame.project(around)
    first = [start for start, _ in shape.faces]
    facing = ((shape.normals @ axes) * around[first]).sum(1) < 0
    if float(np.hypot(around[0, 0], around[0, 1])) > FINE:
        facing &= ~shape.detail
    corners = np.clip(np.rint(pixels[:, :2]), -30000, 30000).astype(np.int32)
    nearest = np.minimum.reduceat(pixels[:, 2], first).tolist()
    light, veil = round(255 * sun), round(255 * haze)
    for k in np.flatnonzero(facing).tolist():
        a, b = shape.faces[k]
        if nearest[k] > NEAR:
            own = shape.colours[k]
            colour = shade(vehicle.paint if own is None else own, shape.tones[k])
            frame.fill(corners[a:b], colour, shape.labels[k], light if k else light // 3, veil)


@dataclass(frozen=True)
class Walker:
    """Somebody on foot: UTM `position` (2,), `variant` of the picture, `height` in metres."""

    position: np.ndarray
    variant: int
    height: float


def parked(city: City, segment: Segment, weather: Weather) -> list[Vehicle]:
    """The cars along both curbs of a segment on that date."""
    habit = city.dice("parking", *segment.key)
    if habit.chance(0.25):
        return []
    crowd = habit.uniform(0.15, 0.75) * (0.8 if weather.time == "night" else 1.0)
    dice = city.dice("parked", weather.time, weather.date, *segment.key)
    cars = []
    for side in (-1, 1):
        for at in np.arange(16.0, segment.length - 15.0, 5.9):
            if dice.chance(crowd):
                spot = segment.at(at + dice.uniform(-0.4, 0.4), side * (segment.road / 2 - 1.0))
                way = segment.along * (side if dice.chance(0.9) else -side)
                cars.append(draw_vehicle(dice, spot, way, 0.06))
    return [car for car in cars if car.model not in ("bus", "lorry")]


def moving(city: City, frame: Frame, weather: Weather, dice: Dice) -> list[Vehicle | Walker]:
    """Cars, buses and people that happen to pass while the photo is taken."""
    segment, here = city.nearest_street(frame.position)
    crowd = {"day": 1.0, "sunset": 0.9, "night": 0.5}[weather.time]
    things: list[Vehicle | Walker] = []
    for _ in range(dice.whole(0, 3)):
        at = here + dice.pick((-1, 1)) * dice.uniform(5, 55)
        side = dice.pick((-1, 1))
        if 4 < at < segment.length - 4 and dice.chance(crowd):
            lane = segment.at(at, side * segment.road * (0.13 if segment.kind != "avenue" else 0.2))
            things.append(draw_vehicle(dice, lane, segment.along * side, 0.28))
    for _ in range(dice.whole(0, 9)):
        at = here + dice.pick((-1, 1)) * (dice.uniform(3, 45))
        offset = dice.pick((-1, 1)) * (segment.half - dice.uniform(0.3, segment.walk - 0.2))
        if dice.chance(0.08):
            offset = dice.uniform(-segment.road / 2, segment.road / 2)
        if -10 < at < segment.length + 10 and dice.chance(crowd):
            things.append(Walker(segment.at(at, offset), dice.whole(0, 47), dice.uniform(1.55, 1.92)))
    return things


def visible(frame: Frame, places: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Which places (n, 2) can be seen past the blocks (b, 4, 2), given by their corners; (n,) bool."""
    way = places - frame.position
    seen = way @ frame.forward > 0
    if not len(places) or not len(blocks):
        return seen
    corners = blocks - frame.position
    low = np.zeros((len(places), len(blocks)))
    high = np.ones_like(low)
    for k in range(4):  # cut each sight line with the four sides of each block
        side = corners[:, (k + 1) % 4] - corners[:, k]
        # positive: the camera is inside
        start = side[:, 1] * corners[:, k, 0] - side[:, 0] * corners[:, k, 1]
        change = way[:, 1:] * side[:, 0] - way[:, :1] * side[:, 1]
        crossing = -start / np.where(change == 0, 1e-30, change)
        np.copyto(low, np.maximum(low, crossing), where=change >= 0)
        np.copyto(high, np.minimum(high, crossing), where=change < 0)
    return seen & ~(high - low > 1e-3).any(1)


def hiding(frame: Frame, blocks: list[Block]) -> np.ndarray:
    """The corners (b, 4, 2) of the blocks before the camera that one cannot see through."""
    ground = np.stack([block.ground for block in blocks if block.kind != "park"])
    ahead = ((ground - frame.position) @ frame.forward).max(1) > 0
    return ground[ahead]
