"""What the functions of the language are defined with: names for expressions, element by element, axes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from matlab_compat.language.indexing import trimmed
from matlab_compat.language.values import as_np, whole, wrap


def named(name: str, doc: str, function: Any) -> Any:
    """A function of one expression with its name and documentation."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def element_function(function: Callable[..., Any], *values: Any) -> Any:
    """function of NumPy arrays on MATLAB's values; the result has the function's class."""
    with np.errstate(all="ignore"):
        return wrap(trimmed(np.asarray(function(*map(as_np, values)))))


def integers(value: Any) -> list[int]:
    """All elements, integers. Raises ArgumentError for others."""
    return [whole(x) for x in as_np(value).ravel(order="F").tolist()]


def axis_of(data: np.ndarray, dimension: Any) -> int:
    """The axis of a dimension (from 1), or of the first one of other than one element."""
    if dimension is not None:
        return whole(dimension) - 1
    return next((i for i, n in enumerate(data.shape) if n != 1), 0)
