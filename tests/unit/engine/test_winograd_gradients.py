"""deepibl.engine.winograd: the same gradients with fewer multiplications."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepibl.engine import winograd
from tests.tolerances import assert_close

pytestmark = pytest.mark.skipif(not winograd._available(), reason="needs oneDNN's matrix products")


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch) -> None:
    """So that it takes small convolutions, too."""
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 16)
    monkeypatch.setattr(winograd, "LEAST_TILES", 1)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def gradients(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, inside: bool, **how):
    """Output of a convolution, and the gradients of all that it is computed from."""
    leaves = [None if each is None else each.detach().clone().requires_grad_() for each in (x, weight, bias)]
    if inside:
        with winograd.WinogradGradients():
            y = F.conv2d(*leaves, **{"padding": 1, **how})
    else:
        y = F.conv2d(*leaves, **{"padding": 1, **how})
    (y * random(*y.shape).to(y.dtype)).sum().backward()
    return y.detach(), *(each.grad for each in leaves if each is not None)


@pytest.mark.parametrize("channels", [16, 48])
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 5), (3, 30, 40), (1, 17, 33), (5, 4, 4)])
def test_they_equal_those_in_float64_at_any_size(size, channels: int) -> None:
    x, weight, bias = random(size[0], channels, *size[1:]), random(32, channels, 3, 3), random(32)
    got = gradients(x, weight, bias, True)
    want = gradients(x.double(), weight.double(), bias.double(), False)
    for have, exact in zip(got, want, strict=True):
        assert_close(have.double(), exact, "winograd")


def test_what_is_computed_forwards_keeps_its_bits() -> None:
    x, weight, bias = random(2, 16, 12, 20), random(32, 16, 3, 3), random(32)
    assert torch.equal(gradients(x, weight, bias, True)[0], gradients(x, weight, bias, False)[0])


def test_many_images_go_through_in_batches(monkeypatch) -> None:
    x, weight = random(5, 16, 9, 8), random(32, 16, 3, 3)
    at_once = gradients(x, weight, None, True)
    monkeypatch.setattr(winograd, "MOST_TILES", 13)  # two images of six tiles
    for some, all_ in zip(gradients(x, weight, None, True), at_once, strict=True):
        assert_close(some, all_, "winograd")


@pytest.mark.parametrize(
    "seen",
    [
        lambda y: y.sum(),  # the gradient is one number, expanded
        lambda y: (y.transpose(2, 3)[:, ::2] ** 2).sum(),
        lambda y: (y.contiguous(memory_format=torch.channels_last) ** 2).sum(),
    ],
    ids=["expanded", "strided", "channels last"],
)
def test_gradients_may_lie_in_any_order(seen) -> None:
    found = []
    for inside in (True, False):
        x, weight = random(2, 16, 9, 8).requires_grad_(), random(32, 16, 3, 3).requires_grad_()
        with winograd.WinogradGradients() if inside else nullcontext():
            y = F.conv2d(x.contiguous(memory_format=torch.channels_last), weight, padding=1)
        seen(y).backward()
        found.append((x.grad, weight.grad))
    for one, other in zip(*found, strict=True):
        assert_close(one, other, "winograd")


def test_a_program_may_compute_in_float64_elsewhere(monkeypatch) -> None:
    x, weight = random(2, 16, 9, 8), random(32, 16, 3, 3)
    want = winograd.filter_gradient(x, x.repeat(1, 2, 1, 1)), winograd.input_gradient(x, weight[:16])
    monkeypatch.setattr(winograd, "_available", winograd._available.__wrapped__)  # as in a new process
    torch.set_default_dtype(torch.float64)
    try:
        assert taken(lambda: F.conv2d(x, weight.requires_grad_(), padding=1))
        got = winograd.filter_gradient(x, x.repeat(1, 2, 1, 1)), winograd.input_gradient(x, weight[:16])
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(got, want, strict=True))


def test_the_same_twice_gives_the_same_bits() -> None:
    x, weight, bias = random(4, 32, 30, 40), random(32, 32, 3, 3), random(32)
    for one, other in zip(gradients(x, weight, bias, True), gradients(x, weight, bias, True), strict=True):
        assert torch.equal(one, other)


def taken(call) -> bool:
    """Whether the function of this module computes the convolution that `call` makes."""
    with winograd.WinogradGradients():
        return call().grad_fn.name() == "_ConvolutionBackward"


def test_it_takes_what_it_pays_for() -> None:
    x, weight = random(1, 16, 8, 8), random(16, 16, 3, 3).requires_grad_()
    assert taken(lambda: F.conv2d(x, weight, padding=1))
    assert taken(lambda: F.conv2d(x, weight, None, (1, 1), (1, 1), (1, 1), 1))
    assert taken(lambda: F.conv2d(input=x, weight=weight, padding=[1, 1], stride=torch.Size([1, 1])))
    assert taken(lambda: F.conv2d(x, weight, padding=np.int64(1)))  # type: ignore[call-overload]
    layer = torch.nn.Conv2d(16, 16, 3, padding=1)
    assert taken(lambda: layer(x))


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((16, 16, 3, 3), {"padding": 0}),
        ((16, 16, 3, 3), {"padding": "same"}),
        ((16, 16, 3, 3), {"padding": (1, 0)}),
        ((16, 16, 3, 3), {"padding": 1, "stride": 2}),
        ((16, 16, 3, 3), {"padding": 1, "dilation": 2}),
        ((16, 8, 3, 3), {"padding": 1, "groups": 2}),
        ((16, 16, 5, 5), {"padding": 1}),
        ((24, 16, 3, 3), {"padding": 1}),
    ],
)
def test_other_convolutions_are_torchs(shape, how) -> None:
    x, weight = random(1, 16, 8, 8), random(*shape).requires_grad_()
    assert not taken(lambda: F.conv2d(x, weight, **how))


def test_few_channels_and_few_tiles_are_torchs(monkeypatch) -> None:
    x, weight = random(1, 16, 8, 8), random(16, 16, 3, 3).requires_grad_()
    monkeypatch.setattr(winograd, "LEAST_TILES", 5)
    assert not taken(lambda: F.conv2d(x, weight, padding=1))
    monkeypatch.setattr(winograd, "LEAST_TILES", 4)
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 32)
    assert not taken(lambda: F.conv2d(x, weight, padding=1))


def test_other_numbers_are_torchs() -> None:
    x, weight = random(1, 16, 8, 8), random(16, 16, 3, 3).requires_grad_()
    assert not taken(lambda: F.conv2d(x.double(), weight.double(), padding=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not taken(lambda: F.conv2d(x, weight, padding=1))
    with torch.no_grad(), winograd.WinogradGradients():
        assert F.conv2d(x, weight, padding=1).grad_fn is None


def test_only_the_gradients_that_are_asked_for_are_computed(monkeypatch) -> None:
    x, weight = random(1, 16, 8, 8), random(16, 16, 3, 3).requires_grad_()
    monkeypatch.setattr(winograd, "input_gradient", None)
    with winograd.WinogradGradients():
        F.conv2d(x, weight, padding=1).sum().backward()
    assert weight.grad is not None
