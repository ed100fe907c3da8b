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

from deepibl import network_copy, network_layers, torch_layer  # noqa: F401  # registers custom layers
from deepibl.network_file import read_network, write_network
from deepibl.network_identity import network_id
from deepibl.network_layouts import LayerSpec
from deepibl.shipped import find_network
from matlab_compat import matfile
from matlab_compat.damage import damage_as
from matlab_compat.errors import NetworkFormatError
from matlab_compat.image_network import ImageNetwork
from matlab_compat.network import Network, network_from_matlab
from matlab_compat.simplenn import SimpleNN

CHECKPOINTS = (".pth", ".pt", ".tar", ".ckpt")
_ONE_WAY = {
    ".onnx": "ONNX files are written here, not read; convert from the network that it was made of",
    ".pt2": "exported programs are written here, not read; load them with torch.export.load",
    ".h5": "no network of ours is HDF5 without being a .mat file; for a torch model of your own see"
    " deepibl.backbones",
    ".pkl": "pickles can run any program when they are read; save a torch state dict instead",
}

__all__ = ["layer_specs", "load_network", "network_id", "read_mat_network", "save_network"]


def load_network(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", cached_copy: bool = True
) -> Any:
    """The network in a .mat file of any version, or in a .safetensors file of ours, in eval mode.

    It is a `SimpleNN`, or, where the file holds a graph, a `DagNN`. A torch checkpoint (.pth, .pt, .tar) of
    torchvision's vgg16, OpenIBL or pytorch-NetVlad becomes a SimpleNN (see `deepibl.torch_checkpoints`).
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
    if path.suffix in CHECKPOINTS:
        from deepibl.torch_checkpoints import read_checkpoint

        return read_checkpoint(path).to(device)
    if path.suffix in _ONE_WAY:
        raise NetworkFormatError(f"{path} cannot be read: {_ONE_WAY[path.suffix]}")
    net = network_copy.find(path) if cached_copy else None
    if net is None:
        net = read_mat_network(path)
        if cached_copy:
            network_copy.keep(net, path)
    return net.to(device)


def read_mat_network(path: str | os.PathLike[str]) -> Network:
    """The network in a .mat file, from the file itself; takes and raises what `load_network` does."""
    struct = _network_struct(path)
    try:
        with damage_as(NetworkFormatError, path, "holds a network whose description makes no sense"):
            return network_from_matlab(struct, consume=True)
    except NetworkFormatError as error:
        if os.fspath(path) in str(error):
            raise
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
    if isinstance(value, matfile.MatObject) and "layers" in value.properties:
        return value.properties  # a DagNN object: what its saveobj returned
    if not isinstance(value, dict):
        raise NetworkFormatError(f"{what} is no struct but {type(value).__name__}")
    return value


def save_network(net: Any, path: str | os.PathLike[str], *, classes: bool = False) -> None:
    """Writes a SimpleNN or DagNN; the suffix says the format. The file appears whole or not at all.

    .mat (v7) holds plain structs, which MATLAB, Octave and scipy read; a custom layer is a struct that names
    its class in a field class__. With `classes` custom layers are class objects, for MATLAB with NetVLAD on
    its path. .safetensors is the lossless form of ours; .onnx and .pt2 (torch.export) compute descriptors of
    images; .pth is a state dict for torchvision's vgg16; .hloc.mat is what hloc's NetVLAD extractor reads.

    Raises NetworkFormatError for another suffix, and for a network that a format cannot hold: it says why.
    """
    path = Path(path)
    if path.suffix in (".mat", ".safetensors") and not isinstance(net, ImageNetwork):
        raise NetworkFormatError(
            f"{path}: a {type(net).__name__} has no MATLAB layers to write. Load the backbone by name, as"
            " loadNet('torchvision:resnet50', 'layer3'), or write .onnx or .pt2"
        )
    if classes and path.suffix != ".mat":
        raise NetworkFormatError(f"{path}: only .mat files hold class objects")
    if path.name.endswith(".hloc.mat"):
        from deepibl.hloc import save_hloc

        save_hloc(net, path)
    elif path.suffix == ".mat" and classes:
        struct = net.to_matlab(classes=True) if isinstance(net, SimpleNN) else net.to_matlab()
        matfile.save_objects(path, {"net": struct}, saveobj_classes=network_layers.SAVEOBJ_CLASSES)
    elif path.suffix == ".mat":
        matfile.save(path, {"net": net.to_matlab()})
    elif path.suffix == ".safetensors":
        write_network(net, path, provenance(net))
    elif path.suffix in (".onnx", ".pt2"):
        from deepibl import export

        {".onnx": export.save_onnx, ".pt2": export.save_exported}[path.suffix](net, path)
    elif path.suffix == ".pth":
        from deepibl.torch_checkpoints import save_vgg16

        save_vgg16(net, path)
    else:
        known = ".mat, .hloc.mat, .safetensors, .onnx, .pt2, .pth"
        raise NetworkFormatError(f"{path}: the suffix says the format: {known}, not {path.suffix!r}")


def provenance(net: Any) -> dict[str, str]:
    """Where a network comes from, as strings: netID, sessionID, epoch, its identity, and who wrote it."""
    found = {"network_id": network_id(net), "written_by": "deepibl"}
    for name in ("netID", "sessionID", "epoch", "source"):
        value = net.meta.get(name)
        if isinstance(value, str) and value:
            found[name] = value
        elif value is not None and getattr(value, "size", 0) == 1:
            found[name] = f"{value.item():g}"
    return found


def layer_specs(net: SimpleNN) -> list[LayerSpec]:
    """Every layer's name, type (of a custom layer its class) and MATLAB's 4-D shape of its first weights."""
    if not isinstance(net, SimpleNN):
        raise NetworkFormatError(f"a chain of layers (SimpleNN) is expected, not a {type(net).__name__}")
    specs = []
    for layer in net:
        shapes = layer.weight_shapes()
        shape = (*shapes[0], 1, 1)[:4] if shapes else ()
        specs.append(LayerSpec(layer.name, layer.classname or str(layer.type), tuple(map(int, shape))))
    return specs
