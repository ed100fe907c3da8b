"""The forms in which layers keep weights: MATLAB's arrays in a file, tensors in torch's layout in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from matlab_compat.layout import filters_to_matlab, filters_to_torch, vector_to_torch


class WeightKind(NamedTuple):
    """How a weight goes from MATLAB's array to a tensor, and back: to an array of the shape given, if it
    fits.
    """

    to_torch: Callable[[np.ndarray], Tensor]
    to_matlab: Callable[[Tensor, tuple[int, ...]], np.ndarray]


def _drop_trailing_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _filters_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    array = filters_to_matlab(tensor)
    same = shape + (1,) * (4 - len(shape)) == array.shape
    return array.reshape(shape if same else _drop_trailing_ones(array.shape), order="F")


def _vector_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    array = filters_to_matlab(tensor.reshape(1, -1, 1, 1)).ravel()
    return array.reshape(shape if array.size == np.prod(shape) else (1, -1), order="F")


def _matrix_to_torch(array: np.ndarray) -> Tensor:
    return filters_to_torch(array)[0, 0]


def _matrix_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return filters_to_matlab(tensor[None, None]).reshape(tuple(tensor.shape), order="F")


FILTERS = WeightKind(filters_to_torch, _filters_back)  # H x W x C x K <-> (K, C, H, W)
VECTOR = WeightKind(vector_to_torch, _vector_back)  # row, column or 1 x 1 x K <-> (K,)
MATRIX = WeightKind(_matrix_to_torch, _matrix_back)  # rows x columns, as it is


class WeightSpec(NamedTuple):
    """One weight of a layer type: its name in Python, its form, and whether gradients reach it."""

    name: str
    kind: WeightKind
    trainable: bool = True
