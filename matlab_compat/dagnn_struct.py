"""How a DagNN lies in a MATLAB struct: struct arrays of layers, variables and parameters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from matlab_compat.errors import ArgumentError
from matlab_compat.mat_values import StructArray


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


def known_name(name: str, names: Any, what: str, found: Any = None) -> Any:
    """The name (or its position), or an ArgumentError that tells the names that there are."""
    if name in names:
        return found(names, name) if found else name
    close = difflib.get_close_matches(str(name), list(names), 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ArgumentError(f"no {what} is named {name!r}{hint} There are {', '.join(names)}")
