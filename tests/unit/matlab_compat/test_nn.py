"""MatConvNet's blocks beyond the golden data: options in MATLAB's style, sizes, double, errors."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from matlab_compat import nn
from matlab_compat.errors import ArgumentError

X = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def naive_pool(x: np.ndarray, window: tuple, stride: tuple, pad: tuple, method: str) -> np.ndarray:
    """(H, W) -> pooled, pixel by pixel, padding never counted."""
    top, bottom, left, right = pad
    rows = (x.shape[0] + top + bottom - window[0]) // stride[0] + 1
    columns = (x.shape[1] + left + right - window[1]) // stride[1] + 1
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            r, c = i * stride[0] - top, j * stride[1] - left
            part = x[max(r, 0) : r + window[0], max(c, 0) : c + window[1]]
            out[i, j] = part.max() if method == "max" else part.mean()
    return out


sides = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=80, deadline=None)
@given(sides, sides, st.tuples(*[st.integers(0, 2)] * 4), st.sampled_from(["max", "avg"]))
def test_pooling_equals_a_loop_for_every_window_stride_and_pad(
    window: tuple, stride: tuple, pad: tuple, method: str
) -> None:
    bound = (window[0], window[0], window[1], window[1])
    pad = tuple(min(p, b - 1) for p, b in zip(pad, bound, strict=True))
    got = nn.vl_nnpool(X, list(window), stride=list(stride), pad=list(pad), method=method)
    want = naive_pool(X[1, 2].numpy(), window, stride, pad, method)
    np.testing.assert_allclose(got[1, 2].numpy(), want, atol=1e-12)


def test_options_are_keywords_or_matlabs_pairs_in_any_case() -> None:
    by_keyword = nn.vl_nnpool(X, 2, stride=2, pad=[0, 1, 0, 1], method="avg")
    by_pairs = nn.vl_nnpool(X, 2, "Stride", 2, "PAD", [0, 1, 0, 1], "method", "avg", "cuDNN")
    torch.testing.assert_close(by_keyword, by_pairs)


def test_an_unknown_option_names_the_closest() -> None:
    with pytest.raises(ArgumentError, match="stride"):
        nn.vl_nnpool(X, 2, "strid", 2)
    with pytest.raises(ArgumentError, match="dilate"):
        nn.vl_nnconv(X, torch.zeros(3, 4, 1, 1).double(), None, dilat=2)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_derivatives_are_the_numerical_ones(groups: int) -> None:
    torch.manual_seed(0)
    w = torch.randn(4, 4 // groups, 2, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, dtype=torch.float64, requires_grad=True)
    x = X.clone().requires_grad_()
    options = {"stride": [2, 1], "pad": [1, 0, 0, 2], "dilate": [1, 2]}
    assert torch.autograd.gradcheck(lambda *a: nn.vl_nnconv(*a, **options), (x, w, b))


@pytest.mark.parametrize(
    ("block", "scale"),
    [
        (lambda x: nn.vl_nnnormalize(x, [3, 1, 0.5, 0.75]), 1),
        (lambda x: nn.vl_nnnormalize(x, [8, 1e-12, 1, 0.5]), 1),
        (lambda x: nn.vl_nnspnorm(x, [3, 2, 1, 0.75]), 1),
        (nn.vl_nnsigmoid, 1),
        (nn.vl_nnsoftmax, 1),
        (lambda x: nn.vl_nnrelu(x, leak=0.1), 1),
        (lambda x: nn.vl_nnbnorm(x, X[0, :, 0, 0], X[0, :, 0, 1]), 1),
    ],
)
def test_block_derivatives_are_the_numerical_ones(block: Callable, scale: float) -> None:
    x = (X * scale).clone().requires_grad_()
    assert torch.autograd.gradcheck(block, (x,))


def test_the_l2_form_of_normalization_gives_unit_pixels_and_keeps_zero_ones() -> None:
    x = X.float().clone()
    x[0, :, 0, 0] = 0
    y = nn.vl_nnnormalize(x, [8, 1e-12, 1, 0.5])
    norms = y.norm(dim=1)
    assert norms[0, 0, 0] == 0
    norms[0, 0, 0] = 1
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_normalization_windows_are_matlabs_for_even_sizes_too() -> None:
    y = nn.vl_nnnormalize(X, [4, 2, 0.3, 0.75])
    want = torch.zeros_like(X)
    for t in range(4):
        first, last = max(t - (4 - 1) // 2, 0), min(t + 4 - 1 - (4 - 1) // 2, 3)
        want[:, t] = X[:, t] * (2 + 0.3 * X[:, first : last + 1].square().sum(1)) ** -0.75
    torch.testing.assert_close(y, want)


def test_derivatives_can_be_had_in_inference_mode() -> None:
    dzdy = torch.ones(2, 4, 5, 4, dtype=torch.float64)
    want = nn.vl_nnpool(X, 2, dzdy)
    with torch.inference_mode():
        torch.testing.assert_close(nn.vl_nnpool(X + 0, 2, dzdy + 0), want)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("param", [[3, 1, 0.5, 0.75], [8, 1e-12, 1, 0.5], [5, 1, 0.5, 0.75]])
def test_normalization_takes_any_memory_layout_and_half_precision(
    layout: torch.memory_format, param: list[float]
) -> None:
    x = X.bfloat16().to(memory_format=layout)
    y = nn.vl_nnnormalize(x, param)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, nn.vl_nnnormalize(x.float().contiguous(), param).bfloat16())


def test_given_moments_are_constants_under_autograd_but_not_in_the_originals_derivative() -> None:
    g, b, moments = torch.ones(4).double(), torch.zeros(4).double(), nn.vl_nnbnorm_moments(X)
    x = X.clone().requires_grad_()
    (true,) = torch.autograd.grad(nn.vl_nnbnorm(x, g, b, moments=moments).sum(), x)
    torch.testing.assert_close(true, (1 / moments[:, 1])[:, None, None].expand_as(x))
    original = nn.vl_nnbnorm(X, g, b, torch.ones_like(X), moments=moments)[0]
    assert (
        original.abs().max() < 1e-12
    )  # a constant dzdy moves the mean, which the training formula takes out


def test_dropout_keeps_the_mean_and_its_derivative_needs_the_mask() -> None:
    x = torch.ones(1, 1, 100, 100)
    y, mask = nn.vl_nndropout(x, rate=0.25, generator=torch.Generator().manual_seed(0))
    assert sorted(mask.unique().tolist()) == [0, pytest.approx(1 / 0.75)]
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(nn.vl_nndropout(x, 2 * x, mask=mask), 2 * y)
    # the original only warns, and takes a new random mask
    with pytest.raises(ArgumentError, match="mask"):
        nn.vl_nndropout(x, x)


def test_a_broadcast_target_of_the_distance_gets_its_summed_derivative_under_autograd() -> None:
    x0 = X[:, :, :1, :1].clone().requires_grad_()
    y = nn.vl_nnpdist(X, x0, 2, "noRoot", True)
    (by_autograd,) = torch.autograd.grad(y.sum(), x0)
    _, unsummed = nn.vl_nnpdist(X, x0.detach(), 2, torch.ones_like(y), "noRoot", True)
    assert unsummed.shape == X.shape  # as in the original
    torch.testing.assert_close(by_autograd, unsummed.sum((2, 3), keepdim=True))


def test_a_whole_image_filter_equals_a_convolution() -> None:
    w = torch.randn(3, 4, 6, 5, dtype=torch.float64)
    y = nn.vl_nnconv(X, w, torch.arange(3.0).double())
    want = (X[:, None] * w).sum((2, 3, 4)) + torch.arange(3.0)
    torch.testing.assert_close(y, want[:, :, None, None])


def test_max_pooling_without_gradients_makes_no_transposed_copy() -> None:
    with torch.no_grad():
        y = nn.vl_nnpool(X, 2, stride=2)
    assert y.is_contiguous()
    x = X.clone().requires_grad_()
    torch.testing.assert_close(nn.vl_nnpool(x, 2, stride=2), y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.vl_nnconv(X, torch.zeros(4, 3, 1, 1).double(), None), "divide"),
        (lambda: nn.vl_nnconv(X, torch.zeros(4, 4, 9, 9).double(), None), "9"),
        (lambda: nn.vl_nnconv(X, torch.zeros(4, 4, 1, 1).double(), torch.zeros(3).double()), "3 biases"),
        (lambda: nn.vl_nnpool(X, 2, pad=2), "pad"),
        (lambda: nn.vl_nnpool(X, 2, stride=np.array([[[2], [2, 2]]], dtype=object)), "stride is"),
        (lambda: nn.vl_nnpool(X, 2, method="median"), "median"),
        (lambda: nn.vl_nnpool(X[0], 2), "4"),
        (lambda: nn.vl_nnpool(X, 2, torch.zeros(1, 1, 1, 1).double()), "dzdy"),
        (lambda: nn.vl_nncrop(X, [3, 3, 0, 0]), "nothing"),
        (lambda: nn.vl_nnpdist(X, X[:, :, :2], 2), "x0"),
    ],
)
def test_sizes_that_do_not_fit_are_named(call: Callable, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.gpu
def test_blocks_give_the_same_on_a_gpu() -> None:
    w = torch.randn(3, 4, 3, 3, dtype=torch.float64)
    here = nn.vl_nnpool(nn.vl_nnconv(X, w, None, pad=1), 2, stride=2)
    there = nn.vl_nnpool(nn.vl_nnconv(X.cuda(), w.cuda(), None, pad=1), 2, stride=2)
    torch.testing.assert_close(here, there.cpu())


def test_nan_passes_relu_and_maximum_pooling() -> None:
    # difference: nan-through-relu
    x = torch.arange(-8.0, 17).reshape(1, 1, 5, 5)
    x[0, 0, 2, 2] = torch.nan
    for leak in (0.0, 0.1):
        assert torch.isnan(nn.vl_nnrelu(x, leak=leak)).sum() == 1
    assert nn.vl_nnrelu(x, torch.ones_like(x))[0, 0, 2, 2] == 0  # as in MATLAB, where NaN > 0 is false
    for pad, wanted in ((0, 4), (1, 4), ([0, 1, 1, 0], 4)):
        assert torch.isnan(nn.vl_nnpool(x, 2, pad=pad)).sum() == wanted
        assert torch.isnan(nn.vl_nnpool(x.clone().requires_grad_(), 2, pad=pad)).sum() == wanted
