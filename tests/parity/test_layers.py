"""NetVLAD's layers equal the original's, forward and backward."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.layers import NetVLAD
from deepibl.matlab.networks import (
    layerTotalAvgPool,
    layerTotalMaxPool,
    layerVLAD,
    layerVLADv2,
    layerWholeL2Normalize,
)
from matlab_compat.numeric import maps_to_matlab, maps_to_torch
from matlab_compat.simplenn.layer import Layer
from tests.golden_data import golden_files, golden_id, read_golden
from tests.tolerances import assert_close

FILES = [*golden_files("layers/*.mat"), *golden_files("mid/layers/*.mat")]
VLAD = [path for path in FILES if path.stem.startswith("layerVLAD")]
PLAIN = {
    "layerTotalMaxPool": layerTotalMaxPool,
    "layerTotalAvgPool": layerTotalAvgPool,
    "layerWholeL2Normalize": layerWholeL2Normalize,
}


def build(path: Path, variables: dict) -> Layer:
    if path.stem.startswith("layerVLADv2"):
        return layerVLADv2("v", [variables["in_w1"], variables["in_w2"], variables["in_w3"]])
    if path.stem.startswith("layerVLAD"):
        return layerVLAD("v", [variables["in_assign"], variables["in_clsts"]])
    return PLAIN[path.stem]()


def run(layer: Layer, variables: dict) -> dict[str, np.ndarray]:
    """Output and derivatives in MATLAB's order, by autograd."""
    x = maps_to_torch(variables["x"]).requires_grad_()
    y = layer(x)
    weights = [weight for weight in layer.weights if weight is not None]
    dzdx, *dzdw = torch.autograd.grad(y, [x, *weights], maps_to_torch(variables["dzdy"]))
    found = {"y": maps_to_matlab(y), "dzdx": maps_to_matlab(dzdx)}
    arrays = layer.weights_to_matlab(dzdw)
    return found | {f"dzdw{number}": array for number, array in enumerate(arrays, start=1)}


@pytest.mark.parametrize("path", FILES, ids=golden_id)
def test_layer_equals_the_original_forward_and_backward(path: Path) -> None:
    variables = read_golden(path)
    layer = build(path, variables)
    for name, value in run(layer, variables).items():
        want = variables[name]
        assert_close(value.reshape(want.shape, order="F"), want, "vlad" if path in VLAD else "op")


@pytest.mark.parametrize("path", VLAD, ids=golden_id)
def test_vlad_stores_its_weights_as_the_original(path: Path) -> None:
    variables = read_golden(path)
    layer = build(path, variables)
    for number, array in enumerate(layer.weights_to_matlab(), start=1):
        np.testing.assert_array_equal(array, variables[f"w{number}"])
    sizes = [float(np.asarray(layer.fields[name]).ravel()[0]) for name in ("K", "D", "vladDim")]
    clusters, dim = variables["y"].shape[1:3]
    assert sizes == [clusters, dim, clusters * dim]


@pytest.mark.parametrize("path", VLAD, ids=golden_id)
def test_the_torch_module_gives_matlabs_flattening(path: Path) -> None:
    variables = read_golden(path)
    v2 = "in_w3" in variables
    dim, clusters = variables["w1"].shape[2:]
    module = NetVLAD(clusters, dim, v2=v2)
    with torch.no_grad():
        module.assign.copy_(torch.from_numpy(variables["w1"][0, 0].copy()))
        module.offset.copy_(torch.from_numpy(variables["w3" if v2 else "w2"][0, 0].copy()))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(variables["w2"].ravel().copy()))
        flat = module(maps_to_torch(variables["x"])).flatten(1)
    count = variables["y"].shape[3]
    assert_close(flat.numpy(), variables["y"].reshape(-1, count, order="F").T, "vlad")


def test_no_file_of_these_groups_is_left_out(golden: Path) -> None:
    there = {*(golden / "layers").rglob("*.mat"), *(golden / "mid" / "layers").rglob("*.mat")}
    assert there
    assert there == set(FILES)
