"""Rounding and smoothing as MATLAB defines them; arrays between MATLAB's order and torch's.

Filters (H x W x C x K) and maps (H x W x C x N) are permuted alike. MATLAB drops trailing singleton
dimensions: `*_to_torch` restores them, and `*_to_matlab` returns all four.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from matlab_compat.errors import ArgumentError


def round_half_away(x: Any) -> Any:
    """MATLAB's round: halves go away from zero (2.5 -> 3, -2.5 -> -3).

    x: a number or an array; a Python int or float gives an int, an array one of the same type.

    >>> round_half_away(2.5), round_half_away(-0.5)
    (3, -1)
    """
    array = np.asarray(x)
    if array.dtype.kind in "biu":
        return int(x) if isinstance(x, bool | int) else array[()]
    fraction, whole = np.modf(array)
    rounded = whole + np.copysign(np.abs(fraction) >= 0.5, array).astype(array.dtype)
    if isinstance(x, float):
        return int(rounded) if np.isfinite(rounded) else x
    return rounded if array.ndim else rounded[()]


def smooth(y: Any, w: int = 5) -> np.ndarray:
    """MATLAB's smooth(y, w): a moving average, (n,) float64.

    w: the window; an even one is reduced by one, one longer than y to y's length. Near the ends the window
    shrinks symmetrically, so the first and last values are unchanged.
    """
    values = np.asarray(y, dtype=np.float64).ravel()
    if int(w) != w or w < 1:
        raise ArgumentError(f"the window must be an integer of at least 1; got {w!r}")
    n = values.size
    window = min(int(w), n)
    most = (window - 1 + window % 2) // 2
    half = np.minimum(most, np.minimum(np.arange(n), np.arange(n)[::-1]))
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[np.arange(n) + half + 1] - total[np.arange(n) - half]) / (2 * half + 1)


_KINDS = {"O": "a cell array", "U": "a char array", "c": "a complex one"}


def _to_torch(array: np.ndarray, what: str) -> Tensor:
    array = np.asarray(array)
    if array.ndim > 4:
        raise ArgumentError(f"{what} of shape {array.shape}: expected at most 4 dimensions")
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"{what}: expected numbers, found {_KINDS.get(array.dtype.kind, 'another')}")
    array = array.reshape(array.shape + (1,) * (4 - array.ndim), order="F")
    array = np.ascontiguousarray(array.transpose(3, 2, 0, 1), dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _to_matlab(tensor: Tensor, what: str) -> np.ndarray:
    if tensor.ndim != 4:
        raise ArgumentError(f"{what} of shape {tuple(tensor.shape)}: expected 4 dimensions")
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        tensor = tensor.float()
    return np.asfortranarray(tensor.numpy().transpose(2, 3, 1, 0))


def filters_to_torch(array: np.ndarray) -> Tensor:
    """Filters as MATLAB stores them, H x W x C x K (trailing ones may be missing), as a (K, C, H, W) tensor.

    The class is kept. A 1 x 1 x C x K array in MATLAB's memory order is shared, not copied.
    Raises ArgumentError for more than four dimensions, or an array that is not numeric.
    """
    return _to_torch(array, "filters")


def filters_to_matlab(tensor: Tensor) -> np.ndarray:
    """A (K, C, H, W) tensor as an H x W x C x K array in MATLAB's memory order; bfloat16 becomes single."""
    return _to_matlab(tensor, "filters")


def maps_to_torch(array: np.ndarray) -> Tensor:
    """Feature maps or images H x W x C x N (trailing ones may be missing) as an (N, C, H, W) tensor."""
    return _to_torch(array, "maps")


def maps_to_matlab(tensor: Tensor) -> np.ndarray:
    """An (N, C, H, W) tensor as an H x W x C x N array in MATLAB's memory order; bfloat16 becomes single."""
    return _to_matlab(tensor, "maps")


def vector_to_torch(array: np.ndarray) -> Tensor:
    """A row, a column or any other array (e.g. biases) as a one-dimensional tensor, in column-major order.

    Raises ArgumentError for an array that is not numeric.
    """
    return _to_torch(np.array(array).ravel(order="F"), "weights").flatten().clone()
