"""MatConvNet's DagNN blocks. Shapes are torch's, (N, C, H, W); sizes and properties are MATLAB's."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat import nn as blocks
from matlab_compat.dagnn.graph import PIXEL, UNKNOWN, ReceptiveField, Shapes, Size
from matlab_compat.dagnn.layer import DagLayer, register_block
from matlab_compat.errors import ArgumentError
from matlab_compat.matfile.values import cell_list, scalar, text
from matlab_compat.nn.geometry import borders, pair
from matlab_compat.simplenn import base
from matlab_compat.simplenn.base import number

_FILTER = {"pad": [0.0] * 4, "stride": [1.0, 1.0], "dilate": [1.0, 1.0], "opts": ("cuDNN",)}


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    return (*shape, 1, 1, 1)[:4]  # type: ignore[return-value]


class _Filter(DagLayer):
    """Base of convolution and pooling: a window that slides over the padded maps."""

    def window(self, shapes: Shapes) -> tuple[int, int]:
        """Height and width of the window, without dilation."""
        raise NotImplementedError

    def _extent(self, shapes: Shapes) -> tuple[int, int]:
        high, wide = self.window(shapes)
        return (high - 1) * self.dilate[0] + 1, (wide - 1) * self.dilate[1] + 1

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        """As computed by the original's `getOutputSizes`."""
        (high, wide), (height, width, channels, number) = self._extent(shapes), sizes[0]
        rows = np.trunc((height + self.pad.top + self.pad.bottom - high) / self.stride[0]) + 1
        columns = np.trunc((width + self.pad.left + self.pad.right - wide) / self.stride[1]) + 1
        return float(rows), float(columns), channels, number

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        """A window that begins `pad` before the first pixel."""
        extent = self._extent(shapes)
        before = (self.pad.top, self.pad.left)
        offset = [1 - pad + (side - 1) / 2 for side, pad in zip(extent, before, strict=True)]
        return self.in_first_input(ReceptiveField.of(extent, self.stride, offset))


class _Weighted(DagLayer):
    """Base of blocks with filters and, where `hasBias` says so, biases."""

    kinds = (base.FILTERS, base.VECTOR)

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        filters, bias = (*params, None, None)[:2]  # without filters: only padding and subsampling
        return self.compute(inputs[0], filters, bias if scalar(self.value("hasBias")) else None)


@register_block("dagnn.Conv")
class Conv(_Weighted, _Filter):
    """Convolution, in as many groups as the input's channels need."""

    properties: ClassVar = {"size": [0.0] * 4, "hasBias": True, **_FILTER}
    settings = base.CONV
    function = staticmethod(blocks.vl_nnconv)

    def window(self, shapes: Shapes) -> tuple[int, int]:
        return _four(shapes[0])[:2] if shapes else (1, 1)

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        rows, columns, channels, number = super().output_size(sizes, shapes)
        return rows, columns, _four(shapes[0])[3] if shapes else channels, number


@register_block("dagnn.Pooling")
class Pooling(_Filter):
    """Max or average pooling. A dilation is stored but, as in the original, does not affect the output."""

    properties: ClassVar = {"method": "max", "poolSize": [1.0, 1.0], **_FILTER}
    settings: ClassVar = {"method": base.method, **base.CONV}

    def configure(self) -> None:
        super().configure()
        self.pool = pair(self.value("poolSize"), "poolSize")

    def window(self, shapes: Shapes) -> tuple[int, int]:
        return self.pool

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        return blocks.vl_nnpool(
            inputs[0], self.pool, *self.opts, pad=self.pad, stride=self.stride, method=self.method
        )


@register_block("dagnn.ConvTranspose")
class ConvTranspose(_Weighted):
    """Transposed convolution."""

    properties: ClassVar = {
        "size": [0.0] * 4,
        "hasBias": True,
        "upsample": [1.0, 1.0],
        "crop": [0.0] * 4,
        "numGroups": 1.0,
        "opts": ("cuDNN",),
    }
    settings = base.CONVT
    function = staticmethod(blocks.vl_nnconvt)

    def configure(self) -> None:
        if not self.params:
            raise ArgumentError("no filters among the parameters")
        super().configure()

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        """The channels of all groups; the original counts those of one."""
        (high, wide, depth, _), crop, up = _four(shapes[0]), self.crop, self.upsample
        height = up[0] * (sizes[0][0] - 1) + high - crop.top - crop.bottom
        width = up[1] * (sizes[0][1] - 1) + wide - crop.left - crop.right
        return height, width, depth * self.numGroups, sizes[0][3]

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        size = np.array(_four(shapes[0])[:2], dtype=np.float64)
        up = np.array(self.upsample, dtype=np.float64)
        offset = (2 * np.array([self.crop.top, self.crop.left]) - size + 1) / (2 * up) + 1
        return self.in_first_input(ReceptiveField((size - 1) / up + 1, 1 / up, offset))


_TORCH_DIM = {1: 2, 2: 3, 3: 1, 4: 0}  # MATLAB's dimension of an array -> torch's


@register_block("dagnn.BatchNorm")
class BatchNorm(DagLayer):
    """Batch normalisation; parameters: multipliers, biases, moments [mean sqrt(variance + epsilon)].

    eval mode: the stored moments, as constants; training mode: this batch's own.
    """

    properties: ClassVar = {"numChannels": [], "epsilon": 1e-5, "opts": ("NoCuDNN",)}
    settings: ClassVar = {"epsilon": number}
    function = staticmethod(blocks.vl_nnbnorm)
    kinds = (base.VECTOR, base.VECTOR, base.MATRIX)
    trainable = (True, True, False)

    def configure(self) -> None:
        super().configure()
        if len(self.params) != 3:
            raise ArgumentError(f"parameters {self.params}: expected multipliers, biases and moments")

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        return self.compute(inputs[0], *params[:2], moments=None if self.training else params[2])


@register_block("dagnn.ReLU")
class ReLU(DagLayer):
    """Rectifier, with a slope `leak` for negative values."""

    properties: ClassVar = {"useShortCircuit": True, "leak": 0.0, "opts": ()}
    settings: ClassVar = {"leak": number}
    function = staticmethod(blocks.vl_nnrelu)


def _of_pixels(name: str, function: Any, param: list[float] | None = None) -> type[DagLayer]:
    """A block without parameters, configured at most by its property `param`, a row of numbers."""
    has_param = {"properties": {"param": param}, "settings": {"param": base.numbers}} if param else {}
    made = type(name, (DagLayer,), {"function": staticmethod(function), **has_param})
    return register_block(f"dagnn.{name}")(made)


Sigmoid = _of_pixels("Sigmoid", blocks.vl_nnsigmoid)
SoftMax = _of_pixels("SoftMax", blocks.vl_nnsoftmax)
LRN = _of_pixels("LRN", blocks.vl_nnnormalize, [5.0, 1.0, 0.0001 / 5, 0.75])
SpatialNorm = _of_pixels("SpatialNorm", blocks.vl_nnspnorm, [2.0, 2.0, 10.0, 2.0])
NormOffset = _of_pixels("NormOffset", blocks.vl_nnnoffset, [1.0, 0.5])


@register_block("dagnn.Sum")
class Sum(DagLayer):
    """The sum of all inputs."""

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        if not torch.compiler.is_compiling() and any(x.shape != inputs[0].shape for x in inputs):
            raise ArgumentError(f"maps of shapes {[tuple(x.shape) for x in inputs]} cannot be added")
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


@register_block("dagnn.Concat")
class Concat(DagLayer):
    """Joins its inputs along MATLAB's dimension `dim` (3: channels)."""

    properties: ClassVar = {"dim": 3.0}
    ignored = frozenset({"numInputs"})

    def configure(self) -> None:
        self.dim = pair(self.value("dim"), "dim")[0]
        if self.dim not in _TORCH_DIM:
            raise ArgumentError(f"dim is {self.dim}: expected 1 rows, 2 columns, 3 channels, 4 images")

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        size = list(sizes[0])
        size[self.dim - 1] = sum(other[self.dim - 1] for other in sizes)
        return size[0], size[1], size[2], size[3]

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        """Unknown where rows or columns are joined."""
        return [PIXEL if self.dim > 2 else UNKNOWN] * len(self.inputs)

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        return blocks.vl_nnconcat(inputs, _TORCH_DIM[self.dim])  # type: ignore[return-value]


@register_block("dagnn.Crop")
class Crop(DagLayer):
    """Crops the first input to the size of the second; `crop` rows and columns come off the top and left."""

    properties: ClassVar = {"crop": [0.0, 0.0]}

    def configure(self) -> None:
        cut = borders(self.value("crop"), "crop")
        self.crop = cut.top, cut.left
        if len(self.inputs) != 2 or np.size(self.value("crop")) != 2:
            raise ArgumentError(f"inputs {self.inputs}, crop {list(self.crop)}: expected two each")

    def _cut(self, size: Sequence[Any], to: Sequence[Any]) -> list[Any]:
        """Rows and columns to remove at each side, in MATLAB's order; sizes are (height, width)."""
        cut: list[Any] = []
        for length, wanted, first in zip(size, to, self.crop, strict=True):
            last = max(0, length - wanted - first)
            cut += [length - wanted - last, last]
        return cut

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        top, bottom, left, right = self._cut(sizes[0][:2], sizes[1][:2])
        height, width, channels, number = sizes[0]
        return height - top - bottom, width - left - right, channels, number

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        """Shifted by what is cut; None for the second input, of which only the size is used."""
        return [ReceptiveField.of([1, 1], [1, 1], [1 + first for first in self.crop]), None]

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        x, like = inputs
        if torch.compiler.is_compiling():  # vl_nncrop would turn the symbolic sizes into constants
            for dim, first in zip((2, 3), self.crop, strict=True):
                start = torch.sym_min(x.shape[dim] - like.shape[dim], first)
                x = x.narrow(dim, start, like.shape[dim])
            return x
        return blocks.vl_nncrop(x, self._cut(x.shape[2:], like.shape[2:]))


@register_block("dagnn.Scale")
class Scale(DagLayer):
    """Multiplies by a factor and adds a bias, both broadcast, which are parameters or further inputs."""

    properties: ClassVar = {"size": [], "hasBias": True}
    kinds = (base.FILTERS, base.FILTERS)

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        x, *others = [*inputs, *params]
        wanted = 2 if scalar(self.value("hasBias")) else 1
        if len(others) < wanted:
            raise ArgumentError(f"expected {wanted} factors and biases, found {len(others)}")
        return x * others[0] + others[1] if wanted == 2 else x * others[0]


@register_block("dagnn.DropOut")
class DropOut(DagLayer):
    """Dropout at `rate`; the identity in eval mode. A frozen one uses the tensor `mask`, where it is set.

    Masks come from torch's generator, not MATLAB's.
    """

    properties: ClassVar = {"rate": 0.5, "frozen": False}
    settings: ClassVar = {"rate": number, "frozen": base.flag}
    mask: Tensor | None = None

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        if not self.training:
            return inputs[0]
        if self.mask is not None and self.frozen:
            return inputs[0] * self.mask
        return F.dropout(inputs[0], self.rate, training=True)


class _AnyPixel(DagLayer):
    """Base of blocks whose output may depend on any pixel."""

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        return [UNKNOWN] * len(self.inputs)


@register_block("dagnn.Loss")
class Loss(_AnyPixel):
    """A loss; computed where its labels (counting from 0) are among the inputs, else skipped."""

    properties: ClassVar = {"loss": "softmaxlog", "ignoreAverage": False, "normalise": True, "opts": ()}
    settings: ClassVar = {"loss": lambda value, name: text(value), "opts": base.words}
    function = staticmethod(blocks.vl_nnloss)

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        """One number per image, as in the original."""
        return 1, 1, 1, sizes[0][3]

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        return self.compute(*inputs[:2])


@register_block("dagnn.PDist")
class PDist(_AnyPixel):
    """The p-distance of two inputs at each pixel, a third being weights; by default summed to one number."""

    properties: ClassVar = {
        "p": 2.0,
        "aggregate": True,
        "noRoot": False,
        "epsilon": 1e-6,
        **Loss.properties,
        "loss": "pdist",
    }

    settings: ClassVar = {"p": number, "noRoot": base.flag, "epsilon": number, "aggregate": base.flag}
    function = staticmethod(blocks.vl_nnpdist)

    def configure(self) -> None:
        super().configure()
        if cell_list(self.value("opts")):
            raise ArgumentError("opts of a PDist block are not supported")

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        return (1, 1, 1, 1) if self.aggregate else (*sizes[0][:2], 1, sizes[0][3])

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        weights = inputs[2] if len(inputs) > 2 else None
        found = self.compute(*inputs[:2], instanceWeights=weights)
        return found if found.ndim else found.reshape(1, 1, 1, 1)


@register_block("dagnn.ROIPooling")
class ROIPooling(_AnyPixel):
    """Max pooling of regions in tiles: maps, and K regions [image x1 y1 x2 y2] as MATLAB counts, from 1.

    Regions are a MATLAB array of 5 x K or 1 x 1 x 5 x K; the output is (K, C, rows, columns of tiles).
    """

    properties: ClassVar = {"method": "max", "subdivisions": [6.0, 6.0], "transform": 1.0, "flatten": False}
    settings: ClassVar = {"subdivisions": pair, "flatten": base.flag}

    def configure(self) -> None:
        super().configure()
        factors = np.asarray(self.value("transform"), np.float64)
        if factors.shape != (2, 3):  # scaling about the centre of the first pixel
            scale = np.resize(factors.ravel(), 2)
            factors = np.column_stack([np.diag(scale), 1 - scale])
        self.transform = torch.from_numpy(factors)
        if text(self.value("method")) != "max" or np.size(self.value("transform")) not in (1, 2, 6):
            raise ArgumentError("expected the method 'max', and a transform of 1, 2 or 2 x 3 numbers")

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        (rows, columns), channels, count = self.subdivisions, sizes[0][2], float(np.prod(sizes[1])) / 5
        flat = (1.0, 1.0, rows * columns * channels, count)
        return flat if self.flatten else (rows, columns, channels, count)

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        from torchvision.ops import roi_pool  # takes a second to import

        maps, regions = inputs[0], inputs[1].transpose(2, 3).reshape(-1, 5)
        factors = self.transform.to(regions.device)
        corners = regions[:, 1:].reshape(-1, 2).double() @ factors[:, :2].T + factors[:, 2]
        pixels = (corners.to(regions) + 0.5).floor().reshape(-1, 4) - 1
        image = (regions[:, :1].trunc() - 1).clamp(0, len(maps) - 1)
        pooled = roi_pool(maps, torch.cat([image, pixels], 1).to(maps), self.subdivisions)
        if self.flatten:
            return pooled.transpose(2, 3).reshape(len(pooled), -1, 1, 1)
        return pooled


@register_block("dagnn.BilinearSampler")
class BilinearSampler(_AnyPixel):
    """Maps resampled at the points of a grid, a MATLAB array of 2 (y, x in -1..1) x rows x columns x N.

    There may be several grids an image; outside the maps are zeros.
    """

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        """Rows and columns of the grid (the original gives 2 for the rows)."""
        return sizes[1][1], sizes[1][2], sizes[0][2], sizes[1][3]

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        maps, grid = inputs
        if grid.shape[2] != 2 or len(grid) % len(maps):
            raise ArgumentError(f"for {len(maps)} images a grid of 2 x rows x columns x N is expected")
        points = grid.permute(0, 3, 1, 2).flip(-1)  # (N, columns, 2, rows) -> (N, rows, columns, [x y])
        maps = maps.repeat_interleave(len(grid) // len(maps), 0)
        return F.grid_sample(maps, points, "bilinear", "zeros", align_corners=True)
