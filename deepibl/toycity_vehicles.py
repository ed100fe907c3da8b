"""Cars, vans, lorries and buses of the toy city: a side view drawn in metres, extruded to a solid."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deepibl.toycity_camera import NEAR, Frame
from deepibl.toycity_dice import Dice
from deepibl.toycity_surfaces import BUS_WINDOW, HEAD_LIGHT, TAIL_LIGHT, VEHICLE_GLASS, Colour, shade

Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class Model:
    """A kind of vehicle.

    Attributes:
        width: metres. outline: the side from the rear bottom over the roof to the front bottom, (x, z) metres, the
            front at larger x. glass: numbers of the outline's edges that are front and rear windows.
        windows: side windows, each an outline. wheels: x of the axles; radius of the wheels.
    """

    width: float
    outline: Outline
    glass: tuple[int, ...]
    windows: list[Outline]
    wheels: tuple[float, ...]
    radius: float = 0.33


def _row_of_windows(start: float, end: float, low: float, high: float, count: int) -> list[Outline]:
    edges = np.linspace(start, end, count + 1).tolist()
    return [
        [(a + 0.06, low), (a + 0.06, high), (b - 0.06, high), (b - 0.06, low)]
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]


MODELS = {
    "sedan": Model(
        1.8, [(0, 0.3), (0.0, 0.95), (0.7, 1.0), (1.25, 1.45), (2.7, 1.47), (3.35, 1.0), (4.4, 0.8), (4.5, 0.3)], (2, 4),
        [[(1.0, 0.98), (1.4, 1.38), (1.95, 1.4), (1.95, 0.98)], [(2.05, 0.98), (2.05, 1.4), (2.6, 1.4), (3.15, 0.98)]],
        (0.85, 3.6),
    ),
    "hatch": Model(
        1.72, [(0, 0.3), (0.0, 0.95), (0.35, 1.48), (2.3, 1.52), (3.0, 1.02), (3.85, 0.82), (3.95, 0.3)], (1, 3),
        [[(0.25, 1.0), (0.5, 1.4), (1.35, 1.44), (1.35, 1.0)], [(1.45, 1.0), (1.45, 1.44), (2.2, 1.44), (2.8, 1.0)]],
        (0.7, 3.15),
    ),
    "suv": Model(
        1.88, [(0, 0.4), (0.0, 1.1), (0.25, 1.72), (2.8, 1.76), (3.4, 1.2), (4.5, 1.05), (4.6, 0.4)], (1, 3),
        [[(0.2, 1.2), (0.4, 1.62), (1.6, 1.66), (1.6, 1.2)], [(1.7, 1.2), (1.7, 1.66), (2.7, 1.66), (3.2, 1.2)]],
        (0.85, 3.65), 0.38,
    ),
    "van": Model(
        2.0, [(0, 0.4), (0.0, 2.4), (4.0, 2.45), (4.7, 1.4), (5.3, 1.15), (5.4, 0.4)], (2,),
        [[(3.4, 1.35), (3.4, 2.1), (3.95, 2.1), (4.5, 1.35)]], (0.95, 4.4), 0.36,
    ),
    "lorry": Model(
        2.4, [(0, 0.6), (0.0, 3.5), (6.2, 3.5), (6.2, 2.6), (7.7, 2.6), (8.1, 1.5), (8.1, 0.5)], (4,),
        [[(6.6, 1.5), (6.6, 2.4), (7.5, 2.4), (7.8, 1.5)]], (1.5, 6.9), 0.48,
    ),
    "bus": Model(
        2.5, [(0, 0.35), (0.0, 3.05), (11.6, 3.05), (11.9, 1.1), (11.9, 0.35)], (0, 2),
        _row_of_windows(0.3, 11.4, 1.25, 2.5, 8), (2.6, 9.0), 0.48,
    ),
}  # fmt: skip
PAINTS: list[Colour] = [
    (226, 226, 224), (172, 174, 178), (112, 116, 120), (36, 36, 40), (24, 24, 28), (134, 28, 30), (36, 60, 106),
    (206, 204, 198), (80, 92, 84), (150, 132, 104), (190, 40, 40), (60, 110, 150), (212, 168, 40), (90, 30, 40),
]  # fmt: skip
BUS_PAINTS: list[Colour] = [(196, 40, 36), (220, 178, 40), (40, 100, 60), (60, 120, 180), (220, 220, 216)]
GLASS: Colour = (44, 50, 58)
FINE = 40.0  # metres up to which wheels, lights and windows are drawn


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in the street: `position` UTM (2,) of its middle, `heading` a unit vector (2,), `paint` its colour."""

    model: str
    position: np.ndarray
    heading: np.ndarray
    paint: Colour


@dataclass(frozen=True)
class Solid:
    """A model's faces, in drawing order for any camera that sees them.

    Attributes:
        points: (p, 3): metres forward of the middle, to the left, up. faces: first and last point of each face.
        normals: (f, 3), outward. colours: None where the vehicle's paint goes, times `tones`. labels: one a face.
        detail: True for faces that are left out far away.
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
    """The faces of a model: shadow, ends and top, then the two sides with windows and wheels."""
    model = MODELS[name]
    half, length = model.width / 2, max(x for x, _ in model.outline)
    glass_label = BUS_WINDOW if name == "bus" else VEHICLE_GLASS
    points: list[np.ndarray] = []
    rows: list[tuple[tuple[float, float, float], Colour | None, float, int, bool]] = []

    def add(side_view: Outline, sides: list[float], normal: tuple[float, float, float], colour: Colour | None,
            tone: float = 1.0, label: int = 0, detail: bool = False) -> None:  # fmt: skip
        points.append(np.array([(x - length / 2, y, z) for (x, z), y in zip(side_view, sides, strict=True)]))
        rows.append((normal, colour, tone, label, detail))

    base, reach = [(-0.1, 0.0), (length + 0.1, 0.0), (length + 0.1, 0.0), (-0.1, 0.0)], half + 0.1
    add(base, [-reach, -reach, reach, reach], (0, 0, 1), (22, 22, 24))
    last = len(model.outline) - 2
    for number in range(last + 1):
        a, b = model.outline[number], model.outline[number + 1]
        normal, tone = (a[1] - b[1], 0.0, b[0] - a[0]), 1.12 if abs(a[1] - b[1]) < 0.25 else 0.85
        across = [half, half, -half, -half]
        if number in model.glass:
            add([a, b, b, a], across, normal, GLASS, 1.0, glass_label)
        else:
            add([a, b, b, a], across, normal, None, tone)
        if number in (0, last):
            x, z = (-0.02 if number == 0 else length + 0.02), max(0.62, model.outline[0][1] + 0.3)
            colour: Colour = (150, 24, 24) if number == 0 else (222, 222, 210)
            label = TAIL_LIGHT if number == 0 else HEAD_LIGHT
            for s in (-1, 1):
                lamp, width = [(x, z), (x, z + 0.17), (x, z + 0.17), (x, z)], model.width * s
                add(lamp, [0.46 * width] * 2 + [0.3 * width] * 2, normal, colour, 1.0, label)
    for s in (-1.0, 1.0):
        _add_side(add, model, s * half, (0.0, s, 0.0), glass_label)
    ends = np.cumsum([0] + [len(p) for p in points]).tolist()
    return Solid(
        np.concatenate(points), list(zip(ends[:-1], ends[1:], strict=True)), np.array([row[0] for row in rows]),
        [row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows], np.array([row[4] for row in rows]),
    )  # fmt: skip


def _add_side(add, model: Model, y: float, normal: tuple[float, float, float], glass_label: int) -> None:  # type: ignore[no-untyped-def]
    """One side: upright strips, each of them convex, then windows and wheels."""
    bottom = model.outline[0][1]
    for (x0, z0), (x1, z1) in zip(model.outline[:-1], model.outline[1:], strict=True):
        if x1 > x0 + 1e-6:
            add([(x0, bottom), (x0, z0), (x1 + 0.02, z1), (x1 + 0.02, bottom)], [y] * 4, normal, None, 0.96)
    for window in model.windows:
        add(window, [y] * len(window), normal, GLASS, 1.0, glass_label, True)
    angles = np.linspace(0, 2 * np.pi, 11)[:-1]
    for axle in model.wheels:
        for radius, colour in ((model.radius, (24, 24, 26)), (model.radius * 0.55, (128, 130, 134))):
            circle = [(axle + radius * float(np.cos(t)), model.radius + radius * float(np.sin(t))) for t in angles]
            add(circle, [y * 1.01] * 10, normal, colour, 1.0, 0, radius < model.radius)


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
