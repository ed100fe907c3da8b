"""Class objects in .mat files, written by mat-io (Python 3.11 or later) for tests of reading them."""

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from matlab_compat.files import StrPath
from matlab_compat.matfile.classes import cells, chars
from matlab_compat.matfile.values import CharMatrix, MatObject, StructArray
from matlab_compat.matfile.write import to_arrays


def with_objects(net: Mapping[str, Any]) -> dict[str, Any]:
    """A network's struct whose layers with a field class__ are class objects."""
    layers = [
        MatObject(layer["class__"], {name: value for name, value in layer.items() if name != "class__"})
        if "class__" in layer
        else layer
        for layer in net["layers"].ravel("F")
    ]
    return {**net, "layers": cells(net["layers"].shape, layers)}


def save_objects(
    path: StrPath, variables: Mapping[str, Any], *, version: str = "v7", saveobj_classes: Collection[str] = ()
) -> None:
    """Writes variables that may contain MatObjects.

    version: 'v7' or 'v7.3'; saveobj_classes: classes with a saveobj method, whose properties MATLAB stores as
    one struct, in a property named `any`. Raises what mat-io raises or warns of.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the import
        from matio import save_to_mat
        from matio.utils.matclass import EmptyMatStruct, MatlabOpaque
    made: dict[int, Any] = {}  # an object with two references stays one object

    def written(value: Any) -> Any:
        if isinstance(value, MatObject):
            if id(value) not in made:
                made[id(value)] = opaque = MatlabOpaque({}, value.classname)
                if value.classname in saveobj_classes:
                    opaque.properties["any"] = written(value.properties)
                else:
                    opaque.properties.update({name: written(held) for name, held in value.properties.items()})
            return made[id(value)]
        if isinstance(value, Mapping):
            value = StructArray((1, 1), tuple(value), [dict(value)])
        if isinstance(value, StructArray):
            array = np.empty(value.shape, [(name, object) for name in value.fields])
            places = [index[::-1] for index in np.ndindex(value.shape[::-1])]
            for place, item in zip(places, value.items, strict=True):
                for name in value.fields:
                    array[place][name] = written(item[name])
            return array if value.fields else EmptyMatStruct(np.empty(value.shape, object))
        if isinstance(value, list | tuple) and not isinstance(value, CharMatrix):
            value = cells((1, len(value)), value)
        if isinstance(value, np.ndarray) and value.dtype == object:
            return cells(value.shape, [written(item) for item in value.ravel("F")])
        array = to_arrays(value, "a value")
        if getattr(array, "dtype", None) != "U1":
            return array
        text = chars(array.view(np.uint32).ravel("F"), array.shape)
        return np.array([text] if isinstance(text, str) else text)

    content = {name: written(value) for name, value in variables.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it only warns where it drops or changes a value
        save_to_mat(str(path), content, version=version, saveobj_classes=sorted(saveobj_classes))
