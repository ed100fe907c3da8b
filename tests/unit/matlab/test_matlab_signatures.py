"""Calls written as for the original's functions and classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.features import extract
from deepibl.matlab import (
    dbHolidays,
    dbPitts,
    dbTiny,
    dbTokyo247,
    dbTokyoTimeMachine,
    dbVGG,
    layerVLAD,
    layerVLADv2,
    netPrepareForTrain,
    pickBestNet,
    serialAllFeats,
)
from deepibl.matlab.datasets import dbBase
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.nn import (
    vl_nnbnorm,
    vl_nnconv,
    vl_nndropout,
    vl_nnnormalize,
    vl_nnpdist,
    vl_nnpool,
    vl_nnrelu,
    vl_nnsoftmax,
)
from matlab_compat.rng import rng
from matlab_compat.simplenn import SimpleNN
from matlab_compat.yael import yael_kmeans
from tests.simplenn_structs import small
from tests.small_datasets import saved
from tests.tiny_training import Workplace

FILE = "ep%06d"  # as in the original's scripts
X = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    for name in ("pitts30k_val", "tokyo247"):
        saved(tmp_path, name)
    return {"dsetSpecDir": str(tmp_path), "dsetRootPitts": "/p", "dsetRootTokyo247": "/t"}


def test_the_originals_sets_are_classes_that_can_be_derived(paths: dict[str, str]) -> None:
    class dbMine(dbTokyo247):
        def __init__(self, paths: Any) -> None:
            super().__init__(paths)
            self.name = "mine"

        def nontrivialPosQ(self, iQuery: int) -> np.ndarray:
            return super().nontrivialPosQ(iQuery)[:1]

    made, plain = dbMine(paths), dbTokyo247(paths)
    assert isinstance(made, dbTokyo247) and isinstance(made, dbBase) and made.name == "mine"
    assert made.nontrivial_positives(0).tolist() == plain.nontrivialPosQ(0).tolist()[:1]
    assert made.search_depth(2) == 24 and made.dbPath == plain.dbPath and made.cp.getPosIDs is not None
    for each in (dbPitts, dbTiny, dbTokyoTimeMachine, dbVGG, dbHolidays):
        assert isinstance(each, type)
    assert isinstance(dbPitts(False, "val", paths), dbPitts)


def test_negatives_are_sampled_with_the_originals_arguments(paths: dict[str, str]) -> None:
    first, second = (dbPitts(False, "val", paths) for _ in range(2))
    assert first.sampleNegsQ(0, 1).tolist() == second.sample_negatives(0, 1, rng()).tolist()
    assert first.sampleNegs([1e6, 1e6], 2).size == first.sampleNegsDb(0, 1).size + 1


def test_an_override_with_the_originals_arguments_draws_from_the_generator_of_training(paths: Any) -> None:
    class dbMine(dbPitts):
        def sampleNegsQ(self, iQuery: int, n: int) -> np.ndarray:  # type: ignore[override]
            return self.sampleNegs([1e6, 1e6], n)

    made, plain = dbMine(False, "val", paths), dbPitts(False, "val", paths)
    for seed in range(4):
        drawn = made.sample_negatives(0, 2, rng(seed))
        assert drawn.tolist() == plain.sample_negatives_at([1e6, 1e6], 2, rng(seed)).tolist()
    assert made.sampleNegsQ(0, 2).size == 2


@pytest.mark.parametrize("make", [layerVLAD, layerVLADv2])
def test_vlad_layers_are_constructed_as_in_the_original(make: Any) -> None:
    empty = make("vlad:core")
    assert (empty.name, empty.type, empty.K) == ("vlad:core", "custom", None)
    bias = [np.zeros((1, 3))] if make is layerVLADv2 else []
    layer = empty.constructor([np.ones((5, 3)), *bias, np.ones((5, 3))])
    assert (layer.K, layer.D, layer.vladDim) == (3, 5, 15) and np.zeros(layer.K).shape == (3,)
    layer.weights = [np.ones((1, 1, 5, 2)), *(np.zeros((1, 2)) for _ in bias), np.ones((1, 1, 5, 2))]
    assert layer.to_matlab()["vladDim"].item() == 10
    with pytest.raises(ArgumentError, match="follows from the weights"):
        layer.K = 4


def test_the_layer_to_train_from_is_numbered_as_in_the_trainers() -> None:
    net = SimpleNN.from_matlab(small())
    assert "momentum" in netPrepareForTrain(net)["c1"].fields
    by_name, by_number = netPrepareForTrain(net, "c2"), netPrepareForTrain(net, 4)
    for layer, other in zip(by_name, by_number, strict=True):
        assert layer.precious == other.precious and ("momentum" in layer.fields) == (
            "momentum" in other.fields
        )
    with pytest.raises(ArgumentError, match="counts from 1"):
        netPrepareForTrain(net, 0)


def test_blocks_take_arrays_and_empty_brackets() -> None:
    x, dzdy = torch.from_numpy(X), torch.ones(1, 3, 4, 4)
    biases = np.arange(3, dtype=np.float32)
    assert torch.equal(vl_nnconv(X, [], biases), x + torch.from_numpy(biases)[:, None, None])
    assert torch.equal(vl_nnrelu(X, [], leak=np.array([[0.5]])), vl_nnrelu(x, leak=0.5))
    assert torch.equal(vl_nnsoftmax(X, []), vl_nnsoftmax(x))
    assert torch.equal(vl_nnsoftmax(X, dzdy.numpy()), vl_nnsoftmax(x, dzdy))
    assert torch.equal(vl_nnnormalize(X, [5, 1, 0.1, 0.75], []), vl_nnnormalize(x, [5, 1, 0.1, 0.75]))
    assert torch.equal(
        vl_nnpool(X, np.array([2.0, 2.0]), "Stride", np.array([[2.0, 2.0]])), vl_nnpool(x, 2, stride=2)
    )
    filters = np.ones((2, 3, 2, 2), np.float32)
    plain = vl_nnconv(x, torch.from_numpy(filters), None)
    for switches in (("Verbose",), ("NoDerData", "stride", 1.0), ("noDerFilters", "CudnnWorkspaceLimit", 10)):
        assert torch.equal(vl_nnconv(X, filters, [], *switches), plain)


def test_moments_may_be_a_vector() -> None:
    x, ones = torch.from_numpy(X), torch.ones(3)
    moments = torch.tensor([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]])
    vector = np.array([0.1, 0.2, 0.3, 1, 2, 3], np.float32)
    wanted = vl_nnbnorm(x, ones, ones, moments=moments)
    for given in (vector, vector[None]):
        assert torch.equal(vl_nnbnorm(x, ones, ones, "moments", given), wanted)


def test_distances_to_targets_of_any_shape_that_repeats() -> None:
    x = torch.from_numpy(X)
    for shape in ((1, 3, 4, 1), (1, 1, 4, 4), (1, 1, 1, 1)):
        target = torch.full(shape, 0.25)
        assert torch.equal(vl_nnpdist(x, target, 2), vl_nnpdist(x, target.expand(x.shape), 2))
    assert vl_nnpdist(x, x[:, :, :1, :1], 0, noRoot=True)[0, 0, 0, 0] == 0
    assert vl_nnpdist(x, x[:, :, :1, :1], 0, noRoot=True)[0, 0, 1, 1] == 3
    with pytest.raises(ArgumentError, match="noRoot=True"):
        vl_nnpdist(x, x, 0)
    with pytest.raises(ArgumentError, match="sides must be equal, or 1"):
        vl_nnpdist(x, x[:, :2], 2)


def test_dropout_of_everything_gives_zeros() -> None:
    y, mask = vl_nndropout(X, "rate", 1)
    assert not y.any() and not mask.any()


def test_clusters_with_the_originals_options_and_outputs(capsys: Any) -> None:
    points = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    whole = yael_kmeans(points, 4, "niter", 100, "seed", 43, "verbose", 0)
    assert capsys.readouterr().out == ""
    centroids, ids = yael_kmeans(points, 4, "niter", 100, "seed", 43, nargout=2)
    assert "step 1" in capsys.readouterr().out
    np.testing.assert_array_equal(centroids, whole.centroids)
    np.testing.assert_array_equal(ids, whole.assignment)
    np.testing.assert_array_equal(yael_kmeans(points, 4, niter=100, seed=43, verbose=0, nargout=1), centroids)


def test_the_epoch_of_a_network_formats_as_in_the_originals_file_names(tmp_path: Path) -> None:
    net = SimpleNN.from_matlab({**small(), "meta": {"epoch": np.array([[3.0]]), "sessionID": "s"}})
    assert FILE % net.meta["epoch"] == "ep000003"
    matfile.save(tmp_path / "net.mat", {"net": net.to_matlab()})
    written = matfile.load(tmp_path / "net.mat")["net"]["meta"]["epoch"]
    assert written.shape == (1, 1) and written.dtype == np.float64


def test_the_best_epoch_is_known_without_its_file(tmp_path: Path, capsys: Any) -> None:
    place = Workplace(tmp_path)
    place.train(sessionID="run", nEpoch=1)
    best, net = pickBestNet("run", 5, 0, paths=place.paths)
    assert net is not None and FILE % net.meta["epoch"] == f"ep{best:06d}"
    (file,) = tmp_path.rglob(f"*run_ep{best:06d}_latest.mat")
    file.unlink()
    assert pickBestNet("run", 5, 0, paths=place.paths) == (best, None)
    assert "does not exist" in capsys.readouterr().out


def test_representations_of_resized_images(tmp_path: Path) -> None:
    # the protocol of Tokyo 24/7: a shorter side of 640 pixels
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=95)
    net = SimpleNN.from_matlab(small())
    found = {}
    for size in (None, 20, [20, 24], np.array([[20.0, 24.0]])):
        out = tmp_path / f"{np.ravel(size).tolist()}_{type(size).__name__}.bin"
        serialAllFeats(net, f"{tmp_path}/", ["a.jpg"], out, "useGPU", False, "Resize", size)
        found[str(size)] = np.fromfile(out, np.float32)
        sides = tuple(int(side) for side in np.ravel(size)) if np.size(size) > 1 else size
        wanted = extract(net, ["a.jpg"], root=tmp_path, resize=sides)
        np.testing.assert_array_equal(found[str(size)], wanted.ravel())
    assert len({len(rows) for rows in found.values()}) == 3
    with pytest.raises(ArgumentError, match="Resize"):
        serialAllFeats(net, f"{tmp_path}/", ["a.jpg"], tmp_path / "x.bin", useGPU=False, Resize=-1)
