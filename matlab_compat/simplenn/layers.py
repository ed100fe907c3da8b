"""MatConvNet's SimpleNN layer types as modules, configured by their MATLAB fields.

In `eval` mode (that of `SimpleNN.from_matlab`) dropout does nothing and batch normalisation uses the stored
moments as constants. Losses, which need labels, return their input. `vl_simplenn` has MATLAB's modes and
derivatives.
"""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from matlab_compat import nn as blocks
from matlab_compat.errors import ArgumentError
from matlab_compat.matfile.values import cell_list, scalar, text, vector
from matlab_compat.nn.geometry import borders, pair
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn.base import FILTERS, MATRIX, VECTOR, WeightSpec
from matlab_compat.simplenn.layer import Layer, register_layer


def _check_biases(bias: Tensor | None, count: int) -> None:
    if bias is not None and bias.numel() != count:
        raise ArgumentError(f"{bias.numel()} biases for {count} filters: expected one per filter, or none")


@register_layer("conv")
class Conv(Layer):
    """Convolution, in as many groups as the channels need; without filters, padding and subsampling."""

    weight_specs = (WeightSpec("weight", FILTERS), WeightSpec("bias", VECTOR))
    weight: Tensor | None
    bias: Tensor | None

    def configure(self) -> None:
        self.pad = borders(self.fields.get("pad", 0))
        self.stride = pair(self.fields.get("stride", 1), "stride")
        self.dilate = pair(self.fields.get("dilate", 1), "dilate")
        self.opts = tuple(cell_list(self.fields.get("opts", [])))

    def check_weights(self) -> None:
        if self.weight is not None:
            _check_biases(self.bias, self.weight.shape[0])

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weights_for(x)
        return blocks.vl_nnconv(
            x, weight, bias, *self.opts, stride=self.stride, pad=self.pad, dilate=self.dilate
        )  # type: ignore[return-value]

    def channels_out(self, channels: int | None) -> int | None:
        if self.weight is None:
            return channels
        count, depth = self.weight.shape[:2]
        if channels is not None and (channels % depth or count % (channels // depth)):
            raise ArgumentError(
                f"{count} filters of depth {depth} on {channels} channels: the depth must divide the "
                "channels, and the resulting number of groups the number of filters"
            )
        return count


@register_layer("convt")
class ConvTranspose(Layer):
    """Transposed convolution; filters FH x FW x K/groups x C in MATLAB."""

    weight_specs = (WeightSpec("weight", FILTERS), WeightSpec("bias", VECTOR))
    weight: Tensor
    bias: Tensor | None

    def configure(self) -> None:
        self.crop = borders(self.fields.get("crop", 0), "crop")
        self.upsample = pair(self.fields.get("upsample", 1), "upsample")
        self.groups = pair(self.fields.get("numGroups", 1), "numGroups")[0]
        self.opts = tuple(cell_list(self.fields.get("opts", [])))

    def check_weights(self) -> None:
        if self.weight is None:
            raise ArgumentError("no filters: a convt layer needs some")
        _check_biases(self.bias, self.weight.shape[1] * self.groups)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weights_for(x)
        shape: dict[str, Any] = {"upsample": self.upsample, "crop": self.crop, "numGroups": self.groups}
        return blocks.vl_nnconvt(x, weight, bias, *self.opts, **shape)  # type: ignore

    def channels_out(self, channels: int | None) -> int | None:
        depth, count = self.weight.shape[:2]
        if depth % self.groups or channels not in (None, depth):
            raise ArgumentError(
                f"filters of depth {depth} in {self.groups} groups on {channels or 'unknown'} channels: the "
                "depth must be the number of channels, and a multiple of numGroups"
            )
        return count * self.groups


@register_layer("pool")
class Pool(Layer):
    """Max or average pooling; padding is never the maximum and does not count in a mean."""

    own_fields = ("pool", "method")

    def configure(self) -> None:
        if "pool" not in self.fields:
            raise ArgumentError("no field pool: expected the size of the window")
        self.pool = pair(self.fields["pool"], "pool")
        self.pad = borders(self.fields.get("pad", 0))
        self.stride = pair(self.fields.get("stride", 1), "stride")
        self.method = text(self.fields.get("method", "max"))
        self.opts = tuple(cell_list(self.fields.get("opts", [])))
        if self.method not in ("max", "avg"):
            raise ArgumentError(f"pooling method must be 'max' or 'avg'; got '{self.method}'")

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnpool(
            x, self.pool, *self.opts, pad=self.pad, stride=self.stride, method=self.method
        )


@register_layer("relu")
class ReLU(Layer):
    """Rectifier, with a slope `leak` for negative values."""

    def configure(self) -> None:
        self.leak = float(scalar(self.fields.get("leak", 0)))

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnrelu(x, leak=max(self.leak, 0.0))


@register_layer("sigmoid")
class Sigmoid(Layer):
    """Logistic function."""

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnsigmoid(x)


@register_layer("softmax")
class Softmax(Layer):
    """Softmax over channels, at each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnsoftmax(x)


class _Parametric(Layer):
    """A layer configured by its field `param`, a row of numbers."""

    own_fields = ("param",)
    count = 4

    def configure(self) -> None:
        self.param = tuple(float(number) for number in vector(self.fields.get("param", [])))
        if len(self.param) != self.count:
            raise ArgumentError(f"field param has {len(self.param)} elements: expected {self.count}")


@register_layer("normalize", "lrn")
class Normalize(_Parametric):
    """Local response normalisation, param [N kappa alpha beta]; L2 at each pixel if N is 2C."""

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnnormalize(x, self.param)


@register_layer("spnorm")
class SpatialNormalize(_Parametric):
    """Spatial normalisation, param [height width alpha beta]."""

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnspnorm(x, self.param)


@register_layer("noffset")
class NormOffset(_Parametric):
    """Norm-dependent offset, param [alpha beta]."""

    count = 2

    def forward(self, x: Tensor) -> Tensor:
        return blocks.vl_nnnoffset(x, self.param)


@register_layer("bnorm")
class BatchNorm(Layer):
    """Batch normalisation; weights: multipliers, biases, moments [mean sqrt(variance + epsilon)], C x 2.

    eval mode: the stored moments, as constants (epsilon is not used). Training mode: this batch's own
    moments; the trainer updates the stored ones.
    """

    weight_specs = (
        WeightSpec("weight", VECTOR),
        WeightSpec("bias", VECTOR),
        WeightSpec("moments", MATRIX, False),
    )
    weight: Tensor
    bias: Tensor
    moments: Tensor

    def configure(self) -> None:
        self.epsilon = float(scalar(self.fields.get("epsilon", 1e-5)))

    def check_weights(self) -> None:
        shapes = [tuple(weight.shape) if weight is not None else () for weight in self.weights]
        count = shapes[0][0] if shapes[0] else 0
        if shapes != [(count,), (count,), (count, 2)]:
            raise ArgumentError(
                f"weights of shapes {shapes}: expected C multipliers, C biases and C x 2 moments"
            )

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, moments = self.weights_for(x)
        given = None if self.training else moments
        return blocks.vl_nnbnorm(x, weight, bias, moments=given, epsilon=self.epsilon)  # type: ignore

    def channels_out(self, channels: int | None) -> int | None:
        if channels not in (None, len(self.weight)):
            raise ArgumentError(
                f"{len(self.weight)} multipliers on {channels} channels: expected one per channel"
            )
        return len(self.weight)


@register_layer("dropout")
class Dropout(Layer):
    """Dropout at `rate`; the identity in eval mode. Masks come from torch's generator, not MATLAB's."""

    def configure(self) -> None:
        self.rate = float(scalar(self.fields.get("rate", 0.5)))
        if not 0 <= self.rate <= 1:
            raise ArgumentError(f"the rate of dropout must be from 0 to 1; got {self.rate}")

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.rate, self.training)


@register_layer("loss", "softmaxloss")
class Loss(Layer):
    """A loss at the end of a network; returns its input. `vl_simplenn` computes it from the field `class`."""

    own_fields = ("class",)

    def forward(self, x: Tensor) -> Tensor:
        return x


@register_layer("pdist")
class PDist(Layer):
    """p-distance of each pixel to the maps in the field `class`; without that field, the identity."""

    own_fields = ("class",)

    def configure(self) -> None:
        self.options: dict[str, Any] = {
            "noRoot": bool(scalar(self.fields.get("noRoot", False))),
            "aggregate": bool(scalar(self.fields.get("aggregate", False))),
            "epsilon": float(scalar(self.fields.get("epsilon", 1e-3))),
        }
        weights = self.fields.get("instanceWeights")
        if weights is not None and np.size(weights):
            self.options["instanceWeights"] = maps_to_torch(np.asarray(weights))
        self.p = float(scalar(self.fields.get("p", 2)))

    def forward(self, x: Tensor) -> Tensor:
        if "class" not in self.fields:
            return x
        return blocks.vl_nnpdist(x, reference(self, x), self.p, **self.options)  # type: ignore[return-value]

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
        raise ArgumentError(
            f"layer '{layer.name}' has no field class to compare with: set it by set_field('class', ...)"
        )
    array = np.asarray(given)
    if array.ndim <= 2 and array.size == x.shape[0]:
        array = array.reshape(1, 1, 1, -1, order="F")
    maps = maps_to_torch(array).to(x.device)
    if isinstance(layer, Loss):
        maps = maps.clone()
        maps[:, :1] -= 1
    return maps
