"""Parts of the toy city against plain definitions: draws, projection, sight lines, layout of blocks."""

import numpy as np
import pytest

from deepibl.toycity.camera import Frame, Patch, View
from deepibl.toycity.facades import paint_facade
from deepibl.toycity.places import draw_weather
from deepibl.toycity.plan import City, spiral
from deepibl.toycity.styles import STYLES, Dice, Facade, draw_facade
from deepibl.toycity.surfaces import CLEAR, SKY, Texture
from deepibl.toycity.traffic import MODELS, solid, visible


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
    column, row, depth = frame.project(frame.relative(np.array([*point, 3.0])))
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
    image = np.full((40, 60, 3), 200, np.uint8)
    image[:, :30] = 50  # the left half, as seen from outside, is dark
    wall = Texture(image, np.zeros((40, 60), np.uint8))
    origin = frame.relative(np.array([-3.0, 10.0, 0.0]))
    frame.wall(wall, Patch(origin, np.array([6.0, 0, 0]), np.array([0, 0, 4.0]), 1.0, 0.0))
    drawn = np.argwhere(frame.labels != SKY)
    left, right = frame.cx - 100 * 0.3, frame.cx + 100 * 0.3
    assert drawn[:, 1].min() == pytest.approx(left, abs=1.5)
    assert drawn[:, 1].max() == pytest.approx(right, abs=1.5)
    assert drawn[:, 0].min() == pytest.approx(frame.cy - 100 * 0.2, abs=1.5)
    middle = round(frame.cy)
    assert frame.image[middle, round(left) + 5, 0] == 50 and frame.image[middle, round(right) - 5, 0] == 200


def test_a_wall_that_reaches_behind_the_camera_is_cut_there() -> None:
    frame = Frame(View((0.0, 0.0), 0.0, pitch=0.0, size=(160, 120)))
    wall = Texture(np.full((16, 256, 3), 90, np.uint8), np.zeros((16, 256), np.uint8))
    origin = frame.relative(np.array([4.0, 60.0, 0.0]))  # along the street on the right, towards and past us
    frame.wall(wall, Patch(origin, np.array([0, -120.0, 0]), np.array([0, 0, 3.0]), 0.0, 0.0))
    columns = np.unique(np.argwhere(frame.labels != SKY)[:, 1])
    assert columns.min() > frame.cx and columns.max() == frame.cols - 1


def test_sight_lines_stop_at_blocks_as_a_walk_along_them_does() -> None:
    generator = np.random.default_rng(0)
    frame = Frame(View((0.0, 0.0), 0.0))
    base = np.array([[0, 0], [8, 1], [7, 9], [-1, 8]], dtype=float)
    blocks = np.stack([base + shift for shift in ([5, 12], [-30, 25], [10, 40], [-14, 4])])
    places = generator.uniform((-40, 1), (40, 70), (200, 2))

    steps = np.linspace(0, 1, 400)[:, None, None] * places  # (steps, places, 2)
    walked = np.ones(len(places), dtype=bool)
    for block in blocks:
        inside = np.ones(steps.shape[:2], dtype=bool)
        for corner, following in zip(block, np.roll(block, -1, axis=0), strict=True):
            edge, way = following - corner, steps - corner
            inside &= edge[0] * way[..., 1] - edge[1] * way[..., 0] > 0
        walked &= ~inside.any(0)
    agree = visible(frame, places, blocks) == walked
    assert agree.mean() > 0.99  # the walk takes steps and may miss a corner


def test_nothing_behind_the_camera_is_visible() -> None:
    frame = Frame(View((0.0, 0.0), 90.0))
    assert visible(frame, np.array([[5.0, 0.0], [-5.0, 0.0]]), np.zeros((0, 4, 2))).tolist() == [True, False]


def test_houses_fill_their_side_of_the_block_without_gaps() -> None:
    city = City(2)
    block = next(city.block(i, 0) for i in range(20) if city.block(i, 0).kind == "built")
    facades = [k for k, skin in enumerate(block.skins) if isinstance(skin, Facade)]
    perimeter = sum(np.hypot(*(block.ground[k] - block.ground[k - 1])) for k in range(4))
    assert sum(np.linalg.norm(block.across[k]) for k in facades) == pytest.approx(perimeter)
    ends = block.origin[facades] + block.across[facades]
    corners = {tuple(np.round(p[:2], 3)) for p in block.origin[facades]}
    assert all(tuple(np.round(p[:2], 3)) in corners for p in ends)


def test_a_block_does_not_depend_on_what_was_looked_at_before() -> None:
    first, second = City(0), City(0)
    for i in range(3):
        first.block(i, i)
    np.testing.assert_array_equal(first.block(5, 5).origin, second.block(5, 5).origin)
    assert first.block(5, 5).skins == second.block(5, 5).skins


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_kind_of_facade_can_be_painted(style: str) -> None:
    for number in range(12):
        facade = draw_facade(style, (0, style, number), (0, style, number))
        texture = paint_facade(facade, 12.0)
        assert texture.image.dtype == np.uint8
        assert texture.labels.shape == (round(facade.height * 12), round(facade.width * 12))
        assert (texture.labels != CLEAR).mean() > 0.6
        assert texture.image[texture.labels != CLEAR].std() > 8


def test_neighbours_in_a_terrace_share_a_plan_and_not_their_paint() -> None:
    one, other = (draw_facade("terrace", (0, "house", k), (0, "row")) for k in (1, 2))
    assert (one.width, one.storeys, one.window) == (other.width, other.storeys, other.window)
    assert np.abs(paint_facade(one, 10).image.astype(int) - paint_facade(other, 10).image).mean() > 3


@pytest.mark.parametrize("name", sorted(MODELS))
def test_vehicles_are_as_long_and_wide_as_their_models(name: str) -> None:
    shape, model = solid(name), MODELS[name]
    low, high = shape.points.min(0), shape.points.max(0)
    assert high[0] - low[0] == pytest.approx(max(x for x, _ in model.outline) + 0.2)
    assert high[1] - low[1] == pytest.approx(model.width + 0.2)
    assert len(shape.faces) == len(shape.normals) == len(shape.labels) == len(shape.detail)


def test_the_sun_is_up_by_day_low_at_sunset_and_gone_at_night() -> None:
    for date in range(20):
        day, sunset, night = (draw_weather(time, date, 0) for time in ("day", "sunset", "night"))
        assert day.elevation > sunset.elevation > 0
        assert not night.sunny and night.lamps > 0 and day.lamps == 0
        assert sum(night.ambient) < sum(sunset.ambient) < sum(day.ambient)


def test_weather_is_the_same_for_all_photos_of_a_date() -> None:
    assert draw_weather("day", 5, 1) == draw_weather("day", 5, 1) != draw_weather("day", 6, 1)
