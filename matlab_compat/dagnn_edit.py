"""Changing a DagNN: renaming, rewiring, adding and removing layers.

All change the network in place and find its order of execution again. Names that are not there are an
ArgumentError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matlab_compat.dagnn import DagNN
from matlab_compat.dagnn_layer import make_dag_layer
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn_tidy import cell_row


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
