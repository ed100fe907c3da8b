"""Parts of the toy city against plain definitions: draws, projection, what hides what, layout of blocks."""

from collections.abc import Callable

import numpy as np
import pytest

from deepibl.toycity.camera import Frame, View
from deepibl.toycity.dice import Dice
from deepibl.toycity.facades import paint_facade
from deepibl.toycity.light import draw_weather
from deepibl.toycity.paint import CLEAR, HEAD_LIGHT, SKY, TAIL_LIGHT, Texture
from deepibl.toycity.plan import STYLES, City, draw_facade, spiral
from deepibl.toycity.scenery import LEAVES, MODELS, WIDTHS, picture, vehicle


def plain(grey: int, rows: int = 40, cols: int = 60) -> Callable[[float], Texture]:
    """A texture of one colour, as `Frame.wall` takes it."""
    return lambda _: Texture(np.full((rows, cols, 3), grey, np.uint8), np.zeros((rows, cols), np.uint8))


def test_draws_depend_on_the_keys_alone() -> None:
    assert Dice(0, "block", 3, -1).uniform() == Dice(0, "block", 3, -1).uniform()
    assert len({Dice(0, "block", a, b).uniform() for a in (-1, 0, 1) for b in (-1, 0, 1)}) == 9


def test_draws_are_those_of_pcg64_seeded_with_the_keys() -> None:
    dice, plain = Dice(5, 7), np.random.Generator(np.random.PCG64([5, 7]))
    assert [dice.uniform() for _ in range(3)] == plain.random(3).tolist()


def test_normal_draws_have_their_spread() -> None:
    dice = Dice("spread")
    drawn = [dice.normal(2.0) for _ in range(4000)]
    assert abs(np.mean(drawn)) < 0.1 and abs(np.std(drawn) - 2) < 0.1


def test_the_spiral_reaches_every_cell_once() -> None:
    cells = [cell for cell, _ in zip(spiral((5, -2)), range(81), strict=False)]
    assert sorted(cells) == sorted((5 + a, -2 + b) for a in range(-4, 5) for b in range(-4, 5))


@pytest.mark.parametrize("heading", [0.0, 77.0, 200.0])
def test_projection_is_a_pinhole_camera(heading: float) -> None:
    frame = Frame(View((1000.0, 2000.0), heading, height=2.0, pitch=0.0, fov=90.0, size=(200, 100)))
    h = np.radians(heading)
    forward, right = np.array([np.sin(h), np.cos(h)]), np.array([np.cos(h), -np.sin(h)])
    point = np.array([1000.0, 2000.0]) + 10 * forward + 4 * right
    column, row, depth = frame.project(frame.relative(point, 3.0))
    assert depth == pytest.approx(10)
    assert column - frame.cx == pytest.approx(100 * 4 / 10)  # the focal length is half of 200 pixels
    assert row - frame.cy == pytest.approx(-100 * 1 / 10)


def test_pitch_lowers_the_horizon_in_the_photo() -> None:
    rows = []
    for pitch in (0.0, 10.0):
        frame = Frame(View((0.0, 0.0), 0.0, pitch=pitch, size=(160, 120)))
        frame.image[: frame.horizon] = 255
        photo = frame.finish(frame.image)
        rows.append(int((photo[:, 80, 0] > 127).sum()))
    focal = 80 / np.tan(np.radians(33))
    assert rows[0] == pytest.approx(60, abs=1)
    assert rows[1] == pytest.approx(60 + focal * np.tan(np.radians(10)), abs=2)


def test_a_wall_is_drawn_where_its_corners_project_to_and_not_mirrored() -> None:
    frame = Frame(View((0.0, 0.0), 0.0, height=2.0, pitch=0.0, fov=90.0, size=(200, 160)))
    wall = plain(200)(0)
    wall.image[:, :30] = 50  # the left half, as seen from outside, is dark
    frame.wall(np.array([-3.0, 10.0]), np.array([6.0, 0]), 4.0, 1.0, lambda _: wall)
    drawn = np.argwhere(frame.labels != SKY)
    left, right = frame.cx - 100 * 0.3, frame.cx + 100 * 0.3
    assert drawn[:, 1].min() == pytest.approx(left, abs=1.5)
    assert drawn[:, 1].max() == pytest.approx(right, abs=1.5)
    assert drawn[:, 0].min() == pytest.approx(frame.cy - 100 * 0.2, abs=1.5)
    middle = round(frame.cy)
    assert frame.image[middle, round(left) + 5, 0] == 50 and frame.image[middle, round(right) - 5, 0] == 200


def test_a_wall_that_reaches_behind_the_camera_is_cut_there() -> None:
    frame = Frame(View((0.0, 0.0), 0.0, pitch=0.0, size=(160, 120)))
    # along the street on the right, towards and past us
    frame.wall(np.array([4.0, 60.0]), np.array([0, -120.0]), 3.0, 0.0, plain(90))
    columns = np.unique(np.argwhere(frame.labels != SKY)[:, 1])
    assert columns.min() > frame.cx and columns.max() == frame.cols - 1


def test_distances_are_those_of_the_walls_and_of_the_ground() -> None:
    frame = Frame(View((0.0, 0.0), 0.0, height=2.0, pitch=0.0, fov=90.0, size=(200, 160)))
    frame.earth((9, 9, 9), 0.0)
    frame.wall(np.array([-10.0, 5.0]), np.array([20.0, 20.0]), 3.0, 0.0, plain(90))  # oblique: x + 15 = y
    for column in (60, 100, 140):
        slope = (column + 0.5 - frame.cx) / frame.focal
        assert frame.depth[round(frame.cy) - 1, column] == pytest.approx(15 / (1 - slope), rel=0.01)
    row = frame.rows - 1
    assert frame.depth[row, 5] == pytest.approx(frame.focal * 2 / (row + 0.5 - frame.cy), rel=1e-4)


@pytest.mark.parametrize("order", [(5.0, 9.0), (9.0, 5.0)])
def test_the_nearer_wall_hides_the_farther_one_in_any_order(order: tuple[float, float]) -> None:
    frame = Frame(View((0.0, 0.0), 0.0, pitch=0.0, size=(160, 120)))
    for metres in order:
        frame.wall(np.array([-2.0, metres]), np.array([4.0, 0.0]), 3.0, 0.0, plain(round(20 * metres)))
    assert frame.image[round(frame.cy), round(frame.cx), 0] == 100


def test_a_house_that_is_hidden_is_not_painted() -> None:
    frame = Frame(View((0.0, 0.0), 0.0, pitch=0.0, size=(160, 120)))
    painted: list[float] = []

    def texture(pixels: float) -> Texture:
        painted.append(pixels)
        return plain(90)(pixels)

    for metres, height in ((10.0, 6.0), (30.0, 6.0), (30.0, 40.0)):  # the third rises above the first
        frame.wall(np.array([-40.0, metres]), np.array([80.0, 0.0]), height, 0.0, texture, eaves=height)
    assert painted == pytest.approx([frame.focal / 10, frame.focal / 30])


def test_houses_fill_their_side_of_the_block_without_gaps() -> None:
    city = City(2)
    block = next(city.block(i, 0) for i in range(20) if city.block(i, 0).facades)
    perimeter = sum(np.hypot(*(block.ground[k] - block.ground[k - 1])) for k in range(4))
    assert sum(facade.width for facade in block.facades) == pytest.approx(perimeter)
    np.testing.assert_allclose(np.hypot(*block.across.T), [facade.width for facade in block.facades])
    np.testing.assert_allclose(block.origin + block.across, np.roll(block.origin, -1, axis=0))


def test_a_block_does_not_depend_on_what_was_looked_at_before() -> None:
    first, second = City(0), City(0)
    for i in range(3):
        first.block(i, i)
    np.testing.assert_array_equal(first.block(5, 5).origin, second.block(5, 5).origin)
    assert first.block(5, 5).facades == second.block(5, 5).facades


def test_some_blocks_are_parks() -> None:
    blocks = [City(0).block(i, j) for i in range(8) for j in range(8)]
    parks = [block for block in blocks if not block.facades]
    assert 1 <= len(parks) < 16 and all(len(park.trees) > 10 for park in parks)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_kind_of_facade_can_be_painted(style: str) -> None:
    for number in range(12):
        facade = draw_facade(style, (0, style, number))
        texture = paint_facade(facade, 12.0)
        assert texture.image.dtype == np.uint8
        assert texture.labels.shape == (round(facade.height * 12), round(facade.width * 12))
        assert (texture.labels != CLEAR).mean() > 0.6
        assert texture.image[texture.labels != CLEAR].std() > 8


@pytest.mark.parametrize("kind", sorted(WIDTHS))
def test_things_are_cut_out_and_differ_by_variant(kind: str) -> None:
    pictures = [picture(kind, variant, "summer") for variant in range(6)]
    assert all(0.01 < (each.labels != CLEAR).mean() < 0.9 for each in pictures)
    assert kind == "lamp" or len({each.image.tobytes() for each in pictures}) > 1


def test_trees_have_leaves_of_their_season_and_none_in_winter() -> None:
    covered = {season: (picture("tree", 3, season).labels != CLEAR).mean() for season in LEAVES}
    assert covered["winter"] < 0.6 * min(covered[season] for season in ("spring", "summer", "autumn"))


@pytest.mark.parametrize("model", sorted(MODELS))
def test_vehicles_are_mirrored_on_their_left_and_have_lights_at_their_ends(model: str) -> None:
    right, left, front, rear = (
        vehicle(model, (200, 40, 40), side) for side in ("right", "left", "front", "rear")
    )
    np.testing.assert_array_equal(right.labels[:, ::-1], left.labels)
    assert (front.labels == HEAD_LIGHT).any() and (rear.labels == TAIL_LIGHT).any()
    assert right.labels.shape[1] / front.labels.shape[1] == pytest.approx(
        MODELS[model][0] / MODELS[model][1], rel=0.05
    )


def test_the_sun_is_up_by_day_low_at_sunset_and_gone_at_night() -> None:
    for date in range(20):
        day, sunset, night = (draw_weather(time, date, 0) for time in ("day", "sunset", "night"))
        assert day.towards[2] > sunset.towards[2] > 0
        assert not night.sun.any() and night.lamps > 0 and day.lamps == 0
        assert night.ambient.sum() < sunset.ambient.sum() < day.ambient.sum()


def test_weather_is_the_same_for_all_photos_of_a_date() -> None:
    first, again, other = (draw_weather("day", date, 1) for date in (5, 5, 6))
    assert repr(first) == repr(again) != repr(other)
