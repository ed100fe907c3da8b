"""Blocks that only move values: vl_nnconcat, vl_nncrop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn_geometry import Numbers, borders, check_derivative, check_maps
from matlab_compat.nn_options import matlab_options


@matlab_options
def vl_nnconcat(
    inputs: Sequence[Tensor],
    dim: int = 1,
    dzdy: Tensor | None = None,
    *,
    inputSizes: Sequence[Sequence[int]] | None = None,
) -> Tensor | list[Tensor]:
    """Joins maps along one dimension.

    Args:
        inputs: tensors (N, C, H, W).
        dim: torch's dimension; 1, the channels, is MATLAB's 3.
        dzdy: derivative with regard to the output; makes the function return derivatives.
        inputSizes: the inputs' shapes, which with dzdy may stand in for the inputs.

    Returns:
        The joined maps; or, with dzdy, the list of the inputs' derivatives.

    Raises:
        ArgumentError: sizes that do not add up to dzdy.

    Ported from: matconvnet/matlab/vl_nnconcat.m
    """
    if dzdy is None:
        return torch.cat(tuple(inputs), dim)
    lengths = [int(size[dim]) for size in (inputSizes if inputSizes else [x.shape for x in inputs])]
    if sum(lengths) != dzdy.shape[dim]:
        raise ArgumentError(f"inputs of lengths {lengths} for a dzdy of {dzdy.shape[dim]} along {dim}")
    return list(torch.split(dzdy, lengths, dim))


def vl_nncrop(
    x: Tensor | None, crop: Numbers, dzdy: Tensor | None = None, inputSize: Sequence[int] | None = None
) -> Tensor:
    """Cuts rows and columns off.

    Args:
        x: (N, C, H, W); may be None if dzdy and inputSize are given.
        crop: [top bottom left right].
        dzdy: derivative with regard to the output; makes the function return dzdx.
        inputSize: x's shape (N, C, H, W), in place of x.

    Returns:
        (N, C, H - top - bottom, W - left - right), or dzdx: dzdy with zeros around it.

    Raises:
        ArgumentError: nothing would be left, or dzdy does not fit.

    Ported from: matconvnet/matlab/vl_nncrop.m
    """
    cut = borders(crop, "crop")
    if x is None:
        if dzdy is None or inputSize is None:
            raise ArgumentError("vl_nncrop without x needs dzdy and inputSize")
        x = dzdy.new_empty(()).expand(tuple(inputSize))
    check_maps(x)
    height, width = x.shape[2] - cut.bottom, x.shape[3] - cut.right
    if height <= cut.top or width <= cut.left:
        raise ArgumentError(f"crop {list(cut)} leaves nothing of maps of {x.shape[2]} x {x.shape[3]}")
    y = x[:, :, cut.top : height, cut.left : width]
    if dzdy is None:
        return y
    check_derivative(dzdy, y)
    return F.pad(dzdy, cut.torch_order)
