"""The random network that the training demo starts from."""

import numpy as np
import pytest
import torch

from deepibl.demo.training import random_network
from matlab_compat.errors import ArgumentError


@pytest.fixture(scope="module")
def photos():
    smooth = torch.nn.functional.avg_pool2d(torch.rand(6, 3, 52, 68, generator=torch.manual_seed(0)), 5, 1)
    return smooth * 255


def test_every_convolution_begins_with_outputs_of_mean_0_and_deviation_1(photos):
    net = random_network(photos)
    for name in ("conv1", "conv2", "conv3", "conv4"):
        maps = net(net.prepare(photos), stop=name)
        torch.testing.assert_close(maps.mean((0, 2, 3)), torch.zeros(maps.shape[1]), rtol=0, atol=1e-4)
        torch.testing.assert_close(maps.std((0, 2, 3)), torch.ones(maps.shape[1]), rtol=1e-4, atol=0)


def test_a_seed_and_photos_are_one_network_and_another_seed_is_another(photos):
    one, same, other = (random_network(photos, seed)["conv2"].weights[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.detach(), same.detach())
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    ("images", "said"),
    [(torch.zeros(0, 3, 32, 32), "N > 0"), (torch.full((2, 3, 32, 32), 9.0), "is constant on the photos")],
)
def test_photos_that_say_nothing_are_refused(images, said):
    with pytest.raises(ArgumentError, match=said):
        random_network(images)
