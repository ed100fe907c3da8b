"""Blocks that act on each value or on each pixel's channels: ReLU, sigmoid, softmax, dropout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn_geometry import check_derivative
from matlab_compat.nn_options import matlab_options


@matlab_options
def vl_nnrelu(x: Tensor, dzdy: Tensor | None = None, *, leak: float = 0.0) -> Tensor:
    """x where it is positive, leak * x elsewhere; any shape.

    With dzdy: the derivative, dzdy where x is positive, leak * dzdy elsewhere (at 0 too). The block's output
    may stand in for x then, as long as leak is not negative.

    Ported from: matconvnet/matlab/vl_nnrelu.m
    """
    if dzdy is not None:
        check_derivative(dzdy, x)
        return torch.where(x > 0, dzdy, leak * dzdy)
    return F.relu(x) if leak == 0 else torch.where(x > 0, x, leak * x)


def vl_nnsigmoid(x: Tensor, dzdy: Tensor | None = None) -> Tensor:
    """1 / (1 + exp(-x)); with dzdy its derivative. Any shape.

    Ported from: matconvnet/matlab/vl_nnsigmoid.m
    """
    y = torch.sigmoid(x)
    if dzdy is None:
        return y
    check_derivative(dzdy, x)
    return dzdy * (y * (1 - y))


def vl_nnsoftmax(x: Tensor, dzdy: Tensor | None = None) -> Tensor:
    """Softmax over the channels of (N, C, H, W); with dzdy its derivative.

    Ported from: matconvnet/matlab/vl_nnsoftmax.m
    """
    y = torch.softmax(x, 1)
    if dzdy is None:
        return y
    check_derivative(dzdy, x)
    return y * (dzdy - (dzdy * y).sum(1, keepdim=True))


@matlab_options
def vl_nndropout(
    x: Tensor,
    dzdy: Tensor | None = None,
    *,
    rate: float = 0.5,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Sets values to zero at random and scales the others by 1 / (1 - rate); any shape.

    Args:
        x: the values.
        dzdy: derivative with regard to the output; makes the function return dzdx and needs the mask.
        rate: probability of a zero.
        mask: of x's shape, 0 or 1 / (1 - rate), as an earlier call returned it; drawn if not given.
        generator: torch's source of the draw.

    Returns:
        The tuple (y, mask); or, with dzdy, dzdx.

    Raises:
        ArgumentError: dzdy without mask, or a rate outside 0 <= rate < 1.

    Ported from: matconvnet/matlab/vl_nndropout.m
    """
    if not 0 <= rate < 1:
        raise ArgumentError(f"dropout rate {rate}: expected 0 <= rate < 1")
    if dzdy is not None:
        if mask is None:
            raise ArgumentError("vl_nndropout with dzdy needs mask=..., as the forward call returned it")
        return dzdy * mask
    if mask is None:
        draws = torch.rand(x.shape, device=x.device, generator=generator)
        mask = (draws >= rate).to(x.dtype) / (1 - rate)
    return x * mask, mask
