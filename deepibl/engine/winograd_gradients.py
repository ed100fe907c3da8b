"""Gradients of 3 x 3 convolutions with fewer multiplications: Winograd's F(4x4, 3x3) differentiated.

The forward pass stays the direct convolution: features, losses and what the rectifiers let through keep their
bits. With d the input tiles, g the filters, e the gradient of the output and the matrices of
`deepibl.engine.winograd`, Y = A' [(G g G') * (B' d B)] A has the gradients

    of the filters:  G' [sum over tiles (A e A') * (B' d B)] G      e in tiles of 4 x 4, d of 6 x 6
    of the input:    the same convolution of e with the filters turned by half a turn, e in tiles of 6 x 6

Tiles are kept number by number, (36, tiles, channels): transforms are two matrix products and sums over tiles
or channels are 36, by oneDNN (on AMD processors twice as fast as MKL's). In float32 the error is 1.5e-6 of
the gradient's norm (filters) and 2e-6 (input), three times that of direct sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from deepibl.engine import onednn
from deepibl.engine.winograd import NUMBERS, TILE, WINDOW, transforms

LEAST_CHANNELS = 256  # below, the transforms cost what the products save
LEAST_TILES = 64  # of all images; below, transforming the filters costs it
BLOCK = 16  # channels, a multiple of: oneDNN's blocks, and every product begins at a cache line
MOST_TILES = 1024  # at a time, but at least those of one image: 150 MB of numbers with 512 channels


class WinogradGradients(TorchFunctionMode):
    """While active, convolutions computed by torch.conv2d get these gradients where that pays.

    On a CPU, in float32, outside autocast, 3 x 3 with stride 1 and padding 1, channels in blocks of 16. All
    others are as they were. Only the forward pass needs to be inside. These gradients have none of their own,
    and torch.func cannot have them.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces torch.conv2d where it pays."""
        kwargs = kwargs or {}
        if func is torch.conv2d and _pays(call := _Call(*args, **kwargs)):
            return _Convolution.apply(call.input, call.weight, call.bias)
        return func(*args, **kwargs)


class _Call(NamedTuple):
    """Arguments of torch.conv2d."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1


def _pays(call: _Call) -> bool:
    x, weight = call.input, call.weight
    if not torch.is_grad_enabled() or not (x.requires_grad or weight.requires_grad):
        return False
    if {x.device.type, weight.device.type} != {"cpu"} or torch.is_autocast_enabled("cpu"):
        return False
    if {x.dtype, weight.dtype} != {torch.float32} or x.ndim != 4 or weight.shape[2:] != (3, 3):
        return False
    if not all(_ones(each) for each in call[3:]):
        return False
    count, channels = weight.shape[:2]
    tiles = len(x) * math.prod(_tiled(x))
    enough = min(count, channels) >= LEAST_CHANNELS and tiles >= LEAST_TILES
    return enough and not count % BLOCK and not channels % BLOCK and _available()


def _ones(steps: Any) -> bool:
    """Whether stride, padding, dilation or groups are 1: any integer, a pair, or a word, which is not."""
    return list(steps) == [1, 1] if isinstance(steps, Sequence) else steps == 1


@lru_cache(maxsize=1)
def _available() -> bool:
    """Whether oneDNN's matrix product is there and right on this machine."""
    if onednn.available():
        return False
    try:
        a, b = (torch.arange(2 * n, dtype=torch.float32, device="cpu").view(2, n) for n in (32, 48))
        return torch.equal(_product(a.t(), b.t()), a.t() @ b)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A b' of two matrices that are contiguous, or would be if transposed: (M, D), (N, D) to (M, N)."""
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


class _Convolution(torch.autograd.Function):
    """torch.conv2d with padding 1 of float32 maps, channels last, with gradients of this module."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.conv2d(x, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        of_input, of_filters, of_bias = ctx.needs_input_grad
        return (
            input_gradient(gradient, weight) if of_input else None,
            filter_gradient(x, gradient) if of_filters else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
        )


def filter_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Of the 3 x 3 filters: maps (N, C, H, W) and the output's gradient (N, K, H, W) to (K, C, 3, 3).

    float32; stride 1, padding 1; C and K multiples of 16.
    """
    count, channels = gradient.shape[1], x.shape[1]
    matrices = _matrices()
    sums = x.new_empty(NUMBERS, count, channels)
    for some in _batches(x):
        there = _transformed(matrices.input, _tiles(x[some], WINDOW))
        wanted = _transformed(matrices.output.t(), _tiles(gradient[some], TILE))
        for number in range(NUMBERS):
            product = _product(wanted[number].t(), there[number].t())
            sums[number] = product if not some.start else sums[number] + product
    filters = _transformed(matrices.filter.t(), sums.view(WINDOW, WINDOW, count, channels))
    return filters.view(3, 3, count, channels).permute(2, 3, 0, 1).contiguous()


def input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Of the input: the output's gradient (N, K, H, W) and filters (K, C, 3, 3) to (N, C, H, W).

    float32; stride 1, padding 1; C and K multiples of 16.
    """
    images, _, height, width = gradient.shape
    channels = weight.shape[1]
    matrices = _matrices()
    filters = _transformed(matrices.filter, weight.flip(2, 3).permute(2, 3, 1, 0))
    rows, columns = _tiled(gradient)
    found = gradient.new_empty(images, rows, TILE, columns, TILE, channels)
    for some in _batches(gradient):
        numbers = _transformed(matrices.input, _tiles(gradient[some], WINDOW))
        sums = numbers.new_empty(WINDOW, WINDOW, numbers.shape[1], channels)
        for number in range(NUMBERS):
            sums.view(NUMBERS, -1, channels)[number] = _product(numbers[number], filters[number])
        pixels = _transformed(matrices.output, sums).view(TILE, TILE, -1, rows, columns, channels)
        found[some] = pixels.permute(2, 3, 0, 4, 1, 5)
    return found.view(images, rows * TILE, columns * TILE, channels)[:, :height, :width].permute(0, 3, 1, 2)


class _Matrices(NamedTuple):
    """A' (4, 6), G (6, 3) and B' (6, 6), float32."""

    output: Tensor
    filter: Tensor
    input: Tensor


@lru_cache(maxsize=1)
def _matrices() -> _Matrices:
    return _Matrices(*(torch.from_numpy(each).float() for each in transforms()))


def _transformed(matrix: Tensor, tiles: Tensor) -> Tensor:
    """A matrix (O, I) along both dimensions of tiles (I, I, M, channels): (O * O, M, channels)."""
    side = tiles.shape[0]
    once = (matrix @ tiles.reshape(side, -1)).view(len(matrix), side, -1)
    return torch.matmul(matrix, once).view(len(matrix) ** 2, -1, tiles.shape[-1])


def _tiled(maps: Tensor) -> tuple[int, int]:
    """Rows and columns of tiles of an image of such maps (N, C, H, W)."""
    return -(-maps.shape[2] // TILE), -(-maps.shape[3] // TILE)


def _batches(maps: Tensor) -> Iterator[slice]:
    """The images, as many at a time as have MOST_TILES."""
    rows, columns = _tiled(maps)
    step = max(1, MOST_TILES // (rows * columns))
    for start in range(0, len(maps), step):
        yield slice(start, start + step)


def _tiles(maps: Tensor, side: int) -> Tensor:
    """Maps (N, C, H, W), zero outside, as a view (side, side, N, rows, columns, C) of their tiles.

    side: 4, tiles beside each other, or 6, each with the pixels around it.
    """
    images, channels, height, width = maps.shape
    rows, columns = _tiled(maps)
    border = (side - TILE) // 2
    padded = maps.new_zeros(images, TILE * rows + 2 * border, TILE * columns + 2 * border, channels)
    padded[:, border : border + height, border : border + width] = maps.permute(0, 2, 3, 1)
    a, b, c, d = padded.stride()
    return padded.as_strided((side, side, images, rows, columns, channels), (b, c, a, TILE * b, TILE * c, d))
