"""3 x 3 convolutions and their gradients with a quarter of the multiplications: Winograd's F(4x4, 3x3).

With d a 6 x 6 tile of the input, g the filter and * the elementwise product, a 4 x 4 tile of the output is A'
[(G g G') * (B' d B)] A. The transforms are batched matrix products on strips of tiles that stay in the
processor's cache, (tiles, 36, C); the 36 products C x K are one grouped 1 x 1 convolution of oneDNN.

The matrices come from interpolation at 0, ±5/8, ±3/2 and infinity (Toom-Cook): in float32 the error is about
1e-6 of the output's norm, six times that of a direct convolution; points ±1, ±2 would double it.

For training, only the gradients are computed in this way, so that features, losses and what the ReLUs let
through keep their bits. With e the gradient of the output, that of the filters is G' [sum over tiles (A e A')
* (B' d B)] G, that of the input the same convolution of e with the filters rotated. The error is 1.5e-6 of
the gradient's norm (filters) and 2e-6 (input), three times that of direct sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from deepibl.engine import onednn
from deepibl.engine.onednn import PackedConvolution, Scratch, Workers

POINTS = (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)
TILE, WINDOW = 4, 6  # output and input pixels of a tile, a side
NUMBERS = WINDOW * WINDOW
BLOCK = 16  # channels, a multiple of: oneDNN's blocks, and every product begins at a cache line
STRIP_TILES = 96  # at a time at most, but a row of tiles; 7 MB of transformed input with 512 channels
LEAST = 96  # channels; with fewer the transforms cost more than the products save


class Transforms(NamedTuple):
    """The three matrices of one dimension: output A' (4, 6), filter G (6, 3) and input B' (6, 6)."""

    output: Tensor
    filter: Tensor
    input: Tensor


def transforms(points: tuple[float, ...] = POINTS) -> Transforms:
    """The matrices A', G and B' of F(4, 3) for five interpolation points and infinity, float64.

    >>> a, g, b = (matrix.numpy() for matrix in transforms())
    >>> signal, taps = np.arange(6.0), np.array([1.0, 2.0, 3.0])
    >>> np.allclose(a @ ((g @ taps) * (b @ signal)), np.correlate(signal, taps))
    True
    """
    output = np.zeros((TILE, WINDOW))
    taps = np.zeros((WINDOW, 3))
    signal = np.zeros((WINDOW, WINDOW))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        output[:, i] = point ** np.arange(TILE)
        taps[i] = point ** np.arange(3) / np.prod([point - other for other in others])
        signal[i, :-1] = np.poly(others)[::-1]
    output[-1, -1] = taps[-1, -1] = 1
    signal[-1] = np.poly(points)[::-1]
    return Transforms(*(torch.from_numpy(matrix) for matrix in (output, taps, signal)))


def tile_grid(maps: Tensor) -> tuple[int, int]:
    """Rows and columns of tiles that cover an image of maps (N, C, H, W)."""
    return -(-maps.shape[2] // TILE), -(-maps.shape[3] // TILE)


class WinogradConvolution:
    """A 3 x 3 convolution (stride 1, padding 1) of float32 maps by (K, C, 3, 3), and the ReLU if `relu`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, relu: bool, workers: Workers) -> None:
        self.count, self.channels = weight.shape[:2]
        self._relu, self._workers = relu, workers
        self._bias = weight.new_zeros(self.count) if bias is None else bias
        matrices = transforms()
        # what a matrix does to rows and columns, as one matrix on a tile's numbers in row-major order
        self._input = torch.kron(matrices.input, matrices.input).float()
        self._output = torch.kron(matrices.output, matrices.output).float()

        def filters() -> Tensor:  # (36 K, C, 1, 1), number by number: weights of 36 groups
            matrix = matrices.filter
            numbers = torch.einsum("ai,kcij,bj->abkc", matrix, weight.detach().double(), matrix)
            return numbers.reshape(NUMBERS * self.count, self.channels, 1, 1).to(weight.dtype)

        self._products = PackedConvolution(filters, None, groups=NUMBERS)

    @staticmethod
    def takes(weight: Tensor) -> bool:
        """Whether filters (K, C, FH, FW) are 3 x 3, and enough of them that it pays."""
        count, channels, height, width = weight.shape
        return (height, width) == (3, 3) and min(count, channels) >= LEAST and not (count | channels) % BLOCK

    def __call__(self, x: Tensor, pool: bool = False) -> Tensor:
        """(N, C, H, W) float32, best with channels last, to (N, K, H, W).

        pool: also takes maxima of 2 x 2 pixels before the ReLU, with which they commute; for even H and W.
        """
        images, _, height, width = x.shape
        rows, columns = tile_grid(x)
        side = TILE // 2 if pool else TILE
        out = x.new_empty(images * rows, side, columns, side, self.count)
        step = _rows_at_a_time(images * rows, columns, self._workers.count)
        size = (1, NUMBERS * self.channels, 1, step * columns)
        # in a worker: oneDNN chooses the layout for the number of threads that pack, and one computes
        self._workers.run(lambda _, __: self._products.packed(size), [0])
        pixels = x.permute(0, 2, 3, 1)  # (N, H, W, C)

        def compute(start: int, scratch: Scratch) -> None:
            strip = range(start, min(start + step, images * rows))
            numbers = scratch.buffer("numbers", (step * columns, NUMBERS, self.channels))
            self._transform(pixels, strip, rows, columns, numbers, scratch)
            # the number of tiles is the same in every strip, or the filters would be packed again
            maps = numbers.view(1, 1, len(numbers), -1).permute(0, 3, 1, 2)
            products = self._products(maps).permute(0, 2, 3, 1).reshape(-1, NUMBERS, self.count)
            self._finish(products, out[start : strip.stop], scratch)

        self._workers.run(compute, range(0, images * rows, step))
        shrink = TILE // side
        maps = out.view(images, rows * side, columns * side, self.count)
        return maps[:, : height // shrink, : width // shrink].permute(0, 3, 1, 2)

    def _transform(
        self, pixels: Tensor, strip: range, rows: int, columns: int, numbers: Tensor, scratch: Scratch
    ) -> None:
        """Writes the transformed input tiles of a strip to numbers (tiles, 36, C), which may be longer."""
        shape = (len(strip), columns, WINDOW, WINDOW, self.channels)
        tiles = scratch.buffer("tiles", shape)
        for image in range(strip.start // rows, -(-strip.stop // rows)):
            first, last = max(strip.start - image * rows, 0), min(strip.stop - image * rows, rows)
            at = image * rows + first - strip.start
            padded = _padded(pixels[image], first, last, columns, scratch)
            a, b, c = padded.stride()
            windows = padded.as_strided((last - first, *shape[1:]), (TILE * a, TILE * b, a, b, c))
            tiles[at : at + last - first].copy_(windows)
        count = len(strip) * columns
        matrices = self._input.expand(count, -1, -1)
        torch.bmm(matrices, tiles.view(count, NUMBERS, self.channels), out=numbers[:count])

    def _finish(self, numbers: Tensor, out: Tensor, scratch: Scratch) -> None:
        """Transforms (tiles, 36, K) to out (rows, s, columns, s, K), with pooling, bias and ReLU."""
        rows, side, columns = out.shape[:3]
        count = rows * columns
        pixels = scratch.buffer("pixels", (count, TILE * TILE, self.count))
        torch.bmm(self._output.expand(count, -1, -1), numbers[:count], out=pixels)
        found = pixels.view(count, TILE, TILE, self.count)
        if side < TILE:
            found = torch.maximum(found[:, 0::2], found[:, 1::2])
            found = torch.maximum(found[:, :, 0::2], found[:, :, 1::2])
        torch.add(found.view(rows, columns, side, side, -1).transpose(1, 2), self._bias, out=out)
        if self._relu:
            out.relu_()


def _rows_at_a_time(rows: int, columns: int, workers: int) -> int:
    """Rows of tiles in a strip: at most STRIP_TILES tiles, equal work; it changes no bit of the result."""
    most = max(1, STRIP_TILES // columns)
    turns = -(-rows // (most * workers))
    return -(-rows // (turns * workers))


def _padded(image: Tensor, first: int, last: int, columns: int, scratch: Scratch) -> Tensor:
    """The input of tile rows first .. last-1 of an image (H, W, C), with zeros around the image."""
    height, width, channels = image.shape
    padded = scratch.buffer("padded", (TILE * (last - first) + 2, TILE * columns + 2, channels))
    top, bottom = TILE * first - 1, TILE * last + 1
    inside = slice(max(top, 0), min(bottom, height))
    padded[: inside.start - top].zero_()
    padded[inside.stop - top :].zero_()
    padded[:, 0].zero_()
    padded[:, width + 1 :].zero_()
    padded[inside.start - top : inside.stop - top, 1 : width + 1].copy_(image[inside])
    return padded


LEAST_CHANNELS = 256  # with fewer the transforms cost what the products save
LEAST_TILES = 64  # of all images; with fewer transforming the filters costs what the products save
MOST_TILES = 1024  # at a time, but at least those of one image: 150 MB of numbers with 512 channels


class WinogradGradients(TorchFunctionMode):
    """While active, convolutions computed by torch.conv2d get these gradients where that pays.

    That is on a CPU, in float32, outside autocast, for large 3 x 3 filters with stride and padding 1. Only
    the forward pass needs to be inside. Second derivatives and torch.func are not supported.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d and _pays(call := _Call(*args, **kwargs)):
            return _Convolution.apply(call.input, call.weight, call.bias)
        return func(*args, **kwargs)


class _Call(NamedTuple):
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
    # each an integer, a pair, or a string, which is never 1
    if not all(list(n) == [1, 1] if isinstance(n, Sequence) else n == 1 for n in call[3:]):
        return False
    count, channels = weight.shape[:2]
    tiles = len(x) * math.prod(tile_grid(x))
    enough = min(count, channels) >= LEAST_CHANNELS and tiles >= LEAST_TILES
    return enough and not count % BLOCK and not channels % BLOCK and _available()


@lru_cache(maxsize=1)
def _available() -> bool:
    """Whether oneDNN's matrix product is there and right on this machine."""
    a, b = (torch.arange(2 * n, dtype=torch.float32, device="cpu").view(2, n) for n in (32, 48))
    problem = onednn.problem_with("products", lambda: torch.equal(_product(a.t(), b.t()), a.t() @ b))
    return not (onednn.available() or problem)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A b' of matrices (M, D) and (N, D), (M, N); each must be contiguous or the transpose of one that is."""
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


class _Convolution(torch.autograd.Function):
    """torch.conv2d with padding 1 of float32 maps, with the gradients of this module."""

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
    """The gradient (K, C, 3, 3) of 3 x 3 filters, from maps (N, C, H, W) and the output's (N, K, H, W)."""
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
    """The gradient (N, C, H, W) of the input, from the output's (N, K, H, W) and the filters (K, C, 3, 3)."""
    images, _, height, width = gradient.shape
    channels = weight.shape[1]
    matrices = _matrices()
    filters = _transformed(matrices.filter, weight.flip(2, 3).permute(2, 3, 1, 0))
    rows, columns = tile_grid(gradient)
    found = gradient.new_empty(images, rows, TILE, columns, TILE, channels)
    for some in _batches(gradient):
        numbers = _transformed(matrices.input, _tiles(gradient[some], WINDOW))
        sums = numbers.new_empty(WINDOW, WINDOW, numbers.shape[1], channels)
        for number in range(NUMBERS):
            sums.view(NUMBERS, -1, channels)[number] = _product(numbers[number], filters[number])
        pixels = _transformed(matrices.output, sums).view(TILE, TILE, -1, rows, columns, channels)
        found[some] = pixels.permute(2, 3, 0, 4, 1, 5)
    return found.view(images, rows * TILE, columns * TILE, channels)[:, :height, :width].permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
def _matrices() -> Transforms:
    return Transforms(*(matrix.float() for matrix in transforms()))


def _transformed(matrix: Tensor, tiles: Tensor) -> Tensor:
    """A matrix (O, I) along both dimensions of tiles (I, I, M, channels): (O * O, M, channels)."""
    side = tiles.shape[0]
    once = (matrix @ tiles.reshape(side, -1)).view(len(matrix), side, -1)
    return torch.matmul(matrix, once).view(len(matrix) ** 2, -1, tiles.shape[-1])


def _batches(maps: Tensor) -> Iterator[slice]:
    """Slices of the images, of at most MOST_TILES tiles (or one image)."""
    rows, columns = tile_grid(maps)
    step = max(1, MOST_TILES // (rows * columns))
    for start in range(0, len(maps), step):
        yield slice(start, start + step)


def _tiles(maps: Tensor, side: int) -> Tensor:
    """Maps (N, C, H, W), zero outside, as a view (side, side, N, rows, columns, C) of their tiles.

    side: 4, tiles side by side, or 6, each tile with the pixels around it.
    """
    images, channels, height, width = maps.shape
    rows, columns = tile_grid(maps)
    border = (side - TILE) // 2
    padded = maps.new_zeros(images, TILE * rows + 2 * border, TILE * columns + 2 * border, channels)
    padded[:, border : border + height, border : border + width] = maps.permute(0, 2, 3, 1)
    a, b, c, d = padded.stride()
    return padded.as_strided((side, side, images, rows, columns, channels), (b, c, a, TILE * b, TILE * c, d))
