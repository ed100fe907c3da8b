"""Numbers that are not finite: in a network's weights, and in the maps of a backbone.

A ReLU that oneDNN or cuDNN computes in a convolution turns NaN into 0, after which descriptors look healthy.
So weights are checked whenever an engine is chosen (`require_finite`). Finite weights give NaN only where
maps overflow. `in_range` shows by the weights alone that they cannot; where it does not, the maps of each
image are measured (`Overflow`), and the descriptor of an image whose maps overflow is NaN, which is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from matlab_compat.dagnn import blocks as dag
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.layers import Conv, Dropout, Normalize, Pool, ReLU
from matlab_compat.simplenn.network import SimpleNN

IMAGES = 1e5  # prepared images are within it: 0..255 minus a mean, divided by a deviation
MAPS = 1e9  # kept maps of lower layers are within it: others are refused
MOST_SQUARED = 1e18  # of maps that LRN squares
MOST = 1e32  # of maps in float32 and bfloat16; Winograd's products and sums may be 1e4 times as large
_BEYOND = 1e7  # MOST times it is infinite


def require_finite(net: nn.Module) -> None:
    """Raises NetworkFormatError, naming layer and weight, if a weight or the mean pixel is NaN or infinite.

    Also for batch normalisation whose stored deviations are not above 0: those of a network without moments.
    ArgumentError for a network without values, on 'meta'.
    """
    for where, values, what in _numbers(net):
        if values.is_meta:
            raise ArgumentError("a network on 'meta' has no values: to_empty(device='cpu'), load weights")
        total = values.sum(dtype=torch.promote_types(values.dtype, torch.float32))
        wrong = 0 if bool(torch.isfinite(total)) else int((~torch.isfinite(values)).sum())
        if wrong:  # else the sum of finite numbers is beyond float32
            raise NetworkFormatError(
                f"{where}: {wrong} of {values.numel()} numbers of its {what} are NaN or infinite, and so "
                "would be descriptors; take an earlier checkpoint, or the file from its source again"
            )
        if what == "moments" and not bool((values[:, 1] > 0).all()):
            raise NetworkFormatError(
                f"{where} has no {what}: standard deviations are not above 0. MatConvNet before 1.0-beta17 "
                "did not keep them: store mean and sqrt(variance + epsilon) of each channel over training "
                "images as its third weight"
            )


def _numbers(net: nn.Module) -> Iterator[tuple[str, Tensor, str]]:
    """All weights, and the mean pixel: layer, values, name. Buffers of foreign modules may hold infinity."""
    if isinstance(net, SimpleNN):
        for index, layer in enumerate(net):
            for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
                if values.is_floating_point():
                    yield net.label(index), values.detach(), name
    elif isinstance(net, DagNN):
        for block in net:
            for place, name in enumerate(block.params):
                what = "moments" if isinstance(block, dag.BatchNorm) and place == 2 else name
                yield block.label(), net.param(name).detach(), what
    else:
        yield from (("the network", values.detach(), name) for name, values in net.named_parameters())
    if isinstance(net, SimpleNN | DagNN) and "normalization" in net.meta:
        yield "meta.normalization", net.mean_pixel, "averageImage"


def gain(layer: nn.Module) -> float:
    """How many times as large as its input a convolution's output may be, without its bias; else 1."""
    if not isinstance(layer, Conv) or layer.weight is None:
        return 1.0
    return float(_gain(layer.weight))


def _gain(weight: Tensor) -> Tensor:
    return weight.detach().float().abs().sum((1, 2, 3)).max()


def in_range(net: SimpleNN, stop: int, channels: int | None) -> bool:
    """Whether the maps of layers 0 .. stop-1 cannot overflow. channels: of the input; 3: images, else kept
    maps.
    """
    most = IMAGES if channels == 3 else MAPS
    for layer in list(net)[:stop]:
        if isinstance(layer, Conv) and layer.weight is not None:
            bias = layer.weight.new_zeros(1) if layer.bias is None else layer.bias.detach()
            times, offset = torch.stack([_gain(layer.weight), bias.float().abs().max()]).tolist()
            most = max(most, times * most + offset)
        elif isinstance(layer, Normalize) and layer.param[1] >= 1e-12 and 0 <= layer.param[3] <= 1:
            if most > MOST_SQUARED or layer.param[2] < 0:
                return False
            most *= max(1.0, layer.param[1] ** -layer.param[3])
        elif not isinstance(layer, Conv | Pool | Dropout | ReLU) or getattr(layer, "leak", 0) > 1:
            return False
    return most < MOST


class Overflow:
    """The largest values of images' maps on their way through layers, where they may be out of range."""

    def __init__(self) -> None:
        self._largest: Tensor | None = None

    def see(self, maps: Tensor, gain: float = 1.0) -> None:
        """Notes the largest absolute value of each image's maps (N, C, H, W); integers cannot overflow.

        gain: of layers, whose sums may reach that many times as much: with AMX's bfloat16,
        sums that overflow are NaN, and the ReLU's zeros are all that is left to see.
        """
        if maps.is_floating_point():
            found = torch.maximum(maps.amax((1, 2, 3)), -maps.amin((1, 2, 3))).float() * gain
            self._largest = found if self._largest is None else torch.maximum(self._largest, found)

    def mark(self, maps: Tensor) -> Tensor:
        """The maps; those of an image that was out of range before as NaN."""
        return maps if self._largest is None else maps + (self._largest * _BEYOND * 0)[:, None, None, None]
