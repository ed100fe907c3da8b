"""MatConvNet's SimpleNN layer types as modules, configured by their MATLAB fields.

In `eval` mode (that of `SimpleNN.from_matlab`) dropout does nothing and batch normalisation uses the stored
moments as constants. Losses, which need labels, return their input. `vl_simplenn` has MATLAB's modes and
derivatives.
"""

from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from matlab_compat import nn as blocks
from matlab_compat.errors import ArgumentError
from matlab_compat.nn.conv import check_transposed, checked_biases, group_count
from matlab_compat.nn.geometry import borders, pair
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn import base
from matlab_compat.simplenn.layer import Layer, register_layer
from matlab_compat.simplenn.tidy import DEFAULTS

_WEIGHTS = (base.WeightSpec("weight", base.FILTERS), base.WeightSpec("bias", base.VECTOR))
_VECTORS = (base.WeightSpec("weight", base.VECTOR), base.WeightSpec("bias", base.VECTOR))


@register_layer("conv")
class Conv(Layer):
    """Convolution, in as many groups as the channels need; without filters, padding and subsampling."""

    weight_specs = _WEIGHTS
    weight: Tensor | None
    bias: Tensor | None
    properties = DEFAULTS["conv"]
    settings = base.CONV
    function = staticmethod(blocks.vl_nnconv)

    def check_weights(self) -> None:
        if self.weight is not None:
            checked_biases(self.bias, self.weight.shape[0])

    def channels_out(self, channels: int | None) -> int | None:
        if self.weight is None:
            return channels
        if channels is not None:
            group_count(channels, self.weight)
        return self.weight.shape[0]


@register_layer("convt")
class ConvTranspose(Layer):
    """Transposed convolution; filters FH x FW x K/groups x C in MATLAB."""

    weight_specs = _WEIGHTS
    weight: Tensor
    bias: Tensor | None
    properties = DEFAULTS["convt"]
    settings = base.CONVT
    function = staticmethod(blocks.vl_nnconvt)

    def check_weights(self) -> None:
        if self.weight is None:
            raise ArgumentError("no filters: a convt layer needs some")
        checked_biases(self.bias, self.weight.shape[1] * self.numGroups)

    def channels_out(self, channels: int | None) -> int | None:
        check_transposed(channels, self.weight, self.numGroups)
        return self.weight.shape[1] * self.numGroups


@register_layer("pool")
class Pool(Layer):
    """Max or average pooling; padding is never the maximum and does not count in a mean."""

    properties: ClassVar = {"method": "max", **DEFAULTS["pool"]}
    settings: ClassVar = {
        "pool": pair,
        "pad": borders,
        "stride": pair,
        "method": base.method,
        "opts": base.words,
    }
    function = staticmethod(blocks.vl_nnpool)

    def value(self, name: str) -> Any:
        if name == "pool" and name not in self.fields:
            raise ArgumentError("no field pool: expected the size of the window")
        return super().value(name)


@register_layer("relu")
class ReLU(Layer):
    """Rectifier, with a slope `leak` for negative values."""

    properties = DEFAULTS["relu"]
    settings: ClassVar = {"leak": lambda value, name: max(base.number(value, name), 0.0)}
    function = staticmethod(blocks.vl_nnrelu)


class OfPixels(Layer):
    """A layer without weights, configured at most by its field `param`, a row of `count` numbers."""

    count = 0

    def configure(self) -> None:
        super().configure()
        if len(getattr(self, "param", ())) != self.count:
            raise ArgumentError(f"field param has {len(self.param)} elements: expected {self.count}")


def _of_pixels(name: str, types: str, function: Any, count: int = 0) -> type[OfPixels]:
    param = (
        {"properties": {"param": []}, "settings": {"param": base.numbers}, "count": count} if count else {}
    )
    made = type(name, (OfPixels,), {"function": staticmethod(function), **param})
    return register_layer(*types.split())(made)


Sigmoid = _of_pixels("Sigmoid", "sigmoid", blocks.vl_nnsigmoid)
Softmax = _of_pixels("Softmax", "softmax", blocks.vl_nnsoftmax)
Normalize = _of_pixels("Normalize", "normalize lrn", blocks.vl_nnnormalize, 4)
SpatialNormalize = _of_pixels("SpatialNormalize", "spnorm", blocks.vl_nnspnorm, 4)
NormOffset = _of_pixels("NormOffset", "noffset", blocks.vl_nnnoffset, 2)


@register_layer("bnorm")
class BatchNorm(Layer):
    """Batch normalisation; weights: multipliers, biases, moments [mean sqrt(variance + epsilon)], C x 2.

    eval mode: the stored moments, as constants (epsilon is not used). Training mode: this batch's own
    moments; the trainer updates the stored ones.
    """

    weight_specs = (*_VECTORS, base.WeightSpec("moments", base.MATRIX, False))
    weight: Tensor
    bias: Tensor
    moments: Tensor
    properties = DEFAULTS["bnorm"]
    settings: ClassVar = {"epsilon": base.number}
    function = staticmethod(blocks.vl_nnbnorm)

    def check_weights(self) -> None:
        shapes = [tuple(weight.shape) if weight is not None else () for weight in self.weights]
        count = shapes[0][0] if shapes[0] else 0
        if shapes != [(count,), (count,), (count, 2)]:
            raise ArgumentError(f"weights of shapes {shapes}: expected C and C numbers, and C x 2 moments")

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, moments = self.weights_for(x)
        return self.compute(x, weight, bias, moments=None if self.training else moments)

    def channels_out(self, channels: int | None) -> int | None:
        if channels not in (None, len(self.weight)):
            raise ArgumentError(f"{len(self.weight)} multipliers on {channels} channels: expected one each")
        return len(self.weight)


@register_layer("dropout")
class Dropout(Layer):
    """Dropout at `rate`; the identity in eval mode. Masks come from torch's generator, not MATLAB's."""

    properties = DEFAULTS["dropout"]
    settings: ClassVar = {"rate": base.number}

    def configure(self) -> None:
        super().configure()
        if not 0 <= self.rate <= 1:
            raise ArgumentError(f"the rate of dropout must be from 0 to 1; got {self.rate}")

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.rate, self.training)


@register_layer("loss", "softmaxloss")
class Loss(Layer):
    """A loss at the end of a network; returns its input. `vl_simplenn` computes it from the field `class`."""

    properties: ClassVar = {"class": None}

    def function(self, *inputs: Any) -> Tensor:
        return (blocks.vl_nnsoftmaxloss if self.type == "softmaxloss" else blocks.vl_nnloss)(*inputs)

    def forward(self, x: Tensor) -> Tensor:
        return x


@register_layer("pdist")
class PDist(Layer):
    """p-distance of each pixel to the maps in the field `class`; without that field, the identity."""

    properties: ClassVar = {"class": None, **DEFAULTS["pdist"]}
    settings: ClassVar = {
        "p": base.number,
        "noRoot": base.flag,
        "aggregate": base.flag,
        "epsilon": base.number,
        "instanceWeights": lambda value, name: maps_to_torch(np.asarray(value)) if np.size(value) else None,
    }
    function = staticmethod(blocks.vl_nnpdist)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x, reference(self, x)) if "class" in self.fields else x

    def channels_out(self, channels: int | None) -> int | None:
        return 1 if "class" in self.fields else channels


def reference(layer: Layer, x: Tensor) -> Tensor:
    """The field `class` of a loss or pdist layer, to compare its input with: on x's device, in torch's order.

    A tensor is used as it is: maps (N, C, H, W), or N labels counting from 0. An array is in MATLAB's order,
    H x W x C x N, its labels counting from 1. Raises ArgumentError where the field is missing.
    """
    given = layer.fields.get("class")
    if isinstance(given, Tensor):
        return given.to(x.device)
    if given is None or np.size(given) == 0:
        raise ArgumentError(f"layer '{layer.name}' has no field class: set it by set_field('class', …)")
    array = np.asarray(given)
    if array.ndim <= 2 and array.size == x.shape[0]:
        array = array.reshape(1, 1, 1, -1, order="F")
    maps = maps_to_torch(array).to(x.device)
    if isinstance(layer, Loss):
        maps = maps.clone()
        maps[:, :1] -= 1
    return maps
