"""Pooling: vl_nnpool. A maximum ignores padding, a mean divides by the number of pixels of the image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn import geometry
from matlab_compat.nn.geometry import Borders, Numbers, Pair, pair


def _native_mode(window: Pair, stride: Pair, pad: Borders) -> bool | None:
    """The ceil_mode with which torch's pooling, padded by (top, left), has the same windows; None if unsure.

    Windows start at -top and -left in either case and torch clips them to the image, so equal counts mean
    equal windows.
    """
    if pad.top > window[0] // 2 or pad.left > window[1] // 2:
        return None
    extra = (pad.bottom - pad.top, pad.right - pad.left)
    if extra == (0, 0):
        return False  # whatever the size of the maps
    if all(
        more == step - 1 and side >= before + step
        for more, step, side, before in zip(extra, stride, window, (pad.top, pad.left), strict=True)
    ):
        return True  # the last window begins within the maps, so torch keeps it
    return None


def _max(x: Tensor, window: Pair, stride: Pair, pad: Borders) -> Tensor:
    mode = _native_mode(window, stride, pad)
    if mode is not None:
        return F.max_pool2d(x, window, stride, (pad.top, pad.left), ceil_mode=mode)
    return F.max_pool2d(F.pad(x, pad.torch_order, value=-torch.inf), window, stride)


def window_sums(x: Tensor, window: Pair, stride: Pair = (1, 1)) -> Tensor:
    """Sums over windows of each channel of (N, C, H, W), without padding."""
    if torch.compiler.is_compiling():  # torch's ONNX exporter drops the divisor
        return F.avg_pool2d(x, window, stride) * (window[0] * window[1])
    return F.avg_pool2d(x, window, stride, divisor_override=1)


def _counts(length: int, window: int, stride: int, before: int, size: int, like: Tensor) -> Tensor:
    """How many pixels of one axis lie in each window."""
    start = torch.arange(size, device=like.device) * stride - before
    return ((start + window).clamp(max=length) - start.clamp(min=0)).to(like.dtype)


def _mean(x: Tensor, window: Pair, stride: Pair, pad: Borders, size: Pair) -> Tensor:
    mode = _native_mode(window, stride, pad)
    if mode is not None:
        return F.avg_pool2d(x, window, stride, (pad.top, pad.left), ceil_mode=mode, count_include_pad=False)
    rows = _counts(x.shape[2], window[0], stride[0], pad.top, size[0], x)
    columns = _counts(x.shape[3], window[1], stride[1], pad.left, size[1], x)
    sums = window_sums(F.pad(x, pad.torch_order), window, stride)
    return sums / (rows[:, None] * columns)


@geometry.matlab_options
@geometry.differentiable(1)
def vl_nnpool(
    x: Tensor,
    pool: Numbers,
    dzdy: Tensor | None = None,
    *,
    stride: Numbers = 1,
    pad: Numbers = 0,
    method: str = "max",
) -> Tensor:
    """Maximum or mean over windows of each channel of (N, C, H, W).

    pool: the window, a scalar or [height width]; stride: a scalar or [vertical horizontal]; pad: a scalar or
    [top bottom left right], each smaller than the window; method: 'max' or 'avg', which divides by the pixels
    of x in the window, not by its area.
    Returns (N, C, floor((H + top + bottom - height) / stride) + 1, ...); the maximum of a window with NaN is
    NaN. With dzdy, the derivative by the output, dzdx; of equal maxima the first in column-major order (rows
    fastest) gets all of it.

    Raises ArgumentError: sizes or options that do not fit.
    Ported from: matconvnet/matlab/vl_nnpool.m
    """
    geometry.check_maps(x)
    window, steps, around = pair(pool, "pool"), pair(stride, "stride"), geometry.borders(pad)
    size = geometry.output_size(x, window, steps, around, "the pooling window")
    if max(around.top, around.bottom) >= window[0] or max(around.left, around.right) >= window[1]:
        raise ArgumentError(f"pad {list(around)} must be smaller than the pooling window {list(window)}")
    if method.lower() not in ("max", "avg"):
        raise ArgumentError(f"pooling method must be 'max' or 'avg'; got '{method}'")
    if method.lower() == "avg":
        return _mean(x, window, steps, around, size)
    if x.requires_grad and torch.is_grad_enabled():
        # of equal values, the first in column-major order gets the gradient
        turned = Borders(around.left, around.right, around.top, around.bottom)
        return _max(x.transpose(2, 3), window[::-1], steps[::-1], turned).transpose(2, 3)
    return _max(x, window, steps, around)
