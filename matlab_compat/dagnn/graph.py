"""The graph of a DagNN: order of execution, uses of variables, sizes, receptive fields.

Works on anything with `inputs` and `outputs` (lists of variable names).
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from matlab_compat.errors import NetworkFormatError

Size = tuple[float, float, float, float]  # height, width, channels, number, as MATLAB orders them
Shapes = Sequence[tuple[int, ...]]  # of a layer's parameters, in MATLAB


class Node(Protocol):
    """A layer as a node of the graph."""

    name: str
    inputs: list[str]
    outputs: list[str]


def _children(layers: Sequence[Node]) -> list[list[int]]:
    """For each layer, the layers that use one of its outputs."""
    users: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for variable in layer.inputs:
            users.setdefault(variable, []).append(index)
    return [[child for name in layer.outputs for child in users.get(name, [])] for layer in layers]


def execution_order(layers: Sequence[Node]) -> list[int]:
    """Positions of the layers in the order in which MatConvNet runs them.

    A layer's depth is the length of the longest path from it to an output; the deepest come first, those of
    equal depth in the order of the list. Raises NetworkFormatError where the graph has a cycle.
    Ported from: matconvnet/matlab/+dagnn/@DagNN/rebuild.m
    """
    children = _children(layers)
    parents: list[list[int]] = [[] for _ in layers]
    open_children = [len(found) for found in children]
    for index, found in enumerate(children):
        for child in found:
            parents[child].append(index)
    depth = [0] * len(layers)
    ready = [index for index, count in enumerate(open_children) if count == 0]
    heapq.heapify(ready)
    done = 0
    while ready:
        index = heapq.heappop(ready)
        done += 1
        depth[index] = 1 + max((depth[child] for child in children[index]), default=0)
        for parent in parents[index]:
            open_children[parent] -= 1
            if open_children[parent] == 0:
                heapq.heappush(ready, parent)
    if done < len(layers):
        stuck = [layers[index].name for index in range(len(layers)) if depth[index] == 0]
        raise NetworkFormatError(f"the network's graph has a cycle: see layers {', '.join(stuck[:8])}")
    return sorted(range(len(layers)), key=lambda index: -depth[index])


def fan_in(layers: Iterable[Node]) -> Counter[str]:
    """How many layers have each variable as an output."""
    return Counter(name for layer in layers for name in layer.outputs)


def fan_out(layers: Iterable[Node]) -> Counter[str]:
    """How many layers have each variable as an input (a layer that names it twice counts once)."""
    return Counter(name for layer in layers for name in set(layer.inputs))


def variable_sizes(
    layers: Sequence[Node],
    order: Sequence[int],
    inputs: Mapping[str, Sequence[float]],
    of_layer: Callable[[int, list[Size]], Size],
) -> dict[str, Size]:
    """Each variable's size for given sizes of inputs (trailing ones may be omitted); NaN where unknown.

    of_layer: maps a layer's position and the sizes of its inputs to the size of its output.
    Ported from: matconvnet/matlab/+dagnn/@DagNN/getVarSizes.m
    """
    unknown: Size = (np.nan, np.nan, np.nan, np.nan)
    found = dict.fromkeys((name for layer in layers for name in (*layer.inputs, *layer.outputs)), unknown)
    for name, size in inputs.items():
        found[name] = (*size, 1.0, 1.0, 1.0)[:4]  # type: ignore[assignment]
    for index in order:
        layer = layers[index]
        size = of_layer(index, [found[name] for name in layer.inputs])
        found |= dict.fromkeys(layer.outputs, size)
    return found


class ReceptiveField(NamedTuple):
    """Size, step and centre (counted from 1), each (vertical, horizontal), in pixels; NaN where unknown."""

    size: np.ndarray
    stride: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, size: Sequence[float], stride: Sequence[float], offset: Sequence[float]) -> "ReceptiveField":
        """From three pairs of numbers."""
        return cls(*(np.array(pair, dtype=np.float64) for pair in (size, stride, offset)))

    def then(self, other: "ReceptiveField") -> "ReceptiveField":
        """The field, in this layer's input, of a layer that has the field `other` in this layer's output."""
        return ReceptiveField(
            self.stride * (other.size - 1) + self.size,
            self.stride * other.stride,
            self.stride * (other.offset - 1) + self.offset,
        )

    def merged(self, other: "ReceptiveField") -> "ReceptiveField":
        """The smallest field that covers both; unknown where their steps differ."""
        unknown = np.isnan(self.size).any() or np.isnan(other.size).any()
        if unknown or not np.array_equal(self.stride, other.stride):
            return UNKNOWN
        reach = [(field.size - 1) / 2 for field in (self, other)]
        first = np.minimum(self.offset - reach[0], other.offset - reach[1])
        last = np.maximum(self.offset + reach[0], other.offset + reach[1])
        return ReceptiveField(last - first + 1, self.stride, (first + last) / 2)


UNKNOWN = ReceptiveField.of([np.nan] * 2, [np.nan] * 2, [np.nan] * 2)
PIXEL = ReceptiveField.of([1, 1], [1, 1], [1, 1])


def receptive_fields(
    layers: Sequence[Node],
    order: Sequence[int],
    variable: str,
    of_layer: Callable[[int], Sequence[ReceptiveField | None]],
) -> dict[str, ReceptiveField | None]:
    """Each variable's receptive field in `variable`; None for variables that do not depend on it.

    of_layer: maps a layer's position to the fields of its output in each input (None: independent of it).
    Ported from: matconvnet/matlab/+dagnn/@DagNN/getVarReceptiveFields.m
    """
    found: dict[str, ReceptiveField | None] = {name: None for layer in layers for name in layer.inputs}
    found |= {name: None for layer in layers for name in layer.outputs}
    found[variable] = PIXEL
    for index in order:
        layer = layers[index]
        for name, field in zip(layer.inputs, of_layer(index), strict=True):
            before = found[name]
            if before is None or field is None:
                continue
            here = before.then(field)
            for output in layer.outputs:
                known = found[output]
                found[output] = here if known is None else known.merged(here)
    return found
