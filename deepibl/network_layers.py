"""NetVLAD's custom layers as layers of a MatConvNet network, under their MATLAB class names."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from deepibl.layers import TotalAvgPool, TotalMaxPool, WholeL2Normalize, vlad_aggregate
from matlab_compat.errors import ArgumentError
from matlab_compat.mat_values import cell_list
from matlab_compat.mat_values import text as matlab_text
from matlab_compat.simplenn_layer import Layer, register_custom
from matlab_compat.simplenn_weights import FILTERS, VECTOR, WeightSpec

# classes that have a saveobj method: MATLAB keeps what it returns, in a property named any
SAVEOBJ_CLASSES = ("layerVLAD", "layerVLADv2")


def _number_of_weights(fields: Mapping[str, Any]) -> int:
    weights = fields.get("weights")
    return len(cell_list(weights)) if weights is not None else 0


class _VLAD(Layer):
    """What both versions share: assignment and offsets, each 1 x 1 x D x K in MATLAB, (K, D, 1, 1) here."""

    assign: Tensor
    offset: Tensor

    def configure(self) -> None:
        if self.assign is None or self.offset is None or self.assign.shape != self.offset.shape:
            raise ArgumentError(
                "assignment weights and offsets have to be there and of one shape, 1 x 1 x D x K"
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, H, W) -> (N, D, 1, K)."""
        clusters, dim = self.assign.shape[:2]
        assign, offset = self.assign.flatten(1).t(), self.offset.flatten(1).t()  # (D, K)
        return vlad_aggregate(x, assign, offset, self.biases()).view(x.shape[0], dim, 1, clusters)

    def biases(self) -> Tensor | None:
        """(K,) biases of the assignment, None without."""
        return None

    def channels_out(self, channels: int | None) -> int | None:
        """D in, D out."""
        dim = self.assign.shape[1]
        if channels not in (None, dim):
            raise ArgumentError(f"it aggregates {dim} channels but gets {channels}")
        return dim

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        """1 x K x D for each image."""
        return (1, self.assign.shape[0], self.assign.shape[1], size[3])


@register_custom("layerVLAD")
class LayerVLAD(_VLAD):
    """NetVLAD pooling: (N, D, H, W) -> (N, D, 1, K). Ported from: netvlad/layerVLAD.m"""

    weight_specs = (WeightSpec("assign", FILTERS), WeightSpec("offset", FILTERS))

    @classmethod
    def recognises(cls, fields: Mapping[str, Any]) -> bool:
        """Two weights and vladDim."""
        return "vladDim" in fields and _number_of_weights(fields) == 2


@register_custom("layerVLADv2")
class LayerVLADv2(_VLAD):
    """NetVLAD pooling with assignment biases: (N, D, H, W) -> (N, D, 1, K). Ported from:
    netvlad/layerVLADv2.m
    """

    weight_specs = (WeightSpec("assign", FILTERS), WeightSpec("bias", VECTOR), WeightSpec("offset", FILTERS))

    bias: Tensor

    def biases(self) -> Tensor | None:
        """(K,) biases of the assignment."""
        return self.bias

    @classmethod
    def recognises(cls, fields: Mapping[str, Any]) -> bool:
        """Three weights and vladDim."""
        return "vladDim" in fields and _number_of_weights(fields) == 3


class _Weightless(Layer):
    """A layer without weights; a plain struct that does not name its class shows it only by its name."""

    module: ClassVar[nn.Module]
    usual_names: ClassVar[tuple[str, ...]]

    @classmethod
    def recognises(cls, fields: Mapping[str, Any]) -> bool:
        """A name that addLayers, addPCA or the class itself gives, and no weights."""
        return matlab_text(fields.get("name", "")) in cls.usual_names and not _number_of_weights(fields)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 1, 1)."""
        return type(self).module(x)

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        """1 x 1 x C for each image, as total pooling gives."""
        return (1, 1, size[2], size[3])


@register_custom("layerTotalMaxPool")
class LayerTotalMaxPool(_Weightless):
    """The maximum of each channel. Ported from: netvlad/layerTotalMaxPool.m"""

    module = TotalMaxPool()
    usual_names = ("max:core", "maxTotal")


@register_custom("layerTotalAvgPool")
class LayerTotalAvgPool(_Weightless):
    """The mean of each channel. Ported from: netvlad/layerTotalAvgPool.m"""

    module = TotalAvgPool()
    usual_names = ("avg:core", "avgTotal")


@register_custom("layerWholeL2Normalize")
class LayerWholeL2Normalize(_Weightless):
    """Each image as one unit vector, (N, C*H*W, 1, 1). Ported from: netvlad/layerWholeL2Normalize.m"""

    module = WholeL2Normalize()
    usual_names = ("postL2", "finalL2", "wholeL2")

    def channels_out(self, channels: int | None) -> int | None:
        """Unknown: C*H*W depends on the size of the maps."""
        return None

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        """1 x 1 x H*W*C for each image."""
        return (1, 1, size[0] * size[1] * size[2], size[3])
