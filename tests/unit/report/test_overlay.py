"""What is drawn over a photo: colours that mean something, any size, no crash on flat maps."""

import numpy as np
import pytest

from deepibl.report.overlay import PALETTE, beside, cluster_overlay, heat_overlay, outline, top_of
from matlab_compat.errors import ArgumentError

PHOTO = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


GREY = np.full_like(PHOTO, 90)


def test_the_brightest_place_is_the_largest_value():
    values = np.zeros((12, 16))
    values[3, 12] = 5.0
    drawn = heat_overlay(GREY, values).astype(int)
    y, x = np.unravel_index(drawn[..., 0].argmax(), drawn.shape[:2])
    assert (abs(y - 14) <= 2, abs(x - 50) <= 2) == (True, True)


def test_zero_is_the_photo_red_above_and_blue_below():
    values = np.zeros((10, 40))
    values[:, :8], values[:, -8:] = 1.0, -1.0
    drawn = heat_overlay(np.full((10, 40, 3), 128, np.uint8), values).astype(int)
    left, middle, right = drawn[5, 2], drawn[5, 20], drawn[5, -3]
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
    assert np.ptp(middle) == 0


def test_maps_that_share_a_scale_have_the_same_colour_for_the_same_value():
    small, large = np.zeros((10, 40)), np.zeros((10, 40))
    small[:, :8], large[:, :8], large[:, -8:] = 1.0, 1.0, 4.0
    first, second = (heat_overlay(PHOTO[:10, :40], of, top=top_of(small, large)) for of in (small, large))
    assert (first[:, :4] == second[:, :4]).all()


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_the_bar_shows_where_zero_is(low):
    values = np.zeros((60, 260))
    values[20:30, :20], values[20:30, -20:] = low, 1.0
    photo = np.full((60, 260, 3), 90, np.uint8)
    drawn = heat_overlay(photo, values, bar=True)
    bar = drawn[60:64].astype(int)
    zero = 130 if low else 2
    assert len(drawn) > 75 and np.ptp(bar[2, zero]) <= 6  # grey
    assert bar[2, -2, 0] > bar[2, -2, 2] + 60  # red and yellow
    assert (bar[2, 2, 2] > bar[2, 2, 0] + 60) == (low < 0)
    assert (drawn[70:] < 100).any()  # numbers


@pytest.mark.parametrize("level", [0.0, 3.0, -3.0])
@pytest.mark.parametrize("bar", [False, True])
def test_a_flat_map_is_drawn(level, bar):
    drawn = heat_overlay(PHOTO, np.full((5, 7), level), bar=bar)
    assert drawn[:48].shape == PHOTO.shape
    assert drawn.dtype == np.uint8


def test_one_large_value_does_not_hide_the_others():
    values = np.ones((50, 50))
    values[0, 0] = 1e6
    assert top_of(values) == 1


@pytest.mark.parametrize("values", [np.full((3, 3), np.nan), np.zeros(4), np.zeros((0, 3))])
def test_what_is_no_map_is_refused(values):
    with pytest.raises(ArgumentError, match="matrix of finite"):
        heat_overlay(PHOTO, values)


def test_cells_of_one_cluster_have_one_colour_and_small_clusters_none():
    labels = np.array([[0, 1], [1, 2]])
    drawn = cluster_overlay(np.full((20, 20, 3), 100, np.uint8), labels, [1, 0])
    assert (drawn[2, 17] == drawn[17, 2]).all()
    assert (drawn[2, 2] != drawn[2, 17]).any()
    assert (drawn[17, 17] == 100).all()


def test_a_frame_lies_around_its_part_in_a_colour_of_its_own():
    before = PHOTO.copy()
    drawn = outline(PHOTO, [(0.5, 0.5, 0.75, 0.75), (0.75, 0, 1, 0.25)])
    assert (before == PHOTO).all()
    assert (drawn[24, 45] == PALETTE[0]).all()
    assert (drawn[47, 10] == PALETTE[1]).all()
    assert (drawn[27:35, 36:44] == PHOTO[27:35, 36:44]).all()


def test_pictures_beside_one_another_have_the_first_ones_height():
    drawn = beside([PHOTO, np.zeros((96, 64, 3), np.uint8)])
    assert drawn.shape == (48, 64 + 2 + 32, 3)
