"""A small network for tests: fast, and it recognises places. `SMALL_NETWORK` is its file.

It is a MatConvNet network like the published ones, but its filters are not learned:

    gradients   conv 5x5    oriented derivatives of a Gaussian, equal in R, G and B
    relu                    the positive half of each, so directions and not only orientations
    cells       pool avg    sums over small squares, overlapping
    blocks      conv 4x4    gathers 4 x 4 cells around each place (each filter is a single 1)
    root, unit  normalize   square root of each number, then unit length: insensitive to light and contrast
    local_pca   conv 1x1    fewer numbers, by PCA of such descriptors
    preL2, vlad:core, vlad:intranorm, postL2, WPCA, finalL2     as in the published networks

Learned from images, in closed form or by k-means: the PCA of local descriptors, NetVLAD's clusters and the
whitening. Descriptors of this kind are known as dense RootSIFT with VLAD pooling.

    python -m tests.small_network        # makes it again, some minutes
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from deepibl.datasets import load_dbstruct
from deepibl.errors import DatasetError
from deepibl.features.extraction import extract
from deepibl.images import read_image
from deepibl.networks import network_id, save_network
from deepibl.networks.build import add_pca, add_pooling, plain_layer
from deepibl.networks.clusters import get_clusters, local_descriptors
from deepibl.toycity import make_city
from matlab_compat.relja import relja_l2normalize_col, relja_PCA
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row

SMALL_NETWORK = Path(__file__).parent / "networks" / "toycity_offtheshelf.mat"
IMAGES, SEED = 1600, 0
DIRECTIONS, SIGMA, SUPPORT = 8, 1.0, 5  # of the filters; pixels
CELL, STEP, GRID = 6, 3, 4  # pixels a cell, pixels between cells, cells a side of a block
IMAGE_SIZE = (240, 320)  # rows and columns of the average image


def small_network(
    files: Sequence[str],
    images: Callable[[int], Tensor],
    *,
    name: str,
    local_dim: int = 32,
    clusters: int = 64,
    dim: int = 224,
    samples: int = 50000,
) -> SimpleNN:
    """Builds the network from images without labels.

    files: paths of N images; the whitening is computed from all of them.
    images: image i as (3, H, W), RGB, 0 to 255.
    name: of the set of images, for meta.sessionID.
    local_dim: dimensions of a local descriptor. clusters: number of clusters. dim: of the descriptor.
    samples: number of local descriptors that PCA and k-means see.
    Raises DatasetError: fewer images than the whitening needs.
    """
    if len(files) <= dim:
        raise DatasetError(f"{dim} whitened dimensions need more than {dim} images; got {len(files)}")
    some = range(0, len(files), max(1, len(files) // 200))
    mean = np.mean([images(i).mean((1, 2)).double().numpy() for i in some], axis=0)
    net = oriented_gradients([float(value) for value in mean])
    per_image = math.ceil(samples / len(files))
    found = local_descriptors(net, images, len(files), total=samples, per_image=per_image)
    pca = relja_PCA(found, local_dim)
    filters = pca.U.astype(np.float32)[None, None]  # 1 x 1 x D x dim
    net = net.with_layers([*net, plain_layer(_conv("local_pca", filters, -pca.Utmu), len(net))])
    projected = relja_l2normalize_col(_projected(found, net))
    centres = get_clusters(lambda: projected, k=clusters)
    net = add_pooling(net, "vlad_preL2_intra", centres=centres, descriptors=projected, training_set=name)
    return add_pca(net, extract(net, files, progress=False), dim=dim)


def oriented_gradients(mean: Sequence[float]) -> SimpleNN:
    """The part in which nothing is learned: (N, 3, H, W) to 128 channels at every third pixel.

    mean: of R, G and B, subtracted first as in any MatConvNet network (these filters do not see it).
    """
    channels = DIRECTIONS * GRID * GRID
    # (4, 4, 8, 128): output channel (row, column, direction) is the direction of that cell
    gather = np.eye(channels, dtype=np.float32).reshape(GRID, GRID, DIRECTIONS, channels)
    sizes = {"pool": np.full((1, 2), float(CELL)), "stride": np.full((1, 2), float(STEP))}
    layers = [
        _conv("gradients", derivative_filters(), np.zeros(DIRECTIONS)),
        {"type": "relu", "name": "relu"},
        {"type": "pool", "name": "cells", "method": "avg", "pad": np.zeros((1, 4)), **sizes},
        _conv("blocks", gather, np.zeros(channels), dilate=CELL // STEP),
        {"type": "normalize", "name": "root", "param": np.array([[1, 1e-6, 1, 0.25]])},
        {"type": "normalize", "name": "unit", "param": np.array([[2.0 * channels, 1e-12, 1, 0.5]])},
    ]
    average = np.empty((*IMAGE_SIZE, 3), np.float32)
    average[:] = mean
    normalization = {"imageSize": np.array([[*IMAGE_SIZE, 3.0]]), "averageImage": average}
    meta = {"normalization": normalization, "netID": "orientedGradients", "sessionID": "orientedGradients"}
    return SimpleNN.from_matlab({"layers": cell_row(layers), "meta": meta})


def derivative_filters() -> np.ndarray:
    """Derivatives of a Gaussian in `DIRECTIONS` directions, (5, 5, 3, 8) float32, absolute sum 1."""
    reach = np.arange(SUPPORT) - SUPPORT // 2
    down, right = np.meshgrid(reach, reach, indexing="ij")
    bell = np.exp(-(down**2 + right**2) / (2 * SIGMA**2))
    filters = []
    for k in range(DIRECTIONS):
        angle = 2 * math.pi * k / DIRECTIONS
        slope = (right * math.cos(angle) + down * math.sin(angle)) * bell
        filters.append(slope / np.abs(slope).sum())
    stacked = np.stack(filters, axis=-1)[:, :, None, :] / 3  # (5, 5, 1, 8)
    return np.repeat(stacked, 3, axis=2).astype(np.float32)


def _conv(name: str, filters: np.ndarray, biases: np.ndarray, dilate: int = 1) -> dict[str, Any]:
    return {
        "type": "conv",
        "name": name,
        "weights": cell_row([filters.astype(np.float32), biases.astype(np.float32)[None]]),
        "stride": np.ones((1, 1)),
        "pad": np.zeros((1, 1)),
        "dilate": np.full((1, 1), float(dilate)),
    }


def _projected(descriptors: np.ndarray, net: SimpleNN) -> np.ndarray:
    """(N, D) descriptors as the layer local_pca outputs them, (N, dim)."""
    filters, biases = (
        np.asarray(weight.detach()) for weight in net["local_pca"].weights if weight is not None
    )
    filters = filters.reshape(len(filters), -1)
    return (descriptors @ filters.T + biases).astype(np.float32)


def make(out: Path, folder: Path) -> str:
    """Makes the city's training district in `folder` and the network in `out`; returns its identity."""
    dataset = load_dbstruct(make_city(folder, images=IMAGES, seed=SEED, split="train"), root=folder)
    files = dataset.image_paths("db") + dataset.image_paths("q")
    net = small_network(files, lambda i: read_image(files[i]), name="toycity_train")
    save_network(net, out)
    return network_id(net)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=SMALL_NETWORK)
    with tempfile.TemporaryDirectory(prefix="toycity-") as temporary:
        print(make(parser.parse_args().out, Path(temporary)))
