"""addLayers against the original: layers, weights, session names, and the method strings that it refuses."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepibl.matlab.networks import addLayers, loadNet
from deepibl.networks.build import parse_method
from deepibl.networks.clusters import vlad_alpha
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files, golden_id
from tests.matlab_same import assert_same
from tests.tolerances import assert_close

BUILT = [path for path in golden_files("addlayers/addLayers_*.mat") if path.stem != "addLayers_errors"]
WITH_CLUSTERS = [path for path in BUILT if "vlad" in path.stem]
DESCRIPTORS = golden_files("addlayers/initdata/*_traindescs.mat")
LAYER = "conv3_2"


def training_set() -> str:
    """The name of the data set that the descriptors were made of, as their file names have it."""
    return DESCRIPTORS[0].name.split("_")[0]


def build(case: dict[str, Any], golden: Path) -> SimpleNN:
    paths = {"pretrainedCNNs": str(golden / "nets"), "initData": str(golden / "addlayers/initdata")}
    net_id = matfile.text(case["netID"])
    opts = {"method": matfile.text(case["method"]), "netID": net_id, "layerName": LAYER, "useGPU": False}
    return addLayers(
        loadNet(net_id, LAYER, paths=paths), opts, SimpleNamespace(name=training_set()), paths=paths
    )


@pytest.fixture(params=BUILT, ids=golden_id)
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return matfile.load(request.param)


def test_there_are_cases() -> None:
    assert BUILT
    assert WITH_CLUSTERS
    assert DESCRIPTORS


def test_layers_are_the_originals(case: dict[str, Any], golden: Path) -> None:
    net = build(case, golden)
    assert net.names == matfile.cell_list(case["layerNames"])
    assert net.types == matfile.cell_list(case["layerTypes"])
    # the original's class() of a layer: 'struct' for MatConvNet's own types
    assert [layer.classname or "struct" for layer in net] == matfile.cell_list(case["classes"])


def test_session_and_epoch_are_the_originals(case: dict[str, Any], golden: Path) -> None:
    meta = build(case, golden).meta
    for name in ("sessionID", "netID"):
        assert_same(meta[name], case[name])
    assert meta["epoch"] == case["epoch"].item()


def test_all_fields_but_the_trained_weights_are_the_originals(case: dict[str, Any], golden: Path) -> None:
    got, want = (net["layers"].ravel("F") for net in (build(case, golden).to_matlab(), case["net"]))
    for have, expected in zip(got, want, strict=True):
        weightless = [{k: v for k, v in layer.items() if k != "weights"} for layer in (have, expected)]
        assert sorted(weightless[0]) == sorted(weightless[1])
        for name, value in weightless[1].items():
            assert np.array_equal(weightless[0][name], value), (expected["name"], name)


@pytest.mark.parametrize("path", WITH_CLUSTERS, ids=golden_id)
def test_vlad_weights_are_the_originals(path: Path, golden: Path) -> None:
    case = matfile.load(path)
    layer = build(case, golden)["vlad:core"]
    got = layer.weights_to_matlab()
    want = matfile.cell_list(case["weights"])
    assert set(matfile.cell_list(case["weights_class"])) == {"single"}
    assert {array.dtype for array in got} == {np.dtype(np.float32)}
    for have, expected in zip(got, want, strict=True):
        assert_close(have, expected, "op")


@pytest.mark.parametrize("path", WITH_CLUSTERS, ids=golden_id)
def test_alpha_is_the_originals(path: Path, golden: Path) -> None:
    case = matfile.load(path)
    words = matfile.text(case["method"]).split("_")
    stem = f"{training_set()}_{matfile.text(case['netID'])}_{LAYER}" + ("_preL2" if "preL2" in words else "")
    folder = golden / "addlayers/initdata"
    centres = matfile.load(folder / f"{stem}_k064_clst.mat")["clsts"].T
    descriptors = matfile.load(folder / f"{stem}_traindescs.mat")["trainDescs"].T
    assert_close(vlad_alpha(centres, descriptors, v2="vladv2" in words), matfile.scalar(case["alpha"]), "op")


def test_method_strings_are_refused_where_the_original_refuses_them(golden: Path) -> None:
    errors = matfile.load(golden / "addlayers/addLayers_errors.mat")["errors"]
    refused = 0
    for method, message in errors:
        if message:
            with pytest.raises(ArgumentError):
                parse_method(matfile.text(method))
            refused += 1
        else:
            parse_method(matfile.text(method))
    assert refused


def test_methods_that_the_original_takes_are_taken(case: dict[str, Any]) -> None:
    assert parse_method(matfile.text(case["method"])).text == case["method"]
