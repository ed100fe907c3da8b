"""Adding a pooling layer to a cropped network: max, average or NetVLAD, with their normalisations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from deepibl import network_layers  # noqa: F401  # registers the layers that are built here
from deepibl.clusters import vlad_alpha, vlad_weights
from matlab_compat.errors import ArgumentError
from matlab_compat.mat_values import MatObject
from matlab_compat.mat_values import text as matlab_text
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_edit import relja_netOutputDim
from matlab_compat.simplenn_layer import Layer, make_layer
from matlab_compat.simplenn_tidy import cell_row, tidy_layer

Pooling = Literal["max", "avg", "vlad", "vladv2"]
_POOLINGS: tuple[Pooling, ...] = ("max", "avg", "vladv2", "vlad")  # the first that is named counts


@dataclass(frozen=True)
class Method:
    """What a method string like 'vlad_preL2_intra' asks for."""

    text: str
    pooling: Pooling
    pre_l2: bool = False
    intra: bool = False

    @property
    def needs_clusters(self) -> bool:
        """Whether it is a kind of NetVLAD."""
        return self.pooling in ("vlad", "vladv2")


def parse_method(method: str) -> Method:
    """The method that a string asks for: a pooling (max, avg, vlad, vladv2), preL2, and for NetVLAD intra.

    The words are joined by '_', in any order. Raises ArgumentError for unknown or unusable words.

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
    """The network with each pixel's descriptor normalised at its end (layer preL2)."""
    return net.with_layers([*net, _normalize("preL2", channels(net), len(net))])


def add_pooling(
    net: SimpleNN,
    method: str | Method,
    *,
    centres: np.ndarray | None = None,
    descriptors: np.ndarray | None = None,
    training_set: str = "",
) -> SimpleNN:
    """The network with the layers that a method asks for: preL2, the pooling, intra-normalisation, postL2.

    Args:
        net: cropped at the layer whose output is pooled; its layers are shared with the result.
        method: as in `parse_method`.
        centres: (K, D) cluster centres, for NetVLAD. Where preL2 is asked for they are of normalised
        descriptors,
            and so are
        descriptors: (N, D), which say how sharp the assignment has to be.
        training_set: the name of the data set that both come from, for the session's name.

    Raises:
        ArgumentError: a method that makes no sense, or centres that are missing or do not fit.

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
        added.append(_vlad(centres, descriptors, asked, width, len(net)))
        session += f"_{training_set}" if training_set else ""
        if asked.intra:
            added.append(_normalize("vlad:intranorm", width, len(net) + 1))
    else:
        classname = {"max": "layerTotalMaxPool", "avg": "layerTotalAvgPool"}[asked.pooling]
        added.append(object_layer(classname, {"name": f"{asked.pooling}:core"}, len(net)))
    added.append(whole_l2_layer("postL2", len(net) + len(added)))
    built = net.with_layers([*net, *added])
    built.meta |= {"sessionID": f"{session}_{asked.text}", "epoch": np.zeros((1, 1))}
    return built


def channels(net: SimpleNN) -> int:
    """How many channels a network's output has; runs it where the layers do not tell."""
    count: int | None = None
    for layer in net:
        count = layer.channels_out(count)
    if count is not None:
        return count
    size = relja_netOutputDim(net)[1]
    return size[2] if len(size) > 2 else 1


def plain_layer(fields: dict[str, Any], index: int) -> Layer:
    """A layer of one of MatConvNet's own types, from its MATLAB fields; missing ones get their defaults."""
    return make_layer(tidy_layer(fields, index), index)


def _normalize(name: str, width: int, index: int) -> Layer:
    """Unit L2 norm of each pixel's `width` numbers, which are few enough to be within the window of
    2*width.
    """
    param = np.array([[2 * width, 1e-12, 1, 0.5]], dtype=np.float64)
    return plain_layer(
        {"type": "normalize", "name": name, "param": param, "precious": np.zeros((1, 1))}, index
    )


def _vlad(centres: np.ndarray, descriptors: np.ndarray, asked: Method, width: int, index: int) -> Layer:
    if centres.ndim != 2 or centres.shape[1] != width:
        raise ArgumentError(
            f"the network puts out {width} channels; centres must be (K, {width}), not {centres.shape}"
        )
    v2 = asked.pooling == "vladv2"
    weights = vlad_weights(centres, vlad_alpha(centres, descriptors, v2=v2), v2=v2)
    return vlad_layer(weights, "vlad:core", index)


def vlad_layer(weights: Sequence[np.ndarray], name: str, index: int = 0) -> Layer:
    """A layerVLAD of two stored weights, or a layerVLADv2 of three; the first and last are (1, 1, D, K)."""
    width, clusters = weights[0].shape[2:]
    sizes = {"K": clusters, "D": width, "vladDim": clusters * width}
    nothing = np.zeros((0, 0))
    fields = {
        "name": name,
        **{size: np.array([[float(value)]]) for size, value in sizes.items()},
        "weights": cell_row(list(weights)),
        **dict.fromkeys(("momentum", "learningRate", "weightDecay"), nothing),
    }
    return object_layer("layerVLADv2" if len(weights) == 3 else "layerVLAD", fields, index)


def whole_l2_layer(name: str, index: int) -> Layer:
    """A layerWholeL2Normalize of that name."""
    return object_layer("layerWholeL2Normalize", {"name": name}, index)


def object_layer(classname: str, fields: dict[str, Any], index: int = 0) -> Layer:
    """A custom layer of a registered class, with the properties that MATLAB's object would have."""
    properties = {"type": "custom", **fields, "precious": np.zeros((1, 1), dtype=bool)}
    return make_layer(MatObject(classname, properties), index)
