"""Networks as .safetensors files: the content of the MATLAB struct, with filters in torch's layout.

The string `network` is JSON. Text is a string; an array of numbers is {"class", "shape", "data"} or, when
it is longer, {"class", "shape", "tensor"}; a cell array {"cell": shape, "items"}; a struct {"struct": {…}}.
Arrays of more than two dimensions, MATLAB's H x W x C x K, lie in the file as (K, C, H, W), so that a
mapped weight is a torch tensor as it is; the weights of conv1_1 are the tensors `conv1_1.weights.0` and
`conv1_1.weights.1`.
"""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from deepibl.tensor_file import map_tensors, write_tensors
from matlab_compat.damage import damage_as
from matlab_compat.errors import NetworkFormatError
from matlab_compat.mat_values import CharMatrix, FunctionHandle, MatObject, StructArray, describe
from matlab_compat.network import Network, network_from_matlab

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
