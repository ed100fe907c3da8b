"""3 x 3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3), as matrix products.

Every 4 x 4 tile of the output comes from a 6 x 6 tile of the input:

    tile (6 x 6 pixels)  --B'-->  36 numbers  --36 products C x K, one a number-->  36 numbers  --A'-->  4 x 4

With d the input tile, g the filter and * the product element by element, Y = A' [(G g G') * (B' d B)] A.
The filters are transformed once. The tiles go through in strips that stay in the processor's cache:
numbers (tiles, 36, C), so that the transforms are batched matrix products with one 36 x 36 or 16 x 36 matrix
and the 36 products are one grouped 1 x 1 convolution of oneDNN, which is faster there than MKL's batch.

The matrices come from interpolation at 0, ±5/8, ±3/2 and infinity (Toom-Cook). In float32 the error is about
1e-6 of the output's norm, six times that of a direct convolution; points ±1, ±2 would double it.

Gradients of 3 x 3 convolutions with fewer multiplications: Winograd's F(4x4, 3x3) differentiated.

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

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from deepibl.engine import onednn
from deepibl.engine.onednn import PackedFilters, Scratch, Workers

POINTS = (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)

TILE, WINDOW = 4, 6  # output and input pixels of a tile, a side

NUMBERS = WINDOW * WINDOW

STRIP_TILES = 96  # at a time at most, but a row of tiles; 7 MB of transformed input with 512 channels

LEAST = (
    96  # channels, below which the transforms cost more than the products save (benchmarks/convolution.py)
)


class Transforms(NamedTuple):
    """The three matrices of one dimension: output (4, 6), filter (6, 3) and input (6, 6), in float64."""

    output: np.ndarray
    filter: np.ndarray
    input: np.ndarray


def transforms(points: tuple[float, ...] = POINTS) -> Transforms:
    """The matrices A', G and B' of F(4, 3) for five interpolation points, and infinity.

    >>> a, g, b = transforms()
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
    return Transforms(output, taps, signal)


def _both_dimensions(matrix: np.ndarray) -> Tensor:
    """What the matrix does to rows and columns, as one matrix on a tile's numbers in row-major order."""
    return torch.from_numpy(np.kron(matrix, matrix)).float()


def transformed_filters(weight: Tensor) -> Tensor:
    """Filters (K, C, 3, 3) as (36 * K, C, 1, 1), number by number: weights of 36 groups of 1 x 1 filters."""
    matrix = torch.from_numpy(transforms().filter)
    numbers = torch.einsum("ai,kcij,bj->abkc", matrix, weight.detach().double(), matrix)
    return numbers.reshape(NUMBERS * weight.shape[0], weight.shape[1], 1, 1).to(weight.dtype)


class WinogradConvolution:
    """A 3 x 3 convolution (stride 1, padding 1) with its bias, on float32 maps; ReLU after it if asked.

    weight: (K, C, 3, 3); bias (K,) or None; workers: the threads that share the strips.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, relu: bool, workers: Workers) -> None:
        self.count, self.channels = weight.shape[:2]
        self._relu, self._workers = relu, workers
        self._bias = weight.new_zeros(self.count) if bias is None else bias
        matrices = transforms()
        self._input = _both_dimensions(matrices.input)
        self._output = _both_dimensions(matrices.output)
        self._filters = PackedFilters(
            lambda: transformed_filters(weight), (0, 0), (1, 1), (1, 1), groups=NUMBERS
        )

    @staticmethod
    def takes(weight: Tensor) -> bool:
        """Whether it pays for such filters: there, 3 x 3, and many (in oneDNN's blocks of 16)."""
        count, channels, height, width = weight.shape
        return (height, width) == (3, 3) and min(count, channels) >= LEAST and not (count | channels) % 16

    def __call__(self, x: Tensor, pool: bool = False) -> Tensor:
        """(N, C, H, W) float32, best with channels last, to (N, K, H, W).

        pool: maxima of 2 x 2 pixels, stride 2, as well (before the ReLU, which is the same): half the size;
        only for even H and W.
        """
        images, _, height, width = x.shape
        rows, columns = -(-height // TILE), -(-width // TILE)  # of tiles
        side = TILE // 2 if pool else TILE
        out = x.new_empty(images * rows, side, columns, side, self.count)
        step = _rows_at_a_time(images * rows, columns, self._workers.count)
        size = (1, NUMBERS * self.channels, 1, step * columns)
        self._workers.run(
            lambda _, __: self._filters.for_size(size), [0]
        )  # one thread packs otherwise than two
        pixels = x.permute(0, 2, 3, 1)  # (N, H, W, C)

        def compute(start: int, scratch: Scratch) -> None:
            strip = range(start, min(start + step, images * rows))
            numbers = scratch.buffer("numbers", (step * columns, NUMBERS, self.channels))
            self._transform(pixels, strip, rows, columns, numbers, scratch)
            self._finish(self._products(numbers), out[start : strip.stop], scratch)

        self._workers.run(compute, range(0, images * rows, step))
        shrink = TILE // side
        maps = out.view(images, rows * side, columns * side, self.count)
        return maps[:, : height // shrink, : width // shrink].permute(0, 3, 1, 2)

    def _transform(
        self, pixels: Tensor, strip: range, rows: int, columns: int, numbers: Tensor, scratch: Scratch
    ) -> None:
        """Transformed input tiles of the strip into numbers (tiles, 36, C), which may be longer."""
        shape = (len(strip), columns, WINDOW, WINDOW, self.channels)
        tiles = scratch.buffer("tiles", shape)
        for image, first, last in _images_of(strip, rows):
            at = image * rows + first - strip.start
            padded = _padded(pixels[image], first, last, columns, scratch)
            a, b, c = padded.stride()
            windows = padded.as_strided((last - first, *shape[1:]), (TILE * a, TILE * b, a, b, c))
            tiles[at : at + last - first].copy_(windows)
        count = len(strip) * columns
        matrices = self._input.expand(count, -1, -1)
        torch.bmm(matrices, tiles.view(count, NUMBERS, self.channels), out=numbers[:count])

    def _products(self, numbers: Tensor) -> Tensor:
        """(tiles, 36, C) to (tiles, 36, K). The number of tiles never changes, for the packing."""
        maps = numbers.view(1, 1, len(numbers), -1).permute(0, 3, 1, 2)
        return self._filters.convolve(maps, None).permute(0, 2, 3, 1).reshape(-1, NUMBERS, self.count)

    def _finish(self, numbers: Tensor, out: Tensor, scratch: Scratch) -> None:
        """Transforms (tiles, 36, K) back into out (rows, s, columns, s, K), pools, rectifies."""
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
    """Rows of tiles in a strip: STRIP_TILES at most, and as many strips as give every worker as much to do.

    The size of a strip changes no bit of the result.
    """
    most = max(1, STRIP_TILES // columns)
    turns = -(-rows // (most * workers))
    return -(-rows // (turns * workers))


def _padded(image: Tensor, first: int, last: int, columns: int, scratch: Scratch) -> Tensor:
    """The pixels below the tile rows first .. last-1 of an image (H, W, C), with zeros around it."""
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


def _images_of(strip: range, rows: int) -> Iterator[tuple[int, int, int]]:
    """A strip of tile rows of all images as (image, first row, last row + 1) within each image."""
    for image in range(strip.start // rows, -(-strip.stop // rows)):
        yield image, max(strip.start - image * rows, 0), min(strip.stop - image * rows, rows)


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
