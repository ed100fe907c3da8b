"""Building networks: NetVLAD's layers, pooling, PCA, and the preparation for training and testing.

NetVLAD's custom layers are layers of a MatConvNet network under their MATLAB class names (`LayerVLAD` is
layerVLAD). Importing this module registers them, so that networks with them can be read.

`add_pooling` adds max, average, GeM or NetVLAD pooling with its normalisations to a cropped network;
`add_pooling_for` does so with NetVLAD's clusters of a training set's images. `add_pca` adds PCA and whitening
of the output. `prepare_for_training` sets the fields that MATLAB's training expects in a network's layers,
`prepare_for_testing` removes them.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.images import read_image
from deepibl.layers import TotalAvgPool, TotalMaxPool, WholeL2Normalize, generalised_mean, vlad_aggregate
from deepibl.networks import clusters
from deepibl.runtime.progress import ProgressCallback
from matlab_compat.errors import ArgumentError
from matlab_compat.files import file_name
from matlab_compat.matfile.values import MatObject, cell_list, text as matlab_text
from matlab_compat.relja import PCA, relja_PCA
from matlab_compat.simplenn.base import FILTERS, VECTOR, WeightSpec
from matlab_compat.simplenn.edit import relja_netOutputDim
from matlab_compat.simplenn.layer import Layer, make_layer, register_custom
from matlab_compat.simplenn.network import LayerKey, SimpleNN
from matlab_compat.simplenn.tidy import cell_row, tidy_layer

# classes with a saveobj method: MATLAB stores what it returns, in a property named any
SAVEOBJ_CLASSES = ("layerVLAD", "layerVLADv2")


def _number_of_weights(fields: Mapping[str, Any]) -> int:
    weights = fields.get("weights")
    return len(cell_list(weights)) if weights is not None else 0


class _VLAD(Layer):
    """Common to both versions: assignment and offsets, each 1 x 1 x D x K in MATLAB, (K, D, 1, 1) here."""

    assign: Tensor
    offset: Tensor

    sizes = ("K", "D", "vladDim")

    @classmethod
    def recognises(cls, fields: Mapping[str, Any]) -> bool:
        """As many weights as the class has, and vladDim."""
        return "vladDim" in fields and _number_of_weights(fields) == len(cls.weight_specs)

    def check_weights(self) -> None:
        if self.assign is None or self.offset is None or self.assign.shape != self.offset.shape:
            raise ArgumentError("assignment weights and offsets must both be given as 1 x 1 x D x K")
        count, dim = self.assign.shape[:2]
        for name, size in zip(self.sizes, (count, dim, count * dim), strict=True):
            if name in self._fields and not np.array_equal(self._fields[name], [[size]]):
                self._fields[name] = np.array([[float(size)]])

    def check_field(self, name: str, value: Any) -> None:
        if name in self.sizes:
            raise ArgumentError(f"{name} follows from the weights: assign those")
        super().check_field(name, value)

    def forward(self, x: Tensor) -> Tensor:
        count, dim = self.assign.shape[:2]
        assign, offset = self.assign.flatten(1).t(), self.offset.flatten(1).t()  # (D, K)
        return vlad_aggregate(x, assign, offset, self.biases()).view(x.shape[0], dim, 1, count)

    def biases(self) -> Tensor | None:
        """(K,) biases of the assignment; None without any."""
        return None

    def channels_out(self, channels: int | None) -> int | None:
        """D in, D out."""
        dim = self.assign.shape[1]
        if channels not in (None, dim):
            raise ArgumentError(f"it aggregates {dim} channels but receives {channels}")
        return dim

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        """1 x K x D for each image."""
        return (1, self.assign.shape[0], self.assign.shape[1], size[3])


@register_custom("layerVLAD")
class LayerVLAD(_VLAD):
    """NetVLAD pooling: (N, D, H, W) -> (N, D, 1, K). Ported from: netvlad/layerVLAD.m"""

    weight_specs = (WeightSpec("assign", FILTERS), WeightSpec("offset", FILTERS))


@register_custom("layerVLADv2")
class LayerVLADv2(_VLAD):
    """NetVLAD pooling with assignment biases: (N, D, H, W) -> (N, D, 1, K).

    Ported from: netvlad/layerVLADv2.m
    """

    weight_specs = (WeightSpec("assign", FILTERS), WeightSpec("bias", VECTOR), WeightSpec("offset", FILTERS))

    bias: Tensor

    def biases(self) -> Tensor | None:
        """(K,) biases of the assignment."""
        return self.bias


class _Weightless(Layer):
    """A layer without weights; a plain struct of it that does not name its class is recognised by `name`."""

    module: ClassVar[nn.Module]
    usual_names: ClassVar[tuple[str, ...]]

    @classmethod
    def recognises(cls, fields: Mapping[str, Any]) -> bool:
        """A name given by addLayers, addPCA or the class itself, and no weights."""
        return matlab_text(fields.get("name", "")) in cls.usual_names and not _number_of_weights(fields)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 1, 1)."""
        return type(self).module(x)

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        """1 x 1 x C for each image, as after total pooling."""
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


@register_custom("layerGeM")
class LayerGeM(Layer):
    """The generalised mean of each channel, with a learned power p. Only deepibl can run it."""

    weight_specs = (WeightSpec("p", VECTOR),)
    p: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        return generalised_mean(x, self.p)

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        """1 x 1 x C for each image."""
        return (1, 1, size[2], size[3])


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


Pooling = Literal["max", "avg", "gem", "vlad", "vladv2"]
_POOLINGS: tuple[Pooling, ...] = ("max", "avg", "gem", "vladv2", "vlad")  # the first one named is used


@dataclass(frozen=True)
class Method:
    """A method string like 'vlad_preL2_intra', parsed."""

    text: str
    pooling: Pooling
    pre_l2: bool = False
    intra: bool = False

    @property
    def needs_clusters(self) -> bool:
        """Whether the pooling is NetVLAD, in either version."""
        return self.pooling in ("vlad", "vladv2")


def parse_method(method: str) -> Method:
    """The method of a string: a pooling (max, avg, gem, vlad, vladv2), preL2, and for NetVLAD intra.

    The words are joined by '_', in any order. Raises ArgumentError for unknown or unusable words.

    >>> parse_method("vlad_preL2_intra")
    Method(text='vlad_preL2_intra', pooling='vlad', pre_l2=True, intra=True)

    Ported from: netvlad/addLayers.m
    """
    words = set(method.split("_"))
    pooling = next((name for name in _POOLINGS if name in words), None)
    if pooling is None:
        raise ArgumentError(f"method {method!r} names no pooling; known are {', '.join(sorted(_POOLINGS))}")
    known = {pooling, "preL2"} | ({"intra"} if pooling.startswith("vlad") else set())
    unused = sorted(words - known)
    if unused:
        raise ArgumentError(
            f"method {method!r}: {', '.join(map(repr, unused))} cannot be used with {pooling}; "
            f"possible are {', '.join(sorted(known - {pooling}))}"
        )
    return Method(method, pooling, "preL2" in words, "intra" in words)


def add_pre_l2(net: SimpleNN) -> SimpleNN:
    """The network followed by preL2, the normalisation of each pixel's descriptor."""
    return net.with_layers([*net, pixel_l2_layer("preL2", channels(net), len(net))])


def add_pooling(
    net: SimpleNN,
    method: str | Method,
    *,
    centres: np.ndarray | None = None,
    descriptors: np.ndarray | None = None,
    training_set: str = "",
) -> SimpleNN:
    """The network with the layers that a method asks for: preL2, the pooling, intra-normalisation, postL2.

    net: cropped at the layer whose output is pooled; its layers are shared with the result. method: as in
    `parse_method`. centres: (K, D) cluster centres, for NetVLAD; of normalised descriptors if the method has
    preL2. descriptors: (N, D) local ones, normalised like them, from which the sharpness of the assignment
    follows. training_set: the name of the data set that both come from, for the session's name.
    Raises ArgumentError: an invalid method, or centres that are missing or do not fit.
    Ported from: netvlad/addLayers.m
    """
    asked = parse_method(method) if isinstance(method, str) else method
    width = channels(net)
    if asked.pre_l2:
        net = add_pre_l2(net)
    added: list[Layer] = []
    session = matlab_text(net.meta.get("sessionID", ""))
    if asked.needs_clusters:
        if centres is None or descriptors is None:
            raise ArgumentError(f"method {asked.text!r} needs cluster centres and training descriptors")
        if centres.ndim != 2 or centres.shape[1] != width:
            raise ArgumentError(
                f"centres must be (K, {width}), for the network's {width} channels; got {centres.shape}"
            )
        v2 = asked.pooling == "vladv2"
        weights = clusters.vlad_weights(centres, clusters.vlad_alpha(centres, descriptors, v2=v2), v2=v2)
        added.append(vlad_layer(weights, "vlad:core", len(net)))
        session += f"_{training_set}" if training_set else ""
        if asked.intra:
            added.append(pixel_l2_layer("vlad:intranorm", width, len(net) + 1))
    else:
        poolings = {"max": "layerTotalMaxPool", "avg": "layerTotalAvgPool", "gem": "layerGeM"}
        fields: dict[str, Any] = {"name": f"{asked.pooling}:core"}
        if asked.pooling == "gem":
            fields["weights"] = cell_row([np.full((1, 1), 3, np.float32)])
        added.append(object_layer(poolings[asked.pooling], fields, len(net)))
    added.append(whole_l2_layer("postL2", len(net) + len(added)))
    built = net.with_layers([*net, *added])
    built.meta |= {"sessionID": f"{session}_{asked.text}", "epoch": 0.0}
    return built


def channels(net: SimpleNN) -> int:
    """The number of channels of a network's output; runs the network where its layers do not determine it."""
    count: int | None = None
    for layer in net:
        count = layer.channels_out(count)
    if count is not None:
        return count
    size = relja_netOutputDim(net)[1]
    return size[2] if len(size) > 2 else 1


def plain_layer(fields: dict[str, Any], index: int = 0) -> Layer:
    """A layer of one of MatConvNet's own types from its MATLAB fields; missing ones get their defaults."""
    return make_layer(tidy_layer(fields, index), index)


def pixel_l2_layer(name: str, width: int, index: int = 0) -> Layer:
    """Unit L2 norm of each pixel's `width` channels: the window of 2*width always covers them all."""
    param = np.array([[2 * width, 1e-12, 1, 0.5]], dtype=np.float64)
    return plain_layer(
        {"type": "normalize", "name": name, "param": param, "precious": np.zeros((1, 1))}, index
    )


def vlad_layer(weights: Sequence[np.ndarray], name: str, index: int = 0) -> Layer:
    """A layerVLAD of two stored weights, or a layerVLADv2 of three; the first and last are (1, 1, D, K)."""
    width, count = weights[0].shape[2:]
    sizes = {"K": count, "D": width, "vladDim": count * width}
    nothing = np.zeros((0, 0))
    fields = {
        "name": name,
        **{size: np.array([[float(value)]]) for size, value in sizes.items()},
        "weights": cell_row(list(weights)),
        **dict.fromkeys(("momentum", "learningRate", "weightDecay"), nothing),
    }
    return object_layer("layerVLADv2" if len(weights) == 3 else "layerVLAD", fields, index)


def whole_l2_layer(name: str, index: int = 0) -> Layer:
    """Each image as one unit vector: a layerWholeL2Normalize."""
    return object_layer("layerWholeL2Normalize", {"name": name}, index)


def object_layer(classname: str, fields: dict[str, Any], index: int = 0) -> Layer:
    """A custom layer of a registered class, with the properties that MATLAB's object would have."""
    properties = {"type": "custom", **fields, "precious": np.zeros((1, 1), dtype=bool)}
    return make_layer(MatObject(classname, properties), index)


_EMPTY = np.zeros((0, 0))


def prepare_for_training(net: SimpleNN, backprop_to: LayerKey = 0) -> SimpleNN:
    """A network whose layers have the fields that MATLAB's SGD needs; weights are shared with the one given.

    From layer `backprop_to` (a name, or a position from 0) on: momentum zero, learningRate and weightDecay
    ones where they are not set. `precious` marks the layers whose output the backward pass needs: all from
    the one before `backprop_to` on, except those before a ReLU and the last.
    Raises ArgumentError for a layer that does not exist.
    Ported from: netvlad/netPrepareForTrain.m
    """
    first = net.index(backprop_to)
    prepared = net.with_layers(net)
    layers = list(prepared)
    for i, layer in enumerate(layers):
        if i >= first and (layer.weight_specs or "weights" in layer.fields):
            _set_state(layer)
        needed = i >= first - 1 and i + 1 < len(layers) and layers[i + 1].type != "relu"
        layer.set_field("precious", np.array([[needed]]))
    return prepared


def prepare_for_testing(
    net: SimpleNN, *, remove_dropout: bool = False, remove_extras: bool = False
) -> SimpleNN:
    """A network without precious layers; weights are shared with the one given.

    remove_dropout: drops the dropout layers. remove_extras: empties the momentum.
    Ported from: netvlad/netPrepareForTest.m
    """
    kept = [layer.copy() for layer in net if not (remove_dropout and layer.type == "dropout")]
    for layer in kept:
        layer.set_field("precious", np.zeros((1, 1), dtype=bool))
        if remove_extras and "momentum" in layer.fields:
            layer.set_field("momentum", _EMPTY)
    return net.with_layers(kept)


def _set_state(layer: Layer) -> None:
    """Momentum and rates; a layer without weights gets empty rates, as in the original."""
    shapes = layer.weight_shapes()
    if shapes:
        layer.set_field("momentum", cell_row([np.zeros(shape, dtype=np.float32) for shape in shapes]))
    for name in ("learningRate", "weightDecay"):
        if not np.size(layer.fields.get(name, _EMPTY)):
            layer.set_field(name, np.ones((1, len(shapes)), dtype=np.float32))


_NAMES = {True: "WPCA", False: "PCA"}
_FLOOR = 1e-9  # added to variances before whitening divides by their root


def add_pca(net: SimpleNN, features: np.ndarray, *, dim: int = 4096, whiten: bool = True) -> SimpleNN:
    """The network with PCA (and whitening) of these features at its end, and L2 normalisation behind it.

    net: its layers are shared with the result. features: (N, D) float32, its descriptors of N training
    images. dim: dimensions to keep; less than D and N. whiten: divides by the standard deviations.
    Raises ArgumentError: the network ends in a PCA already, or the features do not give `dim` components.
    Ported from: netvlad/addPCA.m
    """
    refuse_second(net)
    check_dimension(dim, *features.shape)
    return append_pca(net, relja_PCA(np.asarray(features, dtype=np.float32), dim), dim=dim, whiten=whiten)


def append_pca(net: SimpleNN, pca: PCA, *, dim: int | None = None, whiten: bool = True) -> SimpleNN:
    """The network with the first `dim` (default: all) of these components as its last layers.

    The layers are WPCA or PCA (a 1 x 1 convolution in single precision) and finalL2.
    Raises ArgumentError as `add_pca` does.
    """
    refuse_second(net)
    dim = len(pca.lams) if dim is None else dim
    if not 1 <= dim <= len(pca.lams):
        raise ArgumentError(f"dim must be 1 to {len(pca.lams)}, the PCA's dimensions; got {dim}")
    components = pca.U[:, :dim]
    if whiten:
        components = components * (1 / np.sqrt(pca.lams[:dim] + _FLOOR)).astype(components.dtype)
    projected_mean = (components.T @ pca.mu.astype(components.dtype)).astype(np.float32)
    filters = np.ascontiguousarray(components.T, dtype=np.float32).T[None, None]  # 1x1xDxdim, column-major
    fields = {
        "type": "conv",
        "name": _NAMES[whiten],
        "weights": cell_row([filters, -projected_mean[:, None]]),
        "stride": np.ones((1, 1)),
        "pad": np.zeros((1, 1)),
        "opts": cell_row([]),
        "precious": np.zeros((1, 1), dtype=bool),
    }
    built = net.with_layers([*net, plain_layer(fields, len(net)), whole_l2_layer("finalL2", len(net) + 1)])
    built.meta["sessionID"] = f"{matlab_text(net.meta.get('sessionID', ''))}_{_NAMES[whiten]}"
    return built


def check_dimension(dim: int, points: int, dimensions: int) -> None:
    """ArgumentError unless `points` points in `dimensions` dimensions determine `dim` components."""
    most = min(dimensions - 1, points - 1)
    if not 1 <= dim <= most:
        reason = (
            f"it must be less than the features' {dimensions} dimensions"
            if most == dimensions - 1
            else f"{points} training images determine at most {points - 1}; take more images"
        )
        raise ArgumentError(f"pcaDim must be 1 to {most}, got {dim}: {reason}")


def refuse_second(net: SimpleNN) -> None:
    """ArgumentError when the network already ends in PCA, followed by L2 normalisation or not."""
    if any(layer.type == "conv" and layer.name in _NAMES.values() for layer in list(net)[-2:]):
        raise ArgumentError(
            "the network already ends in PCA (the released networks include their whitening): omit addPCA"
        )


CLUSTERS = 64


def add_pooling_for(
    net: SimpleNN,
    method: str,
    dataset: Any,
    *,
    num_clusters: int = CLUSTERS,
    stem: str | None = None,
    device: str | torch.device = "cpu",
    tell: clusters.Tell = lambda what: None,
    progress: ProgressCallback | bool | None = None,
) -> SimpleNN:
    """The network with the pooling layers of `method` ('vlad_preL2_intra') on top; its own are shared.

    dataset: the training set (`PlaceDataset`), whose name NetVLAD's layer keeps and whose first 500 database
    images give the clusters. num_clusters: how many. stem: what the names of the files begin with that
    descriptors and clusters are read from, or kept in (`<stem>_traindescs.mat`, `<stem>_k064_clst.mat`;
    '_preL2' goes between where the method has it); None keeps nothing. device: computes the descriptors; the
    network ends on the CPU. tell, progress: see `get_clusters` and `local_descriptors`.

    Ported from: netvlad/addLayers.m
    """
    asked = parse_method(method)
    if not asked.needs_clusters:
        return add_pooling(net, asked)
    described = add_pre_l2(net) if asked.pre_l2 else net
    compute = functools.cache(lambda: descriptors_of(described, dataset, device, progress))
    descriptor_file, cluster_file = None, None
    if stem is not None:
        stem += "_preL2" if asked.pre_l2 else ""
        descriptor_file, cluster_file = f"{stem}_traindescs.mat", f"{stem}_k{num_clusters:03d}_clst.mat"
        Path(stem).parent.mkdir(parents=True, exist_ok=True)
    made_of = functools.cache(
        lambda: clusters.descriptors_made_of(described, dataset.database_root, dataset.database_names)
    )
    files: dict[str, Any] = {"cluster_file": cluster_file, "descriptor_file": descriptor_file}
    centres = clusters.get_clusters(compute, k=num_clusters, made_of=made_of, tell=tell, **files)
    descriptors = clusters.training_descriptors(compute, descriptor_file, made_of)
    return add_pooling(net, asked, centres=centres, descriptors=descriptors, training_set=dataset.name)


def descriptors_of(
    net: SimpleNN,
    dataset: Any,
    device: str | torch.device = "cpu",
    progress: ProgressCallback | bool | None = None,
) -> np.ndarray:
    """Local descriptors (at most 50,000, D) of a data set's first database images.

    The network is moved to the device, and then to the CPU, as the original leaves it.
    """
    found = clusters.local_descriptors(
        net.to(device),
        lambda i: read_image(os.path.join(dataset.database_root, dataset.database_names[i])),
        dataset.database_size,
        device=device,
        progress=progress,
    )
    net.to("cpu")
    return found


def clusters_stem(folder: str, dataset: str, network: str, layer: str) -> str:
    """What the names of NetVLAD's files begin with: `add_pooling_for`'s stem. folder ends in a separator."""
    return f"{folder}{dataset}_{file_name(f'{network}_{layer}')}"
