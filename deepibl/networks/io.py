"""Networks for place recognition: reading and writing them, and their identity.

>>> net = load_network("model.mat")                            # any version of .mat; .safetensors
>>> features = net(net.prepare(images)).flatten(1)             # images (N, 3, H, W), RGB, 0..255
>>> save_network(net, "model.safetensors")

Networks as .safetensors files: the content of the MATLAB struct, with filters in torch's layout.

The string `network` is JSON. Text is a string; an array of numbers is {"class", "shape", "data"} or, when
it is longer, {"class", "shape", "tensor"}; a cell array {"cell": shape, "items"}; a struct {"struct": {…}}.
Arrays of more than two dimensions, MATLAB's H x W x C x K, lie in the file as (K, C, H, W), so that a
mapped weight is a torch tensor as it is; the weights of conv1_1 are the tensors `conv1_1.weights.0` and
`conv1_1.weights.1`.

The converted copy of a big .mat network: a .safetensors file beside it that opens at once.

The copy holds the `Provenance` of its content, with the SHA-256 of the .mat file, and that file's size and
times. It is used while size and times are the same, or, where they differ, while the SHA-256 is; otherwise it
is made again.

What `deepibl info` prints.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.networks import build as network_layers  # noqa: F401  # registers custom layers
from deepibl.networks.identity import network_id, provenance
from deepibl.networks.weights import LayerSpec, find_network
from deepibl.runtime.files import map_tensors, read_strings, write_tensors
from deepibl.runtime.provenance import RULE, Provenance, file_times
from matlab_compat import matfile
from matlab_compat.dagnn.display import describe_dagnn
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import NetworkFormatError
from matlab_compat.files import damage_as
from matlab_compat.matfile.values import CharMatrix, FunctionHandle, MatObject, StructArray, describe
from matlab_compat.network import Network, network_from_matlab
from matlab_compat.simplenn.base import ImageNetwork
from matlab_compat.simplenn.display import describe as describe_simplenn
from matlab_compat.simplenn.network import SimpleNN

FORMAT = "deepibl-network/1"

_INLINE = 32  # arrays of up to so many numbers stand in the JSON

_DEEPEST = 60


def write_network(
    net: Network, path: str | os.PathLike[str], strings: Mapping[str, str] | None = None
) -> None:
    """Writes the network; `strings` go into the file beside it. `path` is replaced only by a whole file.

    Raises NetworkFormatError for values that have no place in such a file (sparse or complex arrays).
    """
    tensors: dict[str, np.ndarray] = {}
    description = json.dumps(_encode(net.to_matlab(), "", tensors))
    write_tensors(path, tensors, {"format": FORMAT, "network": description, **(strings or {})})


def read_network(path: str | os.PathLike[str]) -> tuple[Network, dict[str, str]]:
    """The network, its weights mapped (changing them changes nothing on disk), and the strings beside it.

    Raises NetworkFormatError for a file that is missing, damaged or of another kind.
    """
    with damage_as(NetworkFormatError, path, "is no network that this version reads"):
        tensors, strings = map_tensors(path)
        if strings.pop("format", None) != FORMAT:
            raise ValueError(f"it is no network of the format {FORMAT}")
        struct = _decode(json.loads(strings.pop("network")), tensors)
        return network_from_matlab(struct, consume=True), strings


def _encode(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    """The JSON form of a MATLAB value; long arrays go to `tensors` under names that begin with `path`."""
    if path.count(".") > _DEEPEST:
        raise NetworkFormatError(
            f"the network's values are nested more than {_DEEPEST} deep, at {path[:80]}…"
        )

    def inner(child: Any, name: Any) -> Any:
        return _encode(child, f"{path}.{name}" if path else str(name), tensors)

    if isinstance(value, CharMatrix):
        return {"rows": list(value)}
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {"struct": {name: inner(child, name) for name, child in value.items()}}
    if isinstance(value, StructArray):
        items = [[inner(item[name], f"{i}.{name}") for name in value.fields] for i, item in enumerate(value)]
        return {"structs": list(value.shape), "fields": list(value.fields), "items": items}
    if isinstance(value, MatObject):
        return {"object": value.classname, "properties": inner(value.properties, value.classname)}
    if isinstance(value, FunctionHandle):
        return {"handle": value.text}
    if isinstance(value, np.ndarray) and value.dtype == object:
        names = _item_names(value, path)
        items = [_encode(item, name, tensors) for item, name in zip(value.ravel("F"), names, strict=True)]
        return {"cell": list(value.shape), "items": items}
    return _encode_numbers(value, path, tensors)


def _item_names(cell: np.ndarray, path: str) -> list[str]:
    """Names below which the items' arrays are stored: layers by their own, everything else by position."""
    items = list(cell.ravel("F"))
    own = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    if path == "layers" and all(isinstance(name, str) and name for name in own) and len(set(own)) == len(own):
        return [str(name).replace(".", "_") for name in own]
    return [f"{path}.{i}" for i in range(len(items))]


def _encode_numbers(value: Any, path: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    if isinstance(value, bool | int | float | np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise NetworkFormatError(
            f"{path}: {describe(value)} cannot be written to a .safetensors file; use .mat"
        )
    entry = {"class": value.dtype.name, "shape": list(np.atleast_2d(value).shape)}
    if value.size <= _INLINE:
        return entry | {"data": value.ravel("F").tolist()}
    name = path
    while name in tensors:
        name += "_"
    tensors[name] = _to_torch_order(value)
    return entry | {"tensor": name}


def _to_torch_order(array: np.ndarray) -> np.ndarray:
    """(H, W, C, K) -> (K, C, H, W); fewer than three dimensions as they are."""
    if not 2 < array.ndim < 5:
        return array
    return array.reshape(array.shape + (1,) * (4 - array.ndim), order="F").transpose(3, 2, 0, 1)


def _decode_numbers(entry: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    shape = tuple(entry["shape"])
    if np.dtype(entry["class"]).kind not in "biuf":
        raise ValueError(f"an array of class {entry['class']!r}, which is no class of numbers")
    if "data" in entry:
        return np.array(entry["data"], dtype=entry["class"]).reshape(shape, order="F")
    stored = tensors[entry["tensor"]]
    if not 2 < len(shape) < 5:
        return stored.reshape(shape)
    # (K, C, H, W) -> (H, W, C, K), trailing ones dropped: a view
    return stored.transpose(2, 3, 1, 0).reshape(shape, order="F")


def _decode(entry: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    """The MATLAB value of a JSON form; the inverse of `_encode`."""
    if isinstance(entry, str):
        return entry
    for mark, make in _DECODERS.items():
        if mark in entry:
            return make(entry, tensors)
    raise ValueError(f"unknown kind of value: {', '.join(entry)}")


def _decode_struct(entry: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    return {name: _decode(child, tensors) for name, child in entry["struct"].items()}


def _decode_cell(entry: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    flat = np.empty(len(entry["items"]), dtype=object)
    for i, item in enumerate(entry["items"]):
        flat[i] = _decode(item, tensors)
    return flat.reshape(entry["cell"], order="F")


def _decode_structs(entry: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    items = [
        {name: _decode(child, tensors) for name, child in zip(entry["fields"], item, strict=True)}
        for item in entry["items"]
    ]
    return StructArray(entry["structs"], entry["fields"], items)


_DECODERS: dict[str, Callable[[Any, Mapping[str, np.ndarray]], Any]] = {
    "class": _decode_numbers,
    "struct": _decode_struct,
    "cell": _decode_cell,
    "structs": _decode_structs,
    "rows": lambda entry, _: CharMatrix(entry["rows"]),
    "handle": lambda entry, _: FunctionHandle(entry["handle"]),
    "object": lambda entry, tensors: MatObject(entry["object"], _decode(entry["properties"], tensors)),
}

_log = logging.getLogger(__name__)

WORTH_IT = 8 * 2**20  # smaller .mat files are read in no time: no copy is made


def copy_path(path: str | os.PathLike[str]) -> Path:
    """The path of the converted copy of a .mat file."""
    path = Path(path)
    return path.with_name(path.name + ".safetensors")


def find(path: str | os.PathLike[str], *, verify: bool = False) -> Network | None:
    """The network in the converted copy of this .mat file; None when there is none of this file as it is now.

    verify: compares the SHA-256 of the .mat file even when its size and times are the same.
    """
    copy = copy_path(path)
    if not copy.exists() or not Path(path).exists():
        return None
    try:
        strings = read_strings(copy)
        made_of = Provenance.from_dict(json.loads(strings.get("made_of", "null")))
        same_times = strings.get("times") == file_times(path) and not verify
        reason = made_of.differences(replace(made_of, rule=RULE) if same_times else _made_of(path))
        if not reason:
            return read_network(copy)[0]
        _log.info("%s is made again from %s: %s", copy, path, reason)
    except (OSError, ValueError, RecursionError, NetworkFormatError) as error:
        _log.warning("the converted copy %s cannot be used, %s is read instead: %s", copy, path, error)
    return None


def keep(net: Network, path: str | os.PathLike[str]) -> None:
    """Writes the converted copy of this .mat file, if it is big enough; a folder that takes none is only
    logged.
    """
    copy = copy_path(path)
    try:
        if os.path.getsize(path) < WORTH_IT:
            return
        strings = {"times": file_times(path), "made_of": json.dumps(_made_of(path).as_dict())}
        write_network(net, copy, strings)
    except (OSError, NetworkFormatError) as error:
        _log.info("no converted copy of %s is kept: %s", path, error)


def _made_of(path: str | os.PathLike[str]) -> Provenance:
    """The provenance of a converted copy: of the .mat file's bytes alone."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return Provenance(files=f"sha256:{digest.hexdigest()}")


CHECKPOINTS = (".pth", ".pt", ".tar", ".ckpt")

_ONE_WAY = {
    ".onnx": "ONNX files are written here, not read; convert from the network that it was made of",
    ".pt2": "exported programs are written here, not read; load them with torch.export.load",
    ".h5": "no network of ours is HDF5 without being a .mat file; for a torch model of your own see"
    " deepibl.networks.backbones",
    ".pkl": "pickles can run any program when they are read; save a torch state dict instead",
}


def load_network(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", cached_copy: bool = True
) -> Any:
    """The network in a .mat file of any version, or in a .safetensors file of ours, in eval mode.

    It is a `SimpleNN`, or, where the file holds a graph, a `DagNN`. A torch checkpoint (.pth, .pt, .tar) of
    torchvision's vgg16, OpenIBL or pytorch-NetVlad becomes a SimpleNN (see `deepibl.networks.torch_files`).
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
        from deepibl.networks.torch_files import read_checkpoint

        return read_checkpoint(path).to(device)
    if path.suffix in _ONE_WAY:
        raise NetworkFormatError(f"{path} cannot be read: {_ONE_WAY[path.suffix]}")
    net = find(path) if cached_copy else None
    if net is None:
        net = read_mat_network(path)
        if cached_copy:
            keep(net, path)
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
        from deepibl.networks.export import save_hloc

        save_hloc(net, path)
    elif path.suffix == ".mat" and classes:
        struct = net.to_matlab(classes=True) if isinstance(net, SimpleNN) else net.to_matlab()
        matfile.save_objects(path, {"net": struct}, saveobj_classes=network_layers.SAVEOBJ_CLASSES)
    elif path.suffix == ".mat":
        matfile.save(path, {"net": net.to_matlab()})
    elif path.suffix == ".safetensors":
        write_network(net, path, provenance(net))
    elif path.suffix in (".onnx", ".pt2"):
        from deepibl.networks import export

        {".onnx": export.save_onnx, ".pt2": export.save_exported}[path.suffix](net, path)
    elif path.suffix == ".pth":
        from deepibl.networks.torch_files import save_vgg16

        save_vgg16(net, path)
    else:
        known = ".mat, .hloc.mat, .safetensors, .onnx, .pt2, .pth"
        raise NetworkFormatError(f"{path}: the suffix says the format: {known}, not {path.suffix!r}")


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


def describe_network(
    path: Path, input_size: Sequence[int] | None = None, batch_size: int = 1, *, as_json: bool = False
) -> str:
    """The layer table of the network in a file, its meta information and its identity, as text or JSON."""
    net = load_network(path)
    show = describe_dagnn if isinstance(net, DagNN) else describe_simplenn
    info, text = show(net, input_size, batch_size)
    identity = network_id(net)
    if as_json:
        return json.dumps({"file": str(path), "network_id": identity, **_plain(info)}, indent=2)
    return f"{text}\nidentity: {identity}"


def _plain(value: Any) -> Any:
    """Numbers and lists for JSON; what is not a number (NaN: not known) becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
