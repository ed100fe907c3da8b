"""PCA and whitening of a network's output, as a layer of the network."""

import numpy as np

from deepibl.network_build import plain_layer, whole_l2_layer
from matlab_compat.errors import ArgumentError
from matlab_compat.mat_values import text as matlab_text
from matlab_compat.relja_pca import PCA, relja_PCA
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_tidy import cell_row

__all__ = ["PCA", "add_pca", "append_pca", "check_dimension", "has_pca", "refuse_second", "relja_PCA"]

_NAMES = {True: "WPCA", False: "PCA"}
_FLOOR = 1e-9  # added to variances before whitening divides by their root


def add_pca(net: SimpleNN, features: np.ndarray, *, dim: int = 4096, whiten: bool = True) -> SimpleNN:
    """The network with PCA (and whitening) of these features at its end, and L2 normalisation behind it.

    Args:
        net: its layers are shared with the result.
        features: (N, D) float32, what the network gives for N training images.
        dim: dimensions to keep; below D and, with N <= D, below N.
        whiten: divides each component by its standard deviation.

    Raises:
        ArgumentError: a network that ends in a PCA already, or a dimension that the features cannot give.

    Ported from: netvlad/addPCA.m
    """
    refuse_second(net)
    check_dimension(dim, *features.shape)
    return append_pca(net, relja_PCA(np.asarray(features, dtype=np.float32), dim), dim=dim, whiten=whiten)


def append_pca(net: SimpleNN, pca: PCA, *, dim: int | None = None, whiten: bool = True) -> SimpleNN:
    """The network with the first `dim` (default: all) of these components as its last layers.

    The layers are WPCA or PCA (a 1 x 1 convolution, single precision whatever the class of U) and finalL2.
    Raises ArgumentError as `add_pca` does.
    """
    refuse_second(net)
    dim = len(pca.lams) if dim is None else dim
    if not 1 <= dim <= len(pca.lams):
        raise ArgumentError(f"{dim} dimensions asked for, the PCA has {len(pca.lams)}")
    components = pca.U[:, :dim]
    if whiten:
        components = components * (1 / np.sqrt(pca.lams[:dim] + _FLOOR)).astype(components.dtype)
    projected_mean = (components.T @ pca.mu.astype(components.dtype)).astype(np.float32)
    filters = np.ascontiguousarray(components.T, dtype=np.float32).T[
        None, None
    ]  # 1 x 1 x D x dim, MATLAB's order
    fields = {
        "type": "conv",
        "name": _NAMES[whiten],
        "weights": cell_row([filters, -projected_mean[:, None]]),
        "stride": np.ones((1, 1)),
        "pad": np.zeros((1, 1)),
        "opts": cell_row([]),
        "precious": np.zeros((1, 1), dtype=bool),
    }
    built = net.with_layers([*net, plain_layer(fields, len(net)), whole_l2_layer("finalL2", len(net) + 1)])
    built.meta["sessionID"] = f"{matlab_text(net.meta.get('sessionID', ''))}_{_NAMES[whiten]}"
    return built


def check_dimension(dim: int, points: int, dimensions: int) -> None:
    """ArgumentError unless so many points in so many dimensions determine `dim` components."""
    most = min(dimensions - 1, points - 1)
    if not 1 <= dim <= most:
        reason = (
            f"it must be below the features' own {dimensions} dimensions"
            if most == dimensions - 1
            else f"{points} training images determine no more than {points - 1}; take more images"
        )
        raise ArgumentError(f"pcaDim is {dim}; possible are 1 to {most}: {reason}")


def has_pca(net: SimpleNN) -> bool:
    """Whether the network ends in PCA already, with or without L2 normalisation behind it."""
    return any(layer.type == "conv" and layer.name in _NAMES.values() for layer in list(net)[-2:])


def refuse_second(net: SimpleNN) -> None:
    """ArgumentError when the network ends in PCA already."""
    if has_pca(net):
        raise ArgumentError(
            "the network ends in PCA already (the released networks hold their whitening): leave addPCA out"
        )
