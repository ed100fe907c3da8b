"""A network's backbone as a list of fused steps for a CPU: convolution, pooling and ReLU in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from deepibl.engine.finite import Overflow, gain, in_range
from deepibl.engine.onednn import PackedConvolution, Workers
from deepibl.engine.winograd import WinogradConvolution
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.layers import Conv, Dropout, Pool, ReLU
from matlab_compat.simplenn.network import SimpleNN

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Group:
    """Layers that one step computes; position: of the first. A convolution that oneDNN's operator computes
    (`plain`) has the maximum pooling and the ReLU after it too, in either order; any other layer is alone.
    """

    position: int
    layer: Layer
    plain: bool = False
    relu: bool = False
    pool: Pool | None = None


def groups(net: SimpleNN, stop: int, channels: int | None) -> list[Group]:
    """Layers 0 .. stop-1 in groups, without dropout. channels: of the input maps; None: unknown."""
    layers = [(i, layer) for i, layer in enumerate(list(net)[:stop]) if not isinstance(layer, Dropout)]
    found = []
    while layers:
        position, first = layers.pop(0)
        plain = (
            isinstance(first, Conv)
            and first.weight is not None
            and not first.opts
            and first.pad.symmetric
            and first.weight.shape[1] == channels
        )
        channels = first.channels_out(channels)
        pool: Pool | None = None
        relu = False
        while plain and layers:
            after = layers[0][1]
            if pool is None and isinstance(after, Pool) and after.method == "max":
                pool = after
            elif not relu and isinstance(after, ReLU) and after.leak <= 0:
                relu = True
            else:
                break
            layers.pop(0)
        found.append(Group(position, first, plain, relu, pool))
    return found


class FusedBackbone:
    """Layers 0 .. stop-1 of a network for inference, in float32 or bfloat16: (N, C, H, W) to maps.

    The weights are the network's at this moment. In float32, 3 x 3 convolutions of many channels are
    Winograd's; others are oneDNN's with the ReLU in them, after the maximum pooling, with which it commutes;
    other layers run as they are. channels: of the input maps; None: unknown. The maps of an image that
    overflow are NaN, see `deepibl.engine.finite`. An instance serves one thread at a time.
    """

    def __init__(self, net: SimpleNN, stop: int, precision: str, *, channels: int | None = 3) -> None:
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._workers = Workers(torch.get_num_threads())
        self._winograd = precision == "fp32"
        self._in_range = in_range(net, stop, channels)
        self._gain = max(map(gain, list(net)[:stop]), default=1.0)
        self.steps: list[Step] = [self._step(group) for group in groups(net, stop, channels)]

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 to the backbone's maps, float32, channels last."""
        x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
        overflow = Overflow()
        overflow.see(x)  # else oneDNN's ReLUs would make 0 of NaN in the images
        for step in self.steps:
            if not self._in_range:
                overflow.see(x, self._gain)
            x = step(x)
        if not self._in_range:
            overflow.see(x)
        return overflow.mark(x.float())

    def _step(self, group: Group) -> Step:
        """One group as a function of its maps: the layer itself unless the group is `plain`."""
        layer, pool, relu = group.layer, group.pool, group.relu
        if not group.plain:
            return layer
        assert isinstance(layer, Conv) and layer.weight is not None
        weight = layer.weight.detach().to(self._dtype)
        bias = None if layer.bias is None else layer.bias.detach().to(self._dtype).reshape(-1)
        pad, usual = (layer.pad.top, layer.pad.left), (layer.stride, layer.dilate) == ((1, 1), (1, 1))
        if self._winograd and usual and pad == (1, 1) and WinogradConvolution.takes(weight):
            winograd = WinogradConvolution(weight, bias, relu=relu, workers=self._workers)
            if pool is None:
                return winograd
            # in one where windows of 2 x 2 pixels cover the maps exactly
            twos = (pool.pool, pool.stride) == ((2, 2), (2, 2))
            halves = twos and tuple(pool.pad) in ((0,) * 4, (0, 1, 0, 1))

            def halved(x: Tensor) -> Tensor:
                whole = halves and not x.shape[2] % 2 and not x.shape[3] % 2
                return winograd(x, pool=True) if whole else pool(winograd(x))

            return halved
        packed = PackedConvolution(
            weight, bias, pad=pad, stride=layer.stride, dilate=layer.dilate, relu=relu and pool is None
        )
        if pool is None:
            return packed
        return lambda x: torch.relu_(pool(packed(x))) if relu else pool(packed(x))


def head_start(net: SimpleNN) -> int:
    """The position of the first layer that bf16 leaves in float32; len(net) without a custom layer."""
    types = net.types
    pooling = [i for i, layer in enumerate(net) if layer.classname and layer.classname != "torchBackbone"]
    first = pooling[0] if pooling else len(types)
    return first - 1 if 0 < first < len(types) and types[first - 1] in ("normalize", "lrn") else first
