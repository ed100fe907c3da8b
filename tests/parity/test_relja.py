"""relja_matlab's and MatConvNet's functions on whole networks: vl_simplenn with every option, tidy, editing,
errors.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, MatlabCompatError, NetworkFormatError
from matlab_compat.numeric import maps_to_matlab, maps_to_torch
from matlab_compat.simplenn.edit import (
    relja_cropToLayer,
    relja_layerNames,
    relja_swapLayers,
    relja_swapLayersForEfficiency,
    relja_whichLayer,
)
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.run import Result, vl_simplenn
from matlab_compat.simplenn.tidy import relja_simplenn_tidy, vl_simplenn_tidy
from tests.golden_data import golden_files, golden_id
from tests.matlab_same import assert_same
from tests.tolerances import TOL, assert_close

OPTIONS = ("mode", "conserveMemory", "backPropDepth", "accumulate")


def network(content: dict[str, Any], case: dict[str, Any], name: str = "net") -> SimpleNN:
    """The network of a fixture, its layers as precious as the case says."""
    net = SimpleNN.from_matlab(content[name])
    listed = content.get(f"precious_{case.get('precious')}", np.zeros(0))
    for index, layer in enumerate(net):
        layer.set_field("precious", np.array([[index + 1 in listed]]))
    return net


def check_maps(net: SimpleNN, res: list[Result], case: dict[str, Any]) -> None:
    """Compares which results are there, and those there are, with the fixture's cells."""
    for name in ("x", "dzdx"):
        for index, want in enumerate(matfile.cell_list(case.get(name, []))):
            found = getattr(res[index], name)
            assert (found is None) == (want.size == 0), f"res({index + 1}).{name}"
            if found is not None:
                assert_close(maps_to_matlab(found), want.reshape((*want.shape, 1, 1)[:4]), "net")
    assert [result.x is not None for result in res] == case["kept_x"].ravel().astype(bool).tolist()
    assert [result.dzdx is not None for result in res] == case["has_dzdx"].ravel().astype(bool).tolist()
    check_weights(net, res, matfile.cell_list(case["dzdw"]))


def check_weights(net: SimpleNN, res: list[Result], cells: list[Any]) -> None:
    for index, want in enumerate(cells):
        assert (res[index].dzdw is None) == (want.size == 0), f"res({index + 1}).dzdw"
        if want.size:
            layer, arrays = net[index], matfile.cell_list(want)
            found = layer.weights_to_matlab(res[index].dzdw)
            for one, other in zip(found, arrays, strict=True):
                assert one.shape == other.shape, layer.name
                assert_close_to_its_layer(one, other, arrays)


def assert_close_to_its_layer(found: np.ndarray, want: np.ndarray, arrays: list[np.ndarray]) -> None:
    """A bias directly before bnorm has no derivative; what is stored is rounding: judged by the layer's
    other one.
    """
    scale = max(float(np.abs(array).max()) for array in arrays if array.size)
    if want.size and np.abs(want).max() < 1e-5 * scale:
        np.testing.assert_allclose(found / scale, want / scale, atol=TOL["net"])
    else:
        assert_close(found, want, "net")


def flags(case: dict[str, Any]) -> dict[str, Any]:
    return {name: case[name] for name in OPTIONS}


@pytest.mark.parametrize("path", golden_files("relja/simplenn_forward.mat"), ids=golden_id)
def test_forward_keeps_and_forgets_what_the_original_does(path: Path) -> None:
    content = matfile.load(path)
    cases = matfile.cell_list(content["cases"])
    assert cases
    for case in cases:
        net = network(content, case)
        check_maps(net, vl_simplenn(net, maps_to_torch(content["x"]), **flags(case)), case)


def backward_results(content: dict[str, Any], case: dict[str, Any], net: SimpleNN) -> list[Result]:
    """The four ways of the fixture: in one call, accumulating, skipping the forward pass, both."""
    x, x2 = maps_to_torch(content["x"]), maps_to_torch(content["x2"])
    dzdy, dzdy2 = maps_to_torch(content["dzdy"]), maps_to_torch(content["dzdy2"])
    options, earlier = flags(case), None
    accumulate = bool(options["accumulate"].item())
    if accumulate:
        earlier = vl_simplenn(net, x, dzdy, **{**options, "accumulate": False})
    if not case["skipForward"].item():
        return (
            vl_simplenn(net, x2, dzdy2, earlier, **options)
            if accumulate
            else vl_simplenn(net, x, dzdy, **options)
        )
    conserve = case["forward_conserveMemory"]
    res = vl_simplenn(net, x, mode=case["mode"], conserveMemory=conserve)
    if conserve.item():
        res[0].x = x
    if "kept_after_forward" in case:
        kept = case["kept_after_forward"].ravel().astype(bool).tolist()
        assert [result.x is not None for result in res] == kept
    if earlier is not None:
        for result, before in zip(res, earlier, strict=True):
            result.dzdw = before.dzdw
    return vl_simplenn(net, None, dzdy2 if accumulate else dzdy, res, skipForward=True, **options)


@pytest.mark.parametrize("path", golden_files("relja/simplenn_backward_*.mat"), ids=golden_id)
def test_backward_equals_the_original_for_every_combination_of_options(path: Path) -> None:
    content = matfile.load(path)
    cases = matfile.cell_list(content["cases"])
    assert cases
    for case in cases:
        net = network(content, case)
        if case["err"]:
            with pytest.raises(NetworkFormatError, match="not kept"):
                backward_results(content, case, net)
            continue
        res = backward_results(content, case, net)
        check_maps(net, res, case)
        if case["kept_x"].ravel()[-1]:
            assert_close(maps_to_matlab(res[-1].x), case["out"], "net")


@pytest.mark.parametrize("path", golden_files("relja/simplenn_otherlayers.mat"), ids=golden_id)
def test_a_loss_at_the_end_equals_the_original(path: Path) -> None:
    content = matfile.load(path)
    for case in matfile.cell_list(content["loss_cases"]):
        net = network(content, case, "net_loss")
        net[-1].set_field("class", content["label"])
        dzdy = 1.0 if case["withDzdy"].item() else None
        check_maps(net, vl_simplenn(net, maps_to_torch(content["x"]), dzdy, **flags(case)), case)


@pytest.mark.parametrize("path", golden_files("relja/simplenn_otherlayers.mat"), ids=golden_id)
def test_sigmoid_noffset_spnorm_convt_pdist_equal_the_original(path: Path) -> None:
    content = matfile.load(path)
    net = SimpleNN.from_matlab(content["net_misc"])
    res = vl_simplenn(net, maps_to_torch(content["x"]), maps_to_torch(content["misc_dzdy"]), mode="test")
    for name in ("x", "dzdx"):
        for result, want in zip(res, matfile.cell_list(content[f"misc_{name}"]), strict=True):
            found = maps_to_matlab(getattr(result, name))
            assert_close(found, want.reshape((*want.shape, 1, 1)[:4]), "net")
    check_weights(net, res, matfile.cell_list(content["misc_dzdw"]))


TIDY = [
    pytest.param(case, id=case["name"])
    for path in golden_files("relja/tidy.mat")
    for case in matfile.cell_list(matfile.load(path)["cases"])
]


@pytest.mark.parametrize("case", TIDY)
@pytest.mark.parametrize(("function", "key"), [(vl_simplenn_tidy, "vl"), (relja_simplenn_tidy, "relja")])
def test_tidy_equals_the_original(case: dict[str, Any], function: Any, key: str) -> None:
    if case[f"{key}_err"]:
        with pytest.raises(NetworkFormatError, match="layer 1"):
            function(case["before"])
        return
    found = function(case["before"])
    assert_same(found, case[key])
    if key == "vl":
        assert_same(function(found), found)
        fields = [matfile.cell_list(cell) for cell in matfile.cell_list(case["vl_layerFields"])]
        assert [list(layer) for layer in matfile.cell_list(found["layers"])] == fields


def named_network(names: list[str]) -> SimpleNN:
    """A network with these names; what is called relu… and pool is that."""
    pool = {"type": "pool", "method": "max", "pool": np.full((1, 2), 2.0)}
    layers = []
    for name in names:
        kind = pool if name.startswith("pool") else {"type": "relu" if name.startswith("relu") else "sigmoid"}
        layers.append({**kind, "name": name})
    return SimpleNN.from_matlab(vl_simplenn_tidy({"layers": layers}))


@pytest.mark.parametrize("path", golden_files("relja/errors.mat"), ids=golden_id)
def test_editing_by_name_equals_the_original(path: Path) -> None:
    content = matfile.load(path)
    names = matfile.cell_list(content["names"])
    net = named_network(names)
    assert [relja_whichLayer(net, name) + 1 for name in names] == content["which"].ravel().tolist()
    for name, want in zip(names, matfile.cell_list(content["crop"]), strict=True):
        assert relja_layerNames(relja_cropToLayer(net, name)) == matfile.cell_list(want)
    swapped = relja_swapLayers(net, "conv1", "relu1")
    assert swapped.names == matfile.cell_list(content["swap_conv1_relu1"])
    swapped = relja_swapLayers(net, "conv1", "conv2", False)
    assert swapped.names == matfile.cell_list(content["swap_conv1_conv2_notforced"])
    assert relja_swapLayersForEfficiency(net).names == matfile.cell_list(content["swapEff"])
    assert net.names == names


def twin() -> SimpleNN:
    return named_network(["conv1", "relu1", "conv1"])


def tiny_conv(dtype: Any = np.float32, **fields: Any) -> SimpleNN:
    conv = {
        "type": "conv",
        "name": "c",
        "filters": np.ones((1, 1, 2, 3), dtype),
        "biases": np.zeros((1, 3), dtype),
    }
    return SimpleNN.from_matlab({"layers": [{**conv, **fields}]})


IMAGE = torch.zeros(1, 2, 4, 4)
NAMES = ["conv1", "relu1", "conv2", "pool"]
# label of the fixture -> what is asked for here
ASKED: dict[str, Any] = {
    "accumulate without previous dzdw": lambda: vl_simplenn(tiny_conv(), IMAGE, 1.0, accumulate=True),
    "skipForward without dzdy": lambda: vl_simplenn(
        tiny_conv(), IMAGE, None, [Result(), Result()], skipForward=True
    ),
    "skipForward without res": lambda: vl_simplenn(tiny_conv(), IMAGE, 1.0, skipForward=True),
    "backPropDepth 0": lambda: vl_simplenn(tiny_conv(), IMAGE, backPropDepth=0),
    "backPropDepth -1": lambda: vl_simplenn(tiny_conv(), IMAGE, backPropDepth=-1),
    "unknown mode": lambda: vl_simplenn(tiny_conv(), IMAGE, mode="train"),
    "mode upper case": lambda: vl_simplenn(tiny_conv(), IMAGE, mode="TEST"),
    "unknown option": lambda: vl_simplenn(tiny_conv(), IMAGE, nosuch=1),
    "unknown layer type": lambda: vl_simplenn(SimpleNN.from_matlab({"layers": [{"type": "nosuch"}]}), IMAGE),
    "untidied layer": tiny_conv,  # difference: tidied-on-loading
    "channel mismatch": lambda: vl_simplenn(tiny_conv(), torch.zeros(1, 3, 4, 4)),
    "double input": lambda: vl_simplenn(tiny_conv(), IMAGE.double()),  # difference: double-input-accepted
    "whichLayer missing": lambda: relja_whichLayer(named_network(NAMES), "nosuch"),
    "whichLayer empty name": lambda: relja_whichLayer(named_network(NAMES), ""),
    "whichLayer case differs": lambda: relja_whichLayer(named_network(NAMES), "CONV1"),
    "whichLayer number": lambda: relja_whichLayer(named_network(NAMES), 1),  # type: ignore[arg-type]
    "whichLayer duplicate": lambda: relja_whichLayer(twin(), "conv1"),
    "whichLayer cell of two": lambda: relja_whichLayer(named_network(NAMES), ["conv1", "relu1"]),
    "whichLayer cell of one": lambda: relja_whichLayer(named_network(NAMES), ["conv1"]),
    "cropToLayer missing": lambda: relja_cropToLayer(named_network(NAMES), "nosuch"),
    "cropToLayer duplicate": lambda: relja_cropToLayer(twin(), "conv1"),
    "whichLayer unnamed layer": lambda: relja_whichLayer(named_network(["a", "", "b"]), "b"),
    "swapLayers not consecutive": lambda: relja_swapLayers(named_network(NAMES), "conv1", "conv2"),
    "swapLayers reversed": lambda: relja_swapLayers(named_network(NAMES), "relu1", "conv1"),
    "swapLayers missing": lambda: relja_swapLayers(named_network(NAMES), "conv1", "nosuch"),
}
# difference: tidied-on-loading, double-input-accepted, unnamed-layers
ACCEPTED_HERE = {"untidied layer", "double input", "whichLayer unnamed layer"}
ERRORS = [
    pytest.param(*matfile.cell_list(entry)[:2], id=matfile.cell_list(entry)[0])
    for path in golden_files("relja/errors.mat")
    for entry in matfile.cell_list(matfile.load(path)["errors"])
]


@pytest.mark.parametrize(("label", "message"), ERRORS)
def test_what_the_original_refuses_is_refused(label: str, message: str) -> None:
    if not message or label in ACCEPTED_HERE:
        ASKED[label]()
        return
    with pytest.raises(MatlabCompatError) as raised:
        ASKED[label]()
    assert isinstance(raised.value, ArgumentError | NetworkFormatError)
    assert len(str(raised.value)) > 20
