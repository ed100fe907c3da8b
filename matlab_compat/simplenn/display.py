"""The table of a network's layers: vl_simplenn_display as MATLAB prints it, and `describe` for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.mat_values import MatObject, StructArray, cell_list, text
from matlab_compat.nn_geometry import borders
from matlab_compat.simplenn_geometry import LayerView, data_sizes, geometry, view_module, view_struct
from matlab_compat.simplenn_table import FORMATS, count_text, layout, memory_text, sides_text
from matlab_compat.simplenn_tidy import layer_label, vl_simplenn_tidy

Info = dict[str, Any]

_SHORT = {"normalize": "norm", "softmax": "softmx", "softmaxloss": "softmxl"}
_BYTES = 4  # every number counts as a single


def _views(net: Any, opaque_objects: bool) -> tuple[list[LayerView], Mapping[str, Any]]:
    """Views of a network's layers, and its meta."""
    if hasattr(net, "to_matlab"):
        return [view_module(layer, opaque_objects) for layer in net.layers], net.meta
    tidy = vl_simplenn_tidy(net)
    views = [view_struct(layer) for layer in cell_list(tidy["layers"])]
    return views, tidy["meta"] if isinstance(tidy["meta"], Mapping) else {}


def _input_size(meta: Mapping[str, Any], given: Any, batch_size: Any) -> np.ndarray:
    """Height, width, depth, number: what is given, else what meta says, else NaN; the number is 1 by
    default.
    """
    size = np.array([np.nan, np.nan, np.nan, 1.0])
    if given is None or not np.size(given):
        normalization = meta.get("normalization")
        given = meta.get("inputSize")
        if given is None and isinstance(normalization, Mapping):
            given = normalization.get("imageSize")
    if given is not None:
        numbers = np.ravel(np.asarray(given, dtype=np.float64), order="F")
        if len(numbers) > 4:
            raise ArgumentError(
                f"inputSize has {len(numbers)} elements: expected height, width, depth, number"
            )
        size[: len(numbers)] = numbers
    if batch_size is not None and np.size(batch_size):
        size[3] = float(np.ravel(batch_size)[0])
    return size


def _info(views: Sequence[LayerView], size: np.ndarray) -> Info:
    info: Info = dict(geometry(views))
    info["dataSize"] = data_sizes(views, info, size)
    return info


def _type_text(view: LayerView) -> str:
    if view.type == "pool":
        return "apool" if text(view.fields.get("method", "max")).lower() == "avg" else "mpool"
    return _SHORT.get(view.type, view.type)


def _dilate_text(dilate: Any) -> str:
    """A column prints as MATLAB's %d joins its digits; a row, which the original cannot print, as its
    sides.
    """
    numbers = np.atleast_1d(np.asarray(dilate, dtype=np.float64))
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        return "".join(count_text(number) for number in numbers.ravel())
    return sides_text(numbers.ravel())


def _conv_only(value: Callable[[LayerView], str]) -> Callable[[LayerView], str]:
    return lambda view: value(view) if view.type == "conv" else "n/a"


def _rows(views: Sequence[LayerView], info: Info) -> list[list[str]]:
    """All rows of the table: a title, the input's cell, one cell a layer."""
    sizes, numbers = info["dataSize"], range(len(views) + 1)
    rule = ["-"] * (len(views) + 2)

    def described(title: str, value: Callable[[LayerView], str], first: str = "n/a") -> list[str]:
        return [title, first, *map(value, views)]

    def measured(title: str, key: str) -> list[str]:
        return [title, "n/a", *(sides_text(column) for column in info[key].T)]

    return [
        ["layer", *map(str, numbers)],
        described("type", _type_text, "input"),
        described("name", lambda view: view.name),
        rule,
        measured("support", "support"),
        described("filt dim", _conv_only(lambda view: str(view.filters[2]))),
        described("filt dilat", _conv_only(lambda view: _dilate_text(view.fields.get("dilate", 1)))),
        described("num filts", _conv_only(lambda view: str(view.filters[3]))),
        measured("stride", "stride"),
        measured("pad", "pad"),
        rule,
        measured("rf size", "receptiveFieldSize"),
        measured("rf offset", "receptiveFieldOffset"),
        measured("rf stride", "receptiveFieldStride"),
        rule,
        ["data size", *(sides_text(column) for column in sizes[:2].T)],
        ["data depth", *(count_text(depth) for depth in sizes[2])],
        ["data num", *(count_text(number) for number in sizes[3])],
        rule,
        ["data mem", *(memory_text(memory) for memory in np.prod(sizes, axis=0) * _BYTES)],
        described("param mem", lambda view: memory_text(view.parameters * _BYTES)),
    ]


def _text(views: Sequence[LayerView], info: Info, form: str, max_columns: int) -> str:
    parameters = sum(view.parameters for view in views)
    data = float(np.sum(np.prod(info["dataSize"], axis=0))) * _BYTES
    batch = count_text(info["dataSize"][3, 0])
    summary = [
        ["parameter memory", f"{memory_text(parameters * _BYTES)} ({parameters:.2g} parameters)"],
        ["data memory", f"{memory_text(data)} (for batch size {batch})"],
    ]
    return layout(_rows(views, info), form, max_columns) + layout(summary, form, max_columns)


def vl_simplenn_display(net: Any, *args: Any, nargout: int = 0, **kwargs: Any) -> Any:
    """Prints a network's layers: type, support, stride, pad, receptive field, data size, memory.

    Args:
        net: a `SimpleNN`, or the MATLAB struct of one (which is tidied first).
        inputSize: height, width, depth[, number]; default: meta.inputSize, else meta.normalization.imageSize,
            else NaN, which every size that depends on it becomes.
        batchSize: overrides the number of images (1 by default).
        maxNumColumns: layers in one table before it is continued below (18).
        format: 'ascii', 'latex' or 'csv'.
        nargout: MATLAB's number of outputs. 0 prints and returns None, 1 returns info, 2 returns (info,
        text).

    Returns:
        info: support, stride (2 x L), pad (4 x L), receptiveFieldSize, receptiveFieldOffset (from 1),
        receptiveFieldStride (2 x L), dataSize (4 x (L+1)), in pixels; text: what is printed otherwise.
        As in the original, convt counts as 1 x 1 and what follows a custom layer has depth NaN; `describe`
        knows more.

    Raises:
        ArgumentError: an option or format that is not known. NetworkFormatError: no SimpleNN.

    Ported from: matconvnet/matlab/simplenn/vl_simplenn_display.m
    """
    defaults = {"inputSize": None, "batchSize": None, "maxNumColumns": 18, "format": "ascii"}
    opts = options(defaults, args, kwargs)
    form = text(opts.format)
    if form not in FORMATS:
        raise ArgumentError(f"format '{form}' is not known; known: {', '.join(FORMATS)}")
    views, meta = _views(net, opaque_objects=True)
    _check(views)
    info = _info(views, _input_size(meta, opts.inputSize, opts.batchSize))
    if nargout == 1:
        return info
    columns = max(1, int(np.ravel(opts.maxNumColumns)[0]))
    printed = _text(views, info, form, columns)
    if nargout == 0:
        print(printed, end="")
        return None
    return info, printed


def _check(views: Sequence[LayerView]) -> None:
    """Raises NetworkFormatError, naming the layer, where a field that the table needs is missing or
    senseless.
    """
    for index, view in enumerate(views):
        label = layer_label(index, {"name": view.name, "type": view.type})
        if view.type == "pool" and "pool" not in view.fields:
            raise NetworkFormatError(f"{label}: no field pool")
        try:
            borders(view.fields.get("pad", 0))
        except ArgumentError as error:
            raise NetworkFormatError(f"{label}: {error}") from error


def meta_lines(value: Any, name: str) -> list[str]:
    """meta as 'name: value' lines: short values as they are, others by their shape and class."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in meta_lines(item, f"{name}.{key}")]
    if isinstance(value, np.ndarray) and value.dtype != object and 0 < value.size <= 8:
        shown = " ".join(f"{number:.6g}" for number in value.ravel(order="F"))
        return [f"{name}: {shown}" if value.size == 1 else f"{name}: [{shown}] ({_shape(value)})"]
    if isinstance(value, np.ndarray):
        return [f"{name}: {_shape(value)} {'cell' if value.dtype == object else value.dtype.name}"]
    if isinstance(value, StructArray | MatObject):
        return [f"{name}: {value!r}"]
    return [f"{name}: {value}"]


def _shape(value: np.ndarray) -> str:
    return "x".join(map(str, value.shape))


def describe(net: Any, input_size: Sequence[float] | None = None, batch_size: int = 1) -> tuple[Info, str]:
    """What `deepibl info` prints: the table of vl_simplenn_display with names, sizes and memory of custom
    layers, and meta.

    Args:
        net: a `SimpleNN` or the MATLAB struct of one.
        input_size: height, width[, depth] of an image; default: what meta says.
        batch_size: number of images.

    Returns:
        (info, text); info is vl_simplenn_display's, with name, type and parameters (a list each, one entry a
        layer).

    Raises what vl_simplenn_display raises.
    """
    views, meta = _views(net, opaque_objects=False)
    _check(views)
    size = _input_size(meta, input_size, batch_size)
    if np.isnan(size[2]) and views and views[0].type == "conv":
        size[2] = views[0].filters[2]
    info = _info(views, size)
    info["name"] = [view.name for view in views]
    info["type"] = [view.type for view in views]
    info["parameters"] = [view.parameters for view in views]
    lines = meta_lines(meta, "meta") or ["meta: empty"]
    return info, _text(views, info, "ascii", 18) + "\n".join(lines) + "\n"
