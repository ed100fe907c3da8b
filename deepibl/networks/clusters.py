"""Initial clusters of NetVLAD: local descriptors of training images, k-means, the assignment's sharpness.

Descriptors and centres are rows here, (N, D) and (K, D); in the original's files (`trainDescs`, `clsts`)
they are columns.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from deepibl.errors import DatasetError
from deepibl.layers import NetVLAD
from deepibl.networks.identity import Extractor, network_id
from deepibl.runtime.devices import channels_last, exact_products
from deepibl.runtime.progress import ProgressCallback, counted, counting
from deepibl.runtime.provenance import Provenance, file_content, misfit, note_of
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.rng import rng
from matlab_compat.yael import yael_kmeans

_log = logging.getLogger(__name__)
_File = StrPath | None
_MadeOf = Callable[[], Provenance] | None
Tell = Callable[[str], object]
SEED, STEPS = 43, 100
_TAIL = 0.01  # the second nearest centre gets this share of the nearest one's weight, on average
_ROWS = 512  # descriptors at a time, so that their distances stay in the cache


class Draws(Protocol):
    """A source of random draws: MATLAB's generator (`matlab_compat.rng`), or a replay of recorded draws."""

    def randsample(self, population: ArrayLike, k: int) -> np.ndarray:
        """k distinct ids of 0 … population-1."""


def local_descriptors(
    net: Extractor,
    images: Callable[[int], Tensor],
    count: int,
    *,
    total: int = 50000,
    per_image: int = 100,
    draws: Draws | None = None,
    device: str | torch.device = "cpu",
    progress: ProgressCallback | bool | None = None,
) -> np.ndarray:
    """Descriptors of random pixels of the first total/per_image images: (at most `total`, D) float32.

    Like the original it draws image ids and does not use them: the first images are read in any case. Where
    the data set has fewer images than needed, all are used.
    net: returns maps (1, D, h, w); it is on `device`. images: image i of the data set as (3, H, W), RGB,
    0..255. count: of its images. total, per_image: at most this many descriptors in all, and of each image.
    draws: default MATLAB's generator with seed 43. progress: see `deepibl.extract`.
    Raises DatasetError: there are no images.
    Ported from: netvlad/getClusters.m
    """
    if count < 1 or total < 1 or per_image < 1:
        raise DatasetError(f"{count} images, {total} descriptors, {per_image} an image: all must be positive")
    draws = draws or rng(SEED)
    used = min(math.ceil(total / per_image), count)
    draws.randsample(count, used)  # not used, as in the original; it advances the generator
    found: list[np.ndarray] = []
    have = 0
    for i in counted(range(used), used, "local descriptors for clusters, images", progress):
        image = images(i).to(device)[None]
        with torch.inference_mode(), exact_products(image.device):
            maps = net(channels_last(net.prepare(image)))
        # (1, D, h, w) -> (w*h, D), one column of pixels after the other, in MATLAB's order
        pixels = maps[0].permute(2, 1, 0).reshape(-1, maps.shape[1]).float().cpu().numpy()
        wanted = min(per_image, len(pixels), total - have)
        found.append(pixels[draws.randsample(len(pixels), wanted)])
        have += wanted
    return np.concatenate(found)


def cluster(descriptors: np.ndarray, k: int, progress: ProgressCallback | bool | None = None) -> np.ndarray:
    """The k centres (k, D) float32 of descriptors (N, D), by k-means as in the original.

    progress: see `deepibl.extract`. Raises ArgumentError for too few descriptors for k clusters.
    """
    with counting(progress, f"k-means of {len(descriptors)} descriptors, steps at most") as count:
        return yael_kmeans(descriptors, k, niter=STEPS, seed=SEED, verbose=0, each_step=count).centroids


def get_clusters(
    descriptors: Callable[[], np.ndarray],
    *,
    k: int = 64,
    cluster_file: _File = None,
    descriptor_file: _File = None,
    made_of: _MadeOf = None,
    tell: Tell = _log.info,
) -> np.ndarray:
    """Cluster centres (k, D) float32: from `cluster_file` if it exists, else computed and written there.

    descriptors: computes the training descriptors (N, D); called if `descriptor_file` does not exist.
    cluster_file, descriptor_file: NetVLAD's `…_clst.mat` and `…_traindescs.mat`; None keeps nothing.
    made_of: what the descriptors are made of (`descriptors_made_of`), noted beside the files
    (`NAME.mat.json`); a file whose note differs is computed again, one without a note, as MATLAB's, is known
    by its name alone. tell: called with each stage, in the original's words.
    Raises DatasetError: a file with another number of clusters; ArgumentError: too few descriptors.
    Ported from: netvlad/getClusters.m
    """
    centres = _kept(cluster_file, "clsts", made_of)
    if centres is not None:
        if len(centres) != k:
            raise DatasetError(
                f"{cluster_file} holds {len(centres)} clusters, not {k}: remove it, or ask for as many"
            )
        tell("Loading clusters")
        return centres
    points = training_descriptors(descriptors, descriptor_file, made_of, tell)
    tell("Computing clusters")
    return _keep(cluster_file, "clsts", cluster(points, k), made_of)


def training_descriptors(
    compute: Callable[[], np.ndarray], file: _File = None, made_of: _MadeOf = None, tell: Tell = _log.info
) -> np.ndarray:
    """Training descriptors (N, D) float32: from the file where it exists, else computed and written there.

    made_of, tell: see `get_clusters`.
    """
    found = _kept(file, "trainDescs", made_of)
    if found is not None:
        tell("Loading training descriptors")
        return found
    tell("Computing training descriptors")
    return _keep(file, "trainDescs", np.asarray(compute(), dtype=np.float32), made_of)


def descriptors_made_of(
    net: Extractor, root: StrPath, names: Sequence[str], total: int = 50000, per_image: int = 100
) -> Provenance:
    """What `local_descriptors` of a network and the images `names` of a data set are made of."""
    settings = {"images of the data set": len(names), "descriptors": total, "descriptors an image": per_image}
    used = names[: math.ceil(total / per_image)]
    return Provenance.of(network_id(net), root, used, settings, file_content)


def _kept(file: _File, variable: str, made_of: _MadeOf) -> np.ndarray | None:
    """The rows in a file; None where there is none, or it was made of something else."""
    if file is None or not Path(file).exists():
        return None
    reason = misfit(file, made_of()) if made_of is not None and note_of(file).exists() else ""
    if reason:
        _log.warning("%s is computed again: %s", file, reason)
        return None
    _log.info("loading %s from %s", variable, file)
    return np.ascontiguousarray(matfile.load(file, [variable])[variable].T, dtype=np.float32)


def _keep(file: _File, variable: str, rows: np.ndarray, made_of: _MadeOf) -> np.ndarray:
    """The rows, written to the file as columns."""
    if file is not None:
        if made_of is not None:
            Path(file).unlink(missing_ok=True)  # or it would be taken with the new note after a kill here
            made_of().write(file)
        matfile.save(file, {variable: rows.T})
    return rows


def vlad_alpha(centres: np.ndarray, descriptors: np.ndarray, *, v2: bool = False) -> float:
    """The sharpness of NetVLAD's soft assignment, from how much nearer the nearest centre is than the second.

    It is computed in single precision, in Octave's order of additions: the assignment's scores are of the
    order of 100, so a difference in the last digit would appear in every gradient of the layers below.
    centres: (K, D), K > 1. descriptors: (N, D), unit rows unless v2. v2: nearness by squared distance
    (layerVLADv2); else by the product with the unit centre.
    Raises ArgumentError: shapes that do not fit, or nearest and second nearest always equally near.
    Ported from: netvlad/addLayers.m
    """
    if (
        not (centres.ndim == descriptors.ndim == 2 and centres.shape[1] == descriptors.shape[1])
        or len(centres) < 2
    ):
        raise ArgumentError(
            f"centres {centres.shape} and descriptors {descriptors.shape}: expected (K, D) and (N, D), K > 1"
        )
    centres, descriptors = centres.astype(np.float32), descriptors.astype(np.float32)
    gaps = np.empty(len(descriptors), dtype=np.float32)
    for start in range(0, len(descriptors), _ROWS):
        rows = slice(start, start + _ROWS)
        nearness = _nearness(centres, descriptors[rows], v2)  # (rows, K)
        best = np.partition(nearness, -2, axis=1)[:, -2:]
        gaps[rows] = best[:, 1] - best[:, 0]
    total = np.cumsum(gaps)[-1]  # adds one after another; .sum() adds in pairs, with other roundings
    mean = total / np.float32(len(gaps))
    if not mean > 0:
        raise ArgumentError("every descriptor is equally near to two centres: are two centres equal?")
    return float(np.float32(-math.log(_TAIL)) / mean)


def _nearness(centres: np.ndarray, descriptors: np.ndarray, v2: bool) -> np.ndarray:
    """Similarity of descriptors (N, D) and centres (K, D): (N, K) float32, higher is nearer."""
    if not v2:
        squares = np.cumsum(np.square(centres), axis=1)[:, -1:]
        unit = centres / (np.sqrt(squares) + 1e-12)
        # rounded once: a product in single precision depends on the number of BLAS threads
        return (descriptors.astype(np.float64) @ unit.T.astype(np.float64)).astype(np.float32)
    found = np.zeros((len(descriptors), len(centres)), dtype=np.float32)
    for channel in range(centres.shape[1]):  # |x|^2 + |c|^2 - 2xc would lose digits
        found -= np.square(descriptors[:, channel, None] - centres[:, channel])
    return found


def vlad_weights(centres: np.ndarray, alpha: float, *, v2: bool = False) -> list[np.ndarray]:
    """The layer's initial weights as MATLAB stores them: 1 x 1 x D x K arrays, in v2 also a 1 x K row."""
    layer = NetVLAD.from_clusters(torch.from_numpy(np.asarray(centres, dtype=np.float32)), alpha, v2=v2)
    weights: Sequence[Tensor | None] = [layer.assign, layer.bias, layer.offset]
    arrays = [weight.detach().numpy() for weight in weights if weight is not None]
    return [array[None] if array.ndim == 1 else array[None, None] for array in arrays]
