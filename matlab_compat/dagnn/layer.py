"""The base class of DagNN layers (names, the block's MATLAB properties) and the registry of block types.

A block type is a subclass of `DagLayer` with a decorator:

    @register_block("dagnn.Sum")
    class Sum(DagLayer):
        def forward(self, inputs, params): ...     # lists of tensors -> the output

`properties`: the block's MATLAB properties with their defaults; `kinds`: the forms of its parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from matlab_compat.dagnn.graph import PIXEL, UNKNOWN, ReceptiveField, Shapes, Size
from matlab_compat.errors import ArgumentError, NetworkFormatError, did_you_mean, located
from matlab_compat.matfile.classes import cells
from matlab_compat.matfile.values import MatObject, cell_list, describe, text as matlab_text
from matlab_compat.simplenn.base import MatlabFields, WeightKind
from matlab_compat.simplenn.layer import AnyLayer, registering, unknown_text
from matlab_compat.simplenn.tidy import cell_row, with_rows


class DagLayer(MatlabFields):
    """One layer: a module from lists of inputs and parameters (torch's layout) to its one output.

    Attributes: `name`, `type` ('dagnn.Conv'), `inputs`, `outputs`, `params` (lists of names), `fields` (the
    block's properties as MATLAB stored them, in order). These and the properties may be assigned.
    """

    ignored: ClassVar[frozenset[str]] = frozenset()  # properties of old files that are dropped
    kinds: ClassVar[tuple[WeightKind, ...]] = ()
    trainable: ClassVar[tuple[bool, ...]] = ()  # of each parameter; all, if empty
    type: str  # type: ignore[assignment]  # hides Module.type()

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = matlab_text(description.get("name", ""))
        self.type = matlab_text(description["type"])  # type: ignore[assignment]  # hides Module.type()
        given = (description.get(kind, []) for kind in ("inputs", "outputs", "params"))
        self.inputs, self.outputs, self.params = (
            [names] if isinstance(names, str) and names else [matlab_text(name) for name in cell_list(names)]
            for names in given
        )
        self.description = dict(description)
        block = description.get("block", {})
        block = block.properties if isinstance(block, MatObject) else block
        self._fields = with_rows(block) if isinstance(block, Mapping) else {}
        self.check()
        self._configure()

    @property
    def block(self) -> "DagLayer":
        """The layer itself, whose attributes are the block's properties: MATLAB's layer.block.stride."""
        return self

    def field_names(self) -> list[str]:
        return [*self.properties, *self._fields, "name", "inputs", "outputs", "params"]

    def set_field(self, name: str, value: Any) -> None:
        if name not in ("inputs", "outputs", "params"):
            super().set_field(name, value)
            return
        names = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(each, str) for each in names) or (name == "outputs" and len(names) != 1):
            raise ArgumentError(f"{name} of {self.label()}: expected names, of one output; got {value!r:.80}")
        self.__dict__[name] = names

    def check(self) -> None:
        """ArgumentError for properties, or numbers of inputs and outputs, that the block does not have."""
        known = [*self.properties, *self.ignored]
        for name in self.fields:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ArgumentError(f"no property {name!r}{hint or '.'} Known: {', '.join(known) or 'none'}")
        if len(self.outputs) != 1 or not self.inputs:
            raise ArgumentError(f"inputs {self.inputs}, outputs {self.outputs}: expected inputs, one output")

    def forward(self, inputs: Sequence[Tensor], params: Sequence[Tensor]) -> Tensor:
        """The layer's output, (N, C, H, W), from its inputs and parameters."""
        return self.compute(inputs[0], *params)

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        """Size (H, W, C, N) of the output, from the inputs' sizes and the parameters' MATLAB shapes."""
        return sizes[0]

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        """The receptive field of an output pixel in each input; None where it is independent of it."""
        return [PIXEL] * len(self.inputs)

    def in_first_input(self, field: ReceptiveField) -> list[ReceptiveField | None]:
        """The receptive fields of a layer whose output depends on its first input alone."""
        return [field] + [None] * (len(self.inputs) - 1)

    def to_matlab(self) -> dict[str, Any]:
        """The layer's element of the struct array `layers`."""
        names = {"inputs": self.inputs, "outputs": self.outputs, "params": self.params}
        cells = {kind: _cells_like(self.description.get(kind), found) for kind, found in names.items()}
        block = dict(self.fields) or self.description.get("block", {})
        made = {"name": self.name, "type": self.type, **cells, "block": block}
        return {**self.description, **made}

    def label(self) -> str:
        """How errors name the layer."""
        return f"layer '{self.name}' ({self.type})"

    def extra_repr(self) -> str:
        """The names, for print(net)."""
        return f"{self.name!r}: {', '.join(self.inputs)} -> {', '.join(self.outputs)}"


def _cells_like(stored: Any, names: list[str]) -> np.ndarray:
    """A cell row of names, or a cell of the stored shape where that fits (columns, 0 x 0)."""
    if isinstance(stored, np.ndarray) and stored.size == len(names):
        return cells(stored.shape, names) if names else stored
    return cell_row(list(names))


class UnknownBlock(DagLayer):
    """A layer of a block type that is not registered: kept as it is; what depends on it cannot be run."""

    def check(self) -> None:
        """Nothing is known."""

    def remark(self) -> str:
        """What becomes of the layer when the network runs."""
        if self.left_out:
            return "a loss of training that is not known here; it is left out"
        kind = str(self.type)
        removal = f"net.remove_layer({self.name!r})"
        return unknown_text(kind, _BLOCKS, removal, "matlab_compat.dagnn.register_block")

    def output_size(self, sizes: Sequence[Size], shapes: Shapes) -> Size:
        """Unknown."""
        return np.nan, np.nan, np.nan, np.nan

    def receptive_fields(self, shapes: Shapes) -> list[ReceptiveField | None]:
        """Unknown."""
        return [UNKNOWN] * len(self.inputs)


_BLOCKS: dict[str, type[DagLayer]] = {}


def register_block(*types: str) -> Callable[[AnyLayer], AnyLayer]:
    """Class decorator: blocks of these MATLAB classes are read as this class."""
    return registering(_BLOCKS, types)


def make_dag_layer(description: Any, index: int) -> DagLayer:
    """The layer that one element of the struct array `layers` describes.

    A block type that is not registered gives an `UnknownBlock`. Raises NetworkFormatError, naming the layer,
    for invalid properties.
    """
    if not isinstance(description, Mapping) or "type" not in description:
        raise NetworkFormatError(f"layer {index + 1} has no field type: found {describe(description)}")
    kind = matlab_text(description["type"])
    with located(f"layer {index + 1} '{matlab_text(description.get('name', ''))}' ({kind})"):
        return _BLOCKS.get(kind, UnknownBlock)(description)
