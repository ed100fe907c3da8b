"""Torch checkpoints of VGG-16 and NetVLAD that others trained, as input; vgg16's state dict, as output.

What the known checkpoints call their tensors is data (`KEY_MAPS`); to read another one, add a row. Only
tensors and plain values are unpickled (`torch.load(weights_only=True)`): a checkpoint cannot run anything.

Files of torch tensors, read without running anything that they hold (`weights_only`).

VGG-16's convolutions from torchvision, as the network that MatConvNet calls vd16.

torchvision's IMAGENET1K_FEATURES are believed to be the same convolutions that MatConvNet publishes,
converted from the authors' Caffe files; nobody could compare them here. So they only stand in for vd16
where that is asked for.
"""

import logging
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.errors import DownloadError
from deepibl.networks.build import plain_layer, vlad_layer, whole_l2_layer
from deepibl.networks.weights import VGG16_BLOCKS
from matlab_compat.errors import NetworkFormatError
from matlab_compat.files import atomic_output
from matlab_compat.numeric import filters_to_matlab
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row


def load_state(path: str | os.PathLike[str]) -> Any:
    """What a .pth file holds: tensors, numbers (NumPy's too), text, and lists and dicts of them.

    Raises NetworkFormatError for a file that is missing, damaged, or holds more than that.
    """
    if not Path(path).is_file():
        raise NetworkFormatError(f"there is no file {os.fspath(path)}")
    try:
        with torch.serialization.safe_globals(_numpy_scalars()), _opened(path) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle.UnpicklingError, RuntimeError, EOFError and others
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NetworkFormatError(
            f"{os.fspath(path)} cannot be read as a file of tensors: {reason}"
        ) from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A zip file by its path; one of the old form mapped: asked for gigabytes, a map gives what is there."""
    if zipfile.is_zipfile(path):
        yield path
        return
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def _numpy_scalars() -> list[Any]:
    """What a NumPy number, as training scripts store a best score, is pickled with; under old names too."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4")}
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]


_log = logging.getLogger(__name__)

MEAN_RGB = (123.68, 116.779, 103.939)  # of ImageNet, as vd16 subtracts it

IMAGE_SIDE = 224


def vgg16_from_torchvision(
    weights: str | os.PathLike[str] | Mapping[str, Tensor] = "torchvision",
) -> SimpleNN:
    """VGG-16 up to pool5 in MatConvNet's order and names (conv1_1, relu1_1, …), for images 0..255, RGB.

    Max pooling pads one row below and one column to the right, so that it covers the whole image as Caffe's
    does.

    Args:
        weights: 'torchvision' downloads its Caffe-style weights (IMAGENET1K_FEATURES) or takes them from
        torch's
            cache; else a .pth or .safetensors file of torchvision's vgg16 (nothing but tensors is
            unpickled), or a state dict.

    Raises:
        DownloadError: the weights cannot be had. NetworkFormatError: they are not VGG-16's.
    """
    state = weights if isinstance(weights, Mapping) else _state_dict(weights)
    layers: list[dict[str, Any]] = []
    position, channels = 0, 3
    for b, (count, width) in enumerate(VGG16_BLOCKS, start=1):
        for c in range(1, count + 1):
            filters, biases = _convolution(state, position, (width, channels, 3, 3))
            layers.append(_conv(f"conv{b}_{c}", filters, biases))
            layers.append({"type": "relu", "name": f"relu{b}_{c}"})
            position, channels = position + 2, width
        layers.append(_pool(f"pool{b}"))
        position += 1
    mean = np.broadcast_to(np.array(MEAN_RGB, dtype=np.float32), (IMAGE_SIDE, IMAGE_SIDE, 3))
    normalization = {
        "averageImage": np.array(mean),
        "imageSize": np.array([[IMAGE_SIDE, IMAGE_SIDE, 3.0]]),
        "interpolation": "bilinear",
    }
    return SimpleNN.from_matlab({"layers": cell_row(layers), "meta": {"normalization": normalization}})


def _conv(name: str, filters: Tensor, biases: Tensor) -> dict[str, Any]:
    weights = [filters_to_matlab(filters.float()), biases.detach().float().numpy()[None]]
    return {
        "type": "conv",
        "name": name,
        "weights": cell_row(weights),
        "pad": np.ones((1, 4)),
        "stride": np.ones((1, 2)),
    }


def _pool(name: str) -> dict[str, Any]:
    two = np.full((1, 2), 2.0)
    return {
        "type": "pool",
        "name": name,
        "method": "max",
        "pool": two,
        "stride": two,
        "pad": np.array([[0.0, 1, 0, 1]]),
    }


def _convolution(state: Mapping[str, Tensor], position: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    try:
        filters, biases = (state[f"features.{position}.{kind}"] for kind in ("weight", "bias"))
    except KeyError as error:
        raise NetworkFormatError(
            f"these are not torchvision's VGG-16 weights: {error} is missing; found {list(state)[:4]}"
        ) from None
    if tuple(filters.shape) != shape or tuple(biases.shape) != shape[:1]:
        raise NetworkFormatError(
            f"these are not VGG-16's weights: features.{position} has shape {tuple(filters.shape)}, "
            f"expected {shape}"
        )
    return filters.detach(), biases


def _state_dict(source: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    if source == "torchvision":
        return _download()
    path = Path(source)
    if not path.is_file():
        raise DownloadError(f"there is no file {path} with VGG-16's weights")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return load_state(path)


def _download() -> Mapping[str, Tensor]:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_FEATURES
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"torchvision's VGG-16 weights could not be downloaded from {weights.url}: {error}\n"
            "Download the file elsewhere and give its path as stand_in"
        ) from error


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
            f" are {known}. For a torch model of your own see deepibl.networks.backbones"
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
