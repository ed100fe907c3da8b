"""Networks with layers of types that are not known here: shown, edited, saved unchanged, refused when run."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.networks.identity import network_id
from deepibl.networks.io import describe_network, load_network, save_network
from matlab_compat import matfile
from matlab_compat.dagnn.display import describe_dagnn
from matlab_compat.dagnn.layer import _BLOCKS, DagLayer, register_block
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import NetworkFormatError, UnknownLayerError
from matlab_compat.matfile.values import MatObject
from matlab_compat.network import network_from_matlab
from matlab_compat.simplenn.display import describe, vl_simplenn_display
from matlab_compat.simplenn.edit import relja_cropToLayer
from matlab_compat.simplenn.layer import _CUSTOM, _TYPES, Layer, register_layer
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.run import vl_simplenn
from matlab_compat.simplenn.tidy import cell_row
from tests.golden_data import REAL
from tests.unit.matlab_compat.test_dagnn import layer, network

CASES = REAL.parent / "cases"
RANDOM = np.random.default_rng(0)
ODD = {
    "type": "warp",
    "name": "odd",
    "stride": "none",  # means something else than in a known type
    "weights": cell_row(
        [RANDOM.standard_normal((2, 3, 4)).astype(np.float32), np.arange(6, dtype=np.int16)[None]]
    ),
    "table": {"a": cell_row(["x", np.array([[True]])])},
}


def conv(name: str, depth: int, count: int) -> dict[str, Any]:
    filters = RANDOM.standard_normal((1, 1, depth, count)).astype(np.float32)
    return {"type": "conv", "name": name, "weights": cell_row([filters, np.zeros((1, count), np.float32)])}


def chain(*layers: Any) -> dict[str, Any]:
    normalization = {"averageImage": np.zeros((1, 1, 3)), "imageSize": np.array([[8.0, 8, 3]])}
    return {"layers": cell_row(list(layers)), "meta": {"normalization": normalization}}


def whole(odd: Any = ODD) -> dict[str, Any]:
    return chain(conv("c1", 3, 4), {"type": "relu", "name": "r"}, odd, conv("c2", 5, 2))


def same(one: Any, other: Any) -> bool:
    """Equal values, classes and shapes."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, MatObject):
        return one.classname == other.classname and same(one.properties, other.properties)
    if isinstance(one, matfile.StructArray):
        return one.shape == other.shape and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return (
            all(map(same, one.ravel(), other.ravel())) if one.dtype == object else bool((one == other).all())
        )
    return type(one) is type(other) and one == other


def test_a_layer_of_an_unknown_type_is_kept_and_comes_back_unchanged(tmp_path: Path) -> None:
    net = SimpleNN.from_matlab(whole())
    assert same(net.to_matlab()["layers"][0, 2], ODD)
    for suffix in (".mat", ".safetensors"):
        save_network(net, tmp_path / f"n{suffix}")
        again = load_network(tmp_path / f"n{suffix}")
        assert same(again.to_matlab()["layers"][0, 2], ODD)
        assert network_id(again) == network_id(net)
    other = SimpleNN.from_matlab(whole({**ODD, "weights": cell_row([np.zeros((2, 3, 4), np.float32)])}))
    assert network_id(other) != network_id(net)


def test_old_layers_of_an_unknown_type_keep_filters_and_biases() -> None:
    odd = {"type": "combine", "filters": np.ones((1, 1, 4)), "biases": np.full((1, 1), 1.5)}
    net = SimpleNN.from_matlab(whole(odd))
    assert same(net.to_matlab()["layers"][0, 2], odd)
    assert net[2].weight_shapes() == [(1, 1, 4), (1, 1)] and net[2].name == "layer3"


def test_class_objects_of_an_unknown_class_are_kept() -> None:
    odd = MatObject("myLayer", {"type": "custom", "name": "odd", "gain": np.ones((1, 1))})
    net = SimpleNN.from_matlab(whole(odd))
    assert same(net.to_matlab(classes=True)["layers"][0, 2], odd)
    plain = net.to_matlab()
    assert plain["layers"][0, 2]["class__"] == "myLayer"
    with pytest.raises(UnknownLayerError, match=r"layer 3 'odd' \(myLayer\).*register_custom\('myLayer'\)"):
        SimpleNN.from_matlab(plain)(torch.zeros(1, 3, 8, 8))


def test_only_running_it_is_refused_by_number_and_name_with_the_two_ways_out() -> None:
    # difference: unknown-layers
    net = SimpleNN.from_matlab(whole({**ODD, "type": "poool"}))
    x = torch.rand(1, 3, 8, 8)
    assert net(x, stop="r").shape == relja_cropToLayer(net, "r")(x).shape == (1, 4, 8, 8)
    message = (
        r"layer 3 'odd' \(poool\): 'poool' is not known here.*remove it with net\.with_layers\(.*'odd'\]\), "
        r"or register .* with matlab_compat\.simplenn\.register_layer\('poool'\).*did you mean 'pool'"
    )
    for run in (net, lambda x: vl_simplenn(net, x)):
        with pytest.raises(UnknownLayerError, match=message):
            run(x)
    with pytest.raises(UnknownLayerError, match=r"does not name its class.*class__"):
        SimpleNN.from_matlab(whole({"type": "custom", "name": "odd"}))(x)
    kept = net.with_layers([each for each in net if each.name != "odd"])
    with pytest.raises(NetworkFormatError, match=r"layer 3 'c2'.*4 channels"):
        kept(x)


def test_a_registered_class_runs_the_layer() -> None:
    try:

        @register_layer("warp")
        class Warp(Layer):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.cat([x, x[:, :1]], 1)

            def channels_out(self, channels: int | None) -> int | None:
                return None if channels is None else channels + 1

        assert SimpleNN.from_matlab(whole())(torch.rand(1, 3, 8, 8)).shape == (1, 2, 8, 8)
    finally:
        _TYPES.pop("warp")


def test_the_table_shows_any_network_and_unknown_sizes_from_there_on(tmp_path: Path) -> None:
    struct = whole()
    save_network(SimpleNN.from_matlab(struct), tmp_path / "n.mat")
    text = describe_network(tmp_path / "n.mat")
    rows = {
        line.split("|")[0].strip(): [cell.strip() for cell in line.split("|")[1:]]
        for line in text.splitlines()
    }
    assert rows["type"][:5] == ["input", "conv", "relu", "warp", "conv"]
    assert rows["data size"][:5] == ["8", "8", "8", "NaNxNaN", "NaNxNaN"]
    assert rows["data depth"][:5] == ["3", "4", "4", "NaN", "2"]
    assert rows["param mem"][1:5] == ["64B", "0B", "120B", "48B"]  # 12 + 4, 24 + 6 and 10 + 2 numbers
    assert "layer 3 'odd' (warp): 'warp' is not known here" in text
    assert describe(SimpleNN.from_matlab(struct))[0]["parameters"] == [16, 0, 30, 12]
    info = vl_simplenn_display(SimpleNN.from_matlab(struct), nargout=1)  # the original's knows no types
    assert info["dataSize"][:, 3].tolist() == [8, 8, 4, 1]


def test_a_loss_of_unknown_type_at_the_end_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    plain = SimpleNN.from_matlab(chain(conv("c", 3, 4)))
    losses = [{"type": "tripletLoss", "name": "t"}, {"type": "softmaxloss", "name": "s"}]
    with caplog.at_level(logging.WARNING):
        net = SimpleNN.from_matlab(chain(plain.to_matlab()["layers"][0, 0], *losses))
    assert (
        "layer 2 't' (tripletLoss): a loss of training that is not known here; it is left out" in caplog.text
    )
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(net(x), plain(x)) and net.types == ["conv", "tripletLoss", "softmaxloss"]
    assert "layer 2 't' (tripletLoss): a loss of training" in describe(net)[1]
    only = SimpleNN.from_matlab(chain(conv("c", 3, 4), losses[0]))
    with pytest.raises(UnknownLayerError, match=r"layer 2 't' .*no derivatives"):
        vl_simplenn(only, x, torch.ones(1, 4, 8, 8))
    middle = SimpleNN.from_matlab(chain(losses[0], conv("c", 3, 4)))
    with pytest.raises(UnknownLayerError, match="layer 1 't'"):
        middle(x)


def graph(*more: dict[str, Any], **params: np.ndarray) -> dict[str, Any]:
    filters = RANDOM.standard_normal((1, 1, 3, 4)).astype(np.float32)
    first = layer("conv", "dagnn.Conv", ["x"], "y", ("f",), hasBias=np.zeros((1, 1), bool))
    return network(first, *more, f=filters, **params)


def test_a_block_of_an_unknown_type_is_kept_and_what_needs_it_is_refused(tmp_path: Path) -> None:
    weight = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    odd = layer("odd", "my.Warp", ["y"], "z", ("w", "f"), level=np.ones((1, 2)))
    odd["outputs"] = np.array([["z", "z2"]], dtype=object)
    struct = graph(
        odd, layer("relu", "dagnn.ReLU", ["z"], "a"), layer("r2", "dagnn.ReLU", ["y"], "b"), w=weight
    )
    net = DagNN.from_matlab(struct)
    assert same(net.to_matlab(), struct)
    save_network(net, tmp_path / "n.mat")
    again = load_network(tmp_path / "n.mat")
    assert same(again.to_matlab()["params"][1]["value"], weight) and network_id(again) == network_id(net)
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(net(x, output="b"), net(x, output="y").relu())
    message = (
        r"layer 2 'odd' \(my\.Warp\): 'my\.Warp' .*net\.remove_layer\('odd'\).*register_block\('my\.Warp'\)"
    )
    for wanted in ("z2", "a", None):
        with pytest.raises(UnknownLayerError, match=message):
            net(x, output=wanted)
    info, text = describe_dagnn(net, (5, 5))
    assert "layer 2 'odd' (my.Warp)" in text and info["layers"][1]["parameters"] == 36
    sizes = {entry["name"]: entry["size"] for entry in info["layers"]}
    assert np.isnan(sizes["odd"]).all() and np.isnan(sizes["relu"]).all() and sizes["r2"] == [5, 5, 4, 1]
    net.remove_layer("odd", "relu")
    assert net(x).shape == (1, 4, 5, 5) and net.param_names == ["f"]


def test_a_registered_block_runs() -> None:
    struct = graph(layer("odd", "my.Twice", ["y"], "z"))
    try:

        @register_block("my.Twice")
        class Twice(DagLayer):
            def forward(self, inputs: Any, params: Any) -> torch.Tensor:
                return 2 * inputs[0]

        net, x = DagNN.from_matlab(struct), torch.rand(1, 3, 5, 5)
        assert torch.equal(net(x), 2 * net(x, output="y"))
    finally:
        _BLOCKS.pop("my.Twice")


def test_a_typing_mistake_in_a_block_is_noticed_when_it_runs() -> None:
    struct = graph(layer("r", "dagnn.Relu", ["y"], "z"))
    with pytest.raises(UnknownLayerError, match=r"did you mean 'dagnn\.ReLU'"):
        network_from_matlab(struct)(torch.rand(1, 3, 5, 5))


def test_a_loss_block_that_nothing_uses_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    loss = layer("loss", "lab.my_loss", ["y", "target"], "objective", lambda_=np.ones((1, 1)))
    with caplog.at_level(logging.WARNING):
        net = DagNN.from_matlab(graph(loss))
    assert "layer 2 'loss' (lab.my_loss): a loss of training" in caplog.text
    x = torch.rand(1, 3, 5, 5)
    assert net.result_names == ["y"] and net(x).shape == (1, 4, 5, 5)
    assert "objective" not in net.variables({"x": x, "target": x})
    used = DagNN.from_matlab(graph(loss, layer("relu", "dagnn.ReLU", ["objective"], "z")))
    with pytest.raises(UnknownLayerError, match="layer 2 'loss'"):
        used({"x": x, "target": x})


def test_the_documentation_lists_what_can_be_run() -> None:
    pages = (Path(__file__).parents[3] / "docs" / "interop.md").read_text(encoding="utf-8").splitlines()
    for kind, registry in (("layer.type", _TYPES), ("custom classes", _CUSTOM), ("blocks", _BLOCKS)):
        (row,) = (line for line in pages if line.startswith("| ") and kind in line.split("|")[1])
        listed = [name.split(" ")[0] for name in row.split("|")[2].strip().split(", ")]
        defined = [name for name, cls in registry.items() if not cls.__module__.startswith("tests")]
        assert listed == sorted(name.removeprefix("dagnn.") for name in defined)


@pytest.mark.real
@pytest.mark.parametrize("name", ["LapSRN_x2", "net_stage_1_dilation", "MSCNNDehazing_FL"])
def test_networks_of_other_projects_are_shown_and_come_back_unchanged(name: str, tmp_path: Path) -> None:
    file = CASES / "files_05_custom_layers_refused" / f"{name}.mat"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    net = load_network(file, cached_copy=False)
    known = {"LapSRN_x2": "vllab_dag_loss", "net_stage_1_dilation": "dpool", "MSCNNDehazing_FL": "upsmpl"}
    assert known[name] in describe_network(file)
    save_network(net, tmp_path / "n.mat")
    saved = matfile.load(tmp_path / "n.mat")["net"]
    if name == "LapSRN_x2":
        assert same(saved["layers"], matfile.load(file)["net"]["layers"])
        assert net({"LR": torch.rand(1, 1, 8, 8)}).shape == (1, 1, 16, 16)
    else:
        with pytest.raises(UnknownLayerError, match=r"layer [34] '(pool_m1|layer4)'"):
            net(torch.rand(1, 3, 32, 32))
