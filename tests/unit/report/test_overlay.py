"""What is drawn over a photo: colours that mean something, any size, no crash on flat maps."""

import numpy as np
import pytest

from deepibl.report.overlay import cluster_colours, cluster_overlay, heat_overlay, outline_cells, strength
from matlab_compat.errors import ArgumentError

PHOTO = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_the_brightest_place_is_the_largest_value():
    values = np.zeros((12, 16))
    values[3, 12] = 5.0
    drawn = heat_overlay(np.full_like(PHOTO, 90), values).astype(int)
    y, x = np.unravel_index(drawn[..., 0].argmax(), drawn.shape[:2])
    assert (abs(y - 14) <= 2, abs(x - 50) <= 2) == (True, True)


def test_signed_maps_are_red_above_zero_and_blue_below():
    values = np.array([[1.0, -1.0]])
    drawn = heat_overlay(np.full((10, 40, 3), 128, np.uint8), values, signed=True).astype(int)
    left, right = drawn[5, 2], drawn[5, -3]
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60


@pytest.mark.parametrize("level", [0.0, 3.0])
@pytest.mark.parametrize("signed", [False, True])
def test_a_flat_map_is_drawn(level, signed):
    drawn = heat_overlay(PHOTO, np.full((5, 7), level), signed=signed)
    assert drawn.shape == PHOTO.shape
    assert drawn.dtype == np.uint8


def test_one_large_value_does_not_hide_the_others():
    values = np.ones((50, 50))
    values[0, 0] = 1e6
    assert np.median(strength(values)) == pytest.approx(1)
    assert strength(values).max() == 1


@pytest.mark.parametrize("values", [np.full((3, 3), np.nan), np.zeros(4), np.zeros((0, 3))])
def test_what_is_no_map_is_refused(values):
    with pytest.raises(ArgumentError, match="matrix of finite"):
        heat_overlay(PHOTO, values)


@pytest.mark.parametrize("count", [1, 16, 64])
def test_clusters_have_colours_of_their_own(count):
    assert len(np.unique(cluster_colours(count), axis=0)) == count


def test_cells_of_one_cluster_have_one_colour():
    labels = np.array([[0, 1], [1, 0]])
    drawn = cluster_overlay(np.full((20, 20, 3), 100, np.uint8), labels, 2)
    assert (drawn[2, 2] == drawn[17, 17]).all()
    assert (drawn[2, 2] != drawn[2, 17]).any()


def test_a_frame_lies_around_its_cell_and_the_photo_is_left_alone():
    before = PHOTO.copy()
    drawn = outline_cells(PHOTO, (6, 8), [(5, 7)], np.array([[255, 0, 0]], np.uint8))
    assert (before == PHOTO).all()
    assert (drawn[40, 57:62] == (255, 0, 0)).all()
    assert (drawn[:30, :40] == PHOTO[:30, :40]).all()
