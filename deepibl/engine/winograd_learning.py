"""Winograd's convolutions for layers that learn, on a CPU: forward, and the gradient of their input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepibl.engine.onednn import Workers
from deepibl.engine.winograd import WinogradConvolution
from matlab_compat.simplenn_layers import Conv


class LearningConvolution:
    """A 3 x 3 convolution of many channels (see `deepibl.engine.trunk.takes_winograd`), differentiable.

    The gradient of the input is a convolution too, with the filters turned; that of the filters is torch's.
    Filters are transformed again when they have changed. layer: shares its weights. Float32 only.
    """

    def __init__(self, layer: Conv, workers: Workers) -> None:
        self._layer, self._workers = layer, workers
        self._made: dict[str, tuple[tuple[int, ...], WinogradConvolution]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, K, H, W)."""
        found: Tensor = _Convolve.apply(x, self._layer.weight, self._layer.bias, self)
        return found

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with its bias."""
        versions = (weight._version, -1 if bias is None else bias._version)
        flat = None if bias is None else bias.detach().reshape(-1)
        return self._convolution("forward", versions, weight.detach(), flat)(x)

    def backward(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """The gradient of the input, from that of the output."""
        turned = weight.detach().flip(2, 3).transpose(0, 1)
        return self._convolution("backward", (weight._version,), turned, None)(gradient)

    def _convolution(
        self, kind: str, versions: tuple[int, ...], weight: Tensor, bias: Tensor | None
    ) -> WinogradConvolution:
        known, made = self._made.get(kind, ((), None))
        if made is None or known != versions:
            made = WinogradConvolution(weight.contiguous(), bias, relu=False, workers=self._workers)
            self._made[kind] = versions, made
        return made


class _Convolve(torch.autograd.Function):
    """What autograd needs of it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, owner: LearningConvolution
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.owner, ctx.count = owner, None if bias is None else bias.shape
        return owner.forward(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        below, learns, biased = ctx.needs_input_grad[:3]
        of_input = ctx.owner.backward(gradient, weight) if below else None
        ones, wanted = [1, 1], [False, learns, biased]
        _, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient, x, weight, [len(weight)], ones, ones, ones, False, [0, 0], 1, wanted
        )
        return of_input, of_weight, of_bias.reshape(ctx.count) if biased else None, None
