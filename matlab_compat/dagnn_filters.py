"""MatConvNet's DagNN blocks with filters or windows: Conv, ConvTranspose, Pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from matlab_compat import nn as blocks
from matlab_compat.dagnn_graph import ReceptiveField, Size
from matlab_compat.dagnn_layer import DagLayer, register_block
from matlab_compat.mat_values import cell_list, scalar, text
from matlab_compat.nn_geometry import borders, pair
from matlab_compat.simplenn_weights import FILTERS, VECTOR

_FILTER = {"pad": [0.0] * 4, "stride": [1.0, 1.0], "dilate": [1.0, 1.0]}


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    return (*shape, 1, 1, 1)[:4]  # type: ignore[return-value]


class _Filter(DagLayer):
    """What convolution and pooling share: a window that is slid over the padded maps."""

    def configure(self) -> None:
        self.pad = borders(self.value("pad"))
        self.stride = pair(self.value("stride"), "stride")
        self.dilate = pair(self.value("dilate"), "dilate")
        self.opts = cell_list(self.value("opts"))

    def window(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        """Height and width of what is slid, without dilation."""
        raise NotImplementedError

    def _extent(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        high, wide = self.window(shapes)
        return (high - 1) * self.dilate[0] + 1, (wide - 1) * self.dilate[1] + 1

    def output_size(self, sizes: Sequence[Size], shapes: Sequence[tuple[int, ...]]) -> Size:
        """As the original's `getOutputSizes`."""
        (high, wide), (height, width, channels, number) = self._extent(shapes), sizes[0]
        rows = np.trunc((height + self.pad.top + self.pad.bottom - high) / self.stride[0]) + 1
        columns = np.trunc((width + self.pad.left + self.pad.right - wide) / self.stride[1]) + 1
        return float(rows), float(columns), channels, number

    def receptive_fields(self, shapes: Sequence[tuple[int, ...]]) -> list[ReceptiveField | None]:
        """A window that begins `pad` before the first pixel."""
        extent = self._extent(shapes)
        before = (self.pad.top, self.pad.left)
        offset = [1 - pad + (side - 1) / 2 for side, pad in zip(extent, before, strict=True)]
        return self.in_first_input(ReceptiveField.of(extent, self.stride, offset))


@register_block("dagnn.Conv")
class Conv(_Filter):
    """Convolution; the number of groups follows from the input's channels."""

    properties: ClassVar[Mapping[str, Any]] = {
        "size": [0.0] * 4,
        "hasBias": True,
        "opts": ("cuDNN",),
        **_FILTER,
    }
    kinds = (FILTERS, VECTOR)

    def window(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        """The filters' height and width."""
        return _four(shapes[0])[:2]

    def output_size(self, sizes: Sequence[Size], shapes: Sequence[tuple[int, ...]]) -> Size:
        """As many channels as there are filters."""
        rows, columns, _, number = super().output_size(sizes, shapes)
        return rows, columns, _four(shapes[0])[3], number

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        """vl_nnconv."""
        bias = params[1] if len(params) > 1 and scalar(self.value("hasBias")) else None
        return blocks.vl_nnconv(  # type: ignore[return-value]
            inputs[0], params[0], bias, *self.opts, stride=self.stride, pad=self.pad, dilate=self.dilate
        )


@register_block("dagnn.Pooling")
class Pooling(_Filter):
    """Max or average pooling. A dilation is stored but, as in the original, plays no part in it."""

    properties: ClassVar[Mapping[str, Any]] = {
        "method": "max",
        "poolSize": [1.0, 1.0],
        "opts": ("cuDNN",),
        **_FILTER,
    }

    def configure(self) -> None:
        super().configure()
        self.pool = pair(self.value("poolSize"), "poolSize")
        self.method = text(self.value("method"))

    def window(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
        """The pooling window."""
        return self.pool

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        """vl_nnpool."""
        return blocks.vl_nnpool(
            inputs[0], self.pool, *self.opts, pad=self.pad, stride=self.stride, method=self.method
        )


@register_block("dagnn.ConvTranspose")
class ConvTranspose(DagLayer):
    """Transposed convolution."""

    properties: ClassVar[Mapping[str, Any]] = {
        "size": [0.0] * 4,
        "hasBias": True,
        "upsample": [1.0, 1.0],
        "crop": [0.0] * 4,
        "numGroups": 1.0,
        "opts": ("cuDNN",),
    }
    kinds = (FILTERS, VECTOR)

    def configure(self) -> None:
        self.crop = borders(self.value("crop"), "crop")
        self.upsample = pair(self.value("upsample"), "upsample")
        self.groups = int(self.number("numGroups"))
        self.opts = cell_list(self.value("opts"))

    def output_size(self, sizes: Sequence[Size], shapes: Sequence[tuple[int, ...]]) -> Size:
        """Channels of all groups, where the original counts those of one."""
        (high, wide, depth, _), crop, up = _four(shapes[0]), self.crop, self.upsample
        height = up[0] * (sizes[0][0] - 1) + high - crop.top - crop.bottom
        width = up[1] * (sizes[0][1] - 1) + wide - crop.left - crop.right
        return height, width, depth * self.groups, sizes[0][3]

    def receptive_fields(self, shapes: Sequence[tuple[int, ...]]) -> list[ReceptiveField | None]:
        """Steps of less than a pixel."""
        size = np.array(_four(shapes[0])[:2], dtype=np.float64)
        up = np.array(self.upsample, dtype=np.float64)
        offset = (2 * np.array([self.crop.top, self.crop.left]) - size + 1) / (2 * up) + 1
        return self.in_first_input(ReceptiveField((size - 1) / up + 1, 1 / up, offset))

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        """vl_nnconvt."""
        bias = params[1] if len(params) > 1 and scalar(self.value("hasBias")) else None
        return blocks.vl_nnconvt(  # type: ignore[return-value]
            inputs[0],
            params[0],
            bias,
            *self.opts,
            upsample=self.upsample,
            crop=self.crop,
            numGroups=self.groups,
        )
