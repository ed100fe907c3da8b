"""Descriptors of real JPEG files against the original's: an image, a data set, with and without PCA."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepibl
from deepibl import features
from deepibl.matlab.networks import computeRepresentation, serialAllFeats
from deepibl.networks.identity import network_id
from matlab_compat import matfile
from matlab_compat.images import vl_imreadjpeg
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import GOLDEN
from tests.tolerances import TOL, assert_close

REPRESENTATION = GOLDEN / "train" / "computeRepresentation.mat"
PCA = GOLDEN / "train" / "addPCA_dual.mat"
DATA = GOLDEN / "train" / "data"

# (bin file, variable with the network, file of that variable, which images)
BINS = [
    ("val_q.bin", "net", REPRESENTATION, "q"),
    ("val_db.bin", "net", REPRESENTATION, "db"),
    ("val_q_wpca.bin", "net_white", PCA, "q"),
    ("val_db_wpca.bin", "net_white", PCA, "db"),
    ("val_q_pca.bin", "net_nowhite", PCA, "q"),
]


def network(path: Path, variable: str) -> Any:
    return SimpleNN.from_matlab(matfile.load(path, [variable])[variable])


def image_list(kind: str) -> tuple[Path, list[str]]:
    """The folder and names of goldval's queries or database images."""
    struct = matfile.load(GOLDEN / "train" / "datasets" / "goldval.mat", ["dbStruct"])["dbStruct"]
    names = matfile.image_names(struct["qImageFns" if kind == "q" else "dbImageFns"])
    return DATA / "goldval" / ("queries" if kind == "q" else "images"), names


def close(got: np.ndarray, want: np.ndarray, kind: str = "features") -> None:
    assert got.shape == want.shape and got.dtype == np.float32
    assert np.abs(got - want).max() <= TOL[kind]


def test_computeRepresentation_of_raw_images():
    fixture = matfile.load(REPRESENTATION)
    net = network(REPRESENTATION, "net")
    images = matfile.cell_list(fixture["im"])
    for column, image in enumerate(images):
        pixels = np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1))
        close(computeRepresentation(net, pixels), fixture["feat"][:, [column]].T)
    names = [str(name) for name in matfile.image_names(fixture["imageFns"])]
    files = [DATA / "goldtrain" / "images" / name for name in names]
    for image, read in zip(images, vl_imreadjpeg(files), strict=True):
        assert_close(read, np.atleast_3d(image).transpose(2, 0, 1), "exact")


@pytest.mark.parametrize(("name", "variable", "source", "kind"), BINS, ids=[row[0] for row in BINS])
@pytest.mark.parametrize("batch_size", [10, 3])
def test_serialAllFeats_writes_the_originals_file(tmp_path, name, variable, source, kind, batch_size):
    root, names = image_list(kind)
    want = np.fromfile(GOLDEN / "train" / "bins_extra" / name, np.float32).reshape(len(names), -1)
    net = network(source, variable)
    serialAllFeats(net, f"{root}/", names, tmp_path / "out.bin", "batchSize", batch_size, "useGPU", False)
    assert (tmp_path / "out.bin").stat().st_size == want.nbytes
    kind = "reduced features" if source == PCA else "features"
    close(features.read_features(tmp_path / "out.bin", count=len(names)), want, kind)


def test_extract_equals_the_file_and_keeps_the_order():
    root, names = image_list("db")
    want = np.fromfile(GOLDEN / "train" / "bins_extra" / "val_db.bin", np.float32).reshape(len(names), -1)
    order = np.random.default_rng(0).permutation(len(names))
    got = deepibl.extract(network(REPRESENTATION, "net"), [names[i] for i in order], root=root, batch_size=4)
    close(got, want[order])


def test_the_whitened_nets_are_other_networks():
    ids = {network_id(network(source, variable)) for _, variable, source, _ in BINS}
    assert len(ids) == 3
