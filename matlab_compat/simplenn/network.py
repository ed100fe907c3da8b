"""A MatConvNet network (SimpleNN) as a torch module whose layers are addressed by their MATLAB names.

net = SimpleNN.from_matlab(matfile.load("net.mat")["net"])
y = net(x)                                 # (N, C, H, W) -> (N, C', H', W')
conv5 = net(x, stop="conv5_3")             # up to and including that layer
net["conv1_1"].weight                      # (64, 3, 3, 3), a torch parameter
matfile.save("copy.mat", {"net": net.to_matlab()})
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, fx

from matlab_compat.errors import ArgumentError, NetworkFormatError, UnknownLayerError, did_you_mean, located
from matlab_compat.matfile.values import MatObject
from matlab_compat.simplenn import layers as _standard_layers, tidy  # layers: registers MatConvNet's types
from matlab_compat.simplenn.base import ImageNetwork, LayerList
from matlab_compat.simplenn.layer import Layer, UnknownLayer, is_loss, make_layer

_log = logging.getLogger(__name__)
_INTO_META = {"meta", "classes", "normalization", "netID", "sessionID", "epoch"}
LayerKey = str | int


def require_network(net: Any, function: str) -> "SimpleNN":
    """The network itself; ArgumentError, which says how to convert a MATLAB struct, for anything else."""
    if isinstance(net, SimpleNN):
        return net
    if isinstance(net, Mapping):
        raise ArgumentError(f"{function} takes a SimpleNN; SimpleNN.from_matlab(struct) converts a struct")
    raise ArgumentError(f"{function} takes a SimpleNN, not {type(net).__name__}")


class _Chain(LayerList):
    """The layers of a SimpleNN."""

    def make(self, value: Any, index: int) -> Layer:
        if isinstance(value, Layer):
            return value
        if not isinstance(value, Mapping | MatObject):
            kind = type(value).__name__
            raise ArgumentError(f"a layer is a Layer, or a dict as MATLAB's struct; got {kind}")
        return make_layer(tidy.tidy_layer(value, index), index)

    def changed(self) -> None:
        """A loss that is left out must be at the end."""
        passing = True
        for layer in reversed(self):
            layer.left_out = layer.left_out and passing  # type: ignore[assignment]
            passing = layer.left_out or isinstance(layer, _standard_layers.Loss)  # type: ignore[assignment]


class SimpleNN(ImageNetwork):
    """A chain of layers with meta data.

    Attributes: `layers` (a list of `Layer`; a dict in MATLAB's form becomes one), `meta` (dict of plain
    MATLAB values), `extra` (the other top-level fields of the MATLAB struct). `net["name"]` and `net[3]`
    (from 0) are layers.
    """

    layer_list = _Chain

    def __init__(
        self,
        layers: Iterable[Layer | Mapping[str, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.layers = layers  # type: ignore[assignment]  # becomes a LayerList
        self.meta: dict[str, Any] = dict(meta or {})
        self.extra: dict[str, Any] = dict(extra or {})
        self._order = ["layers", "meta", *self.extra]
        self._empty_meta: Any = {}

    @classmethod
    def from_matlab(cls, struct: dict[str, Any], *, consume: bool = False) -> "SimpleNN":
        """The network that a MATLAB struct describes, in eval mode, on the CPU.

        struct: `layers` (and `meta`) as `matfile.load` gives them; old formats are tidied first. consume:
        empties it while converting, so that at most one layer is in memory twice; 1 x 1 convolutions then use
        the memory that was read.

        Layers of an unknown type or class are kept as they are (`UnknownLayer`); a loss of training among
        them, at the end, is left out when the network runs, which is logged.

        Raises NetworkFormatError: not a SimpleNN, invalid fields, or channels that do not fit its layers.
        """
        # the fields that a file has, to write back; layers of the old format are written tidied
        read = [
            list(layer)
            if isinstance(layer, Mapping)
            and not ("filters" in layer and layer.get("type") in tidy.WITH_WEIGHTS)
            else None
            for layer in tidy.layer_cells(struct)
        ]
        order = list(struct)
        extra = {name: value for name, value in struct.items() if name not in {"layers", *_INTO_META}}
        tidied = tidy.relja_simplenn_tidy(struct)
        meta = tidied["meta"] if _INTO_META.intersection(order) - {"meta"} else struct.get("meta", {})
        if consume:
            struct.clear()
        descriptions = tidy.layer_cells({"layers": tidied.pop("layers")})
        layers = []
        for index, written in enumerate(read):
            description, descriptions[index] = descriptions[index], None
            layers.append(make_layer(description, index, shared=consume))
            if written:
                layers[-1].write_only(written)
        epoch = meta.get("epoch") if isinstance(meta, Mapping) else None
        if isinstance(epoch, np.ndarray) and epoch.size == 1 and epoch.dtype == np.float64:
            meta = {**meta, "epoch": epoch.item()}  # a number, for 'ep%06d' % net.meta['epoch']
        net = cls(layers, meta if isinstance(meta, Mapping) else {}, extra)
        net._empty_meta = {} if isinstance(meta, Mapping) else meta
        net._order = [name for name in order if name in {"layers", "meta", *extra}]
        net.check_channels()
        net._leave_out_losses()
        return net.eval()

    def _leave_out_losses(self) -> None:
        for index, layer in reversed(list(enumerate(self))):
            if isinstance(layer, UnknownLayer) and is_loss(layer.classname or str(layer.type)):
                layer.left_out = True
                _log.warning("%s: %s", self.label(index), layer.remark())
            elif not isinstance(layer, _standard_layers.Loss):
                return

    def to_matlab(self, classes: bool = False) -> dict[str, Any]:
        """The network as a MATLAB struct: every field, shape and class that was read, the current weights.

        Layers of old files (filters, biases) are written in the newest form. Custom layers that were class
        objects become structs with a field class__ or, with `classes`, class objects (`MatObject`) again.
        """
        values: dict[str, Any] = dict(self.extra)
        values["layers"] = tidy.cell_row([layer.to_matlab(classes) for layer in self])
        if self.meta or "meta" in self._order:
            meta = {n: tidy.matlab_value(v) if isinstance(v, float) else v for n, v in self.meta.items()}
            values["meta"] = tidy.with_rows(meta) or self._empty_meta
        return {name: values[name] for name in dict.fromkeys([*self._order, *values]) if name in values}

    def index(self, layer: LayerKey) -> int:
        """The position (from 0) of a layer given by its name, or by a position (negative: from the end).

        Raises ArgumentError for an unknown or ambiguous name, or a position out of range.
        """
        if not isinstance(layer, str):
            count = len(self.layers)
            if not -count <= int(layer) < count:
                raise ArgumentError(f"no layer is at position {layer}: the network has 0 to {count - 1}")
            return int(layer) % count
        found = [position for position, name in enumerate(self.names) if name == layer]
        if len(found) == 1:
            return found[0]
        if found:
            raise ArgumentError(f"{len(found)} layers are named '{layer}' ({found}): give a position instead")
        hint = did_you_mean(layer, self.names)
        raise ArgumentError(f"no layer is named '{layer}'{hint or '.'} Layers: {', '.join(self.names)}")

    def layer(self, layer: LayerKey | slice) -> Any:
        """The layer of that name or position; of a slice, a network of those layers, which are shared.

        Raises what `index` raises.
        """
        if isinstance(layer, slice):
            return self.with_layers(self.layers[layer])
        return self.layers[self.index(layer)]

    __getitem__ = layer

    def label(self, index: int) -> str:
        """A layer in error messages: its number, as the table counts (from 1), its name and type."""
        layer = self.layer(index)
        return f"layer {index + 1} '{layer.name}' ({layer.classname or layer.type})"

    def with_layers(self, layers: Iterable[Layer]) -> "SimpleNN":
        """A network of copies of these layers and this meta; weights are shared until one is replaced."""
        net = type(self)([layer.copy() for layer in layers], self.meta, self.extra)
        net._order, net._empty_meta = list(self._order), self._empty_meta
        return net.train(self.training)

    def check_channels(self) -> None:
        """Raises NetworkFormatError, naming the layer, where channels of consecutive layers do not fit."""
        channels: int | None = None
        for index, layer in enumerate(self):
            with located(self.label(index)):
                channels = layer.channels_out(channels)

    def _step(self, index: int, x: Tensor) -> Tensor:
        layer: Any = list(self._modules.values())[index]
        if isinstance(x, fx.Proxy):  # of torchvision's create_feature_extractor: a layer is one node
            tracer: Any = x.tracer
            node = ("call_module", tracer.path_of_module(layer), (x,), {})
            return tracer.call_module(layer, lambda *_: tracer.create_proxy(*node), (x,), {})
        try:
            return layer(x)
        except (ArgumentError, UnknownLayerError) as error:
            kind = UnknownLayerError if isinstance(error, UnknownLayerError) else NetworkFormatError
            raise kind(f"{self.label(index)}: {error}") from error

    def forward(self, x: Tensor, *, start: LayerKey | None = None, stop: LayerKey | None = None) -> Tensor:
        """Runs the layers from `start` to `stop`, both included, by default all.

        x: (N, C, H, W), prepared by `prepare`; with `start`, the input of that layer. start, stop: names or
        positions of layers. Returns (N, C', H', W'); `.flatten(1)` has MATLAB's order where H' = 1.

        Raises ArgumentError: no such layer. NetworkFormatError: maps that do not fit a layer; names it.
        """
        traced = isinstance(x, fx.Proxy)  # then start and stop are placeholders
        first = 0 if start is None or traced else self.index(start)
        last = len(self) - 1 if stop is None or traced else self.index(stop)
        if last < first and len(self):
            raise ArgumentError(f"start, {self.label(first)}, comes after stop, {self.label(last)}")
        for index in range(first, last + 1):
            x = self._step(index, x)
        return x

    def activations(self, x: Tensor) -> list[Tensor]:
        """The input and every layer's output, L + 1 tensors (N, C, H, W); raises what `forward` raises."""
        found = [x]
        for index in range(len(self)):
            found.append(self._step(index, found[-1]))
        return found
