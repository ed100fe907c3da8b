"""VGG-16's convolutions from torchvision, as the network that MatConvNet calls vd16.

torchvision's IMAGENET1K_FEATURES are believed to be the same convolutions that MatConvNet publishes,
converted from the authors' Caffe files; nobody could compare them here. So they only stand in for vd16
where that is asked for.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from deepibl.errors import DownloadError
from deepibl.network_layouts import VGG16_BLOCKS
from deepibl.torch_file import load_state
from matlab_compat.errors import NetworkFormatError
from matlab_compat.layout import filters_to_matlab
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_tidy import cell_row

_log = logging.getLogger(__name__)
MEAN_RGB = (123.68, 116.779, 103.939)  # of ImageNet, as vd16 subtracts it
IMAGE_SIDE = 224


def vgg16_from_torchvision(
    weights: str | os.PathLike[str] | Mapping[str, Tensor] = "torchvision",
) -> SimpleNN:
    """VGG-16 up to pool5 in MatConvNet's order and names (conv1_1, relu1_1, …), for images 0..255, RGB.

    Max pooling pads one row below and one column to the right, so that it covers the whole image as Caffe's
    does.

    Args:
        weights: 'torchvision' downloads its Caffe-style weights (IMAGENET1K_FEATURES) or takes them from
        torch's
            cache; else a .pth or .safetensors file of torchvision's vgg16 (nothing but tensors is
            unpickled), or a state dict.

    Raises:
        DownloadError: the weights cannot be had. NetworkFormatError: they are not VGG-16's.
    """
    state = weights if isinstance(weights, Mapping) else _state_dict(weights)
    layers: list[dict[str, Any]] = []
    position, channels = 0, 3
    for b, (count, width) in enumerate(VGG16_BLOCKS, start=1):
        for c in range(1, count + 1):
            filters, biases = _convolution(state, position, (width, channels, 3, 3))
            layers.append(_conv(f"conv{b}_{c}", filters, biases))
            layers.append({"type": "relu", "name": f"relu{b}_{c}"})
            position, channels = position + 2, width
        layers.append(_pool(f"pool{b}"))
        position += 1
    mean = np.broadcast_to(np.array(MEAN_RGB, dtype=np.float32), (IMAGE_SIDE, IMAGE_SIDE, 3))
    normalization = {
        "averageImage": np.array(mean),
        "imageSize": np.array([[IMAGE_SIDE, IMAGE_SIDE, 3.0]]),
        "interpolation": "bilinear",
    }
    return SimpleNN.from_matlab({"layers": cell_row(layers), "meta": {"normalization": normalization}})


def _conv(name: str, filters: Tensor, biases: Tensor) -> dict[str, Any]:
    weights = [filters_to_matlab(filters.float()), biases.detach().float().numpy()[None]]
    return {
        "type": "conv",
        "name": name,
        "weights": cell_row(weights),
        "pad": np.ones((1, 4)),
        "stride": np.ones((1, 2)),
    }


def _pool(name: str) -> dict[str, Any]:
    two = np.full((1, 2), 2.0)
    return {
        "type": "pool",
        "name": name,
        "method": "max",
        "pool": two,
        "stride": two,
        "pad": np.array([[0.0, 1, 0, 1]]),
    }


def _convolution(state: Mapping[str, Tensor], position: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    try:
        filters, biases = (state[f"features.{position}.{kind}"] for kind in ("weight", "bias"))
    except KeyError as error:
        raise NetworkFormatError(
            f"these are not torchvision's VGG-16 weights: {error} is missing; found {list(state)[:4]}"
        ) from None
    if tuple(filters.shape) != shape or tuple(biases.shape) != shape[:1]:
        raise NetworkFormatError(
            f"these are not VGG-16's weights: features.{position} has shape {tuple(filters.shape)}, "
            f"expected {shape}"
        )
    return filters.detach(), biases


def _state_dict(source: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    if source == "torchvision":
        return _download()
    path = Path(source)
    if not path.is_file():
        raise DownloadError(f"there is no file {path} with VGG-16's weights")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return load_state(path)


def _download() -> Mapping[str, Tensor]:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_FEATURES
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"torchvision's VGG-16 weights could not be downloaded from {weights.url}: {error}\n"
            "Download the file elsewhere and give its path as stand_in"
        ) from error
