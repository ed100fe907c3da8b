"""closePosition: the same positives as a search of all positions, in the order of the cells."""

import time

import numpy as np
import pytest

from deepibl.datasets.positions import ClosePosition
from deepibl.errors import DatasetError


def naive(utm, position, limit):
    """Cell by cell as the original walks them, all positions looked at."""
    low, delta = utm.min(0) - 1, limit + 1
    cells = np.ceil((utm - low) / delta)
    here = np.ceil((position - low) / delta)
    ids = [
        i
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        for i in range(len(utm))
        if (cells[i] == here + np.array([x, y])).all() and ((utm[i] - position) ** 2).sum() <= limit**2
    ]
    return ids


@pytest.mark.parametrize("limit", [3.0, 25.0, 400.0])
def test_positives_and_their_order_equal_a_naive_search(limit):
    random, corner = np.random.default_rng(5), np.array([585000, 4477000])
    utm = corner + random.uniform(0, 200, (150, 2))
    hashed = ClosePosition(utm, limit)
    for position in np.concatenate([utm[:20], corner + random.uniform(-60, 260, (60, 2))]):
        ids, squared = hashed.positives(position)
        assert ids.tolist() == naive(utm, position, limit)
        assert squared.tolist() == ((utm[ids] - position) ** 2).sum(1).tolist()


def test_limit_is_inclusive():
    hashed = ClosePosition([[0, 0], [15, 20], [15, 20.0001]], 25)
    assert hashed.positives([0, 0])[0].tolist() == [0, 1]
    assert hashed.near([0, 0], [2, 1, 0]).tolist() == [False, True, True]


def test_small_integer_limits_do_not_wrap():
    hashed = ClosePosition([[0.0, 0.0], [0.0, 24.0]], np.uint8(25))
    assert hashed.positive_distance_squared == 625
    assert hashed.delta == 26
    assert hashed.positives_of_image(0)[0].tolist() == [0, 1]


def test_is_pos_equals_membership_in_the_positives():
    random = np.random.default_rng(6)
    utm = random.uniform(0, 100, (80, 2))
    hashed = ClosePosition(utm, 25)
    for position in random.uniform(-30, 130, (40, 2)):
        member = np.isin(np.arange(80), hashed.positives(position)[0])
        assert (hashed.near(position, np.arange(80)) == member).all()


def test_unknown_positions_are_near_nothing():
    hashed = ClosePosition([[np.nan, np.nan], [1, 1]], 25)
    assert hashed.positives([1, 1])[0].tolist() == [1]
    assert hashed.positives([np.nan, 1])[0].size == 0
    assert not hashed.near([1, 1], [0]).any()


def test_no_positions_at_all_are_no_error():
    assert ClosePosition(np.zeros((0, 2)), 25).positives([1, 1])[0].size == 0


def test_far_apart_positions_need_no_table():
    hashed = ClosePosition([[0, 0], [9e6, 9e6]], 25)
    assert hashed.positives([9e6, 9e6])[0].tolist() == [1]
    assert np.prod(hashed.grid_size) > 1e11


def test_hundred_thousand_positions_are_searched_in_milliseconds():
    utm = np.random.default_rng(7).uniform(0, 10_000, (100_000, 2))
    hashed = ClosePosition(utm, 25)
    started = time.perf_counter()
    for position in utm[:100]:
        hashed.positives(position)
    assert (time.perf_counter() - started) / 100 < 0.005  # 0.02 ms measured; a scan of all takes about 1 ms


@pytest.mark.parametrize("utm", [np.zeros((2, 5)), np.zeros((3, 3)), np.zeros((2, 2, 2))])
def test_positions_of_another_shape_are_refused(utm):
    with pytest.raises(DatasetError, match="east, north"):
        ClosePosition(utm, 25)


@pytest.mark.parametrize("limit", [-1, np.nan, np.inf])
def test_impossible_limits_are_refused(limit):
    with pytest.raises(DatasetError, match="distance limit"):
        ClosePosition(np.zeros((1, 2)), limit)
