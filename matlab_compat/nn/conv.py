"""Convolution and its transpose: vl_nnconv, vl_nnconvt."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn import geometry
from matlab_compat.nn.geometry import Borders, Numbers, check_maps, pair


def checked_biases(biases: Tensor | None, count: int) -> Tensor | None:
    """The biases as a vector of `count` elements, or None."""
    if biases is None or biases.numel() == 0:
        return None
    if biases.numel() != count:
        raise ArgumentError(f"{biases.numel()} biases for {count} filters: expected one per filter, or none")
    return biases.reshape(-1)


def group_count(channels: int, filters: Tensor) -> int:
    """In how many groups filters of their depth divide the channels; ArgumentError where they do not."""
    count, depth = filters.shape[:2]
    groups, rest = divmod(channels, depth)
    if rest or groups < 1 or count % groups:
        raise ArgumentError(
            f"{count} filters of depth {depth} on {channels} channels: the depth must divide the "
            "channels, and the resulting number of groups the number of filters"
        )
    return groups


def check_transposed(channels: int | None, filters: Tensor, groups: int) -> None:
    """ArgumentError where transposed filters do not fit the channels (None: unknown) or the groups."""
    depth = filters.shape[0]
    if depth % groups or channels not in (None, depth):
        raise ArgumentError(
            f"filters of depth {depth} in {groups} groups on {channels or 'unknown'} channels: the "
            "depth must be the number of channels, and a multiple of numGroups"
        )


@geometry.matlab_options
@geometry.differentiable(3)
def vl_nnconv(
    x: Tensor,
    filters: Tensor | None,
    biases: Tensor | None,
    dzdy: Tensor | None = None,
    *,
    stride: Numbers = 1,
    pad: Numbers = 0,
    dilate: Numbers = 1,
) -> Any:
    """Convolution of maps (N, C, H, W) with a filter bank (K, C/groups, FH, FW).

    filters: the number of groups follows from their depth; None or empty: no filtering, only padding,
    subsampling and biases. biases: K elements in any shape, or None or empty. stride, dilate: a scalar or
    [vertical horizontal]; pad: zeros around x, a scalar or [top bottom left right].
    Returns (N, K, floor((H + top + bottom - extent) / stride) + 1, ...); with dzdy, the derivative by the
    output, the tuple (dzdx, dzdfilters, dzdbiases), each of its argument's shape.

    Raises ArgumentError: depths, sizes or options that do not fit.
    Ported from: matconvnet/matlab/vl_nnconv.m
    """
    check_maps(x)
    strides, pads, dilation = pair(stride, "stride"), geometry.borders(pad), pair(dilate, "dilate")
    if filters is None or geometry.is_empty(filters):
        if dilation != (1, 1):
            raise ArgumentError("dilate without filters: give filters or leave dilate at 1")
        geometry.output_size(x, (1, 1), strides, pads, "the identity filter")
        x = (F.pad(x, pads.torch_order) if any(pads) else x)[:, :, :: strides[0], :: strides[1]]
        vector = checked_biases(biases, x.shape[1])
        return x.clone() if vector is None else x + vector[:, None, None]
    check_maps(filters, "filters")
    groups = group_count(x.shape[1], filters)
    vector = checked_biases(biases, filters.shape[0])
    window = ((filters.shape[2] - 1) * dilation[0] + 1, (filters.shape[3] - 1) * dilation[1] + 1)
    geometry.output_size(x, window, strides, pads, "the filter")
    plain = groups == 1 and dilation == (1, 1) and not any(pads) and not torch.compiler.is_compiling()
    if plain and window == tuple(x.shape[2:]):  # one matrix product (fully connected layers, whitening)
        return F.linear(x.flatten(1), filters.flatten(1), vector)[:, :, None, None]
    if not pads.symmetric:
        x, pads = F.pad(x, pads.torch_order), Borders(0, 0, 0, 0)
    return F.conv2d(x, filters, vector, strides, (pads.top, pads.left), dilation, groups)


@geometry.matlab_options
@geometry.differentiable(3)
def vl_nnconvt(
    x: Tensor,
    f: Tensor,
    b: Tensor | None,
    dzdy: Tensor | None = None,
    *,
    upsample: Numbers = 1,
    crop: Numbers = 0,
    numGroups: int = 1,
) -> Any:
    """Transposed convolution of maps (N, C, H, W).

    f: (C, K/groups, FH, FW), filters_to_torch of MATLAB's FH x FW x K/groups x C. b: K biases in any shape,
    or None or empty. upsample: a scalar or [vertical horizontal]; crop: cut from the output, a scalar or
    [top bottom left right]; numGroups: groups of filters.
    Returns (N, K, upsample*(H-1) + FH - top - bottom, ...); with dzdy, the derivative by the output, the
    tuple (dzdx, dzdf, dzdb).

    Raises ArgumentError: depths, sizes or options that do not fit.
    Ported from: matconvnet/matlab/vl_nnconvt.m
    """
    check_maps(x)
    check_maps(f, "filters")
    groups, cut = pair(numGroups, "numGroups")[0], geometry.borders(crop, "crop")
    check_transposed(x.shape[1], f, groups)
    vector = checked_biases(b, f.shape[1] * groups)
    y = F.conv_transpose2d(x, f, vector, pair(upsample, "upsample"), groups=groups)
    return geometry.cropped(y, cut, "an output")
