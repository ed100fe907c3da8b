"""Whether plain values, as JSON gives them, are what a dataclass says its fields are."""

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints


def require_fields(made: Any) -> None:
    """Raises ValueError naming the first field of a dataclass whose value is of another type."""
    for name, kind in get_type_hints(type(made)).items():
        if not is_of(getattr(made, name), kind):
            raise ValueError(f"{name} is {getattr(made, name)!r:.60}")


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type: int, float (whole numbers too), str, bool, None, Any, lists,
    dicts, unions and dataclasses of these.
    """
    outer, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if outer in (Union, types.UnionType):
        return any(is_of(value, each) for each in inner)
    if outer is list:
        return isinstance(value, list) and all(is_of(item, inner[0]) for item in value)
    if outer is dict:
        return isinstance(value, dict) and all(
            is_of(key, inner[0]) and is_of(item, inner[1]) for key, item in value.items()
        )
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, kind) or not dataclasses.is_dataclass(kind):
        return isinstance(value, kind)
    return all(is_of(getattr(value, name), each) for name, each in get_type_hints(kind).items())
