"""The graph of a DagNN: the order of execution, and receptive fields."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
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


def execution_order(layers: Sequence[Node]) -> list[int]:
    """Positions of the layers in the order in which MatConvNet runs them.

    A layer's depth is the length of the longest path from it to an output; the deepest come first, those of
    equal depth in the order of the list. Raises NetworkFormatError where the graph has a cycle.
    Ported from: matconvnet/matlab/+dagnn/@DagNN/rebuild.m
    """
    users: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for variable in layer.inputs:
            users.setdefault(variable, []).append(index)
    children = [[child for name in layer.outputs for child in users.get(name, [])] for layer in layers]
    try:
        order = list(TopologicalSorter(dict(enumerate(children))).static_order())
    except CycleError as error:
        names = ", ".join(layers[index].name for index in error.args[1][:8])
        raise NetworkFormatError(f"the network's graph has a cycle: see layers {names}") from None
    depth = [0] * len(layers)
    for index in order:  # children first
        depth[index] = 1 + max((depth[child] for child in children[index]), default=0)
    return sorted(range(len(layers)), key=lambda index: -depth[index])


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
