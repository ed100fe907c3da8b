"""A MatConvNet DagNN as a torch module whose layers, variables and parameters keep their MATLAB names.

net = DagNN.from_matlab(matfile.load("net.mat")["net"])
y = net(x)                                   # one image input: (N, C, H, W) -> the network's output
net.variables({"input": x})["conv4"]         # any variable by its name
net["conv1"], net.param("conv1f")            # a layer; a parameter, in torch's layout
matfile.save("copy.mat", {"net": net.to_matlab()})

How a DagNN lies in a MATLAB struct: struct arrays of layers, variables and parameters.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from matlab_compat.dagnn import blocks as _standard_layers  # noqa: F401  # registers MatConvNet's own blocks
from matlab_compat.dagnn.blocks import Loss
from matlab_compat.dagnn.graph import (
    ReceptiveField,
    Size,
    execution_order,
    fan_in,
    fan_out,
    receptive_fields,
    variable_sizes,
)
from matlab_compat.dagnn.layer import DagLayer, make_dag_layer
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.matfile.values import StructArray, text as matlab_text
from matlab_compat.simplenn.base import VECTOR, ImageNetwork, WeightKind
from matlab_compat.simplenn.tidy import with_rows

PARTS = ("vars", "params", "layers")

_FIELDS = {
    "vars": ("name", "precious"),
    "params": ("name", "value", "learningRate", "weightDecay"),
    "layers": ("name", "type", "inputs", "outputs", "params", "block"),
}


def is_dagnn(struct: Any) -> bool:
    """Whether a MATLAB value is a DagNN saved as a struct: layers are structs with inputs and outputs."""
    layers = struct.get("layers") if isinstance(struct, Mapping) else None
    if isinstance(layers, StructArray):
        return {"inputs", "outputs"} <= set(layers.fields)
    return isinstance(layers, Mapping) and {"inputs", "outputs"} <= set(layers)


def struct_rows(value: Any) -> list[dict[str, Any]]:
    """The elements of a struct array, copied; a 1 x 1 struct is one, an empty array none."""
    if isinstance(value, Mapping):
        return [dict(value)]
    return [dict(row) for row in value] if isinstance(value, StructArray) else []


def struct_layout(value: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Shape and fields of a struct or struct array."""
    return (value.shape, value.fields) if isinstance(value, StructArray) else ((1, 1), tuple(value))


def struct_array(part: str, rows: Sequence[Mapping[str, Any]], layouts: Mapping[str, Any]) -> Any:
    """The elements of a part as the struct or struct array that it was read from, or a 1 x N one.

    layouts: `struct_layout` of the parts that were read.
    """
    shape, fields = layouts.get(part, ((1, len(rows)), _FIELDS[part]))
    items = [{name: row[name] for name in fields} for row in rows]
    if len(items) == 1:
        return items[0]
    return StructArray(shape if math.prod(shape) == len(items) else (1, len(items)), fields, items)


def known_name(name: str, names: Any, what: str, found: Any = None) -> Any:
    """The name (or its position), or an ArgumentError that tells the names that there are."""
    if name in names:
        return found(names, name) if found else name
    close = difflib.get_close_matches(str(name), list(names), 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ArgumentError(f"no {what} is named {name!r}{hint} There are {', '.join(names)}")


_ONE = np.ones((1, 1))


class DagNN(ImageNetwork):
    """A directed acyclic graph of layers over named variables.

    Attributes: `layers` (ModuleList of `DagLayer`, in MATLAB's order), `order` (positions in the order of
    execution), `meta`, `extra` (other top-level fields). `net["name"]` and `net[3]` (from 0) are layers.
    """

    def __init__(
        self,
        layers: Sequence[DagLayer],
        params: Mapping[str, Mapping[str, Any]],
        variables: Mapping[str, Mapping[str, Any]] | None = None,
        meta: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """params: MATLAB fields of each (value and, if any, learningRate, weightDecay); variables: likewise
        (precious).

        Raises NetworkFormatError for a graph with a circle, or parameters that are missing.
        """
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.meta, self.extra = dict(meta or {}), dict(extra or {})
        self.values = nn.ParameterList()
        self._params = {name: dict(fields) for name, fields in params.items()}
        self._vars = {name: dict(fields) for name, fields in (variables or {}).items()}
        self._places: dict[str, int] = {}
        self._kinds: dict[str, WeightKind] = {}
        self._stored: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        self._shape: dict[str, Any] = {}  # how the struct was laid out, for to_matlab
        self._read_params()
        self.rebuild()

    def rebuild(self) -> None:
        """Finds the order of execution again, after layers have been edited."""
        self.order = execution_order(list(self))

    def _read_params(self) -> None:
        trainable: dict[str, bool] = {}
        for layer in self:
            for position, name in enumerate(layer.params):
                if name not in self._params:
                    raise NetworkFormatError(f"{layer.label()}: there is no parameter {name!r}")
                kind = layer.kinds[position] if position < len(layer.kinds) else VECTOR
                self._kinds.setdefault(name, kind)
                trainable.setdefault(name, layer.trainable[position] if layer.trainable else True)
        for name, fields in self._params.items():
            array = np.asarray(fields.pop("value", np.zeros((0, 0), np.float32)))
            self._stored[name] = (array.shape, array.dtype)
            tensor = self._kinds.setdefault(name, VECTOR).to_torch(array).clone()
            tensor = tensor if tensor.is_floating_point() else tensor.float()
            self._places[name] = len(self.values)
            self.values.append(nn.Parameter(tensor, requires_grad=trainable.get(name, True)))

    @classmethod
    def from_matlab(cls, struct: Mapping[str, Any]) -> DagNN:
        """The network that a MATLAB struct (DagNN's saveobj) describes, in eval mode, on the CPU.

        Raises UnknownLayerError for a block that is not known, NetworkFormatError where the struct is no
        DagNN or makes no sense; both name the layer.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/loadobj.m
        """
        if not is_dagnn(struct):
            raise NetworkFormatError("no DagNN: expected layers as a struct array with inputs and outputs")
        rows = {part: struct_rows(struct.get(part)) for part in PARTS}
        layers = [make_dag_layer(row, index) for index, row in enumerate(rows["layers"])]
        params, variables = (
            {matlab_text(row["name"]): row for row in rows[part]} for part in ("params", "vars")
        )
        meta = struct.get("meta")
        extra = {name: value for name, value in struct.items() if name not in (*PARTS, "meta")}
        net = cls(layers, params, variables, meta if isinstance(meta, Mapping) else {}, extra)
        net._shape = {part: struct_layout(struct.get(part)) for part in PARTS if rows[part]}
        net._shape |= {"order": list(struct), "meta": meta}
        return net.eval()

    def to_matlab(self) -> dict[str, Any]:
        """The network as MATLAB's struct, with the present parameters; what was read comes back exactly.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/saveobj.m
        """
        params = [
            {"name": name, "value": self._to_array(name), "learningRate": _ONE, "weightDecay": _ONE, **fields}
            for name, fields in self._params.items()
        ]
        names = [*self._vars, *(name for name in self.variable_names if name not in self._vars)]
        variables = [
            {"name": name, "precious": np.zeros((1, 1), bool), **self._vars.get(name, {})} for name in names
        ]
        found: dict[str, Any] = {
            "vars": struct_array("vars", variables, self._shape),
            "params": struct_array("params", params, self._shape),
            "layers": struct_array("layers", [layer.to_matlab() for layer in self], self._shape),
            "meta": with_rows(self.meta) or self._shape.get("meta", {}),
            **self.extra,
        }
        order = self._shape.get("order", list(found))
        return {name: found[name] for name in dict.fromkeys([*order, *found]) if name in found}

    def _to_array(self, name: str) -> np.ndarray:
        shape, dtype = self._stored[name]
        if 0 in shape:
            return np.zeros(shape, dtype)
        return self._kinds[name].to_matlab(self.param(name), shape).astype(dtype, copy=False)

    @property
    def types(self) -> list[str]:
        """The layers' block types, as 'dagnn.Conv'."""
        return [str(layer.type) for layer in self]

    @property
    def variable_names(self) -> list[str]:
        """All variables that layers use or make, in MATLAB's order."""
        used = dict.fromkeys(name for layer in self for name in (*layer.inputs, *layer.outputs))
        return [*(name for name in self._vars if name in used), *(n for n in used if n not in self._vars)]

    @property
    def param_names(self) -> list[str]:
        """All parameters."""
        return list(self._params)

    def param(self, name: str) -> Tensor:
        """A parameter in torch's layout; ArgumentError when there is none of that name."""
        return self.values[self._places[known_name(name, self._places, "parameter")]]

    def param_fields(self, name: str) -> dict[str, Any]:
        """A parameter's other MATLAB fields, learningRate and weightDecay: a dict to read and change."""
        return self._params[known_name(name, self._params, "parameter")]

    def param_to_matlab(self, name: str, tensor: Tensor) -> np.ndarray:
        """A tensor of a parameter's shape (a derivative) as an array of the shape that MATLAB has."""
        self.param(name)
        return self._kinds[name].to_matlab(tensor, self._stored[name][0])

    @property
    def input_names(self) -> list[str]:
        """Variables that no layer makes."""
        made = fan_in(self)
        return [name for name in self.variable_names if name not in made]

    @property
    def output_names(self) -> list[str]:
        """Variables that no layer uses."""
        used = fan_out(self)
        return [name for name in self.variable_names if name not in used]

    @property
    def result_names(self) -> list[str]:
        """What a forward pass for features gives: variables that only losses use, or nobody."""
        working = [layer for layer in self if not isinstance(layer, Loss)]
        used = fan_out(working)
        made = dict.fromkeys(name for layer in working for name in layer.outputs)
        return [name for name in made if name not in used]

    def layer(self, layer: str | int) -> DagLayer:
        """The layer of that name or position; ArgumentError when there is none."""
        if isinstance(layer, int):
            return self.layers[layer]  # type: ignore[return-value]
        return self.layers[known_name(layer, self.names, "layer", list.index)]  # type: ignore

    __getitem__ = layer

    def __iter__(self) -> Iterator[DagLayer]:
        return iter(self.layers)  # type: ignore[arg-type]

    def precious(self, variable: str) -> bool:
        """MATLAB's flag `precious`: keep this variable when memory is conserved."""
        try:
            return bool(np.any(self._vars.get(variable, {}).get("precious", False)))
        except (TypeError, ValueError):
            raise NetworkFormatError(f"variable {variable!r}: its field precious is no flag") from None

    def variables(
        self, inputs: Mapping[str, Tensor] | Tensor, *, conserve_memory: bool = False
    ) -> dict[str, Tensor]:
        """Every variable by its name, in MATLAB's order. Layers whose inputs are not given are left out.

        Args:
            inputs: name -> tensor (N, C, H, W), labels (from 0) for losses; a tensor alone is the one input
                that is not only a loss's.
            conserve_memory: keep only outputs and precious variables, as MatConvNet's conserveMemory does.

        Raises:
            ArgumentError: no such variable. NetworkFormatError: maps that a layer cannot take; names it.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/eval.m
        """
        held = self._named_inputs(inputs)
        pending = fan_out(self)
        for index in self.order:
            layer = self[index]
            if any(name not in held for name in layer.inputs):
                continue
            taken = [held[name] for name in layer.inputs]
            for name in set(layer.inputs):
                pending[name] -= 1
                if conserve_memory and not pending[name] and not self.precious(name):
                    del held[name]
            held[layer.outputs[0]] = self._step(layer, taken)
        return {name: held[name] for name in self.variable_names if name in held}

    def _named_inputs(self, inputs: Mapping[str, Tensor] | Tensor) -> dict[str, Tensor]:
        if not isinstance(inputs, Mapping):
            images = [name for layer in self if not isinstance(layer, Loss) for name in layer.inputs]
            images = [name for name in self.input_names if name in images]
            if len(images) != 1:
                raise ArgumentError(
                    f"the network has inputs {', '.join(images)}: give them by name, as a dict"
                )
            return {images[0]: inputs}
        for name in inputs:
            known_name(name, self.variable_names, "variable")
        return dict(inputs)

    def _step(self, layer: DagLayer, inputs: list[Tensor]) -> Tensor:
        params = [self.param(name).to(inputs[0].dtype) for name in layer.params]
        try:
            return layer(inputs, params)
        except ArgumentError as error:
            raise NetworkFormatError(f"{layer.label()}: {error}") from error

    def forward(self, inputs: Mapping[str, Tensor] | Tensor, *, output: str | None = None) -> Any:
        """The network's result, losses left out: a tensor, or a dict of them where there are several.

        Args:
            inputs: as `variables` takes them.
            output: the name of the variable wanted; default: `result_names`.

        Raises what `variables` raises; ArgumentError where an input is missing.
        """
        wanted = [output] if output is not None else self.result_names
        for name in wanted:
            known_name(name, self.variable_names, "variable")
        found = self.variables(inputs, conserve_memory=output is None)
        missing = [name for name in wanted if name not in found]
        if missing:
            absent = [name for name in self.input_names if name not in self._named_inputs(inputs)]
            raise ArgumentError(f"{', '.join(missing)} cannot be computed: give {', '.join(absent)}")
        return found[wanted[0]] if len(wanted) == 1 else {name: found[name] for name in wanted}

    def shapes(self, layer: DagLayer) -> list[tuple[int, ...]]:
        """MATLAB's shapes of a layer's parameters."""
        return [self._stored[name][0] for name in layer.params]

    def sizes(self, inputs: Mapping[str, Sequence[float]]) -> dict[str, Size]:
        """Each variable's size (H, W, C, N) for given sizes of inputs; NaN where it is not known."""
        for name in inputs:
            known_name(name, self.variable_names, "variable")
        layers = list(self)
        found = variable_sizes(
            layers, self.order, inputs, lambda i, sizes: layers[i].output_size(sizes, self.shapes(layers[i]))
        )
        return {name: found[name] for name in self.variable_names}

    def receptive_fields(self, variable: str) -> dict[str, ReceptiveField | None]:
        """Each variable's receptive field in the one named; None where it does not depend on that one."""
        known_name(variable, self.variable_names, "variable")
        layers = list(self)
        return receptive_fields(
            layers, self.order, variable, lambda i: layers[i].receptive_fields(self.shapes(layers[i]))
        )
