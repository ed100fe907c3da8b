"""Whole networks: formats, tidying, loadNet's steps, forward and backward, layer by layer, against the
original.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepibl.networks.build  # noqa: F401  # registers NetVLAD's layers
from matlab_compat import matfile
from matlab_compat.numeric import maps_to_matlab, maps_to_torch
from matlab_compat.simplenn.edit import relja_cropToLayer, relja_netOutputDim, relja_swapLayersForEfficiency
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.run import vl_simplenn
from matlab_compat.simplenn.tidy import relja_simplenn_tidy, vl_simplenn_tidy
from tests.golden_data import golden_files, golden_id
from tests.matlab_same import assert_same
from tests.tolerances import assert_close

HEADS = golden_files("nets/net_*.mat")
LOADED = golden_files("nets/loadNet_*.mat")


def test_old_and_new_formats_of_v7_and_v73_are_one_network(golden: Path) -> None:
    paths = [golden / "nets" / f"{name}.mat" for name in ("tiny", "tinyold", "v73/tiny", "v73/tinyold")]
    nets = [SimpleNN.from_matlab(matfile.load(path)) for path in paths]
    x = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    want = nets[0](x)
    for net in nets[1:]:
        assert (net.names, net.types) == (nets[0].names, nets[0].types)
        assert torch.equal(net(x), want)
        assert torch.equal(net.mean_pixel, nets[0].mean_pixel)


def test_only_the_top_left_pixel_of_the_average_image_is_subtracted(golden: Path) -> None:
    stored = matfile.load(golden / "nets" / "tiny.mat")
    net = SimpleNN.from_matlab(stored)
    pixel = stored["meta"]["normalization"]["averageImage"][0, 0]
    np.testing.assert_array_equal(net.mean_pixel, pixel)
    images = torch.full((2, 3, 4, 5), 7.0)
    np.testing.assert_array_equal(net.prepare(images)[1, :, 2, 3], 7 - pixel)


@pytest.mark.parametrize("path", LOADED, ids=golden_id)
def test_cropping_and_swapping_give_the_layers_of_loadNet(path: Path, golden: Path) -> None:
    content = matfile.load(path)
    raw = matfile.load(golden / "nets" / f"{path.stem.removeprefix('loadNet_')}.mat")
    whole = SimpleNN.from_matlab(vl_simplenn_tidy(raw))
    names = matfile.cell_list(content["layerNames"])
    net = relja_swapLayersForEfficiency(relja_cropToLayer(whole, names[-1]))
    assert net.names == names
    assert net.types == matfile.cell_list(content["layerTypes"])
    assert_same(net.to_matlab()["layers"], content["net"]["layers"])
    uncropped = relja_swapLayersForEfficiency(whole).to_matlab()
    assert_same(uncropped["layers"], content["net_nocrop"]["layers"])
    meta = {name: value for name, value in uncropped["meta"].items() if name != "classes"}
    assert_same(meta, {name: content["net"]["meta"][name] for name in meta})


@pytest.mark.parametrize("path", golden_files("nets/swapLayers.mat"), ids=golden_id)
def test_swapping_for_efficiency_gives_the_original_order(path: Path, golden: Path) -> None:
    content = matfile.load(path)
    net = SimpleNN.from_matlab(matfile.load(golden / "nets" / "tiny.mat"))
    assert net.names == matfile.cell_list(content["names_before"])
    swapped = relja_swapLayersForEfficiency(net)
    assert swapped.names == matfile.cell_list(content["names_after"])
    x = torch.rand(1, 3, 33, 47, generator=torch.Generator().manual_seed(1))
    assert torch.equal(swapped(x), net(x))


@pytest.mark.parametrize("path", golden_files("nets/relja_simplenn_tidy.mat"), ids=golden_id)
def test_what_old_networks_kept_at_the_top_goes_into_meta(path: Path) -> None:
    content = matfile.load(path)
    meta = dict(content["meta"])
    meta["normalization"] = {k: v for k, v in meta["normalization"].items() if k != "cropSize"}
    names = matfile.cell_list(content["names"])
    tidy = relja_simplenn_tidy({**meta, "layers": [{"type": "relu", "name": name} for name in names]})
    assert_same(tidy["meta"], content["meta"])
    assert [layer["name"] for layer in matfile.cell_list(tidy["layers"])] == names


@pytest.mark.parametrize("path", [*HEADS, *LOADED, *golden_files("nets/tiny.mat")], ids=golden_id)
def test_a_network_comes_back_as_it_was_read(path: Path) -> None:
    content = matfile.load(path)
    want = content.get("net", content)
    assert_same(SimpleNN.from_matlab(want).to_matlab(), want)


@pytest.mark.parametrize("path", HEADS, ids=golden_id)
def test_forward_equals_the_original_layer_by_layer(path: Path) -> None:
    content = matfile.load(path)
    net = SimpleNN.from_matlab(content["net"])
    assert net.names == matfile.cell_list(content["layerNames"])
    assert net.types == matfile.cell_list(content["layerTypes"])
    x = maps_to_torch(content["x"])
    with torch.no_grad():
        found = net.activations(x)
        for index, want in enumerate(matfile.cell_list(content.get("acts", []))):
            assert_close(maps_to_matlab(found[index]), want.reshape((*want.shape, 1, 1)[:4]), "net")
        assert_close(net(x).flatten(1).T, content["feats"], "net")
        half = len(net) // 2
        assert torch.equal(net(net(x, stop=half), start=half + 1), found[-1])


@pytest.mark.parametrize("path", HEADS, ids=golden_id)
def test_output_dimension_equals_the_original(path: Path) -> None:
    content = matfile.load(path)
    dim, size = relja_netOutputDim(SimpleNN.from_matlab(content["net"]))
    assert dim == content["outDim"].item()
    assert list(size) == content["outSz"].ravel().tolist()


def check_weights(net: SimpleNN, found: list[Any], want: list[Any], lowest: int) -> None:
    """Derivatives of weights, one list a layer; below `lowest` the original has none."""
    compared = 0
    for index, cell in enumerate(want[: len(net)]):
        if not cell.size:
            assert index < lowest or not net[index].weight_specs
            continue
        derivatives = zip(net[index].weights_to_matlab(found[index]), matfile.cell_list(cell), strict=True)
        for one, other in derivatives:
            assert one.shape == other.shape
            assert_close(one, other, "net")
            compared += 1
    assert compared


@pytest.mark.parametrize("path", HEADS, ids=golden_id)
def test_autograd_equals_the_original_backward_pass(path: Path) -> None:
    content = matfile.load(path)
    for entry in [value for name, value in content.items() if name.startswith("bp")]:
        net = SimpleNN.from_matlab(content["net"])
        features = net(maps_to_torch(content["x"])).flatten(1)
        features.backward(torch.from_numpy(content["dzdy"].T.copy()))
        found = [[weight.grad for weight in layer.weights] for layer in net]
        lowest = int(entry["backPropToLayer"].item()) - 1
        check_weights(net, found, matfile.cell_list(entry["dzdw"]), lowest)


@pytest.mark.parametrize("path", HEADS, ids=golden_id)
def test_the_trainers_forward_and_backward_passes_equal_the_original(path: Path) -> None:
    content = matfile.load(path)
    for entry in [value for name, value in content.items() if name.startswith("bp")]:
        net = SimpleNN.from_matlab(content["net"])
        for layer, precious in zip(net, entry["precious"].ravel(), strict=True):
            layer.set_field("precious", np.array([[bool(precious)]]))
        res = vl_simplenn(net, maps_to_torch(content["x"]), conserveMemory=True)
        kept = [result.x is not None for result in res]
        assert kept == entry["kept_activations"].ravel().astype(bool).tolist()
        lowest = int(entry["backPropToLayer"].item()) - 1
        if lowest == 0:
            res[0].x = maps_to_torch(content["x"])
        dzdy = torch.from_numpy(content["dzdy"].T.copy())
        depth = entry["backPropDepth"]
        vl_simplenn(net, None, dzdy, res, skipForward=True, conserveMemory=True, backPropDepth=depth)
        check_weights(net, [result.dzdw for result in res], matfile.cell_list(entry["dzdw"]), lowest)


def test_tidying_twice_changes_nothing(golden: Path) -> None:
    for path in golden_files("nets/tiny*.mat"):
        once = vl_simplenn_tidy(matfile.load(path))
        assert_same(vl_simplenn_tidy(once), once)
