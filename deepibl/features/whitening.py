"""PCA of a training set's descriptors, kept in the original's files, which are checked before they are used
again.

`STEM_traindescs_for_pca.bin` holds the descriptors, `STEM_pca.mat` the variables U, lams, mu and Utmu, as
MATLAB writes them. Beside the first, `….bin.json` says which network and images it was made of; in the
second the variable `madeOf` does. Files that MATLAB made do not say; of them only the sizes can be checked."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.features.extraction import extract_to_file
from deepibl.features.files import read_features
from deepibl.features.partial import Origin, misfit, read_origin, write_origin
from deepibl.networks.build import append_pca, check_dimension, refuse_second
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.relja import PCA, relja_PCA
from matlab_compat.rng import rng
from matlab_compat.simplenn.edit import relja_netOutputDim
from matlab_compat.simplenn.network import SimpleNN

_log = logging.getLogger(__name__)

SEED = 43


def training_names(names: Sequence[str], at_most: int) -> list[str]:
    """The images that the PCA is made of: all, or MATLAB's random choice (seed 43) of `at_most`, in its
    order.

    Ported from: netvlad/addPCA.m
    """
    if len(names) <= at_most:
        return list(names)
    return [names[i] for i in rng(SEED).randsample(len(names), at_most)]


def add_pca_of_images(
    net: SimpleNN,
    root: str | os.PathLike[str],
    names: Sequence[str],
    stem: str | os.PathLike[str],
    *,
    dim: int = 4096,
    whiten: bool = True,
    at_most: int = 10000,
    **settings: Any,
) -> SimpleNN:
    """The network with PCA (and whitening) at its end, made of at most so many of these images.

    root, names: the images, below a folder. stem: what the names of the files begin with that keep what was
    computed. dim: dimensions to keep. settings: of `deepibl.extract_to_file`.
    Raises ArgumentError for a network that ends in PCA already, and what `pca_of_images` raises.

    Ported from: netvlad/addPCA.m
    """
    refuse_second(net)
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    chosen = training_names(names, at_most)
    size = relja_netOutputDim(net)[0]
    found = pca_of_images(net, root, chosen, stem, dim=dim, output_dim=size, **settings)
    return append_pca(net, found, dim=dim, whiten=whiten)


def pca_of_images(
    net: SimpleNN,
    root: str | os.PathLike[str],
    names: Sequence[str],
    stem: str | os.PathLike[str],
    *,
    dim: int,
    output_dim: int,
    **settings: Any,
) -> PCA:
    """At least `dim` principal components of the network's descriptors of these images.

    Taken from STEM_pca.mat where it fits (same network, same images, enough components), else computed of the
    descriptors in STEM_traindescs_for_pca.bin where those fit, else of descriptors computed now; both files
    are written.

    Args:
        net: the network.
        root, names: the images, below a folder.
        stem: what the two files' names begin with.
        dim: components needed.
        output_dim: D, the numbers in a descriptor.
        settings: of `deepibl.extract_to_file` (device, batch_size, num_threads, …).

    Raises:
        ArgumentError: so many components cannot be had of these images. ExtractionError: images that cannot
        be read.

    Ported from: netvlad/addPCA.m
    """
    check_dimension(dim, len(names), output_dim)
    origin = Origin.of(net, root, names)
    file = Path(f"{os.fspath(stem)}_pca.mat")
    found = _read_pca(file, origin, dim, output_dim)
    if found is not None:
        return found
    descriptors = _descriptors(
        net, root, names, Path(f"{os.fspath(stem)}_traindescs_for_pca.bin"), origin, output_dim, settings
    )
    pca = relja_PCA(descriptors, dim)
    columns = {"lams": pca.lams, "mu": pca.mu, "Utmu": pca.Utmu}
    matfile.save(
        file,
        {"U": pca.U, **{name: value[:, None] for name, value in columns.items()}, "madeOf": asdict(origin)},
    )
    return pca


def _read_pca(file: Path, origin: Origin, dim: int, output_dim: int) -> PCA | None:
    """The PCA in a file, if it fits."""
    if not file.exists():
        return None
    try:
        held = matfile.who(file)
        made_of = matfile.load(file, ["madeOf"])["madeOf"] if "madeOf" in held else None
        shape = held["U"].shape if "U" in held else None
        reason = misfit(None if made_of is None else _as_origin(made_of), origin)
        if shape is None or shape[0] != output_dim or shape[1] < dim:
            reason = f"it holds U of {shape}, {output_dim} x {dim} is needed"
        if not reason:
            values = matfile.load(file, ["U", "lams", "mu", "Utmu"])
            return PCA(values["U"], *(matfile.vector(values[name]) for name in ("lams", "mu", "Utmu")))
    except MatFileError as error:
        reason = str(error)
    _log.warning("%s is made again: %s", file, reason)
    return None


def _as_origin(stored: Any) -> Origin:
    return Origin(
        matfile.text(stored["network"]), matfile.text(stored["images"]), int(matfile.scalar(stored["count"]))
    )


def _descriptors(
    net: SimpleNN,
    root: str | os.PathLike[str],
    names: Sequence[str],
    file: Path,
    origin: Origin,
    dim: int,
    settings: dict[str, Any],
) -> np.ndarray:
    """(N, D) float32, from the file if it fits, else computed and written there."""
    if file.exists():
        reason = misfit(read_origin(file), origin)
        if file.stat().st_size != 4 * dim * len(names):
            reason = f"it has {file.stat().st_size} bytes instead of 4 x {dim} x {len(names)}"
        if not reason:
            return read_features(file, count=len(names), dim=dim)
        _log.warning("%s is made again: %s", file, reason)
        file.unlink()
    write_origin(file, origin)
    extract_to_file(net, root, names, file, **settings)
    return read_features(file, count=len(names), dim=dim)
