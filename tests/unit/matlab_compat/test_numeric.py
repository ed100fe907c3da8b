"""Rounding and smoothing as MATLAB does them."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import round_half_away, smooth


@pytest.mark.parametrize(
    ("x", "want"),
    [
        (0.5, 1),
        (1.5, 2),
        (2.5, 3),
        (-0.5, -1),
        (-2.5, -3),
        (0.49999999999999994, 0),
        (2.4, 2),
        (-0.2, 0),
        (7, 7),
    ],
)
def test_halves_go_away_from_zero(x: float, want: int) -> None:
    assert round_half_away(x) == want
    assert isinstance(round_half_away(x), int)


def test_arrays_keep_their_type_and_shape() -> None:
    found = round_half_away(np.array([[0.5, -1.5, np.inf, np.nan]], np.float32))
    assert (found.dtype, found.shape) == (np.float32, (1, 4))
    assert found[0, :3].tolist() == [1, -2, np.inf]
    assert np.isnan(found[0, 3])
    assert round_half_away(np.array([3], np.uint8)).dtype == np.uint8
    assert np.isinf(round_half_away(float("inf")))


@given(st.floats(-1e15, 1e15))
def test_rounding_moves_by_half_at_most(x: float) -> None:
    assert abs(round_half_away(x) - x) <= 0.5
    assert round_half_away(-x) == -round_half_away(x)


def naive(y: list[float], w: int) -> list[float]:
    """The window of each point, one by one."""
    w = min(w, len(y))
    half = (w - 1 + w % 2) // 2
    out = []
    for i in range(len(y)):
        h = min(half, i, len(y) - 1 - i)
        out.append(sum(y[i - h : i + h + 1]) / (2 * h + 1))
    return out


@pytest.mark.parametrize("w", [1, 2, 3, 4, 5, 6, 7, 50])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 12])
def test_smooth_equals_the_window_taken_point_by_point(n: int, w: int) -> None:
    y = np.random.default_rng(n).standard_normal(n)
    np.testing.assert_allclose(smooth(y, w), naive(y.tolist(), w), atol=1e-12)


def test_smooth_is_matlabs_documented_scheme() -> None:
    y = np.array([1.0, 5, 3, 9, 2, 8])
    want = [1, 3, 4, 27 / 5, 19 / 3, 8]  # yy(1)=y(1), yy(2)=(y1+y2+y3)/3, yy(3)=(y1+…+y5)/5 …
    np.testing.assert_allclose(smooth(y, 5), want)
    np.testing.assert_allclose(smooth(y, 4), smooth(y, 3))


def test_a_window_below_1_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="window"):
        smooth([1, 2], 0)
