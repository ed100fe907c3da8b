"""The table of a network's layers: vl_simplenn_display as in MATLAB, and `describe` with more detail.

Works on layers' descriptions, so on tidied MATLAB structs and on a `SimpleNN` alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError, NetworkFormatError, located
from matlab_compat.matfile import values
from matlab_compat.matfile.values import describe as value_text
from matlab_compat.nn.geometry import borders
from matlab_compat.simplenn.layer import UnknownLayer
from matlab_compat.simplenn.tidy import layer_label, layer_type, vl_simplenn_tidy

Table = Sequence[Sequence[str]]


def memory_text(size: float) -> str:
    """Bytes as MATLAB's table prints them: whole B, KB, MB or GB, steps of 1024."""
    if np.isnan(size):
        return "NaN"
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.0f}GB"


def _number(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.4g}"


def sides_text(sides: Sequence[float] | np.ndarray) -> str:
    """Sides as '3' where all are equal, else '3x2'."""
    equal = all(side == sides[0] for side in sides)
    return _number(sides[0]) if equal else "x".join(_number(side) for side in sides)


def count_text(value: float) -> str:
    """A count as MATLAB's %d prints it."""
    if np.isnan(value):
        return "NaN"
    return str(int(value)) if value == np.floor(value) else f"{value:e}"


def _widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _ascii(table: Table) -> str:
    lines, widths = [], _widths(table)
    for row in table:
        pairs = zip(row, widths, strict=True)
        lines += [("-" * width if cell == "-" else cell.rjust(width)) + "|" for cell, width in pairs]
        lines.append("\n")
    return "".join(lines)


def _csv(table: Table) -> str:
    return "".join("".join(f'"{cell}",' for cell in row) + "\n" for row in table if row[0] != "-")


def _latex(table: Table) -> str:
    widths = _widths(table)
    lines = [f"\\begin{{tabular}}{{{'c' * len(widths)}}}\n"]
    for row in table:
        if row[0] == "-":
            lines.append("\\hline\n")
            continue
        escaped = [cell.replace("\\", "\\\\").replace("_", "\\char`_") for cell in row]
        lines.append("&".join(map(str.rjust, escaped, widths)) + "\\\\\n")
    return "".join([*lines, "\\end{tabular}\n"])


FORMATS: dict[str, Callable[[Table], str]] = {"ascii": _ascii, "latex": _latex, "csv": _csv}


def layout(table: Table, form: str, max_columns: int) -> str:
    """The table in one of FORMATS, cut into parts of `max_columns` columns after a repeated first column."""
    parts = []
    for first in range(1, len(table[0]), max_columns):
        part = [[row[0], *row[first : first + max_columns]] for row in table]
        parts.append(FORMATS[form](part) + "\n")
    return "".join(parts)


@dataclass(frozen=True)
class LayerView:
    """A layer as the table needs it: its description and the MATLAB shapes of its weights.

    `forward_size`, where known, maps a custom layer's input size (H, W, C, N) to its output size. `unknown`:
    a type whose geometry is not known, nor that of the layers above it; `remark`: what else is to be said.
    """

    type: str
    name: str
    fields: Mapping[str, Any]
    weight_shapes: list[tuple[int, ...]]
    forward_size: Callable[[Any], Any] | None = None
    unknown: bool = False
    remark: str = ""

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
    """The view of a tidied MATLAB layer; a class object has no fields, as for MATLAB's isfield."""
    kind = layer_type(layer)
    if isinstance(layer, values.MatObject) or "class__" in layer:
        return LayerView(kind, "", {}, [])
    shapes = [np.shape(weight) for weight in values.cell_list(layer.get("weights", []))]
    name, size = layer.get("name", ""), layer.get("getForwardSize")
    return LayerView(kind, name, layer, shapes, size if callable(size) else None)


def view_module(layer: Any, opaque_objects: bool) -> LayerView:
    """The view of a `Layer`; with `opaque_objects` a custom layer looks as a class object does in MATLAB."""
    if opaque_objects and layer.classname:
        return LayerView(layer.type, "", {}, [])
    size = layer.forward_size if layer.classname else None
    shapes = layer.weight_shapes()
    if not isinstance(layer, UnknownLayer):
        return LayerView(layer.type, layer.name, layer.fields, shapes, size)
    fields = {
        name: value
        for name, value in layer.fields.items()
        if name not in _SIDES or (np.size(value) in _SIDES[name] and np.asarray(value).dtype.kind in "biuf")
    }
    remark = f"'{layer.name}' ({layer.classname or layer.type}): {layer.remark()}"
    return LayerView(str(layer.type), layer.name, fields, shapes, None, not opaque_objects, remark)


_SIDES = {"stride": (1, 2), "pad": (1, 2, 4)}  # how many numbers they may be


def _spread(value: Any) -> np.ndarray:
    return np.resize(np.ravel(np.asarray(value, dtype=np.float64), order="F"), 2)


def _support(view: LayerView) -> np.ndarray:
    if view.unknown:
        return np.full(2, np.nan)
    if view.type == "conv":
        kernel = np.maximum(view.filters[:2], 1)
        return (kernel - 1) * _spread(view.fields.get("dilate", 1)) + 1
    if view.type == "pool":
        return _spread(view.fields["pool"])
    return np.ones(2)


def geometry(views: Sequence[LayerView]) -> dict[str, np.ndarray]:
    """Support, stride, receptive fields (2 x L: vertical, horizontal) and pad (4 x L: top bottom left right).

    A receptive field is that of a layer's output in the network's input: size, offset of the first one's
    centre (counted from 1) and step, in pixels. A transposed convolution counts as 1 x 1, as in the original.
    """
    count = len(views)
    strides = [_spread(np.nan if view.unknown else view.fields.get("stride", 1)) for view in views]
    support = np.array([_support(view) for view in views]).reshape(count, 2).T
    stride = np.array(strides).reshape(count, 2).T
    pad = np.array([borders(view.fields.get("pad", 0)) for view in views], np.float64).reshape(count, 4).T
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
    elif view.type == "custom" or view.unknown:
        following[2] = np.nan
    return following


def data_sizes(views: Sequence[LayerView], around: dict[str, np.ndarray], size: Any) -> np.ndarray:
    """Size of the input and each layer's output, 4 x (L+1): height, width, depth, number; NaN if unknown."""
    sizes = [np.asarray(size, dtype=np.float64)]
    for index, view in enumerate(views):
        sizes.append(_next_size(view, sizes[-1], around, index))
    return np.stack(sizes, axis=1)


Info = dict[str, Any]
_SHORT = {"normalize": "norm", "softmax": "softmx", "softmaxloss": "softmxl"}
_BYTES = 4  # every number counts as a single


def _views(net: Any, opaque_objects: bool) -> tuple[list[LayerView], Mapping[str, Any]]:
    """Views of a network's layers, and its meta."""
    if hasattr(net, "to_matlab"):
        return [view_module(layer, opaque_objects) for layer in net.layers], net.meta
    tidy = vl_simplenn_tidy(net)
    views = [view_struct(layer) for layer in values.cell_list(tidy["layers"])]
    return views, tidy["meta"] if isinstance(tidy["meta"], Mapping) else {}


def _input_size(meta: Mapping[str, Any], given: Any, batch_size: Any) -> np.ndarray:
    """Height, width, depth, number: as given, else from meta, else NaN; the number is 1 by default."""
    size = np.array([np.nan, np.nan, np.nan, 1.0])
    if given is None or not np.size(given):
        normalization = meta.get("normalization")
        given = meta.get("inputSize")
        if given is None and isinstance(normalization, Mapping):
            given = normalization.get("imageSize")
    if given is not None:
        numbers = values.vector(given).astype(np.float64)
        if len(numbers) > 4:
            found = f"inputSize has {len(numbers)} elements"
            raise ArgumentError(f"{found}: expected height, width, depth, number")
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
        return "apool" if values.text(view.fields.get("method", "max")).lower() == "avg" else "mpool"
    return _SHORT.get(view.type, view.type)


def _dilate_text(dilate: Any) -> str:
    """A column as MATLAB's %d prints it, digits joined; a row, which the original cannot print, as sides."""
    numbers = np.atleast_1d(np.asarray(dilate, dtype=np.float64))
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        return "".join(count_text(number) for number in numbers.ravel())
    return sides_text(numbers.ravel())


def _rows(views: Sequence[LayerView], info: Info) -> list[list[str]]:
    """All rows of the table: a title, the input's cell, one cell a layer."""
    sizes, numbers = info["dataSize"], range(len(views) + 1)
    rule = ["-"] * (len(views) + 2)

    def described(title: str, value: Callable[[LayerView], str], first: str = "n/a") -> list[str]:
        return [title, first, *map(value, views)]

    def of_filters(title: str, value: Callable[[LayerView], str]) -> list[str]:
        return described(title, lambda view: value(view) if view.type == "conv" else "n/a")

    def measured(title: str, key: str) -> list[str]:
        return [title, "n/a", *(sides_text(column) for column in info[key].T)]

    return [
        ["layer", *map(str, numbers)],
        described("type", _type_text, "input"),
        described("name", lambda view: view.name),
        rule,
        measured("support", "support"),
        of_filters("filt dim", lambda view: str(view.filters[2])),
        of_filters("filt dilat", lambda view: _dilate_text(view.fields.get("dilate", 1))),
        of_filters("num filts", lambda view: str(view.filters[3])),
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


_DEFAULTS = {"inputSize": None, "batchSize": None, "maxNumColumns": 18, "format": "ascii"}


def vl_simplenn_display(net: Any, *args: Any, nargout: int = 0, **kwargs: Any) -> Any:
    """Prints a network's layers: type, support, stride, pad, receptive field, data size, memory.

    net: a `SimpleNN`, or the MATLAB struct of one (which is tidied first).
    inputSize: height, width, depth[, number]; default: meta.inputSize, else meta.normalization.imageSize,
    else NaN, as are then the sizes that depend on it. batchSize: overrides the number of images (1 by
    default). maxNumColumns: layers in one table before it continues below (18). format: 'ascii', 'latex' or
    'csv'. nargout: MATLAB's number of outputs: 0 prints and returns None, 1 returns info, 2 (info, text).

    info: support, stride (2 x L), pad (4 x L), receptiveFieldSize, receptiveFieldOffset (from 1),
    receptiveFieldStride (2 x L), dataSize (4 x (L+1)), in pixels; text: what nargout=0 prints. As in the
    original, convt counts as 1 x 1 and the depth after a custom layer is NaN; `describe` computes both.

    Raises ArgumentError: an unknown option or format. NetworkFormatError: not a SimpleNN.
    Ported from: matconvnet/matlab/simplenn/vl_simplenn_display.m
    """
    opts = options(_DEFAULTS, args, kwargs)
    form = values.text(opts.format)
    if form not in FORMATS:
        raise ArgumentError(f"format must be one of {', '.join(FORMATS)}; got '{form}'")
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
    """NetworkFormatError, naming the layer, where a field that the table needs is missing or invalid."""
    for index, view in enumerate(views):
        label = layer_label(index, {"name": view.name, "type": view.type})
        if view.type == "pool" and "pool" not in view.fields:
            raise NetworkFormatError(f"{label}: no field pool")
        with located(label):
            borders(view.fields.get("pad", 0))


def meta_lines(value: Any, name: str) -> list[str]:
    """meta as 'name: value' lines: short values in full, others by their shape and class."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in meta_lines(item, f"{name}.{key}")]
    if isinstance(value, np.ndarray) and value.dtype != object and 0 < value.size <= 8:
        shown = " ".join(f"{number:.6g}" for number in value.ravel(order="F"))
        return [
            f"{name}: {shown}" if value.size == 1 else f"{name}: [{shown}] ({values.shape_text(value.shape)})"
        ]
    if isinstance(value, np.ndarray | values.StructArray | values.MatObject):
        return [f"{name}: {value_text(value)}"]
    return [f"{name}: {value}"]


def describe(net: Any, input_size: Sequence[float] | None = None, batch_size: int = 1) -> tuple[Info, str]:
    """The report of `deepibl info`: the table of vl_simplenn_display, with custom layers in full, and meta.

    net: a `SimpleNN` or the MATLAB struct of one. input_size: height, width[, depth] of an image; default:
    meta's. batch_size: number of images.
    Returns (info, text); info is vl_simplenn_display's, with the lists name, type and parameters (one entry
    per layer). Raises what vl_simplenn_display raises.
    """
    views, meta = _views(net, opaque_objects=False)
    _check(views)
    size = _input_size(meta, input_size, batch_size)
    if np.isnan(size[2]) and views and views[0].type == "conv":
        size[2] = views[0].filters[2]
    info = _info(views, size)
    for key in ("name", "type", "parameters"):
        info[key] = [getattr(view, key) for view in views]
    lines = meta_lines(meta, "meta") or ["meta: empty"]
    remarks = [f"layer {number} {view.remark}" for number, view in enumerate(views, 1) if view.remark]
    return info, _text(views, info, "ascii", 18) + "\n".join([*remarks, *lines]) + "\n"
