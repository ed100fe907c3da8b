"""3 x 3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3), as matrix products.

Every 4 x 4 tile of the output comes from a 6 x 6 tile of the input:

    tile (6 x 6 pixels)  --B'-->  36 numbers  --36 products C x K, one a number-->  36 numbers  --A'-->  4 x 4

With d the input tile, g the filter and * the product element by element, Y = A' [(G g G') * (B' d B)] A.
The filters are transformed once. The tiles go through in strips that stay in the processor's cache:
numbers (tiles, 36, C), so that the transforms are batched matrix products with one 36 x 36 or 16 x 36 matrix
and the 36 products are one grouped 1 x 1 convolution of oneDNN, which is faster there than MKL's batch.

The matrices come from interpolation at 0, ±5/8, ±3/2 and infinity (Toom-Cook). In float32 the error is about
1e-6 of the output's norm, six times that of a direct convolution; points ±1, ±2 would double it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

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
