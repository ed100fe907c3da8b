"""Writes .mat files that hold class objects, as MATLAB stores them, through mat-io.

Only tests and scripts need this: people's tools read plain structs better (matfile.save). mat-io wants
Python 3.11 or later; reading needs no mat-io (see mat_objects).
"""

import os
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.mat_values import MatObject
from matlab_compat.mat_write import to_scipy, write_whole

WRITTEN_VERSIONS = ("v7", "v7.3")


def save_objects(
    path: str | os.PathLike[str],
    variables: Mapping[str, Any],
    *,
    version: str = "v7",
    saveobj_classes: Collection[str] = (),
) -> None:
    """Writes variables among whose values are MatObjects; the file appears whole or not at all.

    version: 'v7' or 'v7.3'; saveobj_classes: classes with a saveobj method, whose properties MATLAB keeps as
    one struct, in a property named `any`.
    Errors: MatFileError for what matfile.save refuses, and where mat-io is not installed.
    """
    if version not in WRITTEN_VERSIONS:
        raise MatFileError(f"version {version!r} cannot be written; known are {', '.join(WRITTEN_VERSIONS)}")
    save_to_mat, opaque, empty_struct = _matio()
    writer = _ObjectWriter(opaque, empty_struct, saveobj_classes)
    content = {name: to_scipy(value, name, writer) for name, value in variables.items()}

    def write(temporary: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it warns of what it leaves out or changes
            save_to_mat(temporary, content, version=version, saveobj_classes=sorted(saveobj_classes))

    try:
        write_whole(path, write)
    except MatFileError:
        raise
    except Exception as error:  # whatever mat-io raises: it has no error class in common
        raise MatFileError(f"cannot write {path}: {error}") from error


def _matio() -> tuple[Callable[..., None], type, type]:
    """mat-io's writer and two of its classes; its import's warnings are not ours to mend."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from matio import save_to_mat
            from matio.utils.matclass import EmptyMatStruct, MatlabOpaque
    except ImportError as error:
        raise MatFileError(
            "writing class objects needs the package mat-io: pip install mat-io (Python 3.11 or later)"
        ) from error
    return save_to_mat, MatlabOpaque, EmptyMatStruct


class _ObjectWriter:
    """Makes mat-io's form of each object once, so that one object referred to twice stays one."""

    def __init__(self, opaque: type, empty_struct: type, saveobj_classes: Collection[str]) -> None:
        self.opaque = opaque
        self.empty_struct = empty_struct
        self.saveobj_classes = saveobj_classes
        self.made: dict[int, Any] = {}

    def __call__(self, value: MatObject | dict[str, Any], where: str) -> Any:
        if isinstance(value, dict):
            return self.empty_struct(np.empty((1, 1), dtype=object))
        if id(value) in self.made:
            return self.made[id(value)]
        made = self.opaque({}, value.classname)
        self.made[id(value)] = made
        if value.classname in self.saveobj_classes:
            made.properties["any"] = to_scipy(value.properties, where, self)
        else:
            for name, content in value.properties.items():
                made.properties[name] = to_scipy(content, f"{where}.{name}", self)
        return made
