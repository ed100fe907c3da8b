"""Training on a torchvision or timm model by name: sessions, pickBestNet and addPCA as on any network."""

from pathlib import Path

import numpy as np
import pytest
import torch

import deepibl
from deepibl.matlab import training as trainers
from deepibl.training.listeners import TrainingListener
from matlab_compat import matfile
from tests.resnet18 import random_weights
from tests.tiny_training import OPTIONS, Log, Workplace

pytestmark = pytest.mark.slow  # a training and two more of a few seconds
RESNET = {"netID": "torchvision:resnet18", "layerName": "layer2", "method": "vlad_preL2_intra"}
SMALL = {**OPTIONS, "nEpoch": 1, "learningRate": 0.001}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def trained(weights, tmp_path_factory) -> Workplace:
    """A training of ResNet-18's first half under NetVLAD, and of nothing else."""
    place = Workplace(tmp_path_factory.mktemp("resnet"))
    train(place, weights, sessionID="run")
    return place


def train(place, weights, *listeners, **changes):
    options = {**SMALL, **RESNET, **changes}
    return trainers.trainGaussKernalInd(
        *place.sets, paths=place.paths, weights=str(weights), listeners=listeners, **options
    )


def backbone(place, session="run"):
    """Name -> array of the backbone's weights in a session's file, and its layer."""
    layer = matfile.cell_list(place.load(session)["net"]["layers"])[0]
    return dict(
        zip(matfile.cell_list(layer["weightNames"]), matfile.cell_list(layer["weights"]), strict=True)
    )


def test_its_weights_learn_and_its_statistics_do_not(trained, weights):
    before = torch.load(weights, weights_only=True)
    after = backbone(trained)
    for name, array in after.items():
        flat = np.sort(np.ravel(array))
        same = np.array_equal(flat, np.sort(np.ravel(before[name].numpy())))
        assert same == ("running_" in name), name
    assert any("running_var" in name for name in after) and "layer2.1.bn2.weight" in after


def test_the_best_network_is_picked_whitened_saved_and_used(trained, tmp_path, capsys):
    epoch, net = deepibl.pickBestNet("run", paths=trained.paths)
    assert epoch == 1 and "run Best epoch: 1 (out of 1)" in capsys.readouterr().out
    white = deepibl.addPCA(net, trained.sets[0], pcaDim=4, useGPU=False, paths=trained.paths)
    deepibl.save_network(white, tmp_path / "white.mat")
    again = deepibl.load_network(tmp_path / "white.mat")
    assert again.names == ["layer2", "preL2", "vlad:core", "vlad:intranorm", "postL2", "WPCA", "finalL2"]
    found = deepibl.extract(again, trained.sets[1].image_paths("q"))
    assert np.array_equal(found, deepibl.extract(white, trained.sets[1].image_paths("q")))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_stopped_it_goes_on_to_the_same_bits(trained, weights, tmp_path):
    class Stop(TrainingListener):
        def batch_done(self, state, report):
            if report.batch == 2:
                raise KeyboardInterrupt

    place = Workplace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(place, weights, Stop(), sessionID="run")
    log = Log()
    train(place, weights, log, sessionID="run")
    assert 0 < len(log.batches) < 4
    for one, other in zip(place.weights("run"), trained.weights("run"), strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_head_alone_learns_where_backPropToLayer_is_above_the_backbone(trained, weights):
    train(trained, weights, sessionID="head", backPropToLayer="preL2")
    before = torch.load(weights, weights_only=True)
    for name, array in backbone(trained, "head").items():
        assert np.array_equal(np.sort(np.ravel(array)), np.sort(np.ravel(before[name].numpy())))
    one, other = (matfile.cell_list(trained.load(s)["net"]["layers"])[2]["weights"] for s in ("head", "run"))
    assert not np.array_equal(matfile.cell_list(one)[0], matfile.cell_list(other)[0])


def test_from_a_module_of_the_backbone_on_all_learns_and_below_it_nothing(trained, weights):
    train(trained, weights, sessionID="part", backPropToLayer="layer2", checkpoint0suffix="part")
    layers = matfile.cell_list(trained.load("part")["net"]["layers"])
    assert [layer["name"] for layer in layers][:3] == ["before:layer2", "layer2", "preL2"]
    before = torch.load(weights, weights_only=True)
    for layer, learns in zip(layers[:2], (False, True), strict=True):
        names, arrays = (matfile.cell_list(layer[field]) for field in ("weightNames", "weights"))
        assert all(name.startswith("layer2.") == learns for name in names)
        for name, array in zip(names, arrays, strict=True):
            flat = np.sort(np.ravel(array))
            same = np.array_equal(flat, np.sort(np.ravel(before[name].numpy())))
            assert same == (not learns or "running_" in name), name
    _, net = deepibl.pickBestNet("part", verbose=0, paths=trained.paths)
    white = deepibl.addPCA(net, trained.sets[0], pcaDim=4, useGPU=False, paths=trained.paths)
    assert deepibl.extract(white, trained.sets[1].image_paths("q")).shape == (9, 4)


def test_a_timm_model_trains_too(tmp_path):
    pytest.importorskip("timm", reason="needs the extra timm")
    place = Workplace(tmp_path)
    torch.manual_seed(0)
    changes = {"netID": "timm:resnet10t", "layerName": "layer1", "method": "avg", "sessionID": "timm"}
    assert train(place, "random", **changes) == "timm"
    assert place.load("timm")["obj"]["val"]["recall"].shape[1] == 1
