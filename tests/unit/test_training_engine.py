"""Winograd's convolutions for layers that learn: torch's results and gradients, to rounding."""

import numpy as np
import pytest
import torch

from deepibl.engine import onednn
from deepibl.training.speed import SpeedOptions
from deepibl.training.step import Stepper
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import SimpleNN
from tests.tolerances import assert_close
from tests.unit.test_engine import simplenn_of

pytestmark = pytest.mark.skipif(
    bool(onednn.available()) or not onednn.instructions(), reason="this machine has no oneDNN with AVX2"
)


@pytest.fixture
def net() -> SimpleNN:
    """Convolutions of 3, 16, 64, 64, 48 and 8 channels: three are for Winograd's products, one is frozen."""
    made = simplenn_of([(3, 16), (16, 64), (64, 64), (64, 64), (64, 48), (48, 8)]).float()
    made.meta["normalization"] = {"averageImage": np.full((1, 1, 3), 100, np.float32)}
    return made


def gradients(net: SimpleNN, maps: torch.Tensor, engine: str, first: str) -> list[torch.Tensor]:
    """The features, and the gradients of all that learns."""
    stepper = Stepper(net, net.index(first), engine=engine)
    features = stepper.features(maps)
    features.square().sum().backward()
    found = [each.weight.grad.clone() for each in stepper.learned]
    stepper.clear()
    return [features.detach(), *found]


@pytest.mark.parametrize("size", [(48, 64), (45, 61)])
def test_features_and_gradients_are_torchs(net, size) -> None:
    maps = torch.rand(2, 64, *size)
    want, got = (gradients(net, maps, engine, "conv2") for engine in ("torch", "fused"))
    assert len(want) == len(got) == 1 + 2 * 4
    for have, expected in zip(got, want, strict=True):
        assert_close(have, expected, "winograd")
    assert not all(torch.equal(*pair) for pair in zip(got, want, strict=True))


def test_weights_that_have_changed_are_transformed_again(net) -> None:
    maps = torch.rand(1, 64, 24, 24)
    stepper = Stepper(net, net.index("conv2"), engine="fused")
    with torch.no_grad():
        before = stepper.features(maps).clone()
        for each in stepper.learned:
            each.weight.mul_(1.1)
        after = stepper.features(maps)
        assert_close(after, Stepper(net, net.index("conv2")).features(maps), "winograd")
    assert not torch.allclose(before, after)


def test_only_convolutions_of_many_channels_that_learn_are_computed_so(net) -> None:
    names = net.names
    fast = Stepper(net, net.index("conv2"), engine="fused")._fast
    assert [names[position] for position in fast] == ["conv2", "conv3", "conv4"]
    assert not Stepper(net, net.index("conv2"), engine="fused", precision="bf16")._fast
    assert not Stepper(net, net.index("conv2"))._fast
    with pytest.raises(ArgumentError, match="trainEngine is one of torch, fused"):
        SpeedOptions().changed({"trainEngine": "fast"})
