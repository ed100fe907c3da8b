"""A MatConvNet network of either kind, a SimpleNN chain or a DagNN graph, from the content of a file."""

from typing import Any

import numpy as np

from matlab_compat.dagnn.network import DagNN, is_dagnn
from matlab_compat.errors import NetworkFormatError, located
from matlab_compat.matfile.values import MatObject, StructArray, describe
from matlab_compat.simplenn.network import SimpleNN

Network = SimpleNN | DagNN
TOOLBOXES = {
    **{name: f"{name} (Deep Learning Toolbox)" for name in ("SeriesNetwork", "DAGNetwork", "dlnetwork")},
    "network": "network object of the Neural Network Toolbox",
}


def network_problem(value: Any, name: str) -> str:
    """Why a value, the variable `name`, is not a network, in MATLAB's terms; '' where it may be one."""
    struct = value.properties if isinstance(value, MatObject) else value
    layers = struct.get("layers") if isinstance(struct, dict) else None
    if isinstance(value, MatObject) and not (is_dagnn(struct) or _is_chain(layers)):
        return f"{name} is a {TOOLBOXES.get(value.classname, describe(value))}, not a MatConvNet network"
    if layers is None:
        hint = f" (this cell looks like one: {name} = struct('layers', {{{name}}}))"
        problem = f"{name} is a {describe(value)}; a network is a struct with a field layers"
        return problem + (hint if _is_chain(value) else "")
    if isinstance(layers, dict | StructArray) or _is_cell(layers) or not np.size(layers):
        return ""
    return f"{name}.layers is a {describe(layers)}, not a cell of layers"


def _is_cell(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object


def _is_chain(value: Any) -> bool:
    """Whether a value is a cell of layers."""
    items = list(value.flat) if _is_cell(value) else []
    return bool(items) and all(
        isinstance(item, MatObject) or (isinstance(item, dict) and "type" in item) for item in items
    )


def network_from_matlab(value: Any, *, consume: bool = False) -> Network:
    """The network that a MATLAB value describes, in eval mode, on the CPU.

    value: a struct, or a DagNN object as MATLAB saves it; consume: empties a SimpleNN's struct while
    converting (see `SimpleNN.from_matlab`).
    Raises NetworkFormatError for anything else, and what `from_matlab` of the two kinds raises.
    """
    if problem := network_problem(value, "the value"):
        raise NetworkFormatError(problem)
    struct = value.properties if isinstance(value, MatObject) else value
    with located("the network is invalid"):
        if is_dagnn(struct):
            return DagNN.from_matlab(struct)
        return SimpleNN.from_matlab(struct, consume=consume)
