"""MatConvNet's blocks on torch tensors, under their original names.

Maps are (N, C, H, W), filters (K, C/groups, H, W); see `matlab_compat.numeric` for MATLAB's order. Without
`dzdy` a block is differentiable by autograd; with it, it returns what MATLAB's block returns as derivatives.
Options are keywords (`stride=2`) or MATLAB's pairs (`'stride', 2`). Any device, any floating-point type.

Here: blocks that act on each value or each pixel's channels (ReLU, sigmoid, softmax, dropout), and those that
only rearrange values (vl_nnconcat, vl_nncrop).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn import geometry
from matlab_compat.nn.geometry import borders, differentiable, matlab_options


@matlab_options
def vl_nnrelu(x: Tensor, dzdy: Tensor | None = None, *, leak: float = 0.0) -> Tensor:
    """x where it is positive, leak * x elsewhere; NaN stays NaN (MATLAB's max gives 0); any shape.

    With dzdy: the derivative, dzdy where x is positive, leak * dzdy elsewhere (at 0 too). The block's output
    may then replace x if leak is not negative.
    Ported from: matconvnet/matlab/vl_nnrelu.m
    """
    if dzdy is not None:
        geometry.check_derivative(dzdy, x)
        return torch.where(x > 0, dzdy, leak * dzdy)
    return F.relu(x) if leak == 0 else torch.where(x > 0, x, leak * x)


@matlab_options
@differentiable(1)
def vl_nnsigmoid(x: Tensor, dzdy: Tensor | None = None) -> Tensor:
    """1 / (1 + exp(-x)); with dzdy its derivative. Any shape.

    Ported from: matconvnet/matlab/vl_nnsigmoid.m
    """
    return torch.sigmoid(x)


@matlab_options
@differentiable(1)
def vl_nnsoftmax(x: Tensor, dzdy: Tensor | None = None) -> Tensor:
    """Softmax over the channels of (N, C, H, W); with dzdy its derivative.

    Ported from: matconvnet/matlab/vl_nnsoftmax.m
    """
    return torch.softmax(x, 1)


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

    rate: probability of a zero; 1 gives zeros (the original NaN). mask: of x's shape, 0 or 1 / (1 - rate), as
    an earlier call returned it; drawn at random by default. generator: torch's for the mask; default: the
    global one. Returns (y, mask); with dzdy, the derivative by y, which needs the mask, dzdx.

    Raises ArgumentError: dzdy without mask, or a rate outside 0 to 1.
    Ported from: matconvnet/matlab/vl_nndropout.m
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(f"dropout rate {rate}: expected 0 <= rate <= 1")
    if dzdy is not None:
        if mask is None:
            raise ArgumentError("vl_nndropout with dzdy needs mask=..., as the forward call returned it")
        return dzdy * mask
    if mask is None:
        draws = torch.rand(x.shape, device=x.device, generator=generator)
        mask = (draws >= rate).to(x.dtype) / (1 - rate if rate < 1 else 1)
    return x * mask, mask


@matlab_options
def vl_nnconcat(
    inputs: Sequence[Tensor],
    dim: int = 1,
    dzdy: Tensor | None = None,
    *,
    inputSizes: Sequence[Sequence[int]] | None = None,
) -> Tensor | list[Tensor]:
    """Joins maps along one dimension.

    inputs: tensors (N, C, H, W). dim: torch's dimension; 1, the channels, is MATLAB's 3. With dzdy, the
    derivative by the output, returns the list of the inputs' derivatives; inputSizes, their shapes, may then
    replace the inputs.

    Raises ArgumentError: sizes that do not add up to dzdy.
    Ported from: matconvnet/matlab/vl_nnconcat.m
    """
    if dzdy is None:
        return torch.cat(tuple(inputs), dim)
    lengths = [int(size[dim]) for size in (inputSizes if inputSizes else [x.shape for x in inputs])]
    if sum(lengths) != dzdy.shape[dim]:
        raise ArgumentError(f"inputs of lengths {lengths} for a dzdy of {dzdy.shape[dim]} along {dim}")
    return list(torch.split(dzdy, lengths, dim))


@matlab_options
def vl_nncrop(
    x: Tensor | None,
    crop: geometry.Numbers,
    dzdy: Tensor | None = None,
    inputSize: Sequence[int] | None = None,
) -> Tensor:
    """Removes rows and columns at the borders.

    x: (N, C, H, W); crop: [top bottom left right]. Returns (N, C, H - top - bottom, W - left - right); with
    dzdy, the derivative by that, dzdx: dzdy with zeros around it. inputSize, x's shape, may then replace x.

    Raises ArgumentError: the result would be empty, or dzdy does not fit.
    Ported from: matconvnet/matlab/vl_nncrop.m
    """
    cut = borders(crop, "crop")
    if x is None:
        if dzdy is None or inputSize is None:
            raise ArgumentError("vl_nncrop without x needs dzdy and inputSize")
        x = dzdy.new_empty(()).expand(tuple(inputSize))
    geometry.check_maps(x)
    y = geometry.cropped(x, cut, "maps")
    if dzdy is None:
        return y
    geometry.check_derivative(dzdy, y)
    return F.pad(dzdy, cut.torch_order)
