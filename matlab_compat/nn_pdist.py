"""The p-distance between maps: vl_nnpdist."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn_geometry import OriginalDerivative, check_derivative, check_maps
from matlab_compat.nn_options import matlab_options


def _weighted(values: Tensor, weights: Tensor | float | None) -> Tensor:
    return (
        values
        if weights is None
        else values * (weights.to(values.device) if isinstance(weights, Tensor) else weights)
    )


def _forward(
    x: Tensor, x0: Tensor, *, p: float, noRoot: bool, aggregate: bool, weights: Tensor | float | None
) -> Tensor:
    difference = (x - x0).abs()
    powers = difference.square() if p == 2 else difference if p == 1 else difference.pow(p)
    y = powers.sum(1, keepdim=True)
    if not noRoot and p != 1:
        y = y.sqrt() if p == 2 else y.pow(1 / p)
    y = _weighted(y, weights)
    return y.sum() if aggregate else y


def _backward(
    x: Tensor,
    x0: Tensor,
    dzdy: Tensor,
    *,
    p: float,
    noRoot: bool,
    epsilon: float,
    weights: Tensor | float | None,
) -> tuple[Tensor, Tensor]:
    """The original's derivative: epsilon bounds what is divided by, the sum (p >= 1) or |x - x0| (p < 1)."""
    difference = x - x0
    dzdy = _weighted(dzdy, weights)
    if p == 1:
        dzdx = dzdy * difference.sign()
        return dzdx, -dzdx
    length = difference.abs()
    slope = length.clamp(min=epsilon) if p < 1 else length
    slope = difference if p == 2 else slope.pow(p - 1) * difference.sign()
    if noRoot:
        dzdx = p * dzdy * slope
        return dzdx, -dzdx
    sums = length.pow(p).sum(1, keepdim=True)
    if p >= 1:
        sums = sums.clamp(min=epsilon)
    dzdx = dzdy * sums.pow((1 - p) / p) * slope
    return dzdx, -dzdx


@matlab_options
def vl_nnpdist(
    x: Tensor,
    x0: Tensor,
    p: float,
    dzdy: Tensor | None = None,
    *,
    noRoot: bool = False,
    epsilon: float = 1e-6,
    aggregate: bool = False,
    instanceWeights: Tensor | float | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The p-distance of each pixel's channels from a target: (sum over channels of |x - x0|^p)^(1/p).

    Args:
        x: (N, C, H, W).
        x0: of x's shape, or (N, C, 1, 1): one target for all pixels.
        p: the exponent, positive.
        dzdy: derivative with regard to the output; makes the function return derivatives.
        noRoot: leave out the root.
        epsilon: lower bound of what the derivative divides by; the distance itself does not use it.
        aggregate: sum over all pixels and images.
        instanceWeights: a factor for each pixel, a number or (N, 1, H, W).

    Returns:
        (N, 1, H, W), or a scalar with aggregate. With dzdy, the tuple (dzdx, dzdx0), both of x's shape as in
        the original: dzdx0 is not summed over the pixels that share a target. (Under autograd it is.)

    Raises:
        ArgumentError: shapes that do not fit.

    Ported from: matconvnet/matlab/vl_nnpdist.m
    """
    check_maps(x)
    if x0.shape not in (x.shape, (*x.shape[:2], 1, 1)):
        raise ArgumentError(
            f"x0 has shape {tuple(x0.shape)}: expected {tuple(x.shape)} or {(*x.shape[:2], 1, 1)}, as x needs"
        )
    forward = partial(_forward, p=p, noRoot=noRoot, aggregate=aggregate, weights=instanceWeights)
    backward = partial(_backward, p=p, noRoot=noRoot, epsilon=epsilon, weights=instanceWeights)
    if dzdy is None:
        return OriginalDerivative.apply(forward, backward, x, x0)
    with torch.no_grad():
        check_derivative(dzdy, forward(x, x0))
        return backward(x, x0, dzdy)
