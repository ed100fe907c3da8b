"""Torch checkpoints of VGG-16 and NetVLAD that others trained, as input; vgg16's state dict, as output.

What the known checkpoints call their tensors is data (`KEY_MAPS`); to read another one, add a row. Only
tensors and plain values are unpickled (`torch.load(weights_only=True)`): a checkpoint cannot run anything.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.network_build import plain_layer, vlad_layer, whole_l2_layer
from deepibl.network_layouts import VGG16_BLOCKS
from deepibl.torch_file import load_state
from deepibl.vgg16 import vgg16_from_torchvision
from matlab_compat.errors import NetworkFormatError
from matlab_compat.files import atomic_output
from matlab_compat.layout import filters_to_matlab
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_layer import Layer
from matlab_compat.simplenn_tidy import cell_row

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class KeyMap:
    """What one kind of checkpoint calls its tensors, and how its network differs from MATLAB's.

    trunk: the name of a convolution's tensors, with {n} for its position in torchvision's vgg16.features.
    assign, bias, centres, white: NetVLAD's tensors, '' where the kind has none. scaled: images are (pixels /
    255 - mean) / std of ImageNet; else pixels minus the Caffe mean. The flattened VLAD is cluster by
    cluster, k*D + d, in all of them; MATLAB's index is k + K*d.
    """

    name: str
    trunk: str
    assign: str = ""
    bias: str = ""
    centres: str = ""
    white: str = ""
    scaled: bool = False


KEY_MAPS = (
    KeyMap(
        "OpenIBL",
        "base_model.base.{n}",
        assign="net_vlad.conv.weight",
        centres="net_vlad.centroids",
        white="pca_layer",
    ),
    KeyMap(
        "pytorch-NetVlad",
        "encoder.{n}",
        assign="pool.conv.weight",
        bias="pool.conv.bias",
        centres="pool.centroids",
        white="WPCA.0",  # Patch-NetVLAD's checkpoints add it
        scaled=True,
    ),
    KeyMap("torchvision's vgg16", "features.{n}"),
)
_MOST_WRAPPED = 8  # dicts in dicts; a checkpoint can be made to contain itself
_WRAPPERS = ("module.", "model.")  # what parallel and other wrappers put before or into every name


def read_checkpoint(path: str | os.PathLike[str]) -> SimpleNN:
    """The network in a checkpoint of a known kind, with MATLAB's layers, names and VLAD order.

    ImageNet's scaling is folded into the first convolution, so that the network subtracts a mean from
    pixels 0..255 as all networks here do. Max pooling is not padded, as in torchvision.

    Raises NetworkFormatError: no such file, something other than tensors in it, or an unknown kind of
    checkpoint (the message lists the names found and the known kinds).
    """
    state = _tensors(load_state(path))
    kind = next((kind for kind in KEY_MAPS if f"{kind.trunk.format(n=0)}.weight" in state), None)
    if kind is None:
        known = ", ".join(f"{kind.name} ({kind.trunk.format(n=0)}.weight)" for kind in KEY_MAPS)
        raise NetworkFormatError(
            f"{os.fspath(path)}: unknown kind of checkpoint; it holds {', '.join(list(state)[:4])} …; known"
            f" are {known}. For a torch model of your own see deepibl.backbones"
        )
    try:
        return network_from_state(state, kind)
    except NetworkFormatError as error:
        raise NetworkFormatError(f"{os.fspath(path)} ({kind.name}): {error}") from error


def _tensors(found: Any) -> dict[str, Tensor]:
    """The state dict in a checkpoint, names without what wrappers put into them."""
    for _ in range(_MOST_WRAPPED):
        if not isinstance(found, Mapping):
            break
        inner = (found.get(key) for key in ("state_dict", "model", "net"))
        inside = next((value for value in inner if isinstance(value, Mapping)), None)
        if inside is None:
            break
        found = inside
    if not isinstance(found, Mapping):
        return {}
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    for wrapper in _WRAPPERS:
        tensors = {_without(name, wrapper): value for name, value in tensors.items()}
    return tensors


def _without(name: str, wrapper: str) -> str:
    name = name.removeprefix(wrapper)
    return name.replace(f".{wrapper}", ".") if wrapper == "module." else name


def network_from_state(state: Mapping[str, Tensor], kind: KeyMap) -> SimpleNN:
    """The network of a state dict of that kind; NetworkFormatError for tensors that are missing or do not
    fit."""
    prefix = kind.trunk.split("{n}")[0]
    trunk = {
        f"features.{name.removeprefix(prefix)}": value
        for name, value in state.items()
        if name.startswith(prefix)
    }
    net = vgg16_from_torchvision(trunk)
    for layer in net:
        if layer.type == "pool":
            layer.set_field("pad", np.zeros((1, 4)))  # torchvision's pooling is not padded
    if kind.scaled:
        _fold_scaling(net)
    net.meta["source"] = kind.name
    if not kind.assign:
        return net
    layers = [*list(net)[: net.index("conv5_3") + 1], *_netvlad(state, kind)]
    made = net.with_layers(layers)
    made.check_channels()
    return made


def _fold_scaling(net: SimpleNN) -> None:
    """(x/255 - mean)/std before the first convolution becomes x - 255*mean before a scaled one."""
    scale = 1 / (255 * torch.tensor(IMAGENET_STD, dtype=torch.float64))
    weight = net["conv1_1"].weight
    with torch.no_grad():
        weight.copy_((weight.double() * scale[None, :, None, None]).to(weight.dtype))  # type: ignore
    normalization = net.meta["normalization"]
    mean = np.array([255 * value for value in IMAGENET_MEAN], dtype=np.float32)
    shape = np.shape(normalization["averageImage"])
    net.meta["normalization"] = {**normalization, "averageImage": np.array(np.broadcast_to(mean, shape))}


def _netvlad(state: Mapping[str, Tensor], kind: KeyMap) -> list[Layer]:
    centres, assign = _tensor(state, kind.centres, 2), _tensor(state, kind.assign, 4)
    clusters, width = centres.shape
    if tuple(assign.shape) != (clusters, width, 1, 1):
        raise NetworkFormatError(
            f"{kind.assign} has shape {tuple(assign.shape)}, centres {tuple(centres.shape)}"
        )
    weights = [filters_to_matlab(assign), filters_to_matlab(-centres[:, :, None, None])]
    if kind.bias and kind.bias in state:
        weights.insert(1, _tensor(state, kind.bias, 1).numpy()[None])
    layers = [
        _normalize("preL2", width),
        vlad_layer(weights, "vlad:core"),
        _normalize("vlad:intranorm", width),
        whole_l2_layer("postL2", 0),
    ]
    if f"{kind.white}.weight" in state:
        layers += [_whitening(state, kind.white, clusters, width), whole_l2_layer("finalL2", 0)]
    return layers


def _whitening(state: Mapping[str, Tensor], name: str, clusters: int, width: int) -> Layer:
    """The whitening as a 1 x 1 convolution, its columns in MATLAB's VLAD order."""
    matrix = state[f"{name}.weight"].flatten(1).float()
    if matrix.shape[1] != clusters * width:
        raise NetworkFormatError(f"{name}.weight has {matrix.shape[1]} columns, not {clusters} x {width}")
    matrix = matrix.view(-1, clusters, width).transpose(1, 2).flatten(1)  # k*D + d -> k + K*d
    biases = _tensor(state, f"{name}.bias", 1).numpy()[None]
    return _plain("conv", "WPCA", weights=cell_row([filters_to_matlab(matrix[:, :, None, None]), biases]))


def _normalize(name: str, width: int) -> Layer:
    return _plain("normalize", name, param=np.array([[2.0 * width, 1e-12, 1, 0.5]]))


def _plain(kind: str, name: str, **fields: Any) -> Layer:
    return plain_layer({"type": kind, "name": name, **fields}, 0)


def _tensor(state: Mapping[str, Tensor], name: str, ndim: int) -> Tensor:
    if name not in state:
        raise NetworkFormatError(f"there is no tensor {name}")
    if state[name].ndim != ndim:
        raise NetworkFormatError(f"{name} has {state[name].ndim} dimensions, expected {ndim}")
    return state[name].detach().float()


def vgg16_state(net: SimpleNN) -> dict[str, Tensor]:
    """The state dict of torchvision's vgg16(...).features ('features.0.weight', …) of a network that begins
    with VGG-16; with its fc6, fc7, fc8, if it has them, as the classifier.

    Raises NetworkFormatError where the convolutions are not VGG-16's, naming the first that is not.
    """
    names = net.names if isinstance(net, SimpleNN) else []
    state: dict[str, Tensor] = {}
    for name, position, shape in _vgg16_convolutions():
        layer = net[name] if name in names else None
        found = None if layer is None or layer.weights[0] is None else tuple(layer.weights[0].shape)
        if found != shape:
            raise NetworkFormatError(
                f"torchvision's vgg16 holds nothing but VGG-16: {name} has to have filters {shape}, and has"
                f" {found or 'not been found'}"
            )
        state |= _parameters(f"features.{position}", layer)
    for name, position in (("fc6", 0), ("fc7", 3), ("fc8", 6)):
        if name in names:
            found_state = _parameters(f"classifier.{position}", net[name])
            state |= {
                key: value.flatten(1) if value.ndim == 4 else value for key, value in found_state.items()
            }
    return state


def _vgg16_convolutions() -> Iterable[tuple[str, int, tuple[int, ...]]]:
    """Name, position in torchvision's features, and filters' shape of each convolution."""
    position, channels = 0, 3
    for block, (count, width) in enumerate(VGG16_BLOCKS, start=1):
        for number in range(1, count + 1):
            yield f"conv{block}_{number}", position, (width, channels, 3, 3)
            position, channels = position + 2, width
        position += 1


def _parameters(name: str, layer: Any) -> dict[str, Tensor]:
    weight, bias = (None if found is None else found.detach().clone() for found in layer.weights)
    assert weight is not None
    zeros = torch.zeros(weight.shape[0])
    return {f"{name}.weight": weight, f"{name}.bias": zeros if bias is None else bias}


def save_vgg16(net: Any, path: str | os.PathLike[str]) -> None:
    """Writes `vgg16_state` as a .pth file, for vgg16().features or vgg16().load_state_dict(strict=False).

    torchvision's vgg16 then wants pixels 0..255 minus the network's mean, RGB, unscaled. Raises
    NetworkFormatError where the network is not VGG-16.
    """
    state = vgg16_state(net)
    with atomic_output(path) as temporary:
        torch.save(state, temporary)


__all__ = [
    "KEY_MAPS",
    "KeyMap",
    "load_state",
    "network_from_state",
    "read_checkpoint",
    "save_vgg16",
    "vgg16_state",
]
