"""MATLAB's array order and torch's."""

import numpy as np
import pytest
import torch

from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import (
    filters_to_matlab,
    filters_to_torch,
    maps_to_matlab,
    maps_to_torch,
    vector_to_torch,
)


def test_an_element_is_found_where_its_subscripts_say() -> None:
    array = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    tensor = filters_to_torch(array)
    assert tensor.shape == (5, 4, 2, 3)
    assert tensor[4, 1, 0, 2] == array[0, 2, 1, 4]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4), (2, 3), (1, 1, 6, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_is_exact_with_dropped_dimensions_restored(shape: tuple, dtype: type) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    whole = array.reshape(shape + (1,) * (4 - len(shape)), order="F")
    for there, back in ((filters_to_torch, filters_to_matlab), (maps_to_torch, maps_to_matlab)):
        for order in "CF":
            result = back(there(np.asarray(array, order=order)))
            assert result.dtype == dtype
            assert result.flags.f_contiguous
            np.testing.assert_array_equal(result, whole)


def test_vectors_are_read_column_by_column() -> None:
    assert vector_to_torch(np.array([[1.0, 3.0], [2.0, 4.0]])).tolist() == [1, 2, 3, 4]
    assert vector_to_torch(np.zeros((1, 7), np.float32)).shape == (7,)


def test_bfloat16_becomes_single() -> None:
    assert maps_to_matlab(torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)).dtype == np.float32


def test_read_only_arrays_do_not_become_writable_tensors() -> None:
    array = np.ones((1, 1, 2, 3), np.float32)
    array.flags.writeable = False
    filters_to_torch(array).zero_()
    assert array.all()


def test_what_is_no_array_of_numbers_is_refused() -> None:
    with pytest.raises(ArgumentError, match="4 dimensions"):
        filters_to_torch(np.zeros((1, 2, 3, 4, 5)))
    with pytest.raises(ArgumentError, match="expected numbers"):
        maps_to_torch(np.array([["a"]]))
    with pytest.raises(ArgumentError, match="4 dimensions"):
        maps_to_matlab(torch.zeros(2, 3))
