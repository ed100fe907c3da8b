"""A MatConvNet DagNN as a torch module whose layers, variables and parameters keep their MATLAB names.

net = DagNN.from_matlab(matfile.load("net.mat")["net"])
y = net(x)                                   # one image input: (N, C, H, W) -> the network's output
net.variables({"input": x})["conv4"]         # any variable by its name
net.remove_layer("loss")                     # also add_layer, rename_variable, set_layer_inputs, ...
net["conv1"], net.param("conv1f")            # a layer; a parameter, in torch's layout
matfile.save("copy.mat", {"net": net.to_matlab()})

The struct of a DagNN in MATLAB: struct arrays of layers, variables and parameters.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from matlab_compat.dagnn import blocks as _standard_layers  # noqa: F401  # registers MatConvNet's own blocks
from matlab_compat.dagnn.blocks import Loss
from matlab_compat.dagnn.graph import PIXEL, ReceptiveField, Size, execution_order
from matlab_compat.dagnn.layer import DagLayer, UnknownBlock, make_dag_layer
from matlab_compat.errors import ArgumentError, NetworkFormatError, UnknownLayerError, did_you_mean, located
from matlab_compat.matfile.values import StructArray, scalar, text as matlab_text
from matlab_compat.simplenn import base
from matlab_compat.simplenn.layer import is_loss
from matlab_compat.simplenn.tidy import cell_row, with_rows

_log = logging.getLogger(__name__)
PARTS = ("vars", "params", "layers")

_FIELDS = {
    "vars": ("name", "precious"),
    "params": ("name", "value", "learningRate", "weightDecay"),
    "layers": ("name", "type", "inputs", "outputs", "params", "block"),
}


def fan_out(layers: Iterable[DagLayer]) -> Counter[str]:
    """How many layers have each variable as an input (a layer that names it twice counts once)."""
    return Counter(name for layer in layers for name in set(layer.inputs))


def is_dagnn(struct: Any) -> bool:
    """Whether a MATLAB value is a DagNN stored as a struct: its layers have inputs and outputs."""
    layers = struct.get("layers") if isinstance(struct, Mapping) else None
    if isinstance(layers, StructArray):
        return {"inputs", "outputs"} <= set(layers.fields)
    return isinstance(layers, Mapping) and {"inputs", "outputs"} <= set(layers)


def struct_rows(value: Any) -> list[dict[str, Any]]:
    """Copies of the elements of a struct array; one for a 1 x 1 struct, none for an empty array."""
    if isinstance(value, Mapping):
        return [dict(value)]
    return [dict(row) for row in value] if isinstance(value, StructArray) else []


def struct_array(part: str, rows: Sequence[Mapping[str, Any]], layouts: Mapping[str, Any]) -> Any:
    """The elements of a part as a struct or struct array, of the shape that was read if it fits, or 1 x N.

    layouts: shape and fields of the parts that were read.
    """
    shape, fields = layouts.get(part, ((1, len(rows)), _FIELDS[part]))
    items = [{name: row[name] for name in fields} for row in rows]
    if len(items) == 1:
        return items[0]
    return StructArray(shape if math.prod(shape) == len(items) else (1, len(items)), fields, items)


def known_name(name: str, names: Any, what: str, found: Any = None) -> Any:
    """The name (or found(names, name)); ArgumentError, with the known names, where it is not among them."""
    if name in names:
        return found(names, name) if found else name
    hint = did_you_mean(str(name), names)
    raise ArgumentError(f"no {what} is named {name!r}{hint or '.'} Known: {', '.join(names)}")


_ONE = np.ones((1, 1))


class _Parameter(NamedTuple):
    """MATLAB's other fields of a parameter, its form, its array's shape and class, its place in `values`."""

    fields: dict[str, Any]
    kind: base.WeightKind
    shape: tuple[int, ...]
    dtype: np.dtype
    place: str


class _Graph(base.LayerList):
    """The layers of a DagNN."""

    def make(self, value: Any, index: int) -> DagLayer:
        if not isinstance(value, DagLayer):
            raise ArgumentError("a DagNN's layers are added by net.add_layer(name, type, inputs, outputs, …)")
        return value


class ParamView:
    """A DagNN's parameter in MATLAB's form: `value`, `learningRate` and `weightDecay`, to read or assign."""

    __slots__ = ("_name", "_net")

    def __init__(self, net: "DagNN", name: str) -> None:
        object.__setattr__(self, "_net", net)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        if name == "name":
            return self._name
        if name == "value":
            return self._net.param_to_matlab(self._name, self._net.param(self._name))
        return scalar(self._net.param_fields(self._name).get(known_name(name, base.RATES, "field"), 1.0))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name":
            self._net.rename_param(self._name, value)
            object.__setattr__(self, "_name", value)
        elif name == "value":
            self._net.set_param(self._name, value)
        else:
            known_name(name, base.RATES, "field")
            self._net.param_fields(self._name)[name] = np.array([[float(scalar(value))]])


class DagNN(base.ImageNetwork):
    """A directed acyclic graph of layers over named variables.

    Attributes: `layers` (list of `DagLayer`, in MATLAB's order), `order` (positions in the order of
    execution), `params` (by name), `meta`, `extra` (other top-level fields). `net["name"]` and `net[3]`
    (from 0) are layers.
    """

    layer_list = _Graph

    def __init__(
        self,
        layers: Sequence[DagLayer],
        params: Mapping[str, Mapping[str, Any]],
        variables: Mapping[str, Mapping[str, Any]] | None = None,
        meta: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """params: MATLAB's fields of each parameter (value and, if any, learningRate, weightDecay);
        variables: MATLAB's fields of each variable (precious).

        Raises NetworkFormatError for a graph with a cycle, or missing parameters.
        """
        super().__init__()
        execution_order(layers)
        self.layers = layers  # type: ignore[assignment]  # becomes a LayerList
        self.meta, self.extra = dict(meta or {}), dict(extra or {})
        self.values = nn.ParameterDict()
        self._params: dict[str, _Parameter] = {}
        self._vars = {name: dict(fields) for name, fields in (variables or {}).items()}
        self._shape: dict[str, Any] = {}  # how the struct was laid out, for to_matlab
        self._set_params(params)

    def _set_params(self, params: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds or replaces parameters, each in the form in which the first layer that has it uses it."""
        uses: dict[str, tuple[base.WeightKind, bool]] = {}
        for layer in sorted(self, key=lambda layer: isinstance(layer, UnknownBlock)):
            for position, name in enumerate(layer.params):
                if name not in params and name not in self._params:
                    raise NetworkFormatError(f"{layer.label()}: there is no parameter {name!r}")
                rest = base.AS_IT_IS if isinstance(layer, UnknownBlock) else base.VECTOR
                kind = layer.kinds[position] if position < len(layer.kinds) else rest
                uses.setdefault(name, (kind, layer.trainable[position] if layer.trainable else True))
        for name, given in params.items():
            fields = dict(given)
            array = np.asarray(fields.pop("value", np.zeros((0, 0), np.float32)))
            kind, trainable = uses.get(name, (base.AS_IT_IS, True))
            with located(f"parameter {name!r}"):
                tensor = kind.to_torch(array).clone()
            tensor = tensor if tensor.is_floating_point() else tensor.float()
            value = nn.Parameter(tensor, requires_grad=trainable)
            place = self._params[name].place if name in self._params else name.replace(".", "_")
            while name not in self._params and place in self.values:
                place += "_"
            self.values[place] = value
            self._params[name] = _Parameter(fields, kind, array.shape, array.dtype, place)

    @property
    def order(self) -> list[int]:
        """Positions of the layers in the order of execution; NetworkFormatError: the graph has a cycle."""
        return execution_order(list(self))

    @property
    def params(self) -> Mapping[str, ParamView]:
        """The parameters by name: net.params["conv1f"].value = array."""
        return MappingProxyType({name: ParamView(self, name) for name in self._params})

    def set_param(self, name: str, value: Any) -> None:
        """Replaces a parameter by an array of MATLAB's shape, or a tensor in torch's; its class stays."""
        old = self._params[known_name(name, self._params, "parameter")]
        given = isinstance(value, Tensor)
        array = old.kind.to_matlab(value.detach(), old.shape) if given else np.asarray(value)
        if old.kind is base.FILTERS and not given:
            base.refuse_torch_order(name, array, old.shape, tuple(self.param(name).shape))
        self._set_params({name: {**old.fields, "value": np.atleast_2d(array).astype(old.dtype)}})

    @classmethod
    def from_matlab(cls, struct: Mapping[str, Any]) -> "DagNN":
        """The network that a MATLAB struct (DagNN's saveobj) describes, in eval mode, on the CPU.

        Blocks of an unknown type are kept as they are (`UnknownBlock`); a loss of training among them is left
        out when the network runs, which is logged.

        Raises NetworkFormatError where the struct is not a DagNN or is invalid; names the layer.
        Ported from: matconvnet/matlab/+dagnn/@DagNN/loadobj.m
        """
        if not is_dagnn(struct):
            raise NetworkFormatError("not a DagNN: expected layers as a struct array with inputs and outputs")
        rows = {part: struct_rows(struct.get(part)) for part in PARTS}
        layers = [make_dag_layer(row, index) for index, row in enumerate(rows["layers"])]
        params, variables = (
            {matlab_text(row.get("name")): row for row in rows[part]} for part in ("params", "vars")
        )
        meta = struct.get("meta")
        extra = {name: value for name, value in struct.items() if name not in (*PARTS, "meta")}
        net = cls(layers, params, variables, meta if isinstance(meta, Mapping) else {}, extra)
        read = {part: struct[part] for part in PARTS if rows[part]}
        net._shape = {  # the fields of a single struct are its keys
            part: (getattr(value, "shape", (1, 1)), tuple(getattr(value, "fields", value)))
            for part, value in read.items()
        }
        net._shape |= {"order": list(struct), "meta": meta}
        used = fan_out(net)
        for layer in net:
            if isinstance(layer, UnknownBlock) and is_loss(str(layer.type)):
                layer.left_out = not any(used[name] for name in layer.outputs)
                if layer.left_out:
                    _log.warning("%s: %s", net.label(layer), layer.remark())
        return net.eval()

    def to_matlab(self) -> dict[str, Any]:
        """The network as MATLAB's struct, with the current parameters, in the layout that was read.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/saveobj.m
        """
        params = []
        for name, param in self._params.items():
            empty = 0 in param.shape
            value = np.zeros(param.shape) if empty else self.param_to_matlab(name, self.param(name))
            row = {"name": name, "value": value.astype(param.dtype, copy=False), "learningRate": _ONE}
            params.append({**row, "weightDecay": _ONE, **param.fields})
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

    @property
    def variable_names(self) -> list[str]:
        """All variables that are an input or output of a layer, in MATLAB's order."""
        used = dict.fromkeys(name for layer in self for name in (*layer.inputs, *layer.outputs))
        return [*(name for name in self._vars if name in used), *(n for n in used if n not in self._vars)]

    @property
    def param_names(self) -> list[str]:
        """All parameters."""
        return list(self._params)

    def param(self, name: str) -> Tensor:
        """A parameter in torch's layout; ArgumentError where there is none of that name."""
        return self.values[self._params[known_name(name, self._params, "parameter")].place]

    def param_fields(self, name: str) -> dict[str, Any]:
        """A parameter's other MATLAB fields, learningRate and weightDecay: a dict to read and change."""
        return self._params[known_name(name, self._params, "parameter")].fields

    def param_to_matlab(self, name: str, tensor: Tensor) -> np.ndarray:
        """A tensor of a parameter's shape (e.g. a derivative) as an array of MATLAB's shape."""
        param = self._params[known_name(name, self._params, "parameter")]
        return param.kind.to_matlab(tensor, param.shape)

    @property
    def input_names(self) -> list[str]:
        """Variables that are not an output of any layer."""
        made = {name for layer in self for name in layer.outputs}
        return [name for name in self.variable_names if name not in made]

    @property
    def output_names(self) -> list[str]:
        """Variables that are not an input of any layer."""
        used = fan_out(self)
        return [name for name in self.variable_names if name not in used]

    @property
    def _working(self) -> list[DagLayer]:
        return [layer for layer in self if not isinstance(layer, Loss) and not layer.left_out]

    @property
    def result_names(self) -> list[str]:
        """The variables that a forward pass returns: those that no layer uses, losses apart."""
        used = fan_out(self._working)
        made = dict.fromkeys(name for layer in self._working for name in layer.outputs)
        return [name for name in made if name not in used]

    def layer(self, layer: str | int) -> DagLayer:
        """The layer of that name or position; ArgumentError where there is none."""
        if isinstance(layer, int):
            return self.layers[layer]  # type: ignore[return-value]
        return self.layers[known_name(layer, self.names, "layer", list.index)]  # type: ignore

    __getitem__ = layer

    def precious(self, variable: str) -> bool:
        """MATLAB's flag `precious`: keep this variable when memory is conserved."""
        try:
            return bool(np.any(self._vars.get(variable, {}).get("precious", False)))
        except (TypeError, ValueError):
            raise NetworkFormatError(f"variable {variable!r}: its field precious is not a flag") from None

    def variables(
        self, inputs: Mapping[str, Tensor] | Tensor, *, conserve_memory: bool = False
    ) -> dict[str, Tensor]:
        """Every variable by its name, in MATLAB's order.

        Layers of an unknown type, and those whose inputs are missing, are skipped.

        inputs: name -> tensor (N, C, H, W), labels (from 0) for losses; a single tensor is taken as the one
        input that other layers than losses use. conserve_memory: keeps only outputs and precious variables,
        as MatConvNet's conserveMemory does.

        Raises ArgumentError: no such variable. NetworkFormatError: maps that do not fit a layer; names it.
        Ported from: matconvnet/matlab/+dagnn/@DagNN/eval.m
        """
        held = self._named_inputs(inputs)
        pending = fan_out(self)
        for index in self.order:
            layer = self[index]
            if isinstance(layer, UnknownBlock) or any(name not in held for name in layer.inputs):
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
            used = fan_out(self._working)
            images = [name for name in self.input_names if name in used]
            if len(images) != 1:
                raise ArgumentError(f"the network has inputs {', '.join(images)}: give them by name")
            return {images[0]: inputs}
        for name in inputs:
            known_name(name, self.variable_names, "variable")
        return dict(inputs)

    def _step(self, layer: DagLayer, inputs: list[Tensor]) -> Tensor:
        params = [self.param(name).to(inputs[0].dtype) for name in layer.params]
        try:
            return layer(inputs, params)
        except ArgumentError as error:
            raise NetworkFormatError(f"{self.label(layer)}: {error}") from error

    def label(self, layer: DagLayer) -> str:
        """A layer in error messages: its number, in the order of execution from 1, as in the table."""
        number = next(place for place, index in enumerate(self.order, 1) if self.layers[index] is layer)
        return f"layer {number} '{layer.name}' ({layer.type})"

    def forward(self, inputs: Mapping[str, Tensor] | Tensor, *, output: str | None = None) -> Any:
        """The network's results, without losses: a tensor, or a dict of tensors where there are several.

        inputs: as for `variables`; output: the name of the variable to return; default: `result_names`.
        Raises what `variables` raises; UnknownLayerError where a layer of unknown type is needed;
        ArgumentError where an input is missing.
        """
        wanted = [output] if output is not None else self.result_names
        for name in wanted:
            known_name(name, self.variable_names, "variable")
        found = self.variables(inputs, conserve_memory=output is None)
        missing = [name for name in wanted if name not in found]
        if missing:
            self._refuse_unknown(missing)
            absent = [name for name in self.input_names if name not in self._named_inputs(inputs)]
            raise ArgumentError(f"{', '.join(missing)} cannot be computed without {', '.join(absent)}")
        return found[wanted[0]] if len(wanted) == 1 else {name: found[name] for name in wanted}

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        """UnknownLayerError where the variables depend on a layer of unknown type; names the first one."""
        needed = set(names)
        for index in reversed(self.order):
            layer = self[index]
            if needed.intersection(layer.outputs):
                needed.update(layer.inputs)
        for layer in (self[index] for index in self.order):
            if isinstance(layer, UnknownBlock) and needed.intersection(layer.outputs):
                raise UnknownLayerError(f"{self.label(layer)}: {layer.remark()}")

    def shapes(self, layer: DagLayer) -> list[tuple[int, ...]]:
        """MATLAB's shapes of a layer's parameters."""
        return [self._params[name].shape for name in layer.params]

    def sizes(self, inputs: Mapping[str, Sequence[float]]) -> dict[str, Size]:
        """Each variable's size (H, W, C, N) for given sizes of inputs; NaN where it is unknown.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/getVarSizes.m
        """
        found: dict[str, Size] = dict.fromkeys(self.variable_names, (math.nan,) * 4)
        for name, size in inputs.items():
            found[known_name(name, found, "variable")] = (*size, 1.0, 1.0, 1.0)[:4]  # type: ignore[assignment]
        for layer in (self[index] for index in self.order):
            size = layer.output_size([found[name] for name in layer.inputs], self.shapes(layer))
            found |= dict.fromkeys(layer.outputs, size)
        return found

    def receptive_fields(self, variable: str) -> dict[str, ReceptiveField | None]:
        """Each variable's receptive field in the given one; None where it does not depend on it.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/getVarReceptiveFields.m
        """
        found: dict[str, ReceptiveField | None] = dict.fromkeys(self.variable_names)
        found[known_name(variable, found, "variable")] = PIXEL
        for layer in (self[index] for index in self.order):
            for name, field in zip(layer.inputs, layer.receptive_fields(self.shapes(layer)), strict=True):
                before = found[name]
                if before is None or field is None:
                    continue
                here = before.then(field)
                for output in layer.outputs:
                    known = found[output]
                    found[output] = here if known is None else known.merged(here)
        return found

    def rename_variable(self, old: str, new: str) -> None:
        """Renames a variable; if `new` exists already, the two become one. ArgumentError: no such variable.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/renameVar.m
        """
        known_name(old, self.variable_names, "variable")
        exists = new in self.variable_names
        for layer in self:
            layer.inputs = [new if name == old else name for name in layer.inputs]
            layer.outputs = [new if name == old else name for name in layer.outputs]
        self._vars = {
            (new if name == old else name): ({**fields, "name": new} if name == old else fields)
            for name, fields in self._vars.items()
            if not (exists and name == old)
        }

    def rename_param(self, old: str, new: str) -> None:
        """Renames a parameter. ArgumentError: no such parameter, or the new name is taken.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/renameParam.m
        """
        fields = self.param_fields(old)
        if new in self._params:
            raise ArgumentError(f"there is already a parameter {new!r}")
        for layer in self:
            layer.params = [new if name == old else name for name in layer.params]
        self._params = {new if name == old else name: param for name, param in self._params.items()}
        if "name" in fields:
            fields["name"] = new

    def rename_layer(self, old: str, new: str) -> None:
        """Renames a layer. ArgumentError: no such layer, or the new name is taken.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/renameLayer.m
        """
        if new in self.names:
            raise ArgumentError(f"there is already a layer {new!r}")
        self.layer(old).name = new

    def set_layer_inputs(self, layer: str, inputs: Sequence[str]) -> None:
        """Gives a layer other inputs. Ported from: matconvnet/matlab/+dagnn/@DagNN/setLayerInputs.m"""
        self.layer(layer).inputs = list(inputs)

    def remove_layer(self, *names: str) -> None:
        """Removes layers, and the variables and parameters that no other layer uses.

        Ported from: matconvnet/matlab/+dagnn/@DagNN/removeLayer.m
        """
        removed = [self.layer(name) for name in names]
        self.layers = [layer for layer in self if layer not in removed]  # type: ignore[assignment]
        used, left = {name for layer in self for name in layer.params}, set(self.variable_names)
        self._params = {name: param for name, param in self._params.items() if name in used}
        self._vars = {name: fields for name, fields in self._vars.items() if name in left}

    def add_layer(
        self,
        name: str,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        block: Mapping[str, Any] | None = None,
        params: Mapping[str, np.ndarray | None] | None = None,
    ) -> None:
        """Adds a layer of a block type such as 'dagnn.Conv'.

        block: its properties, as MATLAB values; params: name -> MATLAB's array, in the block's order (None
        for a parameter that the network has). ArgumentError where the layer's name is taken.
        Ported from: matconvnet/matlab/+dagnn/@DagNN/addLayer.m
        """
        if name in self.names:
            raise ArgumentError(f"there is already a layer {name!r}")
        names = {"inputs": inputs, "outputs": outputs, "params": params or {}}
        description = {key: cell_row(list(found)) for key, found in names.items()}
        described = {"name": name, "type": kind, **description, "block": dict(block or {})}
        layer = make_dag_layer(described, len(self))
        execution_order([*self, layer])
        given = {key: array for key, array in (params or {}).items() if array is not None}
        new = {key: {"name": key, "value": array} for key, array in given.items()}
        missing = [param for param in layer.params if param not in new and param not in self._params]
        if missing:
            raise NetworkFormatError(f"{layer.label()}: there is no parameter {missing[0]!r}")
        self.layers.append(layer)
        self._set_params(new)
        self._shape = {key: self._shape[key] for key in ("order", "meta") if key in self._shape}
