"""Small SimpleNN networks for tests, as MATLAB's structs, with random weights."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from matlab_compat.simplenn.tidy import cell_row

RNG = np.random.default_rng(7)


def single(*shape: int) -> np.ndarray:
    return np.asfortranarray(RNG.standard_normal(shape), dtype=np.float32)


def conv(name: str, size: int, depth: int, count: int, **fields: Any) -> dict[str, Any]:
    weights = cell_row([single(size, size, depth, count), single(1, count)])
    return {"type": "conv", "name": name, "weights": weights, "pad": np.array([[size // 2]]), **fields}


def small() -> dict[str, Any]:
    """conv, relu, max pool, conv."""
    pool = {
        "type": "pool",
        "name": "p",
        "method": "max",
        "pool": np.full((1, 2), 2.0),
        "stride": np.array([[2.0]]),
    }
    average = np.array([[[1.0, 2.0, 3.0]]], dtype=np.float32)
    layers = cell_row([conv("c1", 3, 3, 4), {"type": "relu", "name": "r"}, pool, conv("c2", 1, 4, 5)])
    return {"layers": layers, "meta": {"normalization": {"averageImage": average}}}


def image(*shape: int) -> Tensor:
    return torch.from_numpy(RNG.standard_normal(shape)).float()
