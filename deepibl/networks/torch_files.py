"""Torch checkpoints of VGG-16 and NetVLAD from other projects.

The names of tensors in the known checkpoints are data (`KEY_MAPS`); to read another one, add a row. Only
tensors and plain values are unpickled (`torch.load(weights_only=True)`): a checkpoint cannot run any code.
"""

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from deepibl.networks.build import pixel_l2_layer, plain_layer, vlad_layer, whole_l2_layer
from deepibl.networks.weights import VGG16_BLOCKS, vgg16_convolutions
from matlab_compat.errors import NetworkFormatError
from matlab_compat.files import StrPath
from matlab_compat.numeric import filters_to_matlab
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row


def load_state(path: StrPath) -> Any:
    """The content of a .pth or .safetensors file: tensors, NumPy's arrays, numbers, text, lists and dicts.

    Raises NetworkFormatError for a file that is missing, damaged, or holds anything else, which is named.
    """
    if not Path(path).is_file():
        raise NetworkFormatError(f"there is no file {os.fspath(path)}")
    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_numpy_globals()), _opened(path) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds
        other = re.search(r"GLOBAL ([\w.]+)", str(error))
        if other is not None:
            raise NetworkFormatError(
                f"{os.fspath(path)} holds a {other[1]} beside its tensors, and reading one could run any "
                "program: save the weights alone, torch.save(model.state_dict(), file)"
            ) from None
        reason = str(error).split("WeightsUnpickler error:")[-1].strip() or type(error).__name__
        raise NetworkFormatError(
            f"{os.fspath(path)} cannot be read as a file of tensors: {reason.splitlines()[0]}"
        ) from error


@contextmanager
def _opened(path: StrPath) -> Iterator[Any]:
    """Yields what torch.load reads: the path of a zip file, a memory map of a file of the old form.

    A damaged file of the old form may declare more bytes than it has. A read of a map returns what there is
    instead of allocating them all.
    """
    if zipfile.is_zipfile(path):
        yield path
        return
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def _numpy_globals() -> list[Any]:
    """The globals that pickled NumPy numbers and arrays refer to (a training's scores), old names too."""
    functions = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(0).__reduce__()[0]}
    found = [
        (function, f"numpy.{core}.multiarray.{name}")
        for name, function in functions.items()
        for core in ("core", "_core")
    ]
    return [*found, bytes, np.dtype, np.ndarray, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdFDSUOMm"}]


MEAN_RGB = (123.68, 116.779, 103.939)  # of ImageNet, as vd16 subtracts it
IMAGE_SIDE = 224


def vgg16_from_torchvision(state: Mapping[str, Tensor]) -> SimpleNN:
    """VGG-16 up to pool5 in MatConvNet's order and names (conv1_1, relu1_1, …), for images 0..255, RGB.

    Max pooling pads one row below and one column to the right, so that it covers the whole image as Caffe's
    does. state: the state dict of torchvision's vgg16. Raises NetworkFormatError where it is not VGG-16's.
    """
    layers: list[dict[str, Any]] = []
    two = np.full((1, 2), 2.0)
    for name, position, shape, last in vgg16_convolutions(VGG16_BLOCKS):
        filters, biases = _convolution(state, position, shape)
        arrays = [filters_to_matlab(filters.float()), biases.detach().float().numpy()[None]]
        conv = {"weights": cell_row(arrays), "pad": np.ones((1, 4)), "stride": np.ones((1, 2))}
        layers.append({"type": "conv", "name": name, **conv})
        layers.append({"type": "relu", "name": name.replace("conv", "relu")})
        if last:
            pool = {"method": "max", "pool": two, "stride": two, "pad": np.array([[0.0, 1, 0, 1]])}
            layers.append({"type": "pool", "name": name.replace("conv", "pool").split("_")[0], **pool})
    mean = np.broadcast_to(np.array(MEAN_RGB, dtype=np.float32), (IMAGE_SIDE, IMAGE_SIDE, 3))
    normalization = {
        "averageImage": np.array(mean),
        "imageSize": np.array([[IMAGE_SIDE, IMAGE_SIDE, 3.0]]),
        "interpolation": "bilinear",
    }
    return SimpleNN.from_matlab({"layers": cell_row(layers), "meta": {"normalization": normalization}})


def _convolution(state: Mapping[str, Tensor], position: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    try:
        filters, biases = (state[f"features.{position}.{kind}"] for kind in ("weight", "bias"))
    except KeyError as error:
        raise NetworkFormatError(
            f"these are not torchvision's VGG-16 weights: {error} is missing; found {list(state)[:4]}"
        ) from None
    if tuple(filters.shape) != shape or tuple(biases.shape) != shape[:1]:
        raise NetworkFormatError(
            f"not VGG-16's weights: features.{position} has shape {tuple(filters.shape)}, expected {shape}"
        )
    return filters.detach(), biases


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class KeyMap:
    """The names of tensors in one kind of checkpoint, and how its network differs from MATLAB's.

    backbone: the name of a convolution's tensors, with {n} for its position in torchvision's vgg16.features.
    assign, bias, centres, white: NetVLAD's tensors, '' where the kind has none. scaled: images are (pixels /
    255 - mean) / std of ImageNet; else pixels minus the Caffe mean. The flattened VLAD has index k*D + d in
    all of them; MATLAB's is k + K*d.
    """

    name: str
    backbone: str
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

_MOST_WRAPPED = 8  # dicts in dicts; a malicious checkpoint can contain itself


def read_checkpoint(path: StrPath) -> SimpleNN:
    """The network in a checkpoint of a known kind, with MATLAB's layers, names and VLAD order.

    ImageNet's scaling is folded into the first convolution, so that the network subtracts a mean from
    pixels 0..255 like all networks here. Max pooling is not padded, as in torchvision.
    Raises NetworkFormatError for a missing file, one that holds other things than tensors, and an unknown
    kind of checkpoint (the message lists the names found and the known kinds).
    """
    state = tensors_in(load_state(path))
    kind = next((kind for kind in KEY_MAPS if f"{kind.backbone.format(n=0)}.weight" in state), None)
    if kind is None:
        known = ", ".join(f"{kind.name} ({kind.backbone.format(n=0)}.weight)" for kind in KEY_MAPS)
        raise NetworkFormatError(
            f"{os.fspath(path)}: unknown kind of checkpoint; it holds {', '.join(list(state)[:4])} …; known"
            f" are {known}. For a torch model of your own see from_torch"
        )
    try:
        return network_from_state(state, kind)
    except NetworkFormatError as error:
        raise NetworkFormatError(f"{os.fspath(path)} ({kind.name}): {error}") from error


def tensors_in(found: Any) -> dict[str, Tensor]:
    """The state dict in a checkpoint, its names without what wrappers (DataParallel, …) add to them."""
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
    tensors = ((name, _tensor_of(value)) for name, value in found.items())
    return {
        str(name).removeprefix("module.").replace(".module.", ".").removeprefix("model."): value
        for name, value in tensors
        if value is not None
    }


def _tensor_of(value: Any) -> Tensor | None:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(np.ascontiguousarray(value, value.dtype.newbyteorder("=")))
    return value if isinstance(value, Tensor) else None


def network_from_state(state: Mapping[str, Tensor], kind: KeyMap) -> SimpleNN:
    """The network of a state dict of that kind; NetworkFormatError for missing or unfitting tensors."""
    prefix = kind.backbone.split("{n}")[0]
    known = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    net = vgg16_from_torchvision({f"features.{name}": value for name, value in known.items()})
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
    """Turns (x/255 - mean)/std before the first convolution into x - 255*mean before a scaled one."""
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
        raise NetworkFormatError(f"{kind.assign} has {tuple(assign.shape)}, centres {tuple(centres.shape)}")
    weights = [filters_to_matlab(assign), filters_to_matlab(-centres[:, :, None, None])]
    if kind.bias and kind.bias in state:
        weights.insert(1, _tensor(state, kind.bias, 1).numpy()[None])
    layers = [
        pixel_l2_layer("preL2", width),
        vlad_layer(weights, "vlad:core"),
        pixel_l2_layer("vlad:intranorm", width),
        whole_l2_layer("postL2"),
    ]
    if f"{kind.white}.weight" in state:
        layers += [_whitening(state, kind.white, clusters, width), whole_l2_layer("finalL2")]
    return layers


def _whitening(state: Mapping[str, Tensor], name: str, clusters: int, width: int) -> Layer:
    """The whitening as a 1 x 1 convolution, its columns in MATLAB's VLAD order."""
    matrix = state[f"{name}.weight"].flatten(1).float()
    if matrix.shape[1] != clusters * width:
        raise NetworkFormatError(f"{name}.weight has {matrix.shape[1]} columns, not {clusters} x {width}")
    matrix = matrix.view(-1, clusters, width).transpose(1, 2).flatten(1)  # k*D + d -> k + K*d
    biases = _tensor(state, f"{name}.bias", 1).numpy()[None]
    weights = cell_row([filters_to_matlab(matrix[:, :, None, None]), biases])
    return plain_layer({"type": "conv", "name": "WPCA", "weights": weights})


def _tensor(state: Mapping[str, Tensor], name: str, ndim: int) -> Tensor:
    if name not in state:
        raise NetworkFormatError(f"there is no tensor {name}")
    if state[name].ndim != ndim:
        raise NetworkFormatError(f"{name} has {state[name].ndim} dimensions, expected {ndim}")
    return state[name].detach().float()
