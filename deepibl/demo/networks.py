"""The small network that ships, and the random one that the training demo starts from.

`small_network` describes places without training by gradients. It is a MatConvNet network like the published
ones, but its filters are not learned:

    gradients   conv 5x5    oriented derivatives of a Gaussian, equal in R, G and B
    relu                    the positive half of each, so directions and not only orientations
    cells       pool avg    sums over small squares, overlapping
    blocks      conv 4x4    gathers 4 x 4 cells around each place (each filter is a single 1)
    root, unit  normalize   square root of each number, then unit length: insensitive to light and contrast
    local_pca   conv 1x1    fewer numbers, by PCA of such descriptors
    preL2, vlad:core, vlad:intranorm, postL2, WPCA, finalL2     as in the published networks

Learned from images, in closed form or by k-means: the PCA of local descriptors, NetVLAD's clusters and the
whitening. Descriptors of this kind are known as dense RootSIFT with VLAD pooling.

`random_network` has random filters, scaled by what they output on photographs:

    half      pool avg     half the size: enough of what a place looks like, at a quarter of the cost
    conv1     5x5 / 2, pool, relu
    conv2     3x3, pool, relu
    conv3     3x3, relu
    conv4     3x3          its output is pooled to a descriptor

Filters are drawn from a normal distribution. Then each is divided by the standard deviation of its output on
some photographs, and its bias is minus the mean, so that every convolution starts with outputs of mean 0 and
deviation 1 (data-dependent initialisation: Kraehenbuehl et al. 2016, Mishkin and Matas 2016). Nothing is
learned, and no filter has a chosen shape.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.errors import DatasetError
from deepibl.features.extraction import extract
from deepibl.networks.build import add_pca, add_pooling, plain_layer
from deepibl.networks.clusters import get_clusters, local_descriptors
from matlab_compat.errors import ArgumentError
from matlab_compat.relja import relja_l2normalize_col, relja_PCA
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row

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


CHANNELS = (16, 32, 64, 64)
POOLED = 2  # of the first convolutions are followed by a pooling that halves the maps
FIRST_SIDE, SIDE = 5, 3  # of the filters of the first convolution, and of the others


def random_network(photos: Tensor, seed: int = 0, channels: Sequence[int] = CHANNELS) -> SimpleNN:
    """Convolutions with random weights; the last is called conv4 where there are four.

    photos: (N, 3, H, W), RGB, 0 to 255: the filters are scaled by them; their mean colour is subtracted.
    seed: of the filters; the same seed and photos give the same network.
    channels: of each convolution.
    Raises ArgumentError: no photos, or photos of a single colour.
    """
    if photos.ndim != 4 or not len(photos):
        raise ArgumentError(f"photos must be (N, 3, H, W) with N > 0; got {tuple(photos.shape)}")
    random = np.random.RandomState(seed)
    layers = [_random_pool("half", "avg")]
    for number, (inputs, outputs) in enumerate(pairwise((3, *channels)), start=1):
        last = number == len(channels)
        layers.append(
            _random_conv(f"conv{number}", random, FIRST_SIDE if number == 1 else SIDE, inputs, outputs)
        )
        if number <= POOLED and not last:
            layers.append(_random_pool(f"pool{number}"))
        if not last:
            layers.append({"type": "relu", "name": f"relu{number}"})
    made = [plain_layer(fields, index) for index, fields in enumerate(layers)]
    height, width = photos.shape[-2:]
    average = np.empty((height, width, 3), np.float32)
    average[:] = photos.mean((0, 2, 3)).numpy()
    normalization = {"imageSize": np.array([[float(height), float(width), 3.0]]), "averageImage": average}
    meta = {"normalization": normalization, "netID": "toycity", "sessionID": "toycity_random"}
    net = SimpleNN(made, meta).eval()
    _scale(net, photos)
    return net


@torch.no_grad()
def _scale(net: SimpleNN, photos: Tensor) -> None:
    """Gives every convolution's output mean 0 and deviation 1 on the photos, a channel at a time."""
    maps = net.prepare(photos)
    for layer in net:
        given = layer(maps)
        if layer.type == "conv":
            mean, spread = given.mean((0, 2, 3)), given.std((0, 2, 3))
            if not bool((spread > 0).all()):
                raise ArgumentError(f"{layer.name}: its output is constant on the photos; are they empty?")
            filters, biases = layer.weights
            assert filters is not None and biases is not None  # this module gave it both
            filters /= spread[:, None, None, None]
            biases.copy_((biases - mean) / spread)
            given = (given - mean[:, None, None]) / spread[:, None, None]
        maps = given


def _random_conv(
    name: str, random: np.random.RandomState, side: int, inputs: int, outputs: int
) -> dict[str, Any]:
    weight = random.standard_normal((side, side, inputs, outputs))
    return {
        "type": "conv",
        "name": name,
        "weights": [weight.astype(np.float32), np.zeros((outputs, 1), np.float32)],
        "stride": np.full((1, 2), 2.0 if side == FIRST_SIDE else 1.0),
        "pad": np.full((1, 4), float(side // 2)),
    }


def _random_pool(name: str, method: str = "max") -> dict[str, Any]:
    return {
        "type": "pool",
        "name": name,
        "method": method,
        "pool": np.full((1, 2), 2.0),
        "stride": np.full((1, 2), 2.0),
        "pad": np.zeros((1, 4)),
    }
