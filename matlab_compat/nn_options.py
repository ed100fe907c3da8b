"""MATLAB's way of giving options to the blocks: `vl_nnpool(x, 3, 'stride', 2)` as well as `stride=2`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from matlab_compat.arguments import options

Function = TypeVar("Function", bound=Callable[..., Any])

# How MatConvNet's switches choose an implementation; the result is the same, so they change nothing here.
_SWITCHES = {"verbose": 1, "cudnn": 1, "nocudnn": 1, "cudnnworkspacelimit": 2}  # name -> words to skip


def _words(given: tuple[Any, ...]) -> list[Any]:
    """The name, value pairs without MatConvNet's switches, 1 x 1 arrays (as from a .mat file) as numbers."""
    words: list[Any] = []
    position = 0
    while position < len(given):
        name = given[position]
        count = _SWITCHES.get(name.lower()) if isinstance(name, str) else None
        if count is None:
            words += given[position : position + 2]
        position += count or 2
    return [word.item() if isinstance(word, np.ndarray) and word.size == 1 else word for word in words]


def matlab_options(function: Function) -> Function:
    """Lets a function take its keyword-only options as 'name', value pairs too, in any letter case.

    Everything from the first string on is read as pairs. An unknown name is an ArgumentError that names the
    closest one.
    """
    parameters = inspect.signature(function).parameters
    positional = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    defaults = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = next((i for i, word in enumerate(args) if isinstance(word, str)), len(args))
        if first == len(args) and kwargs.keys() <= parameters.keys():
            return function(*args, **kwargs)
        named = {name: kwargs.pop(name) for name in positional if name in kwargs}
        chosen = options(defaults, _words(args[first:]), kwargs)
        return function(*args[:first], **named, **vars(chosen))

    return call  # type: ignore[return-value]
