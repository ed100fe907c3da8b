"""A network's backbone on bytes: oneDNN's int8 convolutions (VNNI, AMX), whose sums are exact integers.

A map's values are kept as bytes, value = scale * (byte - zero); the range that they cover is measured
beforehand (`deepibl.engine.scales`). Filters are integers from -127 to 127, with a scale for each output
channel. A convolution's sum is rounded once, to the bytes of the next one; the ReLU and maximum pooling after
it lose nothing. Layers other than such convolutions are computed in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deepibl.engine.backbone import FusedBackbone, Group, Step, groups
from deepibl.engine.finite import gain, in_range
from deepibl.engine.onednn import PackedConvolution, Pair, problem_with
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.layers import Conv
from matlab_compat.simplenn.network import SimpleNN

Range = tuple[float, float]
_LEAST = 1e-20  # scale: that of maps and filters of zeros, which would divide by zero


class Bytes(NamedTuple):
    """How bytes stand for numbers: value = scale * (byte - zero), 0 <= zero <= 255."""

    scale: float
    zero: int

    @classmethod
    def covering(cls, low: float, high: float) -> Bytes:
        """256 values that cover low to high and hold 0 exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / 255, _LEAST)
        return cls(scale, round(-low / scale))

    def of(self, x: Tensor) -> Tensor:
        """Float maps as the nearest bytes (ties to even), channels last."""
        near = (x / self.scale).round_().add_(self.zero).clamp_(0, 255)
        return near.to(torch.uint8).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def available() -> str:
    """'' if torch's int8 operators are there and right on this machine; else why not."""

    def right() -> bool:
        x = torch.arange(32, dtype=torch.uint8).view(1, 2, 4, 4).contiguous(memory_format=torch.channels_last)
        weight = torch.arange(-18.0, 18.0).view(2, 2, 3, 3) * (127 / 18)
        convolve = QuantisedConvolution(weight, None, Bytes(1.0, 3), pad=(1, 1))
        want = F.conv2d(x.double() - 3, convolve.filters.double(), padding=1)
        want *= convolve.scales.double().view(1, -1, 1, 1)
        pooled = largest(x, (2, 2), (2, 2), (0, 1, 0, 1))
        return torch.allclose(convolve(x).double(), want) and pooled.flatten()[:4].tolist() == [5, 7, 13, 15]

    return problem_with("int8 operators", right)


class QuantisedConvolution(PackedConvolution):
    """A convolution of bytes by `weight` (K, C, FH, FW) float32 rounded to int8, with bias (K,) or None.

    incoming, outgoing: what the bytes of input and output stand for; outgoing None: output in float32.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        incoming: Bytes,
        outgoing: Bytes | None = None,
        *,
        pad: Pair = (0, 0),
        stride: Pair = (1, 1),
        dilate: Pair = (1, 1),
        relu: bool = False,
    ) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        self.scales = weight.abs().amax((1, 2, 3)).div(127).clamp_min(_LEAST)
        self.filters = (weight / self.scales.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        super().__init__(self.filters, bias, pad=pad, stride=stride, dilate=dilate, relu=relu)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) uint8, channels last, to (N, K, H', W'), uint8 or float32."""
        scale, zero = self.outgoing or (1.0, 0)
        kind = torch.uint8 if self.outgoing else torch.float32
        filters = self.packed(x.shape), self.scales, self._zeros, self._bias
        geometry = self._stride, self._pad, self._dilate, self._groups
        after: Any = scale, zero, kind, self._after, [], ""
        return torch.ops.onednn.qconv2d_pointwise(x, *self.incoming, *filters, *geometry, *after)

    def _pack(self, size: list[int]) -> Tensor:  # called by `packed`
        geometry = (self._stride, self._pad, self._dilate, self._groups)
        return torch.ops.onednn.qconv_prepack(self.filters, self.scales, *self.incoming, *geometry, size)


def largest(x: Tensor, window: Pair, stride: Pair, pad: Sequence[int]) -> Tensor:
    """Maximum pooling of bytes (N, C, H, W). pad: top, bottom, left, right, by the lowest byte."""
    if any(pad):
        top, bottom, left, right = pad
        x = F.pad(x, (left, right, top, bottom))
    x = x.contiguous(memory_format=torch.channels_last)
    return torch.ops.quantized.max_pool2d(x, list(window), list(stride), [0, 0], [1, 1], False)


class QuantisedBackbone(FusedBackbone):
    """Layers 0 .. stop-1 of a network for inference: (N, C, H, W) float32 to float32 maps.

    ranges: lowest and highest value that enters each convolution to be computed in int8, by its position;
    ArgumentError for another layer. All else is computed in float32, as by `FusedBackbone`.
    """

    def __init__(
        self, net: SimpleNN, stop: int, ranges: Mapping[int, Range], *, channels: int | None = 3
    ) -> None:
        super().__init__(net, 0, "fp32")
        self._in_range = in_range(net, stop, channels)
        self._gain = max(map(gain, list(net)[:stop]), default=1.0)
        found = groups(net, stop, channels)
        if strange := sorted(set(ranges) - {group.position for group in found if group.plain}):
            raise ArgumentError(
                f"the scales do not fit this network: its layer {strange[0]} (from 0) is not a convolution "
                "that int8 computes; make new ones with deepibl calibrate"
            )
        incoming = [
            Bytes.covering(*ranges[group.position]) if group.position in ranges else None for group in found
        ]
        arriving: Bytes | None = None
        for group, mine, following in zip(found, incoming, [*incoming[1:], None], strict=True):
            if mine is None:
                self.steps.append(self._step(group))
                continue
            if arriving is None:
                self.steps.append(mine.of)
            arriving = following if group.relu else None
            self.steps += _quantised(group, mine, arriving)


def _quantised(group: Group, incoming: Bytes, outgoing: Bytes | None) -> list[Step]:
    """The steps of a group whose input has become bytes; incoming, outgoing: see QuantisedConvolution."""
    layer, pool = group.layer, group.pool
    assert isinstance(layer, Conv) and layer.weight is not None
    convolution = QuantisedConvolution(
        layer.weight.detach().float(),
        None if layer.bias is None else layer.bias.detach().float().reshape(-1),
        incoming,
        outgoing,
        pad=(layer.pad.top, layer.pad.left),
        stride=layer.stride,
        dilate=layer.dilate,
        relu=group.relu,
    )
    if pool is None:
        return [convolution]
    on_bytes = partial(largest, window=pool.pool, stride=pool.stride, pad=pool.pad)
    return [convolution, pool if outgoing is None else on_bytes]
