"""A SimpleNN as a DagNN: every layer becomes a block, between variables x0, x1, …"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matlab_compat.dagnn.layer import DagLayer, make_dag_layer
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import UnknownLayerError
from matlab_compat.matfile.values import cell_list, text as matlab_text, vector
from matlab_compat.nn.geometry import borders, pair
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row, tidy_layer

_ONE = np.ones((1, 1))

# SimpleNN type -> (block type, block's properties, suffixes of the parameters' names)
_BLOCKS = {
    "conv": ("dagnn.Conv", "pad stride dilate opts", "fb"),
    "convt": ("dagnn.ConvTranspose", "upsample crop numGroups opts", "fb"),
    "pool": ("dagnn.Pooling", "method poolSize pad stride opts", ""),
    "normalize": ("dagnn.LRN", "param", ""),
    "lrn": ("dagnn.LRN", "param", ""),
    "dropout": ("dagnn.DropOut", "rate", ""),
    "relu": ("dagnn.ReLU", "leak", ""),
    "sigmoid": ("dagnn.Sigmoid", "", ""),
    "softmax": ("dagnn.SoftMax", "", ""),
    "softmaxloss": ("dagnn.Loss", "", ""),
    "bnorm": ("dagnn.BatchNorm", "epsilon", "mbx"),
}


def from_simplenn(net: SimpleNN, *, canonical_names: bool = False) -> DagNN:
    """The chain as a DagNN with variables x0, x1, …; parameters are named after their layer.

    canonical_names: renames the input to 'input', a softmax's input to 'prediction' and its output to 'prob',
    a loss to 'objective'. Raises UnknownLayerError for layers without a DagNN block (NetVLAD's).
    Ported from: matconvnet/matlab/+dagnn/@DagNN/fromSimpleNN.m
    """
    layers: list[DagLayer] = []
    params: dict[str, dict[str, Any]] = {}
    for index, layer in enumerate(net):
        fields = tidy_layer(layer.to_matlab(), index)
        kind = str(layer.type)
        if kind not in _BLOCKS:
            raise UnknownLayerError(
                f"{net.label(index)} has no DagNN block; layer types with one: {', '.join(sorted(_BLOCKS))}"
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
    sources = {name: "pool" if name == "poolSize" else name for name in properties.split()}
    block = {name: fields[field] for name, field in sources.items() if field in fields}
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
            net.rename_variable(layer.inputs[0], "input")
        if layer.type == "dagnn.SoftMax":
            net.rename_variable(layer.outputs[0], _fresh(net, "prob"))
            net.rename_variable(layer.inputs[0], _fresh(net, "prediction"))
        if layer.type == "dagnn.Loss":
            net.rename_variable(layer.outputs[0], "objective")
            if not layer.inputs[0].startswith("prob"):
                net.rename_variable(layer.inputs[0], _fresh(net, "prediction"))
