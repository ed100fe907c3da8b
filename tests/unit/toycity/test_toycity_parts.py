"""Parts of the toy city against plain definitions: draws, projection, what hides what, layout of blocks."""

import numpy as np
import pytest

from deepibl.toycity.camera import Camera, View
from deepibl.toycity.dice import dice, noise
from deepibl.toycity.light import draw_weather
from deepibl.toycity.plan import HOUSE, City, growing_square
from deepibl.toycity.surfaces import paint_ground, paint_house
from deepibl.toycity.things import VEHICLES, Thing, draw_thing

VIEW = View((0.0, 0.0), 0.0, height=2.0, pitch=0.0, fov=90.0, size=(200, 160))  # northwards, 100 pixels focal


def wall(
    origin: tuple[float, float], across: tuple[float, float], height: float, roof: float = 0.0
) -> np.ndarray:
    """One house, (1,) of HOUSE: its lower left corner and lower edge as seen from outside."""
    house = np.zeros(1, HOUSE)
    house["origin"], house["across"], house["width"] = origin, across, np.hypot(*across)
    house["wall"], house["roof"], house["gable"] = height, roof, roof > 0
    return house


def test_draws_depend_on_the_keys_alone() -> None:
    assert dice(0, "block", 3, -1).random() == dice(0, "block", 3, -1).random()
    assert len({dice(0, "block", a, b).random() for a in (-1, 0, 1) for b in (-1, 0, 1)}) == 9


def test_noise_is_even_and_depends_on_whole_numbers() -> None:
    x, y = np.meshgrid(np.arange(-200, 200), np.arange(-200, 200))
    values = noise(7, x, y)
    assert abs(values.mean() - 0.5) < 0.01 and abs(values.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(noise(3, np.array([5.0, 5.9])), noise(3, np.array([5.5, 5.1])))
    assert not np.array_equal(values, noise(8, x, y))


def test_the_growing_square_reaches_every_cell_once() -> None:
    cells = [cell for cell, _ in zip(growing_square(5, -2), range(81), strict=False)]
    assert sorted(cells) == sorted((5 + a, -2 + b) for a in range(9) for b in range(9))


@pytest.mark.parametrize("heading", [0.0, 77.0, 200.0])
def test_projection_is_a_pinhole_camera(heading: float) -> None:
    camera = Camera(View((1000.0, 2000.0), heading, height=2.0, pitch=0.0, fov=90.0, size=(200, 100)))
    h = np.radians(heading)
    forward, right = np.array([np.sin(h), np.cos(h)]), np.array([np.cos(h), -np.sin(h)])
    point = np.array([1000.0, 2000.0]) + 10 * forward + 4 * right
    column, row, depth = camera.project(point, 3.0)
    assert depth == pytest.approx(10)
    assert column - 100 == pytest.approx(100 * 4 / 10)  # the focal length is half of 200 pixels
    assert row - 50 == pytest.approx(-100 * 1 / 10)
    np.testing.assert_allclose(camera.position + 10 * camera.rays[140], point + 0.05 * right, atol=1e-9)


def test_pitch_lowers_the_horizon_in_the_photo() -> None:
    focal = 80 / np.tan(np.radians(33))
    for pitch in (0.0, 10.0):
        camera = Camera(View((0.0, 0.0), 0.0, pitch=pitch, size=(160, 120)))
        assert (camera.up > 0).sum() == pytest.approx(60 + focal * np.tan(np.radians(pitch)), abs=1)


def test_a_house_is_seen_where_its_corners_project_to_and_not_mirrored() -> None:
    house, along, depth = Camera(VIEW).look(wall((-3.0, 10.0), (6.0, 0.0), 4.0))
    rows, columns = np.nonzero(house == 0)
    assert (columns.min(), columns.max()) == (70, 129)
    assert (rows.min(), rows.max()) == (60, 99)  # two metres above and below the camera
    assert along[80, 70] == pytest.approx(0.05) and along[80, 129] == pytest.approx(5.95)
    np.testing.assert_allclose(depth[house == 0], 10, rtol=1e-6)


def test_only_houses_that_face_the_camera_and_are_ahead_are_kept() -> None:
    camera = Camera(VIEW)
    assert len(camera.before(wall((-3.0, 10.0), (6.0, 0.0), 4.0))) == 1
    assert len(camera.before(wall((3.0, 10.0), (-6.0, 0.0), 4.0))) == 0
    assert len(camera.before(wall((3.0, -10.0), (-6.0, 0.0), 4.0))) == 0


def test_a_wall_that_reaches_behind_the_camera_is_cut_there() -> None:
    # along the street on the right, towards and past us
    house, _, depth = Camera(VIEW).look(wall((4.0, 60.0), (0.0, -120.0), 3.0))
    columns = np.nonzero((house == 0).any(0))[0]
    assert columns.min() >= 100 and columns.max() == 199 and (depth > 0).all()


def test_distances_are_those_of_the_walls_and_of_the_ground() -> None:
    house, _, depth = Camera(VIEW).look(wall((-10.0, 5.0), (20.0, 20.0), 3.0))  # oblique: x + 15 = y
    for column in (60, 100, 135):
        slope = (column + 0.5 - 100) / 100
        assert house[79, column] == 0 and depth[79, column] == pytest.approx(15 / (1 - slope), rel=1e-5)
    assert house[159, 5] == -1 and depth[159, 5] == pytest.approx(100 * 2 / 79.5, rel=1e-5)
    assert house[0, 5] == -1 and np.isinf(depth[0, 5])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_house_hides_the_farther_one_below_its_roof_in_any_order(order: tuple[int, int]) -> None:
    two = np.concatenate([wall((-9.0, 5.0), (18.0, 0.0), 4.0), wall((-9.0, 9.0), (18.0, 0.0), 12.0)])
    house, _, depth = Camera(VIEW).look(two[list(order)])
    assert depth[80, 100] == 5 and depth[42, 100] == 5  # up to 40 pixels above the middle
    assert depth[38, 100] == 9 and (house[:, 100] >= 0).sum() > 100


def test_a_gable_is_a_triangle() -> None:
    house, *_ = Camera(VIEW).look(wall((-5.0, 10.0), (10.0, 0.0), 4.0, roof=5.0))
    heights = (house == 0).sum(0)[50:150]  # ten pixels a metre
    assert heights.max() == pytest.approx(90, abs=1)
    assert heights[0] == pytest.approx(40, abs=2) and heights[25] == pytest.approx(65, abs=2)


def test_houses_fill_their_side_of_the_block_without_gaps() -> None:
    houses = City(2).block(4, 0)
    np.testing.assert_allclose(np.hypot(*houses["across"].T), houses["width"], rtol=1e-6)
    np.testing.assert_allclose(houses["origin"] + houses["across"], np.roll(houses["origin"], -1, axis=0))
    assert houses["width"].min() > 4 and houses["width"].max() < 40


def test_a_block_does_not_depend_on_what_was_looked_at_before() -> None:
    first, second = City(0), City(0)
    for i in range(3):
        first.block(i, i)
    np.testing.assert_array_equal(first.block(5, 5), second.block(5, 5))


def points_of(house: np.void) -> tuple[np.ndarray, np.ndarray]:
    x, z = np.meshgrid(np.arange(0, house["width"], 0.05), np.arange(0, house["wall"] + house["roof"], 0.05))
    return x.ravel().astype(np.float32), z.ravel().astype(np.float32)


def test_facades_have_contrast_and_differ() -> None:
    means = []
    for house in City(0).block(1, 1):
        colour, shine = paint_house(house, *points_of(house), 0, 0.0)
        assert colour.dtype == shine.dtype == np.float32
        assert colour.min() >= 0 and colour.max() <= 1.3 and colour.std(0).max() > 0.03
        means.append(colour.mean(0))
    assert np.std(means, axis=0).min() > 0.03


def test_windows_are_lit_by_date_and_more_of_them_in_the_evening() -> None:
    for house in City(0).block(1, 1)[:5]:
        shown = points_of(house)
        day, evening, other = (
            paint_house(house, *shown, date, lit)[1] for date, lit in ((1, 0.02), (1, 0.4), (2, 0.4))
        )
        assert (day > 0).mean() < (evening > 0).mean() < 0.6
        assert not np.array_equal(evening, other)


def test_streets_have_a_roadway_between_sidewalks_and_lie_in_the_shadow_of_houses() -> None:
    segment = City(0).segment("row", 0, 0)
    offsets = np.arange(-segment.half + 0.05, segment.half, 0.1)
    points = np.array([segment.at(30.3, offset) for offset in offsets])
    high, low = (segment.right * 0.1, 3.0), (segment.right, 0.3)
    for (level, up), shadow in ((high, 0.1), (low, 1.0)):
        colour, shaded = paint_ground(points, [segment], np.array([*level, up]))
        assert shaded.mean() == pytest.approx(shadow, abs=0.1)
        road = np.abs(offsets) < segment.road / 2 - 0.2
        assert colour[~road].mean() > 1.3 * np.median(colour[road])


@pytest.mark.parametrize("kind", ["tree", "lamp", "person", "vehicle"])
def test_things_are_drawn_at_their_place_and_differ_by_key(kind: str) -> None:
    drawn = []
    for key in range(0, 1000 * len(VEHICLES), 500):
        image = np.zeros((160, 200, 3), np.float32)
        thing = Thing(kind, np.array([5.0, 30.0]), key, np.array([0.6, 0.8]))
        draw_thing(image, Camera(VIEW), thing, draw_weather("day", 0, 0))
        rows, columns = np.nonzero(image.any(2))
        assert columns.min() < 118 and columns.max() > 115
        assert rows.max() == pytest.approx(80 + 100 * 2 / 30, abs=2)  # it stands on the ground
        drawn.append(image.tobytes())
    assert kind == "lamp" or len(set(drawn)) > 2


def test_the_sun_is_up_by_day_low_at_sunset_and_gone_at_night() -> None:
    for date in range(20):
        day, sunset, night = (draw_weather(time, date, 0) for time in ("day", "sunset", "night"))
        assert day.towards[2] > sunset.towards[2] > 0
        assert night.night and not night.sun.any() and not day.night
        assert night.ambient.sum() < sunset.ambient.sum() < day.ambient.sum()


def test_weather_is_the_same_for_all_photos_of_a_date() -> None:
    first, again, other = (draw_weather("day", date, 1) for date in (5, 5, 6))
    assert repr(first) == repr(again) != repr(other)
