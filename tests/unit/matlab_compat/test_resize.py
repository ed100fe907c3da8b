"""matlab_compat.images against loops written here, and against torch where both define the same thing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from matlab_compat.errors import ArgumentError
from matlab_compat.images import edge_weights, imresize, mirror_weights, resample

METHODS = ["box", "bilinear", "bicubic", "lanczos2", "lanczos3"]
WIDTH = {"box": 1, "bilinear": 2, "bicubic": 4, "lanczos2": 4, "lanczos3": 6}


def kernel(method, d):
    """The kernels' formulas, one number at a time."""
    a = abs(d)
    if method == "box":
        return float(-0.5 <= d < 0.5)
    if method == "bilinear":
        return max(0.0, 1 - a)
    if method == "bicubic":
        return (
            (1.5 * a**3 - 2.5 * a**2 + 1)
            if a <= 1
            else max(0, a <= 2) * (-0.5 * a**3 + 2.5 * a**2 - 4 * a + 2)
        )
    lobes = int(method[-1])
    above = math.sin(math.pi * d) * math.sin(math.pi * d / lobes) + 1e-5
    return above / (math.pi**2 * d * d / lobes + 1e-5) if a < lobes else 0.0


def naive_axis(signal, output, crop, offset, method):
    """One axis of vl_imreadjpeg as FINDINGS.md section 5 states it, in float64."""
    alpha = crop / output
    stretch = max(alpha, 1)
    support = WIDTH[method] * stretch
    result = []
    for v in range(output):
        u = alpha * v + 0.5 * (alpha - 1) + offset
        start = math.ceil(u - support / 2)
        taps = [
            (min(max(k, 0), len(signal) - 1), kernel(method, (u - k) / stretch))
            for k in range(start, start + math.ceil(support))
        ]
        mass = sum(weight for _, weight in taps)
        result.append(sum(weight * signal[k] for k, weight in taps) / mass)
    return result


@pytest.mark.parametrize("method", [m for m in METHODS if m != "box"])
@pytest.mark.parametrize(
    ("output", "crop", "offset"), [(7, 20, 0), (31, 20, 0), (9, 13, 4), (20, 20, 0), (1, 20, 0)]
)
def test_edge_weights_equal_the_stated_rule(method, output, crop, offset):
    signal = np.random.default_rng(0).uniform(0, 255, 20).astype(np.float32)
    got = edge_weights(output, 20, crop, offset, method) @ signal
    assert np.abs(got - naive_axis(signal.tolist(), output, crop, offset, method)).max() < 1e-3


def test_box_between_two_pixels_takes_neither_and_stays_black():
    # difference: imread-box-black-lines
    sums = edge_weights(75, 50, 50, 0, "box").toarray().sum(axis=1)
    assert set(sums.tolist()) == {0.0, 1.0}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(METHODS))
def test_a_constant_image_stays_constant(output, size, method):
    weights = mirror_weights(output, size, output / size, method, antialiasing=True)
    assert np.abs(weights @ np.full(size, 200.0) - 200).max() < 1e-9
    if method != "box":
        assert (
            np.abs(edge_weights(output, size, size, 0, method) @ np.full(size, 200, np.float32) - 200).max()
            < 1e-3
        )


def test_bilinear_equals_torch_antialias_away_from_the_border():
    image = np.random.default_rng(1).uniform(0, 255, (60, 80, 3)).astype(np.float32)
    got = resample(image, edge_weights(30, 60, 60, 0, "bilinear"), edge_weights(40, 80, 80, 0, "bilinear"))
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    want = torch.nn.functional.interpolate(tensor, (30, 40), mode="bilinear", antialias=True)[0].permute(
        1, 2, 0
    )
    assert np.abs(got - want.numpy())[2:-2, 2:-2].max() < 1e-3


def test_bands_of_rows_give_what_the_whole_gives():
    image = np.random.default_rng(2).integers(0, 255, (200, 50, 3), dtype=np.uint8)
    rows, columns = edge_weights(150, 200, 190, 5, "bicubic"), edge_weights(20, 50, 50, 0, "bicubic")
    whole = np.einsum("vh,hwc->vwc", rows.toarray(), image.astype(np.float32))
    whole = np.einsum("uw,vwc->vuc", columns.toarray(), whole)
    assert np.abs(resample(image, rows, columns) - whole).max() < 1e-3


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(ArgumentError, match=r"must be one of box, bilinear.*'cubic'"):
        edge_weights(3, 3, 3, 0, "cubic")


def naive_imresize_axis(signal, output, scale, method):
    """One axis of MATLAB's imresize: stretched kernel, mirrored border (its first and last pixels double)."""
    shrink = min(scale, 1)
    n = len(signal)
    mirrored = lambda k: signal[k % (2 * n)] if k % (2 * n) < n else signal[2 * n - 1 - k % (2 * n)]  # noqa: E731
    result = []
    for x in range(output):
        u = (x + 0.5) / scale - 0.5
        reach = math.ceil(WIDTH[method] / shrink) + 1
        taps = [
            (kernel(method, (u - k) * shrink), mirrored(k))
            for k in range(math.floor(u) - reach, math.ceil(u) + reach)
        ]
        result.append(sum(w * value for w, value in taps) / sum(w for w, _ in taps))
    return result


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "box"])
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.9])
def test_imresize_equals_its_definition(method, scale):
    signal = np.random.default_rng(3).uniform(0, 255, 23)
    output = math.ceil(23 * scale)
    got = imresize(np.tile(signal, (5, 1)), [5, output], method)
    assert got.shape == (5, output)
    want = naive_imresize_axis(signal.tolist(), output, output / 23, method)
    assert np.abs(got - want).max() < 1e-9


def test_imresize_keeps_type_and_rounds_and_clips():
    step = np.zeros((3, 20, 20), np.uint8)
    step[:, :, 10:] = 255
    got = imresize(step, 2)
    assert got.dtype == np.uint8 and got.shape == (3, 40, 40)
    assert got.min() == 0 and got.max() == 255  # the cubic kernel overshoots both ways
    assert imresize(torch.from_numpy(step), 0.5).dtype == torch.uint8
    assert imresize(step[0].astype(np.float32), 2).max() > 255
    assert imresize(step[0] > 0, 0.5).dtype == bool


def test_imresize_output_is_rounded_up_and_nan_keeps_the_aspect_ratio():
    image = np.zeros((10, 21), np.uint8)
    assert imresize(image, 0.33).shape == (4, 7)
    assert imresize(image, [5, np.nan]).shape == (5, 11)
    assert imresize(image, [np.nan, 42]).shape == (20, 42)


@pytest.mark.parametrize("scale", [0, -1, [1, 2, 3], [np.nan, np.nan], np.inf])
def test_imresize_refuses_impossible_sizes(scale):
    with pytest.raises(ArgumentError, match="positive"):
        imresize(np.zeros((4, 4)), scale)


def test_imresize_refuses_what_is_no_image():
    with pytest.raises(ArgumentError, match=r"must be \(H, W\) or \(C, H, W\)"):
        imresize(np.zeros((2, 3, 4, 5)), 0.5)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_the_size_given_beside_nan_is_kept(height, width, wanted):
    image = np.zeros((height, width), np.float32)
    derived = -(-wanted * height // width)  # rounded up, in whole numbers
    assert imresize(image, [np.nan, wanted], "nearest").shape == (derived, wanted)
    assert imresize(image.T, [wanted, np.nan], "nearest").shape == (wanted, derived)


def test_nan_beside_a_size_scales_both_axes_alike():
    image = np.random.default_rng(0).random((49, 49)).astype(np.float32)
    got = imresize(image, [np.nan, 7])
    assert got.shape == (7, 7) and np.array_equal(got, imresize(image, [7, 7]))
