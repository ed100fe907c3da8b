"""What a network is, as one string: equal for equal computations, however the network was stored."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.networks import build as network_layers  # noqa: F401  # registers custom layers
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import NetworkFormatError
from matlab_compat.matfile.values import MatObject
from matlab_compat.simplenn.base import ImageNetwork
from matlab_compat.simplenn.layer import CLASS_FIELD
from matlab_compat.simplenn.network import SimpleNN

_CHUNK = 8 * 2**20

# what training keeps in a layer, and what only repeats its weights' shapes: it does not change what is
# computed
_NO_MATTER = {"momentum", "learningRate", "weightDecay", "precious", "K", "D", "vladDim", CLASS_FIELD}


def network_id(net: Any) -> str:
    """The identity of a network: a SHA-256 over its weights (as float32), its layers' settings and its mean.

    Layer names, what training keeps, and the way of storing (class objects or structs, .mat or .safetensors)
    do not enter. Takes a SimpleNN, a DagNN (where variables' names enter), any extractor with a method
    `network_id()`, or any other module, known by its class and its state.
    """
    if isinstance(net, DagNN):
        graph = [
            [layer.type, layer.inputs, layer.outputs, layer.params, _settings(layer.fields)] for layer in net
        ]
        structure = {"graph": graph, "params": net.param_names, "mean": _mean(net)}
        return digest(structure, [net.param(name) for name in net.param_names])
    if not isinstance(net, SimpleNN) and hasattr(net, "network_id"):
        return net.network_id()
    if not isinstance(net, SimpleNN):
        state = net.state_dict()
        return digest([type(net).__qualname__, list(state)], list(state.values()))
    layers = [[layer.classname or layer.type, _settings(layer.fields)] for layer in net]
    weights = [weight for layer in net for weight in layer.weights]
    return digest({"layers": layers, "mean": _mean(net)}, weights)


def digest(structure: Any, tensors: list[Tensor | None]) -> str:
    """SHA-256 over a JSON-like structure and tensors (as float32), hexadecimal."""
    whole = hashlib.sha256(json.dumps(structure, sort_keys=True).encode())
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for tensor in tensors:
            whole.update(json.dumps(None if tensor is None else list(tensor.shape)).encode())
            if tensor is not None:
                for part in pool.map(lambda chunk: hashlib.sha256(chunk).digest(), _chunks(tensor)):
                    whole.update(part)
    return whole.hexdigest()


def _chunks(tensor: Tensor) -> Iterator[memoryview]:
    array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    content = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]


def _settings(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in fields.items() if _matters(name, value)}


def _matters(name: str, value: Any) -> bool:
    return name not in _NO_MATTER and _plain(value) not in ([], "", {})


def _plain(value: Any) -> Any:
    """A MATLAB value as JSON: numbers as lists of floats (with their shape when they are no vector)."""
    if isinstance(value, Mapping):
        return {str(name): _plain(child) for name, child in value.items()}
    if isinstance(value, MatObject):
        return [value.classname, _plain(value.properties)]
    if isinstance(value, np.ndarray) and value.dtype != object:
        shape = [side for side in value.shape if side != 1]
        return value.astype(np.float64).ravel("F").tolist() + ([shape] if len(shape) > 1 else [])
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in (value.ravel("F") if isinstance(value, np.ndarray) else value)]
    if isinstance(value, bool | int | float):
        return [float(value)]
    return str(value)


def _mean(net: ImageNetwork) -> list[float] | None:
    try:
        return net.mean_pixel.tolist()
    except NetworkFormatError:
        return None


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
