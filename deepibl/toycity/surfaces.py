"""Colours of the toy city's houses and streets, computed at the points that are seen; no textures are kept.

Colours are RGB, 0 to 1. Each is a function of where a point is on its house or street.
"""

import numpy as np

from deepibl.toycity.dice import noise
from deepibl.toycity.plan import ACCENTS, Segment

GLASS = np.array([0.19, 0.23, 0.28], np.float32)
DARK, WHITE = (0.14, 0.14, 0.15), (0.82, 0.80, 0.76)
HIGH = 11.0  # metres: of the houses that cast a shadow
Colour = np.ndarray | tuple[float, float, float]


def paint_house(
    house: np.void, x: np.ndarray, z: np.ndarray, date: int, lit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3) and what is emitted (n,) of points of a facade, float32.

    It has windows in a grid above a ground floor of shops, or of windows and a door.
    house: of `plan.HOUSE`. x, z: metres from its left corner and above the street, (n,) float32.
    date: decides which windows are lit. lit: how many of them, 0 … 1.
    """
    key, ground, trim = house["key"], house["ground"], house["trim"]
    wide, high = house["unit"]
    course = np.floor(z / high)
    place = x / wide + 0.5 * (course % 2)
    tone = 1 + house["spread"] * (noise(key, course, place) - 0.5)
    tone *= np.where((place % 1 < 0.06) | (z - course * high < 0.025), 0.85, 1)  # joints
    colour, shine = (house["colour"] * tone[:, None]).astype(np.float32), np.zeros(len(x), np.float32)

    def fill(where: np.ndarray, paint: Colour, light: np.ndarray | float = 0.0) -> None:
        np.copyto(colour, paint, where=where[:, None], casting="same_kind")
        np.copyto(shine, light, where=where, casting="same_kind")

    # the grid: u, v are metres from the middle of a bay and above the floor of its storey
    upper, shops = z >= ground, house["shop"] > 0
    storey = np.where(upper, np.floor((z - ground) / house["floor"]) + 1, 0)
    v = np.where(upper, z - ground - (storey - 1) * house["floor"], z)
    pitch = np.where(upper, house["bay"], house["shop"] if shops else house["bay"])
    bay = np.floor(x / pitch)
    u = np.abs(x - (bay + 0.5) * pitch)
    mood, chance = noise(key, bay, storey), noise(key, bay, storey, date)  # of a window; on that date

    # windows, shop windows and a door: how many metres a point is inside the outline
    shop, door = ~upper & shops, ~upper & (not shops) & (bay == house["door"])
    half = np.where(shop, house["shop"] / 2 - 0.3, np.where(door, 0.55, house["half"]))
    head = np.where(upper, house["head"], ground - (1.1 if shops else 0.7))
    sill = np.where(upper, house["sill"], np.where(door, 0.0, 0.45 if shops else 1.0))
    arch = np.where(shop, 0, (v - head + half).clip(0)) if house["arched"] else 0
    inside = np.minimum(half - np.hypot(u, arch), np.minimum(v - sill, head - v))
    if house["shutters"]:
        fill(upper & (u < 1.8 * half) & (v > sill) & (v < head), house["accent"])
    fill(inside > -0.16, trim)
    on = (chance < np.where(shop, 0.8 if lit > 0.1 else 0.05, lit)) * (0.3 + mood)
    fill(inside > 0.06, GLASS * (0.7 + 0.8 * mood)[:, None], on)
    blind = ~shop & (v > sill + 2.5 * (mood - 0.6) * (head - sill)) & (mood > 0.6)
    fill((inside > 0.06) & blind, (0.7, 0.68, 0.62), on)
    across, up = house["panes"] / (2 * house["half"], house["head"] - house["sill"])
    bars = (np.abs((u * across) % 1 - 0.5) < 0.04 * across) | (np.abs((v - sill) * up % 1) < 0.06 * up)
    fill((inside > 0) & bars & ~shop, trim)
    fill(door & (inside > 0) & (v < head - 0.4), house["accent"])

    if shops:  # signs with letters, awnings
        below, accent = v - ground, ACCENTS[(len(ACCENTS) * mood).astype(int)]
        fill(shop & ((below > -1) & (below < -0.3) | (inside < 0.06) & (inside > -0.16)), accent)
        letters = shop & (u < half * 0.7) & (np.abs(below + 0.65) < 0.25)
        letters &= noise(key, storey, x / 0.13, v / 0.17) < 0.5
        fill(letters, WHITE, 0.8 * (chance < 0.3) * (lit > 0.1))
        awning = shop & (mood > 0.7) & (below > -1.9) & (below < -1)
        fill(awning, np.where((x % 0.7 < 0.35)[:, None], WHITE, accent))
    if house["rails"]:
        rails = upper & (u < half + 0.3) & (v < 0.95)
        fill(rails & ((x % 0.2 < 0.06) | (v > 0.88) | (v < 0.1)), DARK)
    fill((np.abs(z - ground) < 0.12) | (np.abs(z - house["wall"]) < 0.2), trim)
    tiles = 0.85 + 0.3 * noise(key, x / 0.4, z / 0.3)[:, None]
    fill(z > house["wall"] + 0.2, house["tiles"] * tiles)
    return colour, shine


def paint_ground(
    points: np.ndarray, segments: list[Segment], towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3) of points of the ground, (n, 2) UTM, and whether they are in the shadow of houses (n,).

    towards: the sun, (3,). There are sidewalks of slabs, and roadways with their marks.
    """
    colour = np.array([0.57, 0.55, 0.52]) * (0.9 + 0.2 * noise(*(points / 0.8).T))[:, None]
    shaded = np.zeros(len(points), bool)
    for segment in sorted(segments, key=lambda each: each.road):
        at, off = np.stack([segment.along, segment.right]) @ (points - segment.start).T
        near = (at > 0) & (at < segment.length) & (np.abs(off) < segment.half)
        at, off = at[near], off[near]
        side, edge, end = np.abs(off), segment.road / 2, np.minimum(at, segment.length - at)
        tone = 0.9 + 0.4 * noise(*segment.key[1:]) + 0.2 * noise(at / 5, off / 2)
        tone += 0.1 * noise(at / 0.1, off / 0.1)
        marks = (side < 0.08) & (at % 6 < 3) | (end > 10) & (end < 13) & (off % 1 < 0.5)  # zebra crossings
        if edge > 3:  # parking bays
            marks |= (np.abs(side - edge + 2.1) < 0.05) & (at % 5.6 < 5.2)
        road = np.where(marks[:, None], WHITE, np.array([0.28, 0.28, 0.29]) * tone[:, None])
        road[np.abs(side - edge) < 0.12] = 0.7
        colour[near] = np.where((side < edge + 0.12)[:, None], road, colour[near])
        across = float(segment.right @ towards[:2]) / float(towards[2])
        shaded[near] = segment.half - off * np.sign(across) < HIGH * abs(across)
    return colour, shaded
