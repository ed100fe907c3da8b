"""SqueezeNet v1.1 with the Keras weights of ../shared/real/backbones, through the route for any torch
backbone.
"""

from pathlib import Path

import h5py
import torch
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from deepibl.networks.backbones import CAFFE, TorchExtractor, from_torch

FILE = "backbones/squeezenet_v1.1/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"


def squeezenet(real: Path, head: str = "mean") -> TorchExtractor:
    """An extractor of 512 channels. torchvision's features with Keras's pooling, which drops incomplete
    windows.
    """
    features = squeezenet1_1(weights=None).features
    for module in features.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = False
    with h5py.File(real / FILE, "r") as stored, torch.no_grad():
        for name, conv in _convolutions(features):
            kernel, bias = _weights(stored[name])
            conv.weight.copy_(kernel)
            conv.bias.copy_(bias)
    return from_torch(features, head=head, **vars(CAFFE))


def _convolutions(features: nn.Sequential) -> list[tuple[str, nn.Conv2d]]:
    """Keras's names of the convolutions, in order."""
    found = [("conv1", features[0])]
    fires = [module for module in features if hasattr(module, "squeeze")]
    for number, fire in enumerate(fires, start=2):
        for part in ("squeeze", "expand1x1", "expand3x3"):
            keras = "squeeze1x1" if part == "squeeze" else part
            found.append((f"fire{number}/{keras}", getattr(fire, part)))
    return found


def _weights(group: h5py.Group) -> tuple[Tensor, Tensor]:
    """(K, C, h, w) and (K,) of a Keras layer, whose kernel is h x w x C x K."""
    arrays: list[Tensor] = []
    group.visititems(
        lambda _, item: arrays.append(torch.from_numpy(item[()])) if isinstance(item, h5py.Dataset) else None
    )
    kernel, bias = sorted(arrays, key=lambda array: -array.ndim)
    return kernel.permute(3, 2, 0, 1), bias
