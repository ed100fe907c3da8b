"""loadNet, netPrepareForTrain and netPrepareForTest against the original, field by field."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.matlab.networks import loadNet, netPrepareForTest, netPrepareForTrain
from matlab_compat import matfile
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files, golden_id
from tests.matlab_same import assert_same

LOADED = golden_files("nets/loadNet_*.mat")
PREPARED = golden_files("nets/prepare.mat")


@pytest.mark.parametrize("path", LOADED, ids=golden_id)
def test_loadNet_gives_the_originals_network(path: Path, golden: Path) -> None:
    content = matfile.load(path)
    net_id = path.stem.removeprefix("loadNet_")
    names = matfile.cell_list(content["layerNames"])
    paths = {"pretrainedCNNs": str(golden / "nets")}
    cropped, whole = loadNet(net_id, names[-1], paths=paths), loadNet(net_id, paths=paths)
    assert cropped.names == names
    assert_same(cropped.to_matlab(), content["net"])
    assert_same(whole.to_matlab(), content["net_nocrop"])
    assert list(cropped.meta) == matfile.cell_list(content["metaFields"])
    assert_same(cropped.meta["sessionID"], content["sessionID"])
    assert_same(np.array([[cropped.meta["epoch"]]]), content["epoch"])


@pytest.fixture(params=PREPARED, ids=golden_id)
def content(request: pytest.FixtureRequest) -> dict:
    return matfile.load(request.param)


def original(content: dict) -> SimpleNN:
    """The network that the fixture's were made of, as far as the trained ones show it."""
    return SimpleNN.from_matlab(content["test"])


def first_trained(content: dict) -> str:
    """The layer that was given as backPropToLayer: the first one that got zero momentum."""
    layers = matfile.cell_list(content["train_bp3"]["layers"])
    return next(layer["name"] for layer in layers if "momentum" in layer)


def test_train_fields_are_the_originals(content: dict) -> None:
    got = netPrepareForTrain(original(content), first_trained(content)).to_matlab()["layers"].ravel()
    for have, want in zip(got, content["train_bp3"]["layers"].ravel(), strict=True):
        # reading the fixture gave the dropout layer the field weights, which it lacked when the original ran
        assert sorted(have) == sorted(want) or "weights" not in want
        for field in ("precious", "momentum", "learningRate", "weightDecay"):
            if field in want:
                assert_same(have[field], want[field])


def test_precious_is_the_originals(content: dict) -> None:
    net = netPrepareForTrain(original(content), first_trained(content))
    assert [layer.precious for layer in net] == content["precious_bp3"].ravel().astype(bool).tolist()


def test_preparing_for_tests_gives_the_originals_network(content: dict) -> None:
    trained = SimpleNN.from_matlab(content["train_bp3"])
    got = netPrepareForTest(trained)
    assert [layer.precious for layer in got] == content["test_precious"].ravel().astype(bool).tolist()
    assert_same(got.to_matlab()["layers"], content["test"]["layers"])


def test_dropout_and_momentum_are_removed_where_the_original_removes_them(content: dict) -> None:
    trained = SimpleNN.from_matlab(content["train_bp3"])
    got = netPrepareForTest(trained, True, True)
    assert got.names == matfile.cell_list(content["test_rm_names"])
    assert_same(got.to_matlab()["layers"], content["test_rm"]["layers"])


def test_the_network_that_was_given_keeps_its_fields(content: dict) -> None:
    trained = SimpleNN.from_matlab(content["train_bp3"])
    netPrepareForTest(trained, True, True)
    assert_same(trained.to_matlab()["layers"], content["train_bp3"]["layers"])
    assert np.any([layer.precious for layer in trained])
