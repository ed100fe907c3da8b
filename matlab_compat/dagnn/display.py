"""The table of a DagNN: layers in order of execution, inputs, outputs, sizes, receptive fields."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matlab_compat.dagnn.graph import Size
from matlab_compat.dagnn.layer import UnknownBlock
from matlab_compat.dagnn.network import DagNN
from matlab_compat.matfile.values import StructArray, vector
from matlab_compat.simplenn.display import memory_text, meta_lines, sides_text

_UNKNOWN = (np.nan,) * 4
_LAYER = ("#", "layer", "type", "inputs", "output", "parameters")
_TITLES = (*_LAYER, "data size", "rf size", "rf stride", "rf offset")


def describe_dagnn(
    net: DagNN, input_size: Sequence[float] | None = None, batch_size: int = 1
) -> tuple[dict[str, Any], str]:
    """The report of `deepibl info` on a DagNN: its layers in the order of execution, and meta.

    input_size: height, width[, depth] of an image; default: meta's. batch_size: number of images.
    Returns (info, text); info has layers (a list of dicts), inputs, outputs and the number of parameters.
    """
    variable, size = _input(net, input_size, batch_size)
    sizes = net.sizes({variable: size} if variable else {})
    fields = net.receptive_fields(variable) if variable else {}
    rows, layers = [], []
    for position, index in enumerate(net.order, start=1):
        layer = net[index]
        count = sum(int(np.prod(shape)) for shape in net.shapes(layer))
        output = layer.outputs[0] if layer.outputs else ""
        kind, inputs, outputs = str(layer.type), layer.inputs, layer.outputs
        entry = {"name": layer.name, "type": kind, "inputs": inputs, "outputs": outputs}
        layers.append({**entry, "parameters": count, "size": list(sizes.get(output, _UNKNOWN))})
        field = fields.get(output)
        three = (sides_text(part) for part in field) if field is not None else ("-",) * 3
        words = (layer.name, kind.removeprefix("dagnn."), ",".join(inputs), ",".join(outputs))
        made = _size_text(sizes.get(output, _UNKNOWN))
        rows.append((str(position), *words, str(count or "-"), made, *three))
    total = sum(int(np.prod(net.param_to_matlab(n, net.param(n)).shape)) for n in net.param_names)
    table = [_TITLES, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        f"DagNN: {len(net)} layers, {len(net.variable_names)} variables, {len(net.param_names)} parameters",
        f"inputs: {', '.join(net.input_names)}; outputs: {', '.join(net.output_names)}"
        f"; result: {', '.join(net.result_names)}",
        f"input {variable}: {_size_text(size)}" if variable else "no image input",
        *("  ".join(map(str.ljust, row, widths)).rstrip() for row in table),
        *(f"{net.label(layer)}: {layer.remark()}" for layer in net if isinstance(layer, UnknownBlock)),
        f"parameter memory: {memory_text(total * 4)} ({total:.2g} parameters)",
        *(meta_lines(net.meta, "meta") or ["meta: empty"]),
    ]
    info = {"layers": layers, "inputs": net.input_names, "outputs": net.output_names, "parameters": total}
    return info, "\n".join(lines) + "\n"


def _input(net: DagNN, given: Sequence[float] | None, batch_size: int) -> tuple[str, Size]:
    """The variable for images ('' if none), and their size: as given, else from meta, else NaN."""
    working = [layer for layer in net if layer.type != "dagnn.Loss" and not layer.left_out]
    using = {name: layer for layer in working for name in layer.inputs}
    variable = next((name for name in net.input_names if name in using), "")
    normalization = net.meta.get("normalization")
    if given is None and isinstance(normalization, Mapping):
        given = vector(normalization.get("imageSize", []))[:3].tolist()
    inputs = net.meta.get("inputs")  # newer networks have the size there
    first = inputs[0] if isinstance(inputs, StructArray) and len(inputs) else inputs
    if not given and isinstance(first, Mapping):
        given = vector(first.get("size", []))[:3].tolist()
    size = [*(given or ()), np.nan, np.nan, np.nan][:3]
    layer = using.get(variable)
    if np.isnan(size[2]) and layer is not None and layer.params:
        size[2] = (*net.shapes(layer)[0], 1, 1)[2]
    return variable, (size[0], size[1], size[2], float(batch_size))


def _size_text(size: Size) -> str:
    return "x".join("?" if np.isnan(side) else f"{side:g}" for side in size)
