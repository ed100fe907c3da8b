"""Networks for place recognition: reading and writing them, and their identity.

>>> net = load_network("model.mat")                            # any version of .mat; .safetensors
>>> features = net(net.prepare(images)).flatten(1)             # images (N, 3, H, W), RGB, 0..255
>>> save_network(net, "model.safetensors")
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from deepibl import network_copy, network_layers  # noqa: F401  # registers NetVLAD's layers
from deepibl.network_file import read_network, write_network
from deepibl.network_identity import network_id
from deepibl.network_layouts import LayerSpec
from deepibl.shipped import find_network
from matlab_compat import matfile
from matlab_compat.errors import NetworkFormatError
from matlab_compat.simplenn import SimpleNN

__all__ = ["layer_specs", "load_network", "network_id", "read_mat_network", "save_network"]


def load_network(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", cached_copy: bool = True
) -> SimpleNN:
    """The network in a .mat file of any version, or in a .safetensors file of ours, in eval mode.

    A name without a suffix is that of a network that ships, or that `deepibl fetch` brought.

    Of a .mat file the variable `net` is taken; else its top level if it has `layers` (MatConvNet's own
    files), else the first struct that has. A .mat file of more than a few megabytes is converted once: with
    `cached_copy` the copy is kept beside it as NAME.mat.safetensors and used from then on, as long as the
    .mat file stays the same.

    Args:
        path: the file.
        device: where to put it, 'cpu' or 'cuda'.
        cached_copy: whether to use and write the converted copy.

    Raises:
        MatFileError: the file cannot be read. NetworkFormatError: it holds no SimpleNN network.
        UnknownLayerError: a layer that is not known; all name the file or the layer.

    Ported from: netvlad/relja_simplenn_tidy.m (what a script does after `load`)
    """
    path = Path(path)
    if not path.suffix and not path.exists():
        path = find_network(path)
    if path.suffix == ".safetensors":
        return read_network(path)[0].to(device)
    if path.suffix in (".onnx", ".pt", ".pth", ".h5", ".pkl"):
        raise NetworkFormatError(
            f"{path}: networks are read from .mat and .safetensors files; "
            "for a torch model of your own see deepibl.backbones"
        )
    net = network_copy.find(path) if cached_copy else None
    if net is None:
        net = read_mat_network(path)
        if cached_copy:
            network_copy.keep(net, path)
    return net.to(device)


def read_mat_network(path: str | os.PathLike[str]) -> SimpleNN:
    """The network in a .mat file, from the file itself; takes and raises what `load_network` does."""
    struct = _network_struct(path)
    try:
        return SimpleNN.from_matlab(struct, consume=True)
    except NetworkFormatError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def _network_struct(path: str | os.PathLike[str]) -> dict[str, Any]:
    found = matfile.who(path)
    if "net" in found:
        return _checked(matfile.load(path, ["net"])["net"], f"{os.fspath(path)}: the variable net")
    if "layers" in found:
        return matfile.load(path)
    for name, info in found.items():
        if info.classname == "struct":
            value = matfile.load(path, [name])[name]
            if isinstance(value, Mapping) and "layers" in value:
                return _checked(value, name)
    raise NetworkFormatError(
        f"{os.fspath(path)} holds no network: expected a variable net, or a struct with a field layers; "
        f"found {', '.join(f'{name} ({info.classname})' for name, info in found.items()) or 'no variables'}"
    )


def _checked(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NetworkFormatError(f"{what} is no struct but {type(value).__name__}")
    return value


def save_network(net: SimpleNN, path: str | os.PathLike[str]) -> None:
    """Writes the network: .mat (v7, plain structs, for MATLAB and Octave too) or .safetensors, by the suffix.

    In the .mat file custom layers are structs that name their class in a field class__. The file is written
    under a temporary name first. Raises NetworkFormatError for another suffix.
    """
    path = Path(path)
    if path.suffix == ".mat":
        matfile.save(path, {"net": net.to_matlab()})
    elif path.suffix == ".safetensors":
        write_network(net, path)
    elif path.suffix == ".onnx":
        raise NetworkFormatError(f"{path}: writing ONNX is not there yet; .mat and .safetensors are")
    else:
        raise NetworkFormatError(
            f"{path}: the suffix says the format: .mat or .safetensors, not {path.suffix!r}"
        )


def layer_specs(net: SimpleNN) -> list[LayerSpec]:
    """Every layer's name, type (of a custom layer its class) and MATLAB's 4-D shape of its first weights."""
    specs = []
    for layer in net:
        shapes = layer.weight_shapes()
        shape = (*shapes[0], 1, 1)[:4] if shapes else ()
        specs.append(LayerSpec(layer.name, layer.classname or str(layer.type), tuple(map(int, shape))))
    return specs
