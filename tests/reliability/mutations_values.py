"""Changing MATLAB values: whole .mat files whose content is not what a reader of networks or data sets hopes
for.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import scipy.sparse

from matlab_compat import matfile
from matlab_compat.errors import MatlabCompatError
from matlab_compat.matfile.values import StructArray
from tests.reliability.mutations import mutate_bytes


def _odd_values() -> list[Any]:
    cell = np.empty((1, 2), dtype=object)
    cell[0, 0], cell[0, 1] = np.ones((2, 2)), "x"
    nested: Any = np.zeros((1, 1))
    for _ in range(40):
        outer = np.empty((1, 1), dtype=object)
        outer[0, 0] = nested
        nested = outer
    numbers = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 7.0, 1e9, 1e18, 1e308, np.nan, np.inf, -np.inf]
    return [
        *(np.array([[number]]) for number in numbers),
        np.zeros((0, 0)),
        np.zeros((0, 3)),
        np.zeros((3, 0, 2)),
        np.ones((1, 3)),
        np.ones((3, 1)),
        np.ones((2, 2, 2)),
        np.ones((1, 1, 2, 2, 2)),
        np.full((1, 2), 2**31 - 1, np.int32),
        np.array([[255]], np.uint8),
        np.array([[2**63]], np.uint64),
        np.array([[True, False]]),
        np.array([[1 + 2j]]),
        np.array([[np.nan, 1.0, -1.0, 1e300]]),
        np.ones((3, 3), np.float32),
        scipy.sparse.csc_matrix(np.eye(3)),
        scipy.sparse.csc_matrix((2**28, 1)),
        "",
        "x",
        "max",
        "conv",
        "ünï\u4e2d",
        "../../x",
        "a" * 2000,
        matfile.CharMatrix(["ab", "cd"]),
        np.empty((0, 0), dtype=object),
        cell,
        nested,
        {},
        {"type": "conv"},
        {"a": "b", "type": 3.0},
        StructArray((1, 2), ["type", "name"], [{"type": "relu", "name": "a"}, {"type": "x", "name": ""}]),
        StructArray((0, 0), [], []),
    ]


def mutate_values(random: Random, data: bytes) -> bytes:
    """A .mat file whose variables are those of `data` with one to three values changed (v7)."""
    path = Path("values.mat")  # in the worker's own folder
    path.write_bytes(data)
    try:
        variables: Any = matfile.load(path)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            _change(random, variables)
        matfile.save(path, variables)
    except (MatlabCompatError, ValueError, TypeError):
        return mutate_bytes(random, data)  # what cannot be written cannot be read either
    return path.read_bytes()


def _change(random: Random, variables: dict[str, Any]) -> None:
    places = _places(variables)
    holder, key = random.choice(places)
    what = random.choice(("odd", "odd", "odd", "lose", "rename", "other", "shape", "number", "number"))
    value = holder[key]
    if what == "lose" and isinstance(holder, dict) and len(holder) > 1:
        del holder[key]
    elif what == "rename" and isinstance(holder, dict):
        holder[f"{key}X"[-20:]] = holder.pop(key)
    elif what == "other":
        other, name = random.choice(places)
        holder[key] = copy.deepcopy(other[name])  # a value that contains itself could not be written
    elif what == "shape" and isinstance(value, np.ndarray) and value.size:
        holder[key] = _reshaped(random, value)
    elif what == "number" and isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size:
        changed = value.astype(np.float64)
        changed.flat[random.randrange(changed.size)] = random.choice(
            (-1, 0, 0.5, 1e9, 1e300, np.nan, np.inf, 5)
        )
        holder[key] = changed
    else:
        holder[key] = random.choice(_odd_values())


def _reshaped(random: Random, value: np.ndarray) -> np.ndarray:
    return random.choice(
        (
            value.T,
            value.reshape(-1, 1),
            value.reshape(1, -1),
            value[:1],
            value[..., :1],
            np.concatenate([value, value], axis=random.randrange(value.ndim)),
            value[None],
        )
    )


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) of dicts and cells below a value."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        holder = todo.pop()
        if isinstance(holder, Mapping):
            keys: list[Any] = list(holder)
        elif isinstance(holder, np.ndarray) and holder.dtype == object:
            keys = list(np.ndindex(*holder.shape))
        elif isinstance(holder, StructArray):
            todo += holder.items
            continue
        else:
            continue
        found += [(holder, key) for key in keys]
        todo += [holder[key] for key in keys]
    return found
