"""What a network is: the types of networks, and one string that is equal for equal computations."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import NetworkFormatError
from matlab_compat.matfile.values import MatObject
from matlab_compat.network import Network
from matlab_compat.simplenn.base import CLASS_FIELD, ImageNetwork
from matlab_compat.simplenn.network import SimpleNN

_CHUNK = 8 * 2**20

# fields of a layer that training uses, or that repeat its weights' shapes: they do not change the output
_NO_MATTER = {"momentum", "learningRate", "weightDecay", "precious", "K", "D", "vladDim", CLASS_FIELD}


class CustomExtractor(Protocol):
    """What a network of another kind must have to be used here: a torch module with two more methods.

    `deepibl.networks.backbones.from_torch` makes one of any torch module that gives feature maps.
    """

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) float32, RGB, 0..255, as the network takes them."""

    def network_id(self) -> str:
        """A string that changes with everything that changes a descriptor."""

    def __call__(self, x: Tensor) -> Tensor:
        """Prepared images -> descriptors (N, D, 1, 1), or feature maps (N, C, h, w)."""

    # of nn.Module
    def to(self, device: str | torch.device, /) -> Any: ...
    def eval(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def modules(self) -> Iterator[nn.Module]: ...


Extractor = Network | CustomExtractor


def network_id(net: Extractor | nn.Module) -> str:
    """The identity of a network: a SHA-256 over its weights (as float32), its layers' settings and its mean.

    Layer names, what training keeps, and the form of storage (class objects or structs, .mat or
    .safetensors) do not enter; of a DagNN the variables' names do. A custom extractor's is its own
    `network_id()`; any other module is known by its class and its state.
    """
    if isinstance(net, DagNN):
        graph = [
            [layer.type, layer.inputs, layer.outputs, layer.params, _settings(layer.fields)] for layer in net
        ]
        structure = {"graph": graph, "params": net.param_names, "mean": _mean(net)}
        return digest(structure, [net.param(name) for name in net.param_names])
    if not isinstance(net, SimpleNN) and hasattr(net, "network_id"):
        return cast(CustomExtractor, net).network_id()
    if not isinstance(net, SimpleNN):
        state = cast(nn.Module, net).state_dict()
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
                array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
                content = array.reshape(-1).view(np.uint8).data
                chunks = (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))
                for part in pool.map(lambda chunk: hashlib.sha256(chunk).digest(), chunks):
                    whole.update(part)
    return whole.hexdigest()


def _settings(fields: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _plain(value) for name, value in fields.items() if name not in _NO_MATTER}
    return {name: value for name, value in plain.items() if value not in ([], "", {})}


def _plain(value: Any) -> Any:
    """A MATLAB value as JSON: numbers as lists of floats, followed by the shape unless it is a vector."""
    if isinstance(value, Mapping):
        return {str(name): _plain(child) for name, child in value.items()}
    if isinstance(value, MatObject):
        return [value.classname, _plain(value.properties)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        shape = [side for side in value.shape if side != 1]
        return value.astype(np.float64).ravel("F").tolist() + ([shape] if len(shape) > 1 else [])
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in (value.ravel("F") if isinstance(value, np.ndarray) else value)]
    if isinstance(value, bool | int | float):
        return [float(value)]
    return str(value)


def _mean(net: ImageNetwork) -> list[float] | None:
    """What images are prepared with: the mean, and the deviation where there is one."""
    try:
        std = net.pixel_std
        return net.mean_pixel.tolist() + ([] if std is None else std.tolist())
    except NetworkFormatError:
        return None


def provenance(net: Extractor) -> dict[str, str]:
    """Where a network comes from, as strings: its identity, netID, sessionID, epoch and source."""
    if not isinstance(net, Network):
        return {"network_id": network_id(net)}
    found = {"network_id": network_id(net), "written_by": "deepibl"}
    for name in ("netID", "sessionID", "epoch", "source"):
        value = net.meta.get(name)
        if isinstance(value, str) and value:
            found[name] = value
        elif value is not None and np.size(value) == 1 and not isinstance(value, str):
            found[name] = f"{np.asarray(value).item():g}"
    return found
