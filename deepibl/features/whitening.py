"""PCA of a training set's descriptors, kept in the original's files, which are checked before reuse.

`STEM_traindescs_for_pca.bin` holds the descriptors, `STEM_pca.mat` the variables U, lams, mu and Utmu, as
MATLAB writes them. Their `Provenance` is in `….bin.json` beside the first and, as JSON, in the variable
`madeOf` of the second. Files that MATLAB wrote have none; only their sizes are checked.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepibl.engine.settings import ExtractionSettings, ImageOptions
from deepibl.features.extraction import extract_to_file, provenance
from deepibl.features.files import read_features
from deepibl.networks.build import append_pca, check_dimension, refuse_second
from deepibl.runtime.progress import working
from deepibl.runtime.provenance import Provenance, file_content, misfit
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath
from matlab_compat.relja import PCA, relja_PCA
from matlab_compat.rng import rng
from matlab_compat.simplenn.edit import relja_netOutputDim
from matlab_compat.simplenn.network import SimpleNN

if TYPE_CHECKING:
    from typing_extensions import Unpack

_log = logging.getLogger(__name__)
SEED = 43
TRAINING_VECTORS = "Computing training vectors for PCA"


def training_names(names: Sequence[str], at_most: int) -> list[str]:
    """The images that the PCA is made of: all, or MATLAB's random choice (seed 43) of `at_most`.

    The chosen ones are in the order of the draw.
    Ported from: netvlad/addPCA.m
    """
    if len(names) <= at_most:
        return list(names)
    return [names[i] for i in rng(SEED).randsample(len(names), at_most)]


def add_pca_of_images(
    net: SimpleNN,
    root: StrPath,
    names: Sequence[str],
    stem: StrPath,
    *,
    dim: int = 4096,
    whiten: bool = True,
    at_most: int = 10000,
    tell: Callable[[str], object] = _log.info,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ImageOptions],
) -> SimpleNN:
    """The network with PCA (and whitening) to `dim` dimensions at its end, made of at most `at_most` images.

    stem: what the names of the files begin with that keep what was computed. tell: called with each stage, in
    the original's words. Raises ArgumentError for a network that ends in PCA already, and as `pca_of_images`.

    Ported from: netvlad/addPCA.m
    """
    settings = ExtractionSettings.of(add_pca_of_images, settings, options, on_error="raise")
    refuse_second(net)
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    chosen = training_names(names, at_most)
    size = relja_netOutputDim(net)[0]
    found = pca_of_images(net, root, chosen, stem, dim=dim, output_dim=size, tell=tell, settings=settings)
    return append_pca(net, found, dim=dim, whiten=whiten)


def pca_of_images(
    net: SimpleNN,
    root: StrPath,
    names: Sequence[str],
    stem: StrPath,
    *,
    dim: int,
    output_dim: int,
    tell: Callable[[str], object] = _log.info,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ImageOptions],
) -> PCA:
    """At least `dim` principal components of the network's descriptors (output_dim numbers) of these images.

    Taken from STEM_pca.mat where it fits (same network, images and settings, enough components), else
    computed of the descriptors in STEM_traindescs_for_pca.bin where those fit, else of descriptors extracted
    now; both files are written. Raises ArgumentError where these images cannot give `dim` components,
    ExtractionError for images that cannot be read.

    Ported from: netvlad/addPCA.m
    """
    settings = ExtractionSettings.of(pca_of_images, settings, options, on_error="raise")
    check_dimension(dim, len(names), output_dim)
    made_of = provenance(net, root, names, settings, mark=file_content)
    file = Path(f"{os.fspath(stem)}_pca.mat")
    found = _read_pca(file, made_of, dim, output_dim) if file.exists() else None
    if found is not None:
        return found
    kept = Path(f"{os.fspath(stem)}_traindescs_for_pca.bin")
    reason = misfit(kept, made_of) if kept.exists() else "there is none"
    if not reason and kept.stat().st_size != 4 * output_dim * len(names):
        reason = f"it has {kept.stat().st_size} bytes instead of 4 x {output_dim} x {len(names)}"
    if reason:
        if kept.exists():
            _log.warning("%s is computed again: %s", kept, reason)
        tell(TRAINING_VECTORS)
        fresh = kept.with_suffix(".new.bin")  # the old ones stay if an image cannot be read
        extract_to_file(net, root, names, fresh, settings=settings)
        kept.unlink(missing_ok=True)
        made_of.write(kept)
        fresh.replace(kept)
    tell("Computing PCA")
    with working(f"PCA of {len(names)} descriptors"):
        pca = relja_PCA(read_features(kept, count=len(names), dim=output_dim), dim)
    columns = {"lams": pca.lams[:, None], "mu": pca.mu[:, None], "Utmu": pca.Utmu[:, None]}
    matfile.save(file, {"U": pca.U, **columns, "madeOf": json.dumps(made_of.as_dict())})
    return pca


def _read_pca(file: Path, made_of: Provenance, dim: int, output_dim: int) -> PCA | None:
    try:
        held = matfile.who(file)
        shape = held["U"].shape if "U" in held else None
        reason = ""
        if "madeOf" in held:
            stored = json.loads(matfile.text(matfile.load(file, ["madeOf"])["madeOf"]))
            reason = Provenance.from_dict(stored).differences(made_of)
        if shape is None or shape[0] != output_dim or shape[1] < dim:
            reason = f"it holds U of {shape}, {output_dim} x {dim} is needed"
        if not reason:
            values = matfile.load(file, ["U", "lams", "mu", "Utmu"])
            return PCA(values["U"], *(matfile.vector(values[name]) for name in ("lams", "mu", "Utmu")))
    except (MatFileError, json.JSONDecodeError) as error:
        reason = str(error)
    _log.warning("%s is computed again: %s", file, reason)
    return None
