"""Cars, vans, lorries and buses of the toy city: a side view drawn in metres, extruded to a solid."""

from dataclasses import dataclass

import numpy as np

from deepibl.toycity_camera import NEAR, Frame
from deepibl.toycity_dice import Dice
from deepibl.toycity_surfaces import BUS_WINDOW, HEAD_LIGHT, TAIL_LIGHT, VEHICLE_GLASS, Colour, shade

Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class Model:
    """A kind of vehicle.

    Attributes:
        width: metres. outline: the side from the rear bottom over the roof to the front bottom, (x, z) metres, front at
            larger x. glass: numbers of the outline's edges that are front and rear windows.
        windows: side windows, each an outline. wheels: x of the axles; radius of the wheels.
    """

    width: float
    outline: Outline
    glass: tuple[int, ...]
    windows: list[Outline]
    wheels: tuple[float, ...]
    radius: float = 0.33


def _row_of_windows(start: float, end: float, low: float, high: float, count: int) -> list[Outline]:
    edges = np.linspace(start, end, count + 1)
    return [
        [(a + 0.06, low), (a + 0.06, high), (b - 0.06, high), (b - 0.06, low)]
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
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


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in the street: `position` UTM (2,) of its middle, compass `heading` as unit vector (2,)."""

    model: str
    position: np.ndarray
    heading: np.ndarray
    paint: Colour


def draw_vehicle(kind_dice: Dice, position: np.ndarray, heading: np.ndarray, large: float = 0.15) -> Vehicle:
    """A random vehicle at a place; `large` is the chance of a van, lorry or bus."""
    if kind_dice.chance(large):
        model = kind_dice.pick(("van", "van", "lorry", "bus", "bus"))
    else:
        model = kind_dice.pick(("sedan", "hatch", "hatch", "suv", "sedan"))
    return Vehicle(model, position, heading, kind_dice.pick(BUS_PAINTS if model == "bus" else PAINTS))


def paint_vehicle(frame: Frame, vehicle: Vehicle, sun: float, haze: float) -> None:
    """Draws a vehicle with its shadow, far faces first."""
    model = MODELS[vehicle.model]
    length = max(x for x, _ in model.outline)
    along = vehicle.heading
    left = np.array([-along[1], along[0]])

    def place(points: Outline, side: float) -> np.ndarray:
        """Side-view points at `side` metres to the left of the middle, as world points (k, 3)."""
        flat = np.array(points)
        ground = vehicle.position + (flat[:, :1] - length / 2) * along + side * left
        return np.concatenate([ground, flat[:, 1:]], axis=1)

    middle = frame.relative(vehicle.position)
    if float(middle[:2] @ frame.forward) < NEAR + length * 0.4:
        return
    half = model.width / 2
    shadow = [place([(-0.1, 0), (length + 0.1, 0)], side * (half + 0.1)) for side in (-1, 1)]
    base = np.concatenate([shadow[0], shadow[1][::-1]])
    frame.polygon(base, (22, 22, 24), 0, 0.3 * sun, haze)
    facing_left = float(-middle[:2] @ left) > 0
    near = half if facing_left else -half
    for number in _visible_edges(model, vehicle, frame, length):
        a, b = model.outline[number], model.outline[number + 1]
        face = np.concatenate([place([a, b], half), place([b, a], -half)])
        glass = number in model.glass
        tone = 1.12 if abs(a[1] - b[1]) < 0.25 else 0.85
        label = (BUS_WINDOW if vehicle.model == "bus" else VEHICLE_GLASS) if glass else 0
        frame.polygon(face, GLASS if glass else shade(vehicle.paint, tone), label, sun * tone / 1.2, haze)
        if number in (0, len(model.outline) - 2):
            _lights(frame, model, number, place, sun, haze)
    tone = 1.0 if facing_left else 0.9
    if vehicle.model == "sedan" or len(model.outline) > 5:  # not convex: lower body first, then the cabin
        _side(frame, model, place, near, shade(vehicle.paint, tone), sun, haze)
    else:
        frame.polygon(place(model.outline, near), shade(vehicle.paint, tone), 0, sun * 0.7, haze)
    for window in model.windows:
        label = BUS_WINDOW if vehicle.model == "bus" else VEHICLE_GLASS
        frame.polygon(place(window, near), GLASS, label, sun, haze)
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    for axle in model.wheels:
        for radius, colour in ((model.radius, (24, 24, 26)), (model.radius * 0.55, (128, 130, 134))):
            circle = [(axle + radius * float(np.cos(t)), model.radius + radius * float(np.sin(t))) for t in angles]
            frame.polygon(place(circle, near * 1.01), colour, 0, sun * 0.6, haze)


def _visible_edges(model: Model, vehicle: Vehicle, frame: Frame, length: float) -> list[int]:
    """Numbers of the outline's edges whose faces are turned to the camera, far ones first."""
    camera = np.array([*frame.position, frame.view.height])
    origin = np.array([*vehicle.position, 0.0])
    seen = []
    for number in range(len(model.outline) - 1):
        (x0, z0), (x1, z1) = model.outline[number], model.outline[number + 1]
        middle = origin + np.array([*(vehicle.heading * ((x0 + x1) / 2 - length / 2)), (z0 + z1) / 2])
        normal = np.array([*(vehicle.heading * -(z1 - z0)), x1 - x0])
        if float((camera - middle) @ normal) > 0:
            seen.append((-float(np.linalg.norm(camera - middle)), number))
    return [number for _, number in sorted(seen)]


def _side(frame: Frame, model: Model, place, near: float, colour: Colour, sun: float, haze: float) -> None:  # type: ignore[no-untyped-def]
    """The side of a vehicle as upright strips, each of them convex."""
    top, bottom = model.outline, model.outline[0][1]
    for (x0, z0), (x1, z1) in zip(top[:-1], top[1:], strict=True):
        if x1 > x0 + 1e-6:
            strip = [(x0, bottom), (x0, z0), (x1 + 0.02, z1), (x1 + 0.02, bottom)]
            frame.polygon(place(strip, near), colour, 0, sun * 0.7, haze)


def _lights(frame: Frame, model: Model, number: int, place, sun: float, haze: float) -> None:  # type: ignore[no-untyped-def]
    """Two lamps on the rear (first edge) or the front (last edge)."""
    front = number != 0
    x = model.outline[-1][0] + 0.02 if front else -0.02
    z = max(0.62, model.outline[0][1] + 0.3)
    colour: Colour = (222, 222, 210) if front else (150, 24, 24)
    for side in (-1, 1):
        a, b = side * model.width * 0.46, side * model.width * 0.3
        face = np.concatenate([place([(x, z), (x, z + 0.17)], a), place([(x, z + 0.17), (x, z)], b)])
        frame.polygon(face, colour, HEAD_LIGHT if front else TAIL_LIGHT, sun * 0.5, haze)
