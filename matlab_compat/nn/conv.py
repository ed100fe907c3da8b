"""Convolution and its transpose: vl_nnconv, vl_nnconvt."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn.geometry import (
    Borders,
    Numbers,
    Pair,
    borders,
    check_maps,
    derivatives,
    is_empty,
    matlab_options,
    output_size,
    pair,
)


def _check_biases(biases: Tensor | None, count: int) -> Tensor | None:
    """The biases as a vector of `count` elements, or None."""
    if biases is None or biases.numel() == 0:
        return None
    if biases.numel() != count:
        raise ArgumentError(f"{biases.numel()} biases for {count} filters: expected one per filter, or none")
    return biases.reshape(-1)


def _groups(x: Tensor, filters: Tensor) -> int:
    count, depth = filters.shape[:2]
    groups, rest = divmod(x.shape[1], depth)
    if rest or groups < 1:
        raise ArgumentError(
            f"filters of depth {depth} on maps of {x.shape[1]} channels: the depth must divide the channels"
        )
    if count % groups:
        raise ArgumentError(
            f"{count} filters in {groups} groups: the number of groups must divide that of filters"
        )
    return groups


def _subsample(x: Tensor, biases: Tensor | None, stride: Pair, pad: Borders) -> Tensor:
    """The effect of an empty filter bank: pads with zeros, keeps every stride-th pixel, adds the biases."""
    output_size(x, (1, 1), stride, pad, "the identity filter")
    if any(pad):
        x = F.pad(x, pad.torch_order)
    x = x[:, :, :: stride[0], :: stride[1]]
    vector = _check_biases(biases, x.shape[1])
    return x.clone() if vector is None else x + vector[:, None, None]


def _forward(
    x: Tensor,
    filters: Tensor | None,
    biases: Tensor | None,
    *,
    stride: Numbers,
    pad: Numbers,
    dilate: Numbers,
) -> Tensor:
    check_maps(x)
    strides, pads, dilation = pair(stride, "stride"), borders(pad), pair(dilate, "dilate")
    if filters is None or is_empty(filters):
        if dilation != (1, 1):
            raise ArgumentError("dilate without filters: give filters or leave dilate at 1")
        return _subsample(x, biases, strides, pads)
    check_maps(filters, "filters")
    groups = _groups(x, filters)
    vector = _check_biases(biases, filters.shape[0])
    window = ((filters.shape[2] - 1) * dilation[0] + 1, (filters.shape[3] - 1) * dilation[1] + 1)
    output_size(x, window, strides, pads, "the filter")
    plain = groups == 1 and dilation == (1, 1) and not any(pads) and not torch.compiler.is_compiling()
    if plain and window == tuple(x.shape[2:]):  # one matrix product (fully connected layers, whitening)
        return F.linear(x.flatten(1), filters.flatten(1), vector)[:, :, None, None]
    if not pads.symmetric:
        x, pads = F.pad(x, pads.torch_order), Borders(0, 0, 0, 0)
    return F.conv2d(x, filters, vector, strides, (pads.top, pads.left), dilation, groups)


@matlab_options
def vl_nnconv(
    x: Tensor,
    filters: Tensor | None,
    biases: Tensor | None,
    dzdy: Tensor | None = None,
    *,
    stride: Numbers = 1,
    pad: Numbers = 0,
    dilate: Numbers = 1,
) -> Tensor | tuple[Tensor | None, ...]:
    """Convolution of maps with a filter bank.

    Args:
        x: (N, C, H, W).
        filters: (K, C/groups, FH, FW); the number of groups follows from the depth. None or empty: no
            filtering, only padding, subsampling and biases.
        biases: K elements in any shape, or None or empty.
        dzdy: derivative by the output; makes the function return derivatives.
        stride, dilate: a scalar or [vertical horizontal].
        pad: zeros around x, a scalar or [top bottom left right].

    Returns:
        (N, K, floor((H + top + bottom - extent) / stride) + 1, ...); or, with dzdy, the tuple
        (dzdx, dzdfilters, dzdbiases), each of its argument's shape.

    Raises ArgumentError: depths, sizes or options that do not fit.
    Ported from: matconvnet/matlab/vl_nnconv.m
    """
    forward = partial(_forward, stride=stride, pad=pad, dilate=dilate)
    if dzdy is None:
        return forward(x, filters, biases)
    return derivatives(forward, (x, filters, biases), dzdy)


def _forward_transposed(
    x: Tensor, f: Tensor, b: Tensor | None, *, upsample: Numbers, crop: Numbers, groups: int
) -> Tensor:
    check_maps(x)
    check_maps(f, "filters")
    cut = borders(crop, "crop")
    if f.shape[0] != x.shape[1] or f.shape[0] % groups:
        raise ArgumentError(
            f"filters of depth {f.shape[0]} in {groups} groups on maps of {x.shape[1]} channels: the depth "
            "must be the number of channels, and a multiple of numGroups"
        )
    vector = _check_biases(b, f.shape[1] * groups)
    y = F.conv_transpose2d(x, f, vector, pair(upsample, "upsample"), groups=groups)
    height, width = y.shape[2] - cut.bottom, y.shape[3] - cut.right
    if height <= cut.top or width <= cut.left:
        raise ArgumentError(f"crop {list(cut)} leaves nothing of an output of {y.shape[2]} x {y.shape[3]}")
    return y[:, :, cut.top : height, cut.left : width]


@matlab_options
def vl_nnconvt(
    x: Tensor,
    f: Tensor,
    b: Tensor | None,
    dzdy: Tensor | None = None,
    *,
    upsample: Numbers = 1,
    crop: Numbers = 0,
    numGroups: int = 1,
) -> Tensor | tuple[Tensor | None, ...]:
    """Transposed convolution.

    Args:
        x: (N, C, H, W).
        f: (C, K/groups, FH, FW): filters_to_torch of MATLAB's FH x FW x K/groups x C.
        b: K biases in any shape, or None or empty.
        dzdy: derivative by the output; makes the function return derivatives.
        upsample: a scalar or [vertical horizontal].
        crop: cut from the output, a scalar or [top bottom left right].
        numGroups: groups of filters.

    Returns:
        (N, K, upsample*(H-1) + FH - top - bottom, ...); or, with dzdy, the tuple (dzdx, dzdf, dzdb).

    Raises ArgumentError: depths, sizes or options that do not fit.
    Ported from: matconvnet/matlab/vl_nnconvt.m
    """
    groups = pair(numGroups, "numGroups")[0]
    forward = partial(_forward_transposed, upsample=upsample, crop=crop, groups=groups)
    if dzdy is None:
        return forward(x, f, b)
    return derivatives(forward, (x, f, b), dzdy)
