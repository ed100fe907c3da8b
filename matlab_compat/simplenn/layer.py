"""The base class of SimpleNN layers (fields, weights and their MATLAB form) and the registry of types.

A new layer type is a subclass of `Layer` with a decorator:

    @register_custom("layerVLAD")             # or @register_layer("conv"): by class name, or by type
    class VLAD(Layer):
        weight_specs = (WeightSpec("assign", FILTERS), WeightSpec("offset", FILTERS))

        def forward(self, x): ...             # (N, C, H, W) -> (N, C', H', W')

`weight_specs` names the weights in MATLAB's order; each becomes a parameter (or buffer) of that name.
"""

import copy
import re
from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError, UnknownLayerError, did_you_mean, located
from matlab_compat.matfile.values import MatObject, cell_list, describe, text as matlab_text
from matlab_compat.simplenn import base
from matlab_compat.simplenn.tidy import cell_row, layer_label, layer_type, with_rows


class Layer(base.MatlabFields):
    """One layer of a SimpleNN: a module on (N, C, H, W) tensors that keeps the fields that MATLAB stored.

    Attributes: `name` and `type` as in MATLAB ('custom' for class objects), `classname` (of custom layers,
    else ''), `fields` (all other MATLAB fields in order, read-only). Each field is an attribute, too, which
    may be assigned: `layer.stride = 2`, `layer.weights[0] = array`. Weights are parameters of their MATLAB
    class in torch's layout; a forward pass computes in the class of its input.
    """

    weight_specs: ClassVar[tuple[base.WeightSpec, ...]] = ()

    def __init__(
        self, fields: Mapping[str, Any], classname: str = "", is_object: bool = False, shared: bool = False
    ) -> None:
        super().__init__()
        self.name = matlab_text(fields.get("name", ""))
        self.type = layer_type(fields)  # type: ignore[assignment]  # hides Module.type(), which casts
        self.classname = classname
        self._is_object = is_object
        self._order = list(fields)
        self._unwritten_name: str | None = None
        held = {"name", "type", *(["weights"] if self.weight_specs else [])}
        self._fields = with_rows({name: value for name, value in fields.items() if name not in held})
        self._stored: list[tuple[tuple[int, ...], np.dtype]] = []
        if self.weight_specs:
            given = fields.get("weights", [])
            self._read_weights(list(given) if isinstance(given, tuple) else cell_list(given), shared)
        self._configure()
        self.check_weights()

    def _check_count(self, arrays: Sequence[Any]) -> None:
        if len(arrays) != len(self.weight_specs):
            names = ", ".join(spec.name for spec in self.weight_specs) or "none"
            raise ArgumentError(f"{len(arrays)} weights; expected {len(self.weight_specs)} ({names})")

    def _read_weights(self, arrays: list[Any], shared: bool) -> None:
        self._check_count(arrays)
        for position, spec in enumerate(self.weight_specs):
            array, arrays[position] = _matlab_array(arrays[position], spec, (0, 0)), None
            self._stored.append((array.shape, array.dtype))
            self._put(spec, self._tensor(spec, array, shared))

    def _put(self, spec: base.WeightSpec, tensor: Tensor | None, grad: bool = True) -> None:
        """Makes a tensor the weight of that name; 'body.weight' is one of the layer's module `body`."""
        owner, _, name = spec.name.rpartition(".")
        module = self.get_submodule(owner)
        kept, other = module._parameters, module._buffers
        if spec.trainable:
            other.pop(name, None)
            kept[name] = None if tensor is None else nn.Parameter(tensor, grad)
        else:
            kept.pop(name, None)
            other[name] = tensor

    def _tensor(self, spec: base.WeightSpec, array: np.ndarray, shared: bool = False) -> Tensor | None:
        if array.size == 0:
            return None
        tensor = spec.kind.to_torch(array)
        if not tensor.is_floating_point():
            return tensor.float()
        return tensor.clone() if not shared and np.may_share_memory(tensor.numpy(), array) else tensor

    def set_weight(self, position: int, value: Any) -> None:
        """Replaces one weight; networks that share the old one keep it.

        value: an array of MATLAB's shape, or a tensor in torch's layout, as `weights` returns it; None or []
        for none. It takes the class of the weight it replaces. Whether weights fit each other is checked when
        the layer runs or is saved. Raises ArgumentError for an array in torch's layout, or of no such form.
        """
        spec, old = self.weight_specs[position], self.weights[position]
        shape, dtype = self._stored[position]
        if isinstance(value, np.ndarray) and old is not None and spec.kind is base.FILTERS:
            base.refuse_torch_order(spec.name, value, self.weight_shapes()[position], tuple(old.shape))
        array = _matlab_array(value, spec, shape)
        if array.size and array.dtype.kind not in "biuf":
            raise ArgumentError(f"{spec.name}: expected numbers, found {describe(value)}")
        kept = [kind for size, kind in self._stored if 0 not in size]
        dtype = dtype if 0 not in shape else kept[0] if kept else np.dtype(np.float32)
        array = np.atleast_2d(array).astype(dtype)
        tensor = self._tensor(spec, array)
        if tensor is not None and old is not None:
            tensor = tensor.to(old.device)
        self._stored[position] = (array.shape, dtype)
        self._put(spec, tensor, old is None or old.requires_grad)

    def check_weights(self) -> None:
        """ArgumentError for weights that do not fit each other; runs before they are used or saved."""

    def field_names(self) -> list[str]:
        names = [*self._fields, *self.properties, "name", *base.RATES, "weights", "momentum", "precious"]
        return list(dict.fromkeys(names))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return self.compute(x, *self.weights_for(x))

    def channels_out(self, channels: int | None) -> int | None:
        """Output channels for given input channels (None: unknown); ArgumentError where they do not fit."""
        return channels

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...] | None:
        """Output size (H, W, C, N) of a custom layer for an input size; None where it is unknown."""
        return None

    @classmethod
    def recognises(cls, fields: Mapping[str, Any]) -> bool:
        """Whether a plain struct of type 'custom' that names no class belongs to this one."""
        return False

    def set_field(self, name: str, value: Any) -> None:
        if name == "weights" and not isinstance(self, UnknownLayer):
            self._check_count(value)
            for position, weight in enumerate(value):
                self.set_weight(position, weight)
            return
        self.check_field(name, value)
        super().set_field(name, value)
        if name in self._fields and name not in self._order:
            self._order.append(name)

    def check_field(self, name: str, value: Any) -> None:
        """ArgumentError for a value that a field cannot have."""
        if value is None or np.size(value) == 0 or isinstance(self, UnknownLayer):
            return
        if name in base.RATES:
            numbers = np.asarray(value)
            if numbers.dtype.kind not in "biuf" or numbers.size < len(self.weight_specs):
                raise ArgumentError(
                    f"{name} of '{self.name}' must be {len(self.weight_specs)} numbers; got {value!r:.80}"
                )
        if name == "precious" and (np.size(value) != 1 or np.asarray(value).dtype.kind not in "biuf"):
            raise ArgumentError(f"precious of layer '{self.name}' must be true or false; got {value!r:.80}")

    def write_only(self, names: Sequence[str]) -> None:
        """Limits what `to_matlab` writes to these fields, in this order (a file's own, without tidying's)."""
        self._order = list(names)
        self._unwritten_name = self.name if "name" not in self._order else None

    def copy(self) -> "Layer":
        """A copy of the layer whose MATLAB fields are its own; the weights are shared."""
        twin = copy.copy(self)
        twin._fields, twin._order, twin._stored = dict(self._fields), list(self._order), list(self._stored)
        twin._parameters, twin._buffers = dict(self._parameters), dict(self._buffers)
        return twin

    @property
    def precious(self) -> bool:
        """MATLAB's flag `precious`: keep this layer's output when memory is conserved."""
        return bool(np.any(self._fields.get("precious", False)))

    @property
    def weights(self) -> MutableSequence[Tensor | None]:
        """The weights in MATLAB's order, in torch's layout; None where MATLAB has []. See `set_weight`."""
        return _Weights(self)

    def weights_for(self, x: Tensor) -> list[Tensor | None]:
        """The weights in the floating-point class of x, to compute with."""
        self.check_weights()
        return [None if weight is None else weight.to(x.dtype) for weight in self.weights]

    def weights_to_matlab(self, tensors: Sequence[Tensor | None] | None = None) -> list[np.ndarray]:
        """Weights, or tensors of their shapes (derivatives), as arrays of the shape and class read."""
        given = self.weights if tensors is None else tensors
        found = []
        for spec, tensor, (shape, dtype) in zip(self.weight_specs, given, self._stored, strict=True):
            if tensor is None:
                found.append(np.zeros(shape if 0 in shape else (0, 0), dtype))
            else:
                found.append(spec.kind.to_matlab(tensor, shape).astype(dtype, copy=False))
        return found

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """MATLAB's shape of each weight."""
        shapes: list[tuple[int, ...]] = []
        for spec, tensor, (shape, _) in zip(self.weight_specs, self.weights, self._stored, strict=True):
            if tensor is None:
                shapes.append((0, 0))
            elif tensor.numel() == np.prod(shape):
                shapes.append(shape)
            else:
                shapes.append(spec.kind.to_matlab(tensor, shape).shape)
        return shapes

    def to_matlab(self, classes: bool = False) -> dict[str, Any] | MatObject:
        """The layer as MATLAB stores it: the fields that were read, with the current weights.

        A class object becomes a plain struct that names its class in the field class__; with `classes`, every
        layer whose class is known becomes a class object.
        """
        self.check_weights()
        values = {"name": self.name, "type": self.type, **self._fields}
        if self.weight_specs:
            values["weights"] = cell_row(list(self.weights_to_matlab()))
        renamed = self._unwritten_name not in (None, self.name)
        order = [*self._order, "name"] if renamed else self._order
        struct = {name: values[name] for name in order if name in values}
        if classes and self.classname:
            struct.pop(base.CLASS_FIELD, None)
            return MatObject(self.classname, struct)
        if self._is_object:  # a struct must have what an object's class defines
            defaults = {name: values[name] for name in ("type", "name") if name not in struct}
            return {base.CLASS_FIELD: self.classname, **defaults, **struct}
        return struct

    def extra_repr(self) -> str:
        return f"{self.name!r}, {self.classname or self.type}"


class _Weights(MutableSequence[Tensor | None]):
    """A layer's weights; to assign one is `set_weight`."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __len__(self) -> int:
        return len(self._layer.weight_specs)

    def __getitem__(self, position: Any) -> Any:
        return [attrgetter(spec.name)(self._layer) for spec in self._layer.weight_specs][position]

    def __setitem__(self, position: Any, value: Any) -> None:
        count = len(self)
        if not isinstance(position, int) or not -count <= position < count:
            kind = self._layer.classname or self._layer.type
            raise ArgumentError(f"a layer of type {kind} has {count} weights here, none at {position}")
        self._layer.set_weight(position % count, value)

    def __delitem__(self, position: Any) -> None:
        raise ArgumentError("the number of a layer's weights is fixed: assign [] for none")

    def insert(self, position: int, value: Any) -> None:
        self.__delitem__(position)

    def __repr__(self) -> str:
        return repr(self[:])


def _matlab_array(value: Any, spec: base.WeightSpec, shape: tuple[int, ...]) -> np.ndarray:
    """A weight as MATLAB's array; a tensor has torch's layout, and gets the shape if that fits."""
    if value is None:
        return np.zeros((0, 0))
    return spec.kind.to_matlab(value.detach(), shape) if isinstance(value, Tensor) else np.asarray(value)


AnyLayer = TypeVar("AnyLayer", bound=type[nn.Module])
_TYPES: dict[str, type[Layer]] = {}
_CUSTOM: dict[str, type[Layer]] = {}


def registering(registry: dict[str, Any], names: Sequence[str]) -> Callable[[AnyLayer], AnyLayer]:
    """A class decorator: the registry has the class under each of the names."""

    def register(cls: AnyLayer) -> AnyLayer:
        registry.update(dict.fromkeys(names, cls))
        return cls

    return register


def register_layer(*types: str) -> Callable[[AnyLayer], AnyLayer]:
    """Class decorator: layers of these MatConvNet types are read as this class."""
    return registering(_TYPES, types)


def register_custom(*classnames: str) -> Callable[[AnyLayer], AnyLayer]:
    """Class decorator: custom layers of these MATLAB classes are read as this class."""
    return registering(_CUSTOM, classnames)


def is_loss(kind: str) -> bool:
    """Whether the name of a type or class says that it is a loss or a measure."""
    return re.search("loss|error|objective|accuracy|metric", kind, re.IGNORECASE) is not None


def unknown_text(kind: str, known: Iterable[str], removal: str, registry: str) -> str:
    """Why a layer of an unknown type cannot be run, and the two ways out."""
    return (
        f"'{kind}' is not known here, so the layer can be shown, edited and saved, but not run: remove it "
        f"with {removal}, or register a class for it with {registry}({kind!r}) before loading the network"
        f"{did_you_mean(kind, known)}"
    )


class UnknownLayer(Layer):
    """A layer of a type or class that is not registered: kept as it is stored, and refused when it is run.

    One that is left out passes its input on.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.left_out:
            return x
        raise UnknownLayerError(self.remark())

    def remark(self) -> str:
        """What becomes of the layer when the network runs."""
        if self.left_out:
            return "a loss of training that is not known here; it is left out"
        if self.type == "custom" and not self.classname:
            return (
                "a custom layer stored as a plain struct that does not name its class, so it cannot be run; "
                f"add a field {base.CLASS_FIELD} with one of: {', '.join(sorted(_CUSTOM)) or 'none'}"
            )
        kept = f"net.with_layers([layer for layer in net if layer.name != {self.name!r}])"
        if self.type == "custom":
            return unknown_text(self.classname, _CUSTOM, kept, "matlab_compat.simplenn.register_custom")
        return unknown_text(str(self.type), _TYPES, kept, "matlab_compat.simplenn.register_layer")

    def channels_out(self, channels: int | None) -> int | None:
        """Unknown."""
        return channels if self.left_out else None

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the arrays in weights, or filters and biases."""
        weights, *held = (self.fields.get(name) for name in ("weights", "filters", "biases"))
        packed = isinstance(weights, np.ndarray) and weights.dtype == object
        found = [*(weights.ravel("F") if packed else [weights]), *held]  # type: ignore[union-attr]
        return [array.shape for array in found if isinstance(array, np.ndarray) and array.dtype != object]


def make_layer(description: Any, index: int, shared: bool = False) -> Layer:
    """The layer that a tidied description (a struct or class object) describes.

    description: as `vl_simplenn_tidy` leaves it; index: its position from 0, for errors; shared: the weights
    may use the description's memory, which the caller then no longer uses.
    A type or class that is not registered gives an `UnknownLayer`.
    Raises NetworkFormatError: invalid fields or weights; names the layer.
    """
    label = layer_label(index, description)
    is_object = isinstance(description, MatObject)
    fields = description.properties if is_object else description
    with located(label):
        kind = layer_type(fields)
        if is_object or kind == "custom":
            if is_object:
                classname = description.classname
            elif base.CLASS_FIELD in fields:
                classname = matlab_text(fields[base.CLASS_FIELD])
            else:
                found = [name for name, cls in _CUSTOM.items() if cls.recognises(fields)]
                classname = found[0] if len(found) == 1 else ""
            return _CUSTOM.get(classname, UnknownLayer)(fields, classname, is_object, shared)
        return _TYPES.get(kind, UnknownLayer)(fields, shared=shared)
