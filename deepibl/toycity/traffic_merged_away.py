"""What comes and goes in the toy city: parked cars of a date, passing cars, buses and people of a photo."""

from dataclasses import dataclass

import numpy as np

from deepibl.toycity.blocks import Block
from deepibl.toycity.camera import Frame
from deepibl.toycity.dice import Dice
from deepibl.toycity.plan import City, Segment
from deepibl.toycity.vehicles import Vehicle, draw_vehicle
from deepibl.toycity.weather import Weather


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
    seen = (places - frame.position) @ frame.forward > 0
    if not len(places) or not len(blocks):
        return seen
    way = places - frame.position
    corners = blocks - frame.position
    low = np.zeros((len(places), len(blocks)))
    high = np.ones_like(low)
    for k in range(4):  # cut each sight line with the four sides of each block
        side = corners[:, (k + 1) % 4] - corners[:, k]
        start = (
            side[:, 1] * corners[:, k, 0] - side[:, 0] * corners[:, k, 1]
        )  # positive: the camera is inside
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
