"""Normalisations: vl_nnnormalize (LRN and per-pixel L2), vl_nnspnorm, vl_nnnoffset, vl_nnbnorm."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn import geometry
from matlab_compat.nn.geometry import check_maps, differentiable, matlab_options
from matlab_compat.nn.pool import vl_nnpool, window_sums

Parameters = Sequence[float] | Tensor


def _parameters(param: Parameters, names: str) -> list[float]:
    """The elements of a row of parameters such as [N kappa alpha beta]."""
    if isinstance(param, Tensor):
        param = param.flatten().tolist()
    given = param if isinstance(param, tuple) else np.ravel(np.asarray(param)).tolist()
    numbers = [float(number) for number in given]
    if len(numbers) != len(names.split()):
        raise ArgumentError(f"param has {len(numbers)} elements: expected [{names}]")
    return numbers


_ON_CPU = ContextVar("as MatConvNet on a CPU", default=False)
# cubics for log2(1 + m) and 2 ** r - 1, lowest power first
_LOG2 = (1.442695040888963, -0.606737602222409, 0.164042561333445)
_EXP2 = (0.693147180559945, 0.227411277760219, 0.079441541679836)


@contextmanager
def approximate_power() -> Iterator[None]:
    """Within it `vl_nnnormalize` takes the approximate power that MatConvNet takes on a CPU.

    It is up to 3e-3 off. Only for comparing with what MATLAB computed there.
    """
    token = _ON_CPU.set(True)
    try:
        yield
    finally:
        _ON_CPU.reset(token)


def _power(base: Tensor, exponent: float) -> Tensor:
    """base ** -exponent; torch.rsqrt for an exponent of 0.5."""
    return torch.rsqrt(base) if exponent == 0.5 else base.pow(-exponent)


def _approximate(base: Tensor, exponent: float) -> Tensor:
    """base ** -exponent by two cubics, in the order of MatConvNet's sums."""
    half, binary = torch.frexp(base)  # base = half * 2 ** binary, half in 0.5 … 1
    power = -exponent * (binary - 1 + _cubic(2 * half - 1, _LOG2))
    whole = power.floor()
    return torch.ldexp(1 + _cubic(power - whole, _EXP2), whole.int())


def _cubic(x: Tensor, factors: Sequence[float]) -> Tensor:
    return x * factors[0] + x * x * factors[1] + x * x * x * factors[2]


@matlab_options
@differentiable(1)
def vl_nnnormalize(x: Tensor, param: Parameters, dzdy: Tensor | None = None) -> Tensor:
    """Local response normalisation: x * (kappa + alpha * sum of squares in the window) ** -beta.

    x: (N, C, H, W). param: [N kappa alpha beta]; the window of channel t is t-h .. t+N-1-h,
    h = floor((N-1)/2). [2C 1e-12 1 0.5] is the L2 normalisation of each pixel, with kappa inside the root.
    The power is exact, as in MatConvNet's CUDA kernel; half-precision maps are summed in float32. With dzdy,
    the derivative by the output, returns dzdx.

    Raises ArgumentError: param is not four numbers, or x is not four-dimensional.
    Ported from: matconvnet/matlab/vl_nnnormalize.m
    """
    check_maps(x)
    size, kappa, alpha, beta = _parameters(param, "N kappa alpha beta")
    if size < 1 or size != int(size):
        raise ArgumentError(f"the LRN window must be an integer of at least 1 channel; got {size}")
    exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    before, last = (int(size) - 1) // 2, x.shape[1] - 1
    after = int(size) - 1 - before
    if before >= last:  # every window holds all channels: the per-pixel L2 form
        sums = (exact * exact).sum(1, keepdim=True)
    else:  # windows along the channels; those outside count as 0
        columns = F.pad((exact * exact).flatten(2), (0, 0, before, after)).unsqueeze(1)
        sums = window_sums(columns, (before + after + 1, 1)).view(x.shape)
    power = _approximate if _ON_CPU.get() else _power
    return (exact * power(kappa + alpha * sums, beta)).to(x.dtype)


@matlab_options
@differentiable(1)
def vl_nnspnorm(x: Tensor, param: Parameters, dzdy: Tensor | None = None) -> Tensor:
    """Spatial normalisation of each channel: x / (1 + alpha * mean of squares in the window) ** beta.

    x: (N, C, H, W); param: [height width alpha beta]; the mean is over the window's pixels that lie in the
    image. With dzdy, the derivative by the output, returns dzdx.

    Raises ArgumentError: param is not four numbers, or x is not four-dimensional.
    Ported from: matconvnet/matlab/vl_nnspnorm.m
    """
    height, width, alpha, beta = _parameters(param, "height width alpha beta")
    rows, columns = geometry.pair((height, width), "the window")
    above, left = (rows - 1) // 2, (columns - 1) // 2
    around = geometry.Borders(above, rows - 1 - above, left, columns - 1 - left)
    means = vl_nnpool(x * x, (rows, columns), pad=around, method="avg")
    return x * _power(1 + alpha * means, beta)


@matlab_options
@differentiable(1)
def vl_nnnoffset(x: Tensor, param: Parameters, dzdy: Tensor | None = None) -> Any:
    """Subtracts a power of each pixel's squared norm: x - alpha * max(sum of squares, 1e-8) ** beta.

    x: (N, C, H, W); param: [alpha beta]. With dzdy, the derivative by the output, returns dzdx, which as in
    the original ignores the floor of 1e-8; autograd gives the same.

    Raises ArgumentError: param is not two numbers, or x is not four-dimensional.
    Ported from: matconvnet/matlab/vl_nnnoffset.m
    """
    check_maps(x)
    alpha, beta = _parameters(param, "alpha beta")

    def norms(x: Tensor) -> Tensor:
        return x.square().sum(1, keepdim=True).clamp(min=1e-8)

    def backward(x: Tensor, dzdy: Tensor) -> tuple[Tensor]:
        spread = 2 * alpha * beta * x * dzdy.sum(1, keepdim=True) * norms(x).pow(beta - 1)
        return (dzdy - spread,)

    return geometry.OriginalDerivative.apply(lambda x: x - alpha * norms(x).pow(beta), backward, x)


def vl_nnbnorm_moments(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """Each channel's mean and sqrt(variance + epsilon) over images and pixels, (C, 2)."""
    check_maps(x)
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    return torch.stack([mean, (variance + epsilon).sqrt()], 1)


def _along_channels(vector: Tensor) -> Tensor:
    return vector.reshape(-1, 1, 1)


@matlab_options
def vl_nnbnorm(
    x: Tensor,
    g: Tensor,
    b: Tensor,
    dzdy: Tensor | None = None,
    *,
    moments: Tensor | None = None,
    epsilon: float = 1e-4,
) -> Tensor | tuple[Tensor, Tensor, Tensor, Tensor]:
    """Batch normalisation: g * (x - mean) / sigma + b, channel by channel.

    x: (N, C, H, W); g, b: multipliers and biases, C elements in any shape. moments: (C, 2), or a vector of 2C
    as MATLAB orders them: mean and sigma = sqrt(variance + epsilon) to use instead of the batch's own (which
    `vl_nnbnorm_moments` gives); epsilon, added to the variance, is then not used.
    With dzdy, the derivative by the output, returns the tuple (dzdx, dzdg, dzdb, moments). As in the
    original, dzdx treats given moments as if they had been computed from this batch. Under autograd they are
    constants, which is the true derivative.

    Raises ArgumentError: sizes that do not fit.
    Ported from: matconvnet/matlab/vl_nnbnorm.m
    """
    check_maps(x)
    channels = x.shape[1]
    if g.numel() != channels or b.numel() != channels:
        raise ArgumentError(f"{g.numel()} multipliers and {b.numel()} biases for {channels} channels")
    if moments is None or moments.numel() == 0:
        moments = vl_nnbnorm_moments(x, epsilon)
    elif moments.numel() == 2 * channels and 1 in (moments.ndim, *moments.shape[:1]):
        moments = moments.reshape(2, channels).T  # a vector: the means, then the deviations
    elif moments.shape != (channels, 2):
        raise ArgumentError(f"moments of shape {tuple(moments.shape)}: expected ({channels}, 2)")
    if dzdy is None:
        mean, sigma = moments.unbind(1)
        return _along_channels(g.reshape(-1) / sigma) * (x - _along_channels(mean)) + _along_channels(b)
    geometry.check_derivative(dzdy, x)
    mean, sigma = (_along_channels(column) for column in moments.unbind(1))
    whitened = (x - mean) / sigma
    dzdb = dzdy.sum((0, 2, 3))
    dzdg = (dzdy * whitened).sum((0, 2, 3))
    mass = x.numel() / channels
    pulled = dzdy - _along_channels(dzdb / mass) - whitened * _along_channels(dzdg / mass)
    dzdx = _along_channels(g.reshape(-1)) / sigma * pulled
    return dzdx, dzdg.reshape(g.shape), dzdb.reshape(b.shape), moments
