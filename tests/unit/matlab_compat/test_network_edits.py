"""Networks edited by hand: an assignment runs and is saved, or is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepibl.networks import load_network, save_network
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn import SimpleNN, relja_cropToLayer
from tests.dagnn_of_simplenn import from_simplenn
from tests.simplenn_structs import conv, image, single, small

LAYERS: dict[str, dict[str, Any]] = {
    "conv": conv("a", 3, 4, 4),
    "convt": {"type": "convt", "name": "a", "weights": [single(3, 3, 4, 4), single(1, 4)]},
    "pool": {"type": "pool", "name": "a", "pool": [2, 2], "method": "max"},
    "relu": {"type": "relu", "name": "a"},
    "lrn": {"type": "lrn", "name": "a", "param": [5, 1, 0.1, 0.75]},
    "spnorm": {"type": "spnorm", "name": "a", "param": [3, 3, 1, 0.75]},
    "noffset": {"type": "noffset", "name": "a", "param": [1, 0.5]},
    "bnorm": {"type": "bnorm", "name": "a", "weights": [single(1, 4), single(1, 4), 1 + single(4, 2) ** 2]},
    "dropout": {"type": "dropout", "name": "a", "rate": 0.5},
    "pdist": {"type": "pdist", "name": "a", "class": single(9, 9, 4)},
}
VALUES: dict[str, Any] = {
    "stride": [2, 1],
    "pad": [1, 0, 1, 0],
    "dilate": 2,
    "crop": [1, 0, 1, 0],
    "upsample": 2,
    "numGroups": 2,
    "pool": [3, 2],
    "method": "avg",
    "param": None,
    "leak": 0.1,
    "rate": 0.25,
    "p": 1,
    "noRoot": True,
    "aggregate": True,
    "epsilon": 0.5,
    "name": "other",
    "precious": True,
    "learningRate": [2, 3, 4],
    "weightDecay": [0, 1, 2],
    "opts": ["NoCuDNN"],
    "strides": 2,
    "padding": 1,
}
OWN = {
    "conv": "stride pad dilate opts",
    "convt": "crop upsample numGroups opts",
    "pool": "stride pad pool method opts",
    "relu": "leak",
    "lrn": "param",
    "spnorm": "param",
    "noffset": "param",
    "bnorm": "epsilon",
    "dropout": "rate",
    "pdist": "p noRoot aggregate epsilon",
}
SHARED = ("name", "precious", "learningRate", "weightDecay")


def network(kind: str, **fields: Any) -> SimpleNN:
    return SimpleNN.from_matlab({"layers": [{**LAYERS[kind], **fields}]})


def runs(net: SimpleNN) -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 9 * 9 * 4).reshape(1, 4, 9, 9)
    return net.train()(x) if net.types == ["dropout"] else net(x)


@pytest.mark.parametrize("field", VALUES)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_field_that_is_assigned_runs_and_is_saved_or_is_refused(
    kind: str, field: str, tmp_path: Path
) -> None:
    net, value = network(kind), VALUES[field]
    if field == "param":
        value = {"lrn": [3, 1, 0.2, 0.5], "spnorm": [5, 3, 2, 0.5]}.get(kind, [2, 0.1])
    if field not in (*OWN[kind].split(), *SHARED):
        with pytest.raises(ArgumentError, match=f"no field '{field}'"):
            setattr(net.layers[0], field, value)
        return
    before = runs(net)
    if field == "numGroups":
        net.layers[0].weights = [single(3, 3, 2, 4), single(1, 4)]
    setattr(net.layers[0], field, value)
    matfile.save(tmp_path / "net.mat", {"net": net.to_matlab()})
    again = SimpleNN.from_matlab(matfile.load(tmp_path / "net.mat")["net"])
    changed = runs(net)
    assert torch.equal(runs(again), changed)
    # epsilon of bnorm is in its stored moments; that of pdist is for derivatives
    if field not in (*SHARED, "opts", "epsilon"):
        assert before.shape != changed.shape or not torch.equal(before, changed)
    if field == "name":
        assert again.names == ["other"] and again["other"] is again.layers[0]
    elif field != "method":
        written = again.layers[0].fields[field]
        np.testing.assert_array_equal(written, np.atleast_2d(value))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("conv", "stride", 0),
        ("conv", "stride", [1, 2, 3]),
        ("conv", "pad", [1, 2, 3]),
        ("conv", "pad", -1),
        ("conv", "stride", "two"),
        ("conv", "learningRate", 1),
        ("conv", "learningRate", ["a", "b"]),
        ("conv", "precious", [1, 0]),
        ("conv", "name", 3),
        ("conv", "type", "relu"),
        ("conv", "weights", [single(3, 3, 4, 4)]),
        ("convt", "groups", 2),
        ("relu", "weights", [single(3, 3, 4, 4)]),
        ("pool", "method", "sum"),
        ("dropout", "rate", 1.5),
        ("lrn", "param", [1, 2]),
    ],
)
def test_a_value_that_a_field_cannot_be_is_refused_and_changes_nothing(
    kind: str, field: str, value: Any
) -> None:
    net = network(kind)
    before = runs(net)
    with pytest.raises(ArgumentError):
        setattr(net.layers[0], field, value)
    assert torch.equal(runs(net), before)


def test_fields_read_as_attributes_cannot_be_changed_in_part_without_effect() -> None:
    net = network("conv", learningRate=[1, 2], momentum=[1, 2])
    layer: Any = net.layers[0]
    layer.learningRate[1] = 5
    assert layer.to_matlab()["learningRate"].tolist() == [[1, 5]]
    for name in ("stride", "pad", "momentum"):
        with pytest.raises((TypeError, ValueError)):
            getattr(layer, name)[0] = 3
    with pytest.raises(AttributeError):
        _ = layer.strides
    del network("lrn").layers[0:1]
    with pytest.raises(TypeError):
        network("lrn").layers[0].param[0] = 3  # type: ignore[index]


def test_a_weight_in_matlabs_shape_runs_and_is_saved() -> None:
    net, x = SimpleNN.from_matlab(small()), image(1, 3, 8, 8)
    filters, biases = np.random.default_rng(1).standard_normal((5, 5, 3, 4)), np.arange(4.0)
    net.layers[0].weights[0], net.layers[0].weights[1] = filters, biases
    torchs = torch.from_numpy(filters.transpose(3, 2, 0, 1)).float()
    wanted = F.conv2d(x, torchs, torch.arange(4.0), padding=1)
    torch.testing.assert_close(net(x, stop="c1"), wanted)
    written = net.to_matlab()["layers"][0, 0]["weights"]
    np.testing.assert_array_equal(written[0, 0], filters.astype(np.float32))
    assert written[0, 1].shape == (1, 4) and written[0, 1].dtype == np.float32
    net.layers[0].weights[0] = torchs * 2
    torch.testing.assert_close(net(x, stop="c1"), F.conv2d(x, torchs * 2, torch.arange(4.0), padding=1))
    net.layers[0].weights = [filters, []]
    torch.testing.assert_close(net(x, stop="c1"), F.conv2d(x, torchs, None, padding=1))
    assert net.layers[0].weights[0].requires_grad


def test_weights_may_be_replaced_one_after_the_other_and_must_fit_in_the_end() -> None:
    net, x = SimpleNN.from_matlab(small()), image(1, 3, 8, 8)
    net.layers[3].weights[0] = single(1, 1, 4, 7)
    for use in (lambda: net(x), net.to_matlab):
        with pytest.raises((ArgumentError, NetworkFormatError), match="5 biases for 7 filters"):
            use()
    net.layers[3].weights[1] = single(7, 1)
    assert net(x).shape[1] == 7 and net.layers[3].weight_shapes() == [(1, 1, 4, 7), (7, 1)]


def test_weights_of_another_form_are_refused() -> None:
    weights = SimpleNN.from_matlab(small()).layers[0].weights
    for wrong in (np.zeros((4, 3, 3, 3)), np.array(["a"]), np.zeros((1, 1, 1, 1, 2)), torch.zeros(3, 3)):
        with pytest.raises(ArgumentError):
            weights[0] = wrong
    with pytest.raises(ArgumentError, match="2 weights"):
        weights[2] = np.zeros(3)
    for change in (lambda: weights.append(None), weights.pop, weights.clear):
        with pytest.raises(ArgumentError, match="is fixed"):
            change()


def test_an_edit_does_not_reach_the_network_that_another_was_cut_from() -> None:
    net = SimpleNN.from_matlab(small())
    before = net.to_matlab()
    cut = relja_cropToLayer(net, "p")
    cut.layers[0].weights[0] = np.zeros((3, 3, 3, 4))
    cut.layers[0].pad, cut.layers[2].name = 0, "q"
    after = net.to_matlab()
    np.testing.assert_array_equal(
        after["layers"][0, 0]["weights"][0, 0], before["layers"][0, 0]["weights"][0, 0]
    )
    assert net.names[2] == "p" and net.layers[0].pad == (1, 1, 1, 1)


def test_layers_are_appended_inserted_replaced_and_deleted(tmp_path: Path) -> None:
    net, x = SimpleNN.from_matlab(small()), image(1, 3, 8, 8)
    net.layers.append({"type": "dropout", "name": "d", "rate": 0.5})
    net.layers.append({"type": "softmax", "name": "s"})
    net.layers.insert(1, {"type": "pool", "pool": [2, 2], "stride": 2})
    net.layers[2] = {"type": "relu", "name": "leaky", "leak": 0.5}
    del net.layers[3]
    net.layers += [{"type": "conv", "name": "last", "weights": [single(1, 1, 5, 2), single(1, 2)]}]
    assert net.names == ["c1", "layer2", "leaky", "c2", "d", "s", "last"] and not net.layers[4].training
    maps = F.leaky_relu(F.max_pool2d(net(x, stop="c1"), 2, 2), 0.5)
    torch.testing.assert_close(net(x, stop="leaky"), maps)
    save_network(net, tmp_path / "net.mat")
    again = load_network(tmp_path / "net.mat")
    assert again.names == net.names and torch.equal(again(x), net(x))
    net.layers = list(net)[:3]
    assert net.names == ["c1", "layer2", "leaky"] and not net.layers[0].training


@pytest.mark.parametrize(
    "wrong", [{"name": "no type"}, {"type": "conv", "name": "c"}, torch.nn.ReLU(), "relu"]
)
def test_a_layer_of_another_form_is_refused(wrong: Any) -> None:
    net = SimpleNN.from_matlab(small())
    with pytest.raises((ArgumentError, NetworkFormatError)):
        net.layers.append(wrong)
    with pytest.raises((ArgumentError, NetworkFormatError)):
        net.layers[0] = wrong
    assert net.names == ["c1", "r", "p", "c2"]


def test_a_network_has_no_other_attributes() -> None:
    net = SimpleNN.from_matlab(small())
    with pytest.raises(ArgumentError, match=r"net\.extra\['epoch'\]"):
        net.epoch = 3  # type: ignore[assignment]
    net.extra["epoch"] = 3
    assert net.to_matlab()["epoch"] == 3


def test_a_loss_that_is_left_out_is_refused_once_it_is_not_the_last() -> None:
    net = SimpleNN.from_matlab({"layers": [{"type": "relu"}, {"type": "myLoss", "name": "m"}]})
    x = image(1, 3, 8, 8)
    assert torch.equal(net(x), x.clamp(min=0))
    net.layers.append({"type": "relu"})
    with pytest.raises(NetworkFormatError, match="myLoss"):
        net(x)


def test_a_dagnn_is_edited_as_matlab_does() -> None:
    net, x = from_simplenn(SimpleNN.from_matlab(small())), image(1, 3, 8, 8)
    filters = single(3, 3, 3, 4)
    net.params["c1f"].value = filters
    net.params["c1b"].learningRate = 0
    net.layers[0].block.stride = [2, 2]
    torchs = torch.from_numpy(filters.transpose(3, 2, 0, 1).copy())
    wanted = F.conv2d(x, torchs, net.param("c1b"), stride=2, padding=1)
    torch.testing.assert_close(net(x, output="x1"), wanted)
    again = type(net).from_matlab(net.to_matlab())
    torch.testing.assert_close(again(x), net(x))
    assert again.params["c1b"].learningRate == 0 and again.params["c1f"].value.shape == (3, 3, 3, 4)
    net.remove_layer("c2")
    net.layers[1].inputs = ["x0"]
    assert net(x, output="x2").shape[1] == 3
    for wrong in (
        lambda: setattr(net.layers[0], "strides", 2),
        lambda: setattr(net.layers[0], "stride", 0),
        lambda: setattr(net.layers[0], "outputs", ["a", "b"]),
        lambda: setattr(net.params["c1f"], "momentum", 2),
        lambda: setattr(net.params["c1f"], "value", np.zeros((4, 3, 3, 3))),
        lambda: net.layers.append({"type": "relu"}),
        lambda: net.params.__setitem__("c1f", filters),
    ):
        with pytest.raises((ArgumentError, NetworkFormatError, AttributeError)):
            wrong()
