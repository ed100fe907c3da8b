"""A network's trunk as a list of fused steps for a CPU: convolution, pooling and ReLU in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from deepibl.engine.onednn import PackedConvolution, Workers
from deepibl.engine.winograd import WinogradConvolution
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.layers import Conv, Dropout, Pool, ReLU
from matlab_compat.simplenn.network import SimpleNN

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Group:
    """Layers that one step computes: a convolution with the maximum pooling and the ReLU after it, in either
    order, where oneDNN's operator can do it (`plain`); else one layer. position: of the first.
    """

    position: int
    layer: Layer
    plain: bool = False
    relu: bool = False
    pool: Pool | None = None


def groups(net: SimpleNN, stop: int, channels: int | None) -> list[Group]:
    """Layers 0 .. stop-1 in groups, without dropout. channels: of the maps that come in; None: not known."""
    layers = [(i, layer) for i, layer in enumerate(list(net)[:stop]) if not isinstance(layer, Dropout)]
    found = []
    while layers:
        position, first = layers.pop(0)
        plain = _plain_convolution(first, channels)
        channels = first.channels_out(channels)
        pool: Pool | None = None
        relu = False
        while plain and layers and (after := layers[0][1]):
            if pool is None and isinstance(after, Pool) and after.method == "max":
                pool = after
            elif not relu and _plain_relu(after):
                relu = True
            else:
                break
            layers.pop(0)
        found.append(Group(position, first, plain, relu, pool))
    return found


class FusedTrunk:
    """Layers 0 .. stop-1 of a network for inference, in float32 or bfloat16: (N, C, H, W) to maps.

    The weights are those of the network at this moment; oneDNN's packing and Winograd's transforms are made
    when a size first comes by. In float32, 3 x 3 convolutions of many channels are Winograd's; all other
    convolutions are oneDNN's, with the ReLU in them. Maximum pooling comes before the ReLU, which it commutes
    with, and what is none of these runs as it is. channels: of the maps that come in; None: not known.
    One instance serves one thread at a time.
    """

    def __init__(
        self,
        net: SimpleNN,
        stop: int,
        precision: str,
        *,
        winograd: bool = True,
        channels: int | None = 3,
    ) -> None:
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._workers = Workers(torch.get_num_threads())
        self._winograd = winograd and precision == "fp32"
        self.steps: list[Step] = [self._step(group) for group in groups(net, stop, channels)]

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 to the trunk's maps, float32, with channels last."""
        x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
        for step in self.steps:
            x = step(x)
        return x.float()

    def _step(self, group: Group) -> Step:
        first, relu, pool = group.layer, group.relu, group.pool
        if not group.plain:
            return first
        assert isinstance(first, Conv) and first.weight is not None
        weight = first.weight.detach().to(self._dtype)
        bias = None if first.bias is None else first.bias.detach().to(self._dtype).reshape(-1)
        if self._winograd and _winograds(first):
            convolution = WinogradConvolution(weight, bias, relu=relu, workers=self._workers)
            return _PooledWinograd(convolution, pool)
        geometry = {"pad": (first.pad.top, first.pad.left), "stride": first.stride, "dilate": first.dilate}
        fused = PackedConvolution(weight, bias, **geometry, relu=relu and pool is None)
        return _Chain([fused, pool, torch.relu_ if relu else None] if pool else [fused])


class _Chain:
    """One after the other."""

    def __init__(self, parts: list[Step | None]) -> None:
        self._parts = [part for part in parts if part is not None]

    def __call__(self, x: Tensor) -> Tensor:
        for part in self._parts:
            x = part(x)
        return x


class _PooledWinograd:
    """A Winograd convolution that pools by itself where windows of 2 x 2 pixels fill the maps."""

    def __init__(self, convolution: WinogradConvolution, pool: Pool | None) -> None:
        self._convolution, self._pool = convolution, pool

    def __call__(self, x: Tensor) -> Tensor:
        if self._pool is None:
            return self._convolution(x)
        if _halves(self._pool) and not x.shape[2] % 2 and not x.shape[3] % 2:
            return self._convolution(x, pool=True)
        return self._pool(self._convolution(x))


def _plain_convolution(layer: Layer, channels: int | None) -> bool:
    """Whether oneDNN's operator does all of it; `channels` is the number of maps that come in."""
    if not isinstance(layer, Conv) or layer.weight is None or layer.opts or not layer.pad.symmetric:
        return False
    return layer.weight.shape[1] == channels


def _winograds(layer: Conv) -> bool:
    assert layer.weight is not None
    usual = (layer.stride, layer.dilate, tuple(layer.pad)) == ((1, 1), (1, 1), (1, 1, 1, 1))
    return usual and WinogradConvolution.takes(layer.weight)


def _plain_relu(layer: Layer) -> bool:
    return isinstance(layer, ReLU) and layer.leak <= 0


def _halves(layer: Pool) -> bool:
    return (layer.pool, layer.stride) == ((2, 2), (2, 2)) and tuple(layer.pad) in ((0,) * 4, (0, 1, 0, 1))


def head_start(net: SimpleNN) -> int:
    """The position of the first layer that bf16 leaves in float32; len(net) without a custom layer."""
    types = net.types
    pooling = [i for i, layer in enumerate(net) if layer.classname and layer.classname != "torchBackbone"]
    first = pooling[0] if pooling else len(types)
    return first - 1 if 0 < first < len(types) and types[first - 1] in ("normalize", "lrn") else first
