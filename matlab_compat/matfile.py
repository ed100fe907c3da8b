"""Reads .mat files of every version into plain Python values, and writes v7.

The only place that knows MATLAB's column-major order, cells and object references. Ids stay as they are in
the file (1-based where MATLAB counts from 1): only the caller knows which variable holds ids.
See mat_values for what each MATLAB class becomes.
"""

import os
from collections.abc import Sequence
from typing import Any

from matlab_compat.errors import MatFileError
from matlab_compat.mat_open import opened
from matlab_compat.mat_values import (
    CharMatrix,
    FunctionHandle,
    MatObject,
    StructArray,
    VariableInfo,
    cell_list,
    image_names,
    scalar,
    text,
    vector,
)
from matlab_compat.mat_write import save
from matlab_compat.mat_write_objects import save_objects

__all__ = [
    "CharMatrix",
    "FunctionHandle",
    "MatObject",
    "StructArray",
    "VariableInfo",
    "cell_list",
    "image_names",
    "load",
    "save",
    "save_objects",
    "scalar",
    "text",
    "vector",
    "who",
]


def load(path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> dict[str, Any]:
    """The variables of a .mat file of any version (4, 6, 7, 7.3) as plain values, in the order of the file.

    path: the file; variables: the names wanted (None: all); nothing else is read, they come in this order.
    Errors: MatFileError when the file is missing, damaged, no .mat file, or lacks a variable (it names those
    that are there).
    """
    if isinstance(variables, str):
        variables = [variables]
    with opened(path) as file:
        if not file.names:
            raise MatFileError("it holds no variables")
        wanted = file.names if variables is None else list(variables)
        for name in wanted:
            if name not in file.names:
                raise MatFileError(f"no variable {name!r}; it holds {', '.join(file.names) or 'none'}")
        return {name: file.value(name) for name in wanted}


def who(path: str | os.PathLike[str]) -> dict[str, VariableInfo]:
    """Class name and shape of every variable of a .mat file; reads no data. Errors: MatFileError."""
    with opened(path) as file:
        return {name: file.info(name) for name in file.names}
