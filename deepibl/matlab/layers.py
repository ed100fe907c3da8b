"""NetVLAD's layer classes: the original's constructors over `deepibl.network_build`.

Each call gives a layer for `SimpleNN`; for a plain torch module see `deepibl.layers`.
"""

from collections.abc import Sequence

import numpy as np

from deepibl.network_build import object_layer, vlad_layer
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn_layer import Layer


def layerVLAD(name: str = "VLAD", weights: Sequence[np.ndarray] = ()) -> Layer:
    """NetVLAD pooling. weights: assignment and cluster centres, (D, K) each; it stores minus the centres.

    Ported from: netvlad/layerVLAD.m
    """
    return _vlad("layerVLAD", name, weights, 2)


def layerVLADv2(name: str = "VLAD", weights: Sequence[np.ndarray] = ()) -> Layer:
    """NetVLAD pooling with biases. weights: assignment (D, K), its biases (1, K), offsets (D, K).

    The offsets are minus the cluster centres, stored as they are: only layerVLAD turns the sign.

    Ported from: netvlad/layerVLADv2.m
    """
    return _vlad("layerVLADv2", name, weights, 3)


def layerTotalMaxPool(name: str = "maxTotal") -> Layer:
    """The maximum of each channel. Ported from: netvlad/layerTotalMaxPool.m"""
    return object_layer("layerTotalMaxPool", {"name": name})


def layerTotalAvgPool(name: str = "avgTotal") -> Layer:
    """The mean of each channel. Ported from: netvlad/layerTotalAvgPool.m"""
    return object_layer("layerTotalAvgPool", {"name": name})


def layerWholeL2Normalize(name: str = "wholeL2") -> Layer:
    """x / (norm + 1e-12) over a whole image. Ported from: netvlad/layerWholeL2Normalize.m"""
    return object_layer("layerWholeL2Normalize", {"name": name})


def _vlad(classname: str, name: str, weights: Sequence[np.ndarray], count: int) -> Layer:
    arrays = [np.asarray(weight, dtype=np.float32) for weight in weights]
    if len(arrays) != count or arrays[0].ndim != 2 or arrays[0].shape != arrays[-1].shape:
        raise ArgumentError(
            f"{classname} takes {count} weights, the first and the last of one shape (D, K); "
            f"found {[array.shape for array in arrays]}"
        )
    assign, *bias, last = arrays
    return vlad_layer([assign[None, None], *bias, (last if bias else -last)[None, None]], name)
