"""Supports, strides, receptive fields and data sizes of a SimpleNN's layers, as vl_simplenn_display computes
them.

Works on what a layer's description says, so on tidied MATLAB structs and on a `SimpleNN` alike, without
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matlab_compat.mat_values import MatObject, cell_list
from matlab_compat.nn_geometry import borders
from matlab_compat.simplenn_tidy import layer_type

Size = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class LayerView:
    """What the table needs of a layer: its description and the MATLAB shapes of its weights.

    `forward_size`, where known, maps a custom layer's input size (H, W, C, N) to its output size.
    """

    type: str
    name: str
    fields: Mapping[str, Any]
    weight_shapes: list[tuple[int, ...]]
    forward_size: Callable[[Any], Any] | None = None

    @property
    def filters(self) -> tuple[int, int, int, int]:
        """The size of a layer's filter bank in MATLAB: height, width, depth, count."""
        shape = self.weight_shapes[0] if self.weight_shapes else (0, 0)
        return (*shape, *(1,) * (4 - len(shape)))[:4]  # type: ignore[return-value]

    @property
    def parameters(self) -> int:
        """The number of elements of all weights."""
        return sum(int(np.prod(shape)) for shape in self.weight_shapes)


def view_struct(layer: Any) -> LayerView:
    """The view of a tidied MATLAB layer; of class objects MATLAB's isfield sees nothing, so neither do we."""
    kind = layer_type(layer)
    if isinstance(layer, MatObject) or "class__" in layer:
        return LayerView(kind, "", {}, [])
    shapes = [np.shape(weight) for weight in cell_list(layer.get("weights", []))]
    name, size = layer.get("name", ""), layer.get("getForwardSize")
    return LayerView(kind, name, layer, shapes, size if callable(size) else None)


def view_module(layer: Any, opaque_objects: bool) -> LayerView:
    """The view of a `Layer`; with `opaque_objects` a custom layer looks as a class object does in MATLAB."""
    if opaque_objects and layer.classname:
        return LayerView(layer.type, "", {}, [])
    size = layer.forward_size if layer.classname else None
    return LayerView(layer.type, layer.name, layer.fields, layer.weight_shapes(), size)


def _spread(value: Any) -> np.ndarray:
    numbers = np.ravel(np.asarray(value, dtype=np.float64), order="F")
    return np.resize(numbers, 2)


def _support(view: LayerView) -> np.ndarray:
    if view.type == "conv":
        kernel = np.maximum(view.filters[:2], 1)
        return (kernel - 1) * _spread(view.fields.get("dilate", 1)) + 1
    if view.type == "pool":
        return _spread(view.fields["pool"])
    return np.ones(2)


def _offsets(view: LayerView) -> np.ndarray:
    return np.array(borders(view.fields["pad"]), dtype=np.float64) if "pad" in view.fields else np.zeros(4)


def geometry(views: Sequence[LayerView]) -> dict[str, np.ndarray]:
    """Support, stride (2 x L: vertical, horizontal), pad (4 x L: top bottom left right), receptive fields (2
    x L).

    A receptive field is of a layer's output in the network's input: size, offset of the first one's centre
    (from 1, as MATLAB counts pixels) and step, in pixels. A transposed convolution counts as 1 x 1, as in the
    original.
    """
    count = len(views)
    support = np.array([_support(view) for view in views]).reshape(count, 2).T
    stride = np.array([_spread(view.fields.get("stride", 1)) for view in views]).reshape(count, 2).T
    pad = np.array([_offsets(view) for view in views]).reshape(count, 4).T
    steps = np.cumprod(stride, axis=1)
    before = np.concatenate([np.ones((2, min(count, 1))), steps[:, :-1]], axis=1)
    return {
        "support": support,
        "stride": stride,
        "pad": pad,
        "receptiveFieldSize": 1 + np.cumsum(before * (support - 1), axis=1),
        "receptiveFieldOffset": 1 + np.cumsum(before * ((support - 1) / 2 - pad[[0, 2]]), axis=1),
        "receptiveFieldStride": steps,
    }


def _next_size(view: LayerView, size: np.ndarray, around: dict[str, np.ndarray], index: int) -> np.ndarray:
    given = view.forward_size(size) if view.type == "custom" and view.forward_size else None
    if given is not None:
        return np.ravel(np.asarray(given, dtype=np.float64), order="F")
    pad = around["pad"][:, index]
    room = size[:2] + pad[[0, 2]] + pad[[1, 3]] - around["support"][:, index]
    following = np.array([*(np.floor(room / around["stride"][:, index]) + 1), *size[2:]])
    if view.type == "conv" and view.filters[2]:
        following[2] = view.filters[3]
    elif view.type in ("loss", "softmaxloss"):
        following[2:] = 1
    elif view.type == "custom":
        following[2] = np.nan
    return following


def data_sizes(views: Sequence[LayerView], around: dict[str, np.ndarray], size: Size) -> np.ndarray:
    """Size of the input and of each layer's output, 4 x (L+1): height, width, depth, number; NaN where
    unknown.
    """
    sizes = [np.asarray(size, dtype=np.float64)]
    for index, view in enumerate(views):
        sizes.append(_next_size(view, sizes[-1], around, index))
    return np.stack(sizes, axis=1)
