"""Upgrades the description of a SimpleNN network to MatConvNet's newest form.

Takes and returns plain MATLAB values (as `matlab_compat.matfile.load` returns them); arrays are shared with
the input, structs are not. Layers that are class objects or of type 'custom' are returned unchanged.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matlab_compat.errors import NetworkFormatError, located
from matlab_compat.matfile.classes import cells
from matlab_compat.matfile.values import MatObject, StructArray, cell_list, describe, text, vector

WITH_WEIGHTS = ("conv", "convt", "bnorm")  # in old files as filters and biases
_LRN = {"param": [5.0, 1.0, 0.0001 / 5, 0.75]}

# type -> the fields that a layer of that type gets where it lacks them, in the order of the original
DEFAULTS: dict[str, dict[str, Any]] = {
    "conv": {"pad": 0.0, "stride": 1.0, "dilate": 1.0, "opts": ()},
    "pool": {"pad": 0.0, "stride": 1.0, "opts": ()},
    "convt": {"crop": 0.0, "upsample": 1.0, "numGroups": 1.0, "opts": ()},
    "relu": {"leak": 0.0},
    "dropout": {"rate": 0.5},
    "normalize": _LRN,
    "lrn": _LRN,
    "pdist": {"noRoot": False, "aggregate": False, "p": 2.0, "epsilon": 1e-3, "instanceWeights": []},
    "bnorm": {"epsilon": 1e-5},
}


def cell_row(values: list[Any]) -> np.ndarray:
    """A 1 x n cell array of the values; 0 x 0 where there are none, as MATLAB's {}."""
    return cells((1, len(values)) if values else (0, 0), values)


def matlab_value(value: Any) -> Any:
    """A Python value as MATLAB holds it: a number 1x1, a list a row, a tuple a cell row, [] 0x0."""
    if isinstance(value, bool | int | float):
        return np.array([[value]], dtype=bool if isinstance(value, bool) else np.float64)
    if isinstance(value, tuple):
        return cell_row([matlab_value(item) for item in value])
    if isinstance(value, list):
        return np.array([value], dtype=np.float64) if value else np.zeros((0, 0))
    return value


def with_rows(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A struct whose lists and tuples of numbers are MATLAB's rows: {'pool': [2, 2]} is [2 2], not a cell."""
    return {name: _row(value) for name, value in fields.items()}


def _row(value: Any) -> Any:
    if isinstance(value, dict):
        return with_rows(value)
    plain = isinstance(value, list | tuple) and len(value) > 0
    if not plain or not all(isinstance(number, bool | int | float | np.number) for number in value):
        return value
    return np.array([value], dtype=bool if all(isinstance(truth, bool) for truth in value) else np.float64)


def layer_label(index: int, layer: Any) -> str:
    """A layer in error messages: its number, as the table counts, and its name and type where it has them."""
    fields = layer.properties if isinstance(layer, MatObject) else layer
    if not isinstance(fields, Mapping):
        return f"layer {index + 1}"
    name, kind = fields.get("name", ""), fields.get("type", "")
    named = f" '{name}'" if isinstance(name, str) and name else ""
    return f"layer {index + 1}{named}" + (f" ({kind})" if isinstance(kind, str) and kind else "")


def _with_weights(layer: dict[str, Any], kind: str, label: str) -> dict[str, Any]:
    """Moves filters and biases of the old format into weights; gives every layer the field weights."""
    if kind in WITH_WEIGHTS and "weights" not in layer:
        missing = [name for name in ("filters", "biases") if name not in layer]
        if missing:
            raise NetworkFormatError(
                f"{label} has no field {' or '.join(missing)}: expected weights, or filters and biases "
                f"(fields found: {', '.join(layer)})"
            )
        layer["weights"] = cell_row([layer.pop("filters"), layer.pop("biases")])
    layer.setdefault("weights", cell_row([]))
    if kind == "bnorm":
        weights = cell_list(layer["weights"])
        if len(weights) < 3:
            weights += [np.zeros((0, 0))] * (2 - len(weights))
            layer["weights"] = cell_row([*weights, np.zeros((np.size(weights[0]), 2), np.float32)])
    return layer


def tidy_layer(layer: Any, index: int) -> Any:
    """One layer in the newest form; `index`, from 0, is for the default name and errors.

    Raises NetworkFormatError for a layer that is not a struct, has no type, or lacks its weights.
    """
    if isinstance(layer, MatObject):
        return layer
    if not isinstance(layer, Mapping):
        label = layer_label(index, layer)
        raise NetworkFormatError(f"{label} is a {describe(layer)}, not a struct: not a MatConvNet network")
    if not isinstance(layer.get("type"), str):
        label = f"layer {index + 1} is not a struct with a field type"
        raise NetworkFormatError(f"{label}: found {describe(layer)}")
    kind = layer["type"]
    if kind == "custom":
        return dict(layer)
    tidy = _with_weights(dict(layer), kind, layer_label(index, layer))
    defaults = {"name": f"layer{index + 1}", "precious": False, **DEFAULTS.get(kind, {})}
    for name, value in defaults.items():
        tidy.setdefault(name, matlab_value(value))
    return tidy


def _tidy_meta(net: Mapping[str, Any]) -> Any:
    meta = net.get("meta", {})
    moved = {name: net[name] for name in ("classes", "normalization") if name in net}
    if not isinstance(meta, Mapping):
        if np.size(meta):
            raise NetworkFormatError(f"meta is not a struct: found {describe(meta)}")
        if not moved:
            return meta
        meta = {}
    meta = {**meta, **moved}
    normalization = meta.get("normalization")
    if isinstance(normalization, Mapping) and "cropSize" not in normalization:
        border, size = normalization.get("border"), normalization.get("imageSize")
        if border is not None and size is not None and np.size(size) and np.size(border):
            inside, margin = np.resize(vector(size)[:2], 2).astype(np.float64), vector(border)
            if margin.size > 2:
                raise NetworkFormatError(f"meta.normalization.border has {margin.size} elements: at most 2")
            meta["normalization"] = {**normalization, "cropSize": (inside / (inside + margin))[None]}
    return meta


def layer_cells(net: Any) -> list[Any]:
    """The layers of a network's description as a list.

    Raises NetworkFormatError where it is not a SimpleNN: no layers, or a DagNN.
    """
    if not isinstance(net, Mapping) or "layers" not in net:
        raise NetworkFormatError(f"no network: expected a struct with a field layers, found {describe(net)}")
    layers = net["layers"]
    if isinstance(layers, StructArray) or "vars" in net:
        raise NetworkFormatError("a DagNN (layers as a struct array): DagNN.from_matlab reads it")
    with located("layers"):
        return [layers] if isinstance(layers, Mapping) else cell_list(layers)


def vl_simplenn_tidy(net: Any) -> Any:
    """The network in MatConvNet's newest form: weights for filters and biases, meta, every field present.

    net: the struct of a SimpleNN (a dict with `layers`) of any MatConvNet version; a `SimpleNN`, which is
    tidy already, is returned unchanged. Returns a new dict with `layers` (1 x L cell) and `meta`; other
    top-level fields are dropped.

    Raises NetworkFormatError: not a SimpleNN, or a layer without type or weights; names the layer.
    Ported from: matconvnet/matlab/simplenn/vl_simplenn_tidy.m
    """
    if hasattr(net, "to_matlab"):
        return net
    layers = [tidy_layer(layer, index) for index, layer in enumerate(layer_cells(net))]
    return {"layers": cell_row(layers), "meta": _tidy_meta(net)}


def relja_simplenn_tidy(net: Any) -> Any:
    """As vl_simplenn_tidy, and moves netID, sessionID and epoch of old NetVLAD networks into meta.

    Ported from: netvlad/relja_simplenn_tidy.m
    """
    if hasattr(net, "to_matlab"):
        return net
    tidy = vl_simplenn_tidy(net)
    kept = {name: net[name] for name in ("netID", "sessionID", "epoch") if name in net}
    if kept:
        tidy["meta"] = {**(tidy["meta"] if isinstance(tidy["meta"], Mapping) else {}), **kept}
    return tidy


def layer_type(layer: Any) -> str:
    """The type of a layer's description; a class object without one is 'custom'."""
    fields = layer.properties if isinstance(layer, MatObject) else layer
    return text(fields.get("type", "custom"))
