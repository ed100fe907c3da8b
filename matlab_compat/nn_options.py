"""MATLAB's way of giving options to the blocks: `vl_nnpool(x, 3, 'stride', 2)` as well as `stride=2`."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from matlab_compat.errors import ArgumentError

Function = TypeVar("Function", bound=Callable[..., Any])

_FLAGS = {"verbose", "cudnn", "nocudnn"}  # choose an implementation in MatConvNet; the result is the same
_IGNORED = {"cudnnworkspacelimit"}


def _spelling(name: str, known: list[str], function: str) -> str:
    for candidate in known:
        if candidate.lower() == name.lower():
            return candidate
    closest = difflib.get_close_matches(name.lower(), [candidate.lower() for candidate in known], 1, 0.0)
    hint = f"; did you mean '{closest[0]}'?" if closest else ""
    raise ArgumentError(f"{function} has no option '{name}'{hint} Options: {', '.join(known) or 'none'}")


def _plain(value: Any) -> Any:
    """A 1 x 1 array, as a .mat file gives numbers, as a number."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _pairs(given: tuple[Any, ...], known: list[str], function: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    rest = list(given)
    while rest:
        name = rest.pop(0)
        if not isinstance(name, str):
            raise ArgumentError(f"{function}: expected an option's name, found {type(name).__name__}")
        if name.lower() in _FLAGS:
            continue
        if not rest:
            raise ArgumentError(f"{function}: option '{name}' has no value")
        value = rest.pop(0)
        if name.lower() not in _IGNORED:
            options[_spelling(name, known, function)] = _plain(value)
    return options


def matlab_options(function: Function) -> Function:
    """Lets a function take its keyword-only options as 'name', value pairs too, in any letter case.

    Everything from the first string on is read as pairs. MatConvNet's switches for cuDNN are accepted and
    change nothing. An unknown name is an ArgumentError that names the closest one.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = next((i for i, value in enumerate(args) if isinstance(value, str)), len(args))
        for name in [name for name in kwargs if name not in function_names]:
            kwargs[_spelling(name, known, function.__name__)] = kwargs.pop(name)
        return function(*args[:first], **_pairs(args[first:], known, function.__name__), **kwargs)

    function_names = {parameter.name for parameter in parameters}
    return call  # type: ignore[return-value]
