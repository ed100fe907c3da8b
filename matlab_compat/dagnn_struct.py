"""How a DagNN lies in a MATLAB struct: struct arrays of layers, variables and parameters."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matlab_compat.errors import ArgumentError
from matlab_compat.mat_values import StructArray

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
