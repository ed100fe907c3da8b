"""Networks for place recognition: reading, writing and describing them.

>>> net = load_network("model.mat")                            # doctest: +SKIP
>>> features = net(net.prepare(images)).flatten(1)             # doctest: +SKIP
>>> save_network(net, "model.safetensors")                     # doctest: +SKIP

Images are (N, 3, H, W), RGB, 0..255; features (N, D).

A .safetensors file of a torch model (`from_torch`) holds its state dict and, as JSON in the string `build`,
how to build it. That of a MatConvNet network holds the content of the MATLAB struct, with filters in torch's
layout. Its string `network` is JSON: a char array is a string; an array of numbers is {"class", "shape",
"data"} or, when longer, {"class", "shape", "tensor"}; a cell array {"cell": shape, "items"}; a struct
{"struct": {…}}. Arrays of more than two dimensions, MATLAB's H x W x C x K, are stored as (K, C, H, W), so
that a mapped weight is a torch tensor without a copy; the weights of conv1_1 are the tensors
`conv1_1.weights.0` and `conv1_1.weights.1`.
"""

import json
import math
import os
import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deepibl.networks.backbones import TorchExtractor, built_from, recipe_of, unwrapped
from deepibl.networks.build import SAVEOBJ_CLASSES, add_pooling
from deepibl.networks.export import save_exported, save_onnx
from deepibl.networks.identity import Extractor, network_id, provenance
from deepibl.networks.libraries import is_torch_id, parse_name
from deepibl.networks.torch_backbones import load_torch_network
from deepibl.networks.torch_files import read_checkpoint
from deepibl.networks.weights import LayerSpec, find_network
from deepibl.runtime.files import map_tensors, write_tensors
from deepibl.runtime.progress import working
from matlab_compat import matfile
from matlab_compat.dagnn.display import describe_dagnn
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.files import StrPath
from matlab_compat.matfile.classes import cells
from matlab_compat.matfile.io import info_of, opened, value_of
from matlab_compat.matfile.values import (
    CharMatrix,
    FunctionHandle,
    MatObject,
    StructArray,
    describe,
    shape_text,
)
from matlab_compat.network import Network, network_from_matlab, network_problem
from matlab_compat.simplenn.display import describe as describe_simplenn
from matlab_compat.simplenn.network import SimpleNN

FORMAT, MODULE_FORMAT = "deepibl-network/1", "deepibl-module/1"
_INLINE = 32  # arrays of at most this many numbers are in the JSON
_DEEPEST = 60


def write_network(net: Network, path: StrPath, strings: Mapping[str, str] | None = None) -> None:
    """Writes the network and, beside it, `strings`. `path` is replaced only by a whole file.

    Raises NetworkFormatError for values that such a file cannot hold (sparse or complex arrays).
    """
    tensors: dict[str, np.ndarray] = {}
    description = json.dumps(_encode(net.to_matlab(), "", tensors))
    write_tensors(path, tensors, {"format": FORMAT, "network": description, **(strings or {})})


def read_network(path: StrPath, model: nn.Module | None = None) -> tuple[Any, dict[str, str]]:
    """The network, its weights mapped (changing them changes nothing on disk), and the strings beside it.

    model: see `load_network`. Raises NetworkFormatError for a file that is missing, damaged or another.
    """
    try:
        tensors, strings = map_tensors(path)
        kind = strings.pop("format", None)
        if kind not in (FORMAT, MODULE_FORMAT):
            raise ValueError(f"its format is not {FORMAT} or {MODULE_FORMAT}")
        description = json.loads(strings.pop("network", "null"))
    except (OSError, ValueError, RecursionError) as problem:
        raise NetworkFormatError(f"{path!s} is no network that this version reads: {problem}") from problem
    with _in_file(path):
        if kind == MODULE_FORMAT:
            state = {name: torch.from_numpy(array) for name, array in tensors.items()}
            return built_from(strings.pop("build", ""), state, model), strings
        return network_from_matlab(_decode(description, tensors), consume=True), strings


@contextmanager
def _in_file(path: StrPath) -> Iterator[None]:
    """Puts the file's name before a NetworkFormatError's message that lacks it."""
    try:
        yield
    except NetworkFormatError as error:
        if os.fspath(path) in str(error):
            raise
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def _encode(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    """The JSON form of a MATLAB value; long arrays go to `tensors` under names that begin with `path`."""
    if path.count(".") > _DEEPEST:
        raise NetworkFormatError(f"its values are nested more than {_DEEPEST} deep, at {path[:80]}…")

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
    if isinstance(value, MatObject) and value.shape == (1, 1):
        return {"object": value.classname, "properties": inner(value.properties, value.classname)}
    if isinstance(value, FunctionHandle):
        return {"handle": value.text}
    if isinstance(value, np.ndarray) and value.dtype == object:
        names = _item_names(value, path)
        items = [_encode(item, name, tensors) for item, name in zip(value.ravel("F"), names, strict=True)]
        return {"cell": list(value.shape), "items": items}
    return _encode_numbers(value, path, tensors)


def _item_names(cell: np.ndarray, path: str) -> list[str]:
    """Prefixes of the names of the items' tensors: a layer's own name; of other items their position."""
    items = list(cell.ravel("F"))
    own = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    if path == "layers" and all(isinstance(name, str) and name for name in own) and len(set(own)) == len(own):
        return [str(name).replace(".", "_") for name in own]
    return [f"{path}.{i}" for i in range(len(items))]


def _encode_numbers(value: Any, path: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    if isinstance(value, bool | int | float | np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise NetworkFormatError(f"{path}: {describe(value)} cannot be in a .safetensors file; use .mat")
    entry = {"class": value.dtype.name, "shape": list(np.atleast_2d(value).shape)}
    if value.size <= _INLINE:
        return entry | {"data": value.ravel("F").tolist()}
    name = path
    while name in tensors:
        name += "_"
    if 2 < value.ndim < 5:  # (H, W, C, K) -> (K, C, H, W)
        value = value.reshape(value.shape + (1,) * (4 - value.ndim), order="F").transpose(3, 2, 0, 1)
    tensors[name] = value
    return entry | {"tensor": name}


def _decode(entry: Any, tensors: Mapping[str, np.ndarray], depth: int = 0) -> Any:
    """The MATLAB value of a JSON form, the inverse of `_encode`; NetworkFormatError where it is none."""
    if depth > 2 * _DEEPEST:
        raise NetworkFormatError(f"its values are nested more than {2 * _DEEPEST} deep")

    def inner(child: Any) -> Any:
        return _decode(child, tensors, depth + 1)

    match entry:
        case str():
            return entry
        case {"class": str()}:
            return _decode_numbers(entry, tensors)
        case {"struct": dict(fields)}:
            return {name: inner(child) for name, child in fields.items()}
        case {"cell": shape, "items": list(items)}:
            return cells(_shape(shape, len(items)), [inner(item) for item in items])
        case {"structs": shape, "fields": list(names), "items": list(items)}:
            if not all(isinstance(item, list) and len(item) == len(names) for item in items):
                raise NetworkFormatError(f"an element of a struct array lacks fields: {names!r:.80}")
            rows = [dict(zip(map(str, names), map(inner, item), strict=True)) for item in items]
            return StructArray(_shape(shape, len(rows)), [*map(str, names)], rows)
        case {"rows": list(rows)}:
            return CharMatrix(map(str, rows))
        case {"handle": str(text)}:
            return FunctionHandle(text)
        case {"object": str(classname), "properties": properties}:
            return MatObject(classname, inner(properties))
    raise NetworkFormatError(f"unknown kind of value: {entry!r:.80}")


def _shape(sides: Any, count: int) -> tuple[int, ...]:
    """The shape that a JSON form declares for `count` values."""
    whole = isinstance(sides, list) and all(type(side) is int and 0 <= side < 2**31 for side in sides)
    if not whole or not 2 <= len(sides) <= 32 or math.prod(sides) != count:
        raise NetworkFormatError(f"{count} values cannot have the shape {sides!r:.80}")
    return tuple(sides)


def _decode_numbers(entry: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    name = entry["class"]
    if not re.fullmatch("bool|u?int(8|16|32|64)|float(16|32|64)", name):
        raise NetworkFormatError(f"an array of class {name!r:.80}, which is not numeric")
    if isinstance(data := entry.get("data"), list):
        try:
            numbers = np.array(data, dtype=name)
        except (TypeError, ValueError, OverflowError) as problem:
            raise NetworkFormatError(f"an array of class {name} holds other values: {problem}") from None
        return numbers.reshape(_shape(entry.get("shape"), numbers.size), order="F")
    stored = tensors.get(str(entry.get("tensor")))
    if stored is None:
        raise NetworkFormatError(f"there is no tensor {entry.get('tensor')!r:.80}")
    shape = _shape(entry.get("shape"), stored.size)
    if not 2 < len(shape) < 5:
        return stored.reshape(shape)
    if stored.ndim != 4:
        raise NetworkFormatError(f"the tensor {entry['tensor']!r:.80} has {stored.ndim} dimensions, not 4")
    # (K, C, H, W) -> (H, W, C, K), trailing ones dropped: a view
    return stored.transpose(2, 3, 1, 0).reshape(shape, order="F")


CHECKPOINTS = (".pth", ".pt", ".tar", ".ckpt")

_ONE_WAY = {
    ".onnx": "ONNX files are written here, not read; convert from the network that it was made of",
    ".pt2": "exported programs are written here, not read; load them with torch.export.load",
    ".h5": "a network in HDF5 must be a .mat file; for other torch models see from_torch",
    ".pkl": "pickles can run any program when they are read; save a torch state dict instead",
}


@working("loading a network")
def load_network(
    path: StrPath,
    *,
    device: str | torch.device = "cpu",
    weights: StrPath = "pretrained",
    model: nn.Module | None = None,
) -> Network | Any:  # Any: a torch model
    """The network in a file or of a name, in eval mode: a `SimpleNN`, a `DagNN`, or a torch model.

    Reads .mat files of any version, .safetensors files of `save_network`, and torch checkpoints (.pth, .pt,
    .tar, .ckpt) of torchvision's vgg16, OpenIBL and pytorch-NetVlad. A name is one of `list_networks`: of a
    network that ships or that `deepibl fetch` brought, or LIBRARY:MODEL[:LAYER[:METHOD]], which gives the
    maps of a model of torchvision or timm (by default the last ones), pooled (by default by GeM). A .py file
    is run, and its function network() returns the network.

    Of a .mat file the variable `net` is taken; else its top level if it has `layers` (MatConvNet's own
    files), else the first struct that has. Convert a big .mat file that you load often: a .safetensors file
    opens at once.
    device: where to put it, 'cpu' or 'cuda'. weights: of a library's model: 'pretrained', 'random', or the
    file of a state dict. model: the network, built as the saved one was, for a .safetensors file of a model
    that only your code builds.
    Raises MatFileError: the file cannot be read. NetworkFormatError: it holds no network. UnknownLayerError:
    a layer of unknown type. ConfigurationError: no such name. DownloadError: weights that are not available.
    Ported from: netvlad/relja_simplenn_tidy.m (what a script does after `load`)
    """
    path = find_network(path) if not Path(path).suffix or is_torch_id(os.fspath(path)) else Path(path)
    if is_torch_id(str(path)):
        method = parse_name(str(path)).method or "gem"
        return add_pooling(load_torch_network(str(path), weights=weights), method).to(device)
    if weights != "pretrained":
        raise ArgumentError(f"{path} has its own weights; others go with torchvision:NAME or timm:NAME alone")
    if path.suffix == ".safetensors":
        return read_network(path, model)[0].to(device)
    if path.suffix in CHECKPOINTS:
        return read_checkpoint(path).to(device)
    if path.suffix == ".py":
        made = runpy.run_path(os.fspath(path)).get("network")
        net = made() if callable(made) else None
        if not isinstance(net, nn.Module) or not hasattr(net, "prepare"):
            raise NetworkFormatError(f"{path} needs a function network() that returns from_torch(model, …)")
        return net.eval().to(device)
    if path.suffix in _ONE_WAY:
        raise NetworkFormatError(f"{path} cannot be read: {_ONE_WAY[path.suffix]}")
    return read_mat_network(path).to(device)


def read_mat_network(path: StrPath) -> Network:
    """The network in a .mat file; takes and raises what `load_network` does."""
    with _in_file(path):
        return network_from_matlab(_network_struct(path), consume=True)


def _network_struct(path: StrPath) -> dict[str, Any]:
    """The fields of the variable that holds a network."""
    with opened(path) as file:
        found = {name: info_of(file, name) for name in [*file.names, *file.problems]}
        if "net" not in found and "layers" in found and found["layers"].classname in ("cell", "struct"):
            return {name: value_of(file, name) for name in found}
        structs = [name for name, info in found.items() if info.classname == "struct"]
        problems = []
        for name in ["net"] if "net" in found else structs:
            value = value_of(file, name)
            problem = network_problem(value, name)
            if not problem:  # of a DagNN object, what its saveobj returned
                return value.properties if isinstance(value, MatObject) else value
            if name == "net" or "layers" in value:
                problems.append(problem)
    if not problems:
        sizes = {name: f"{shape_text(info.shape)} " if info.shape else "" for name, info in found.items()}
        listed = [f"{name} ({size}{found[name].classname})" for name, size in sizes.items()]
        problems = [
            "expected a variable net, or a struct with a field layers; found "
            + (", ".join(listed) or "no variables")
        ]
    raise NetworkFormatError(f"{os.fspath(path)} holds no network: {'; '.join(problems)}")


def save_network(net: Extractor, path: StrPath, *, classes: bool = False) -> None:
    """Writes a network in the format that the suffix names. The file appears whole or not at all.

    ==============  =====================================================================================
    .mat            plain structs (v7) for MATLAB, Octave and scipy; a custom layer is a struct that names
                    its class in a field class__. With `classes` it is a class object, for MATLAB with
                    NetVLAD on its path.
    .safetensors    lossless, read by `load_network` alone; of a torch model (`from_torch`) the weights, and
                    how to build it
    .onnx, .pt2     programs (ONNX, torch.export) that compute descriptors of images
    ==============  =====================================================================================

    Raises NetworkFormatError for another suffix, and for a network that the format cannot hold.
    """
    path = Path(path)
    net = unwrapped(net)  # type: ignore[assignment, arg-type]
    if path.suffix == ".safetensors" and isinstance(net, TorchExtractor):
        state = {name: x.detach().cpu().contiguous() for name, x in net.state_dict().items()}
        tensors = {n: (x.float() if x.dtype == torch.bfloat16 else x).numpy() for n, x in state.items()}
        strings = {"format": MODULE_FORMAT, "build": recipe_of(net), **provenance(net)}
        write_tensors(path, tensors, strings)
        return
    if path.suffix not in (known := (".mat", ".safetensors", ".onnx", ".pt2")):
        raise NetworkFormatError(f"{path}: the suffix must be one of {', '.join(known)}; got {path.suffix!r}")
    if classes and path.suffix != ".mat":
        raise NetworkFormatError(f"{path}: only .mat files hold class objects")
    if path.suffix in (".onnx", ".pt2"):
        (save_onnx if path.suffix == ".onnx" else save_exported)(net, path)
    elif not isinstance(net, Network):
        raise NetworkFormatError(
            f"{path}: a {type(net).__name__} has no MATLAB layers to write. Write .safetensors, .onnx or .pt2"
            " of what from_torch returns, or load the backbone by name: load_network('torchvision:resnet50')"
        )
    elif path.suffix == ".safetensors":
        write_network(net, path, provenance(net))
    elif classes:
        struct = net.to_matlab(classes=True) if isinstance(net, SimpleNN) else net.to_matlab()
        matfile.save_objects(path, {"net": struct}, saveobj_classes=SAVEOBJ_CLASSES)
    else:
        matfile.save(path, {"net": net.to_matlab()})


def chain_of(net: Network, what: object = "the network") -> SimpleNN:
    """The same network; NetworkFormatError, which begins with `what`, for a graph of layers (DagNN)."""
    if not isinstance(net, SimpleNN):
        raise NetworkFormatError(f"{what} must be a chain of layers (SimpleNN), not a {type(net).__name__}")
    return net


def layer_specs(net: Network) -> list[LayerSpec]:
    """Every layer's name, type (of a custom layer its class) and MATLAB's 4-D shape of its first weights."""
    specs = []
    for layer in chain_of(net):
        shapes = layer.weight_shapes()
        shape = (*shapes[0], 1, 1)[:4] if shapes else ()
        specs.append(LayerSpec(layer.name, layer.classname or str(layer.type), tuple(map(int, shape))))
    return specs


def describe_network(
    path: Path, input_size: Sequence[int] | None = None, batch_size: int = 1, *, as_json: bool = False
) -> str:
    """The layer table, meta information and identity of the network in a file, as text or JSON.

    input_size: height, width and channels of an image, from which the sizes of all maps follow.
    """
    net = load_network(path)
    if not isinstance(net, Network):
        identity, weights = network_id(net), sum(x.numel() for x in net.parameters())
        found = {"file": str(path), "network_id": identity, "class": type(net).__name__, "weights": weights}
        return json.dumps(found, indent=2) if as_json else f"{net}\n{weights} weights\nidentity: {identity}"
    show = describe_dagnn if isinstance(net, DagNN) else describe_simplenn
    info, text = show(net, input_size, batch_size)  # type: ignore[arg-type]  # each shows its own kind
    identity = network_id(net)
    if as_json:
        return json.dumps({"file": str(path), "network_id": identity, **_for_json(info)}, indent=2)
    return f"{text}\nidentity: {identity}"


def _for_json(value: Any) -> Any:
    """The same with plain numbers and lists; NaN (unknown) becomes null."""
    if isinstance(value, dict):
        return {key: _for_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_for_json(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
