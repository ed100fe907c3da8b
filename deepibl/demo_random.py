"""The network that the training demo starts from: random filters, scaled to what they give on photographs.

    half      pool avg     half the size: what places look like is there, at a quarter of the cost
    conv1     5x5 / 2, pool, relu
    conv2     3x3, pool, relu
    conv3     3x3, relu
    conv4     3x3          its output is what is pooled to a descriptor

Filters are drawn from a normal distribution. Then each is divided by the deviation of its output on some
photographs, and its bias is minus the mean, so that every convolution begins with outputs of mean 0 and
deviation 1 (data-dependent initialisation: Kraehenbuehl et al. 2016, Mishkin and Matas 2016). Nothing is
learned, and no filter has a shape that somebody has chosen.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.network_build import plain_layer
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import SimpleNN

CHANNELS = (16, 32, 64, 64)
POOLED = 2  # of the first convolutions are followed by a pooling that halves the maps
FIRST_SIDE, SIDE = 5, 3  # of the filters of the first convolution, and of the others


def random_network(photos: Tensor, seed: int = 0, channels: Sequence[int] = CHANNELS) -> SimpleNN:
    """Convolutions with random weights; the last is called conv4 where there are four.

    Args:
        photos: (N, 3, H, W), RGB, 0 to 255: what the filters are scaled by; their mean colour is subtracted.
        seed: of the filters; the same seed and photos are the same network.
        channels: of each convolution.

    Raises:
        ArgumentError: no photos, or photos that are all of one colour.
    """
    if photos.ndim != 4 or not len(photos):
        raise ArgumentError(f"photos are (N, 3, H, W) with N > 0, not {tuple(photos.shape)}")
    random = np.random.RandomState(seed)
    layers = [_pool("half", "avg")]
    for number, (inputs, outputs) in enumerate(pairwise((3, *channels)), start=1):
        last = number == len(channels)
        layers.append(_conv(f"conv{number}", random, FIRST_SIDE if number == 1 else SIDE, inputs, outputs))
        if number <= POOLED and not last:
            layers.append(_pool(f"pool{number}"))
        if not last:
            layers.append({"type": "relu", "name": f"relu{number}"})
    made = [plain_layer(fields, index) for index, fields in enumerate(layers)]
    net = SimpleNN(made, _meta(photos)).eval()
    _scale(net, photos)
    return net


@torch.no_grad()
def _scale(net: SimpleNN, photos: Tensor) -> None:
    """Gives every convolution's output mean 0 and deviation 1 on the photos, a channel at a time."""
    maps = net.prepare(photos)
    for layer in net:
        given = layer(maps)
        if layer.type == "conv":
            mean, spread = given.mean((0, 2, 3)), given.std((0, 2, 3))
            if not bool((spread > 0).all()):
                raise ArgumentError(
                    f"{layer.name}: the photos give it nothing to tell apart; are they empty?"
                )
            filters, biases = layer.weights
            assert filters is not None and biases is not None  # this module gave it both
            filters /= spread[:, None, None, None]
            biases.copy_((biases - mean) / spread)
            given = (given - mean[:, None, None]) / spread[:, None, None]
        maps = given


def _conv(name: str, random: np.random.RandomState, side: int, inputs: int, outputs: int) -> dict[str, Any]:
    weight = random.standard_normal((side, side, inputs, outputs))
    return {
        "type": "conv",
        "name": name,
        "weights": [weight.astype(np.float32), np.zeros((outputs, 1), np.float32)],
        "stride": np.full((1, 2), 2.0 if side == FIRST_SIDE else 1.0),
        "pad": np.full((1, 4), float(side // 2)),
    }


def _pool(name: str, method: str = "max") -> dict[str, Any]:
    return {
        "type": "pool",
        "name": name,
        "method": method,
        "pool": np.full((1, 2), 2.0),
        "stride": np.full((1, 2), 2.0),
        "pad": np.zeros((1, 4)),
    }


def _meta(photos: Tensor) -> dict[str, Any]:
    """What a MatConvNet network says of its images: their size and mean colour."""
    height, width = photos.shape[-2:]
    average = np.empty((height, width, 3), np.float32)
    average[:] = photos.mean((0, 2, 3)).numpy()
    normalization = {"imageSize": np.array([[float(height), float(width), 3.0]]), "averageImage": average}
    return {"normalization": normalization, "netID": "toycity", "sessionID": "toycity_random"}
