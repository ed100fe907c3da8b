"""Changing a DagNN: renaming, rewiring, adding and removing layers.

All change the network in place and find its order of execution again. Names that are not there are an
ArgumentError.

A SimpleNN as a DagNN: every layer becomes a block, between variables x0, x1, …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matlab_compat.dagnn.layer import DagLayer, make_dag_layer
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError, UnknownLayerError
from matlab_compat.matfile.values import cell_list, text as matlab_text, vector
from matlab_compat.nn.geometry import borders, pair
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row, tidy_layer


def _replace(names: list[str], old: str, new: str) -> None:
    names[:] = [new if name == old else name for name in names]


def rename_variable(net: DagNN, old: str, new: str) -> None:
    """Renames a variable; onto an existing one it joins the two.

    Ported from: matconvnet/matlab/+dagnn/@DagNN/renameVar.m
    """
    if old not in net.variable_names:
        raise ArgumentError(f"no variable is named {old!r}; there are {', '.join(net.variable_names)}")
    exists = new in net.variable_names
    for layer in net:
        _replace(layer.inputs, old, new)
        _replace(layer.outputs, old, new)
    net._vars = {
        (new if name == old and not exists else name): ({**fields, "name": new} if name == old else fields)
        for name, fields in net._vars.items()
        if not (exists and name == old)
    }
    net.rebuild()


def rename_param(net: DagNN, old: str, new: str) -> None:
    """Renames a parameter. ArgumentError when the new name is taken.

    Ported from: matconvnet/matlab/+dagnn/@DagNN/renameParam.m
    """
    net.param(old)
    if new in net.param_names:
        raise ArgumentError(f"there is already a parameter {new!r}")
    for layer in net:
        _replace(layer.params, old, new)
    for table in (net._params, net._places, net._kinds, net._stored):
        items = [(new if name == old else name, value) for name, value in table.items()]  # type: ignore
        table.clear()
        table.update(items)  # type: ignore[arg-type]
    if "name" in net._params[new]:
        net._params[new]["name"] = new


def rename_layer(net: DagNN, old: str, new: str) -> None:
    """Renames a layer. ArgumentError when the new name is taken.

    Ported from: matconvnet/matlab/+dagnn/@DagNN/renameLayer.m
    """
    if new in net.names:
        raise ArgumentError(f"there is already a layer {new!r}")
    net.layer(old).name = new


def set_layer_inputs(net: DagNN, layer: str, inputs: Sequence[str]) -> None:
    """Gives a layer other inputs. Ported from: matconvnet/matlab/+dagnn/@DagNN/setLayerInputs.m"""
    net.layer(layer).inputs = list(inputs)
    net.rebuild()


def remove_layer(net: DagNN, *names: str) -> None:
    """Removes layers, and the variables and parameters that nobody uses then.

    Ported from: matconvnet/matlab/+dagnn/@DagNN/removeLayer.m
    """
    gone = [net.layer(name) for name in names]
    net.layers = type(net.layers)([layer for layer in net if layer not in gone])
    used = {name for layer in net for name in layer.params}
    net._params = {name: fields for name, fields in net._params.items() if name in used}
    left = set(net.variable_names)
    net._vars = {name: fields for name, fields in net._vars.items() if name in left}
    net.rebuild()


def add_layer(
    net: DagNN,
    name: str,
    kind: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    block: Mapping[str, Any] | None = None,
    params: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Adds a layer of a block type as 'dagnn.Conv'.

    block: its properties, as MATLAB values; params: name -> MATLAB's array, in the block's order (None for
    one that the network has). ArgumentError when the layer's name is taken.

    Ported from: matconvnet/matlab/+dagnn/@DagNN/addLayer.m
    """
    if name in net.names:
        raise ArgumentError(f"there is already a layer {name!r}")
    names = {
        "inputs": cell_row(list(inputs)),
        "outputs": cell_row(list(outputs)),
        "params": cell_row(list(params or {})),
    }
    layer = make_dag_layer({"name": name, "type": kind, **names, "block": dict(block or {})}, len(net))
    struct = net.to_matlab()
    held = {
        row["name"]: row
        for row in ([struct["params"]] if isinstance(struct["params"], dict) else [*struct["params"]])
    }
    new = {key: {"name": key, "value": value} for key, value in (params or {}).items() if value is not None}
    rebuilt = DagNN([*net, layer], {**held, **new}, net._vars, net.meta, net.extra)
    rebuilt._shape = {key: net._shape[key] for key in ("order", "meta") if key in net._shape}
    net.__dict__.update(rebuilt.__dict__)


_ONE = np.ones((1, 1))

# SimpleNN type -> (block type, block property -> SimpleNN field, endings of the parameters' names)
_BLOCKS: dict[str, tuple[str, dict[str, str], str]] = {
    "conv": ("dagnn.Conv", {"pad": "pad", "stride": "stride", "dilate": "dilate", "opts": "opts"}, "fb"),
    "convt": (
        "dagnn.ConvTranspose",
        {"upsample": "upsample", "crop": "crop", "numGroups": "numGroups", "opts": "opts"},
        "fb",
    ),
    "pool": (
        "dagnn.Pooling",
        {"method": "method", "poolSize": "pool", "pad": "pad", "stride": "stride", "opts": "opts"},
        "",
    ),
    "normalize": ("dagnn.LRN", {"param": "param"}, ""),
    "lrn": ("dagnn.LRN", {"param": "param"}, ""),
    "dropout": ("dagnn.DropOut", {"rate": "rate"}, ""),
    "relu": ("dagnn.ReLU", {"leak": "leak"}, ""),
    "sigmoid": ("dagnn.Sigmoid", {}, ""),
    "softmax": ("dagnn.SoftMax", {}, ""),
    "softmaxloss": ("dagnn.Loss", {}, ""),
    "bnorm": ("dagnn.BatchNorm", {"epsilon": "epsilon"}, "mbx"),
}


def from_simplenn(net: SimpleNN, *, canonical_names: bool = False) -> DagNN:
    """The chain as a DagNN with variables x0, x1, …; parameters are named after their layer.

    canonical_names: calls the input 'input', what goes into a softmax 'prediction', what comes out 'prob',
    a loss 'objective'. Raises UnknownLayerError for layers that a DagNN has no block for (NetVLAD's).

    Ported from: matconvnet/matlab/+dagnn/@DagNN/fromSimpleNN.m
    """
    layers: list[DagLayer] = []
    params: dict[str, dict[str, Any]] = {}
    for index, layer in enumerate(net):
        fields = layer.to_matlab()
        fields = tidy_layer(fields, index)
        kind = str(layer.type)
        if kind not in _BLOCKS:
            raise UnknownLayerError(
                f"{net.label(index)} has no DagNN block; known are {', '.join(sorted(_BLOCKS))}"
            )
        made = _parameters(fields, _BLOCKS[kind][2])
        params |= made
        layers.append(make_dag_layer(_description(fields, kind, index, list(made)), index))
    dag = DagNN(layers, params, {}, net.meta).eval()
    if canonical_names:
        _canonical(dag)
    return dag


def _description(fields: Mapping[str, Any], kind: str, index: int, params: list[str]) -> dict[str, Any]:
    block_type, properties, _ = _BLOCKS[kind]
    block = {name: fields[field] for name, field in properties.items() if field in fields}
    for name in block.keys() & {"pad", "crop", "stride", "dilate", "upsample"}:  # as the block's setters do
        spread = borders(block[name]) if name in ("pad", "crop") else pair(block[name], name)
        block[name] = np.array([spread], dtype=np.float64)
    if kind in ("conv", "convt"):
        block["size"] = np.array([(*np.shape(cell_list(fields["weights"])[0]), 1, 1)[:4]], dtype=np.float64)
        block["hasBias"] = np.array([[len(params) > 1]])
    inputs = [f"x{index}", "label"] if kind == "softmaxloss" else [f"x{index}"]
    return {
        "name": fields["name"],
        "type": block_type,
        "inputs": cell_row(list(inputs)),
        "outputs": cell_row([f"x{index + 1}"]),
        "params": cell_row(list(params)),
        "block": block,
    }


def _parameters(fields: Mapping[str, Any], endings: str) -> dict[str, dict[str, Any]]:
    """A layer's parameters by their name in the DagNN, with rate and decay where the layer has them."""
    found: dict[str, dict[str, Any]] = {}
    for position, (ending, value) in enumerate(zip(endings, cell_list(fields["weights"]), strict=False)):
        if not np.size(value):
            continue
        row: dict[str, Any] = {"name": f"{matlab_text(fields['name'])}{ending}", "value": value}
        for option in ("learningRate", "weightDecay"):
            numbers = vector(fields[option]) if np.size(fields.get(option, [])) else np.zeros(0)
            row[option] = np.array([[numbers[position]]]) if position < len(numbers) else _ONE
        if endings == "mbx" and position == 2:
            has_decay = np.size(fields.get("weightDecay", [])) > 0
            row["weightDecay"] = np.zeros((1, 1)) if has_decay else _ONE
            if not np.size(fields.get("learningRate", [])):
                row["learningRate"] = np.array([[0.1]])
        found[row["name"]] = row
    return found


def _fresh(net: DagNN, prefix: str) -> str:
    """The prefix, or prefix1, prefix2, … when variables have those names."""
    taken = net.variable_names
    return next(name for name in (prefix, *(f"{prefix}{n}" for n in range(1, 10**6))) if name not in taken)


def _canonical(net: DagNN) -> None:
    for position, layer in enumerate(net):
        if position == 0:
            rename_variable(net, layer.inputs[0], "input")
        if layer.type == "dagnn.SoftMax":
            rename_variable(net, layer.outputs[0], _fresh(net, "prob"))
            rename_variable(net, layer.inputs[0], _fresh(net, "prediction"))
        if layer.type == "dagnn.Loss":
            rename_variable(net, layer.outputs[0], "objective")
            if not layer.inputs[0].startswith("prob"):
                rename_variable(net, layer.inputs[0], _fresh(net, "prediction"))
