"""DagNN: what is refused, by name; graphs that MATLAB's order and sizes leave no doubt about."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network, save_network
from matlab_compat import matfile
from matlab_compat.dagnn.display import describe_dagnn
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError, NetworkFormatError, UnknownLayerError
from matlab_compat.matfile.values import MatObject, StructArray
from matlab_compat.network import network_from_matlab
from matlab_compat.simplenn.network import SimpleNN
from tests.dagnn_of_simplenn import from_simplenn
from tests.extractors import simplenn


def layer(
    name: str, kind: str, inputs: list[str], output: str, params: tuple[str, ...] = (), **block: Any
) -> dict:
    cells = {"inputs": inputs, "outputs": [output], "params": list(params)}
    row = {"name": name, "type": kind, **{k: np.array([v], dtype=object) for k, v in cells.items()}}
    return row | {"block": block}


def network(*layers: dict, **params: np.ndarray) -> dict:
    rows = [
        {"name": name, "value": value, "learningRate": np.ones((1, 1)), "weightDecay": np.ones((1, 1))}
        for name, value in params.items()
    ]
    names = dict.fromkeys(name for row in layers for key in ("inputs", "outputs") for name in row[key].flat)
    variables = [{"name": name, "precious": np.zeros((1, 1), bool)} for name in names]
    return {
        part: StructArray((1, len(found)), tuple(found[0]), found)
        for part, found in (("vars", variables), ("params", rows), ("layers", list(layers)))
        if found
    } | {"meta": {}}


def small() -> dict:
    filters = np.random.default_rng(0).standard_normal((3, 3, 3, 4)).astype(np.float32)
    return network(
        layer("conv", "dagnn.Conv", ["x"], "y", ("f",), hasBias=np.zeros((1, 1), bool), pad=np.ones((1, 4))),
        layer("relu", "dagnn.ReLU", ["y"], "z"),
        layer("loss", "dagnn.Loss", ["z", "label"], "objective"),
        f=filters,
    )


def test_losses_are_left_out_and_variables_have_names() -> None:
    net = network_from_matlab(small())
    assert isinstance(net, DagNN) and net.result_names == ["z"] and not net.training
    x = torch.rand(2, 3, 5, 6)
    assert torch.equal(net(x), net.variables(x)["z"]) and list(net.variables(x)) == ["x", "y", "z"]
    assert torch.equal(net(x, output="y").relu(), net(x))
    assert dict(net.named_parameters())["values.f"] is net.param("f")


def test_labels_that_are_given_make_the_loss_computed() -> None:
    net = network_from_matlab(small())
    labels = torch.tensor([1, 3])
    x = torch.rand(2, 3, 1, 1)
    found = net.variables({"x": x, "label": labels})
    want = torch.nn.functional.cross_entropy(found["z"].flatten(1), labels)
    assert torch.allclose(found["objective"], want)


def test_an_object_that_matlab_saved_is_read_like_its_struct() -> None:
    struct = small()
    net = network_from_matlab(MatObject("dagnn.DagNN", struct))
    assert network_id(net) == network_id(network_from_matlab(struct))


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"block": {"padd": np.zeros((1, 1))}}, NetworkFormatError, "no property 'padd'; did you mean 'pad'"),
        ({"params": np.array([["g"]], dtype=object)}, NetworkFormatError, "no parameter 'g'"),
        ({"inputs": np.array([["z"]], dtype=object)}, NetworkFormatError, "has a cycle.*conv, relu"),
        ({"outputs": np.array([["y", "q"]], dtype=object)}, NetworkFormatError, "one output"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(change: dict, error: type, reason: str) -> None:
    struct = small()
    struct["layers"].items[0] |= change
    with pytest.raises(error, match=reason):
        network_from_matlab(struct)


@pytest.mark.parametrize("kind", ["dagnn.Conv", "dagnn.Pooling", "dagnn.ConvTranspose"])
def test_a_window_is_slid_over_the_first_input_whatever_others_are_named(kind: str) -> None:
    struct = network(layer("two", kind, ["x", "x2"], "y", ("f",)), f=np.ones((1, 1, 3, 4), np.float32))
    net = DagNN.from_matlab(struct)
    assert net.receptive_fields("x")["y"] is not None and net.receptive_fields("x2")["y"] is None
    assert "two" in describe_dagnn(net)[1]


def test_a_flag_that_is_none_is_refused_by_name() -> None:
    struct = small()
    struct["vars"].items[0]["precious"] = matfile.cell_list([np.ones((1, 2)), np.ones((1, 3))])
    with pytest.raises(NetworkFormatError, match="variable 'x': its field precious is not a flag"):
        DagNN.from_matlab(struct)(torch.rand(1, 3, 5, 6))


def test_inputs_that_do_not_fit_are_refused_by_name() -> None:
    net = network_from_matlab(small())
    with pytest.raises(NetworkFormatError, match=r"layer 1 'conv' \(dagnn.Conv\): .*channels"):
        net(torch.rand(1, 2, 5, 5))
    with pytest.raises(ArgumentError, match="z cannot be computed without x"):
        net({"label": torch.tensor([0])})
    two = network_from_matlab(
        network(layer("s", "dagnn.Sum", ["a", "b"], "c"), layer("r", "dagnn.ReLU", ["c"], "d"))
    )
    with pytest.raises(ArgumentError, match="inputs a, b: give them by name"):
        two(torch.zeros(1, 1, 2, 2))
    with pytest.raises(NetworkFormatError, match="cannot be added"):
        two({"a": torch.zeros(1, 1, 2, 2), "b": torch.zeros(1, 1, 2, 3)})


def test_a_network_of_one_layer_is_a_struct_and_comes_back() -> None:
    net = network_from_matlab(small())
    net.remove_layer("relu", "loss")
    struct = net.to_matlab()
    assert isinstance(struct["layers"], dict) and isinstance(struct["params"], dict)
    assert network_id(network_from_matlab(struct)) == network_id(net)


def test_layers_can_be_added() -> None:
    net = network_from_matlab(small())
    ones = np.ones((1, 1, 4, 2), np.float32)
    net.add_layer("conv2", "dagnn.Conv", ["z"], ["w"], {"hasBias": np.zeros((1, 1), bool)}, {"f2": ones})
    x = torch.rand(1, 3, 4, 4)
    assert torch.allclose(net(x)[:, :1], net(x, output="z").sum(1, keepdim=True))
    assert net.result_names == ["w"] and net.param_names == ["f", "f2"]


def test_identity_sees_weights_and_wiring_but_not_storage(tmp_path: Path) -> None:
    net = network_from_matlab(small())
    save_network(net, tmp_path / "n.mat")
    assert network_id(load_network(tmp_path / "n.mat")) == network_id(net)
    other = small()
    other["params"].items[0]["value"] = other["params"].items[0]["value"] + 1
    assert network_id(network_from_matlab(other)) != network_id(net)


def test_netvlad_layers_have_no_block_and_say_so() -> None:
    with pytest.raises(UnknownLayerError, match="has no DagNN block"):
        from_simplenn(SimpleNN.from_matlab(simplenn().to_matlab()))


def test_description_has_sizes_where_the_input_is_known() -> None:
    net = network_from_matlab(small())
    info, text = describe_dagnn(net, (8, 9))
    assert info["layers"][0]["size"] == [8, 9, 4, 1] and "8x9x4x1" in text and "result: z" in text
    assert "?x?x4x1" in describe_dagnn(net)[1]


def test_a_network_at_the_top_level_of_a_file_is_found(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", small())  # at the top level, as save('-struct') does
    assert isinstance(load_network(tmp_path / "a.mat"), DagNN)


def test_lists_of_numbers_in_a_block_are_written_as_rows(tmp_path: Path) -> None:
    pool = layer("pool", "dagnn.Pooling", ["x"], "y", poolSize=[2, 2], stride=[2, 2], pad=[0, 1, 0, 1])
    net = DagNN.from_matlab(network(pool))
    net.meta["normalization"] = {"imageSize": [32, 32, 3]}
    save_network(net, tmp_path / "net.mat")
    again = load_network(tmp_path / "net.mat", cached_copy=False)
    image = torch.rand(1, 3, 7, 9)
    assert torch.equal(again(image), net(image))
    assert np.array_equal(again.meta["normalization"]["imageSize"], [[32, 32, 3]])
