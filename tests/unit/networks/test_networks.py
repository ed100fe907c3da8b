"""Reading and writing networks, their identity, and the formats that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.networks.identity import network_id
from deepibl.networks.io import layer_specs, load_network, read_network, save_network
from deepibl.networks.weights import LAYOUTS, LayerSpec, Layout, differences
from deepibl.runtime.files import map_tensors, write_tensors
from matlab_compat import matfile
from matlab_compat.errors import MatFileError, NetworkFormatError
from matlab_compat.matfile.values import MatObject
from matlab_compat.network import network_from_matlab
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row
from tests.extractors import simplenn
from tests.matlab_same import assert_same


def struct(seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A small network as MATLAB's struct."""
    random = np.random.RandomState(seed)
    conv = {
        "type": "conv",
        "name": "conv1",
        "weights": cell_row([random.randn(3, 3, 3, 5).astype("f4"), random.randn(1, 5).astype("f4")]),
        "pad": np.array([[1.0, 0, 2, 1]]),
        "stride": np.ones((1, 1)),
        **changes,
    }
    relu = {"type": "relu", "name": "relu1"}
    last = {
        "type": "conv",
        "name": "one",
        "weights": cell_row([random.randn(3, 3, 5).astype("f4"), np.zeros((0, 0))]),
    }
    mean = random.rand(20, 30, 3).astype("f4")
    meta = {"normalization": {"averageImage": mean}, "sessionID": "s", "epoch": np.array([[2.0]])}
    return {"layers": cell_row([conv, relu, last]), "meta": meta}


def written(path: Path, **variables: Any) -> Path:
    matfile.save(path, variables)
    return path


def output(net: SimpleNN) -> torch.Tensor:
    with torch.no_grad():
        return net(torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)))


def test_the_variable_net_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", opts={"layers": np.ones((1, 1))}, net=struct())
    assert load_network(path).names == ["conv1", "relu1", "one"]


def test_a_file_that_is_a_network_itself_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", **struct())
    assert network_id(load_network(path)) == network_id(SimpleNN.from_matlab(struct()))


def test_the_first_struct_with_layers_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", number=3.0, opts={"a": 1.0}, vgg=struct())
    assert len(load_network(path)) == 3


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": 1.0, "names": ["a"]}, r"holds no network: .*found x \(1x1 double\), names \(1x1 cell\)"),
        (
            {"net": 3.0},
            r"a\.mat holds no network: net is a 1x1 double; a network is a struct with a field layers$",
        ),
        ({"net": {"weights": 1.0}}, "net is a struct with fields weights; a network is"),
        ({"net": [1.0, "my type"]}, r"net is a 1x2 cell; a network is a struct with a field layers$"),
        (
            {"net": [{"type": "relu"}, {"type": "relu"}]},
            r"net is a 1x2 cell; .*\(this cell looks like one: net = struct\('layers', \{net\}\)\)",
        ),
        ({"net": {"layers": np.ones((1, 3))}}, r"net\.layers is a 1x3 double, not a cell of layers"),
        ({"model": {"layers": "conv"}}, r"model\.layers is a 1x4 char 'conv', not a cell of layers"),
        ({"layers": np.ones((2, 3))}, r"found layers \(2x3 double\)"),
        ({"layers": [np.ones((9, 9, 7, 4), np.float32)]}, r"layer \d is a 9x9x7x4 single, not a struct"),
    ],
)
def test_what_holds_no_network_says_what_it_holds(tmp_path: Path, variables: dict, message: str) -> None:
    path = written(tmp_path / "a.mat", **variables)
    with pytest.raises(NetworkFormatError, match=message):
        load_network(path)


def test_structs_whose_layers_are_numbers_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", layers=3.0, opts={"layers": np.ones((1, 2))}, vgg=struct())
    assert len(load_network(path)) == 3


@pytest.mark.parametrize(
    ("classname", "message"),
    [
        ("SeriesNetwork", r"is a SeriesNetwork \(Deep Learning Toolbox\), not a MatConvNet network"),
        ("DAGNetwork", r"is a DAGNetwork \(Deep Learning Toolbox\), not a MatConvNet network"),
        ("network", "is a network object of the Neural Network Toolbox, not a MatConvNet network"),
        ("my.Net", r"is a 1x1 object of class my\.Net, not a MatConvNet network"),
    ],
)
def test_an_object_that_is_not_a_network_is_named_by_its_toolbox(
    classname: str, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("matio", reason="needs mat-io, which needs Python 3.11")
    for layers in ([{"dimensions": 3}], np.ones((1, 2))):
        held = MatObject(classname, {"layers": layers, "b": 1.0})
        matfile.save_objects(tmp_path / "a.mat", {"net": held})
        with pytest.raises(NetworkFormatError, match=rf"a\.mat holds no network: net {message}"):
            load_network(tmp_path / "a.mat")
        with pytest.raises(NetworkFormatError, match=f"the value {message}"):
            network_from_matlab(held)
    matfile.save_objects(tmp_path / "a.mat", {"trained": held})
    shown = message[5:].split(",")[0]
    with pytest.raises(NetworkFormatError, match=rf"found trained \(1x1 ({shown}|{classname})\)"):
        load_network(tmp_path / "a.mat")


def test_a_damaged_variable_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", net=struct())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(MatFileError, match=r"a\.mat: variable 'net' cannot be read"):
        load_network(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.onnx", "written here, not read"),
        ("a.h5", "a network in HDF5 must be a .mat file"),
        ("a.pth", r"no file .*a\.pth"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(NetworkFormatError, match=message):
        load_network(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pt", "a.h5", "a"])
def test_a_suffix_that_is_not_written_is_refused_with_those_that_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(NetworkFormatError, match=r"\.mat, \.safetensors, \.onnx"):
        save_network(SimpleNN.from_matlab(struct()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named() -> None:
    with pytest.raises(MatFileError, match="nowhere"):
        load_network("nowhere.mat")


@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
def test_every_field_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    before = struct()
    before["meta"] |= {
        "note": "Grüße",
        "flags": np.array([[True, False]]),
        "classes": {"name": cell_row(["tench", ""]), "rows": matfile.CharMatrix(["ab", "cd"])},
        "table": matfile.StructArray((1, 2), ("a",), [{"a": np.ones((1, 1))}, {"a": "x"}]),
        "empty": np.zeros((0, 3), np.int32),
        "counts": np.arange(100, dtype=np.uint16).reshape(10, 10),
        "odd": np.array([[np.nan, -np.inf, 0.1]], dtype=np.float32),
    }
    net = SimpleNN.from_matlab(before)
    save_network(net, tmp_path / f"a{suffix}")
    again = load_network(tmp_path / f"a{suffix}")
    assert_same(again.to_matlab(), net.to_matlab())
    assert torch.equal(output(again), output(net))


def test_weights_lie_in_the_file_as_torch_has_them(tmp_path: Path) -> None:
    net = SimpleNN.from_matlab(struct())
    save_network(net, tmp_path / "a.safetensors")
    tensors, _ = map_tensors(tmp_path / "a.safetensors")
    assert np.array_equal(tensors["conv1.weights.0"], net["conv1"].weight.detach().numpy())


def test_other_safetensors_readers_open_the_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    net = SimpleNN.from_matlab(struct())
    save_network(net, tmp_path / "a.safetensors")
    assert torch.equal(load_file(tmp_path / "a.safetensors")["conv1.weights.0"], net["conv1"].weight)


def test_a_network_that_was_read_from_a_mapped_file_can_be_trained(tmp_path: Path) -> None:
    save_network(SimpleNN.from_matlab(struct()), tmp_path / "a.safetensors")
    net = load_network(tmp_path / "a.safetensors")
    net(torch.rand(1, 3, 9, 9)).sum().backward()
    before = network_id(net)
    torch.optim.SGD(net.parameters(), 0.1).step()
    assert network_id(net) != before
    assert network_id(load_network(tmp_path / "a.safetensors")) == before


@pytest.mark.parametrize("damage", [b"", b"\x10\0\0\0\0\0\0\0{", b"\xff" * 40, None])
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "a.safetensors"
    save_network(SimpleNN.from_matlab(struct()), path)
    path.write_bytes(path.read_bytes()[:-4] if damage is None else damage)
    with pytest.raises(NetworkFormatError, match=r"a\.safetensors is no network"):
        load_network(path)


def test_somebody_elses_safetensors_file_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"weight": np.ones((2, 2), np.float32)}, {})
    with pytest.raises(NetworkFormatError, match="its format is not deepibl-network"):
        read_network(tmp_path / "a.safetensors")


def test_strings_stand_beside_the_tensors(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", {"x": np.zeros((0, 3), np.int8)}, {"a": "ä"})
    tensors, strings = map_tensors(tmp_path / "a")
    assert strings == {"a": "ä"}
    assert tensors["x"].shape == (0, 3)


def test_values_without_a_place_in_the_file_are_refused_by_name(tmp_path: Path) -> None:
    net = SimpleNN.from_matlab(struct())
    net.meta["z"] = np.array([[1j]])
    with pytest.raises(NetworkFormatError, match=r"meta\.z.*use \.mat"):
        save_network(net, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_identity_ignores_names_training_state_and_class_of_numbers() -> None:
    plain = network_id(SimpleNN.from_matlab(struct()))
    double = struct()["layers"][0, 0]["weights"][0, 0].astype(np.float64)
    for changes in (
        {"name": "other"},
        {"precious": np.ones((1, 1), dtype=bool)},
        {"momentum": np.ones((1, 1)), "learningRate": np.ones((1, 2))},
        {"stride": np.ones((1, 1), np.uint8)},
        {"weights": cell_row([double, struct()["layers"][0, 0]["weights"][0, 1]])},
    ):
        assert network_id(SimpleNN.from_matlab(struct(**changes))) == plain, changes


def test_identity_sees_weights_settings_and_mean() -> None:
    other_mean = struct()
    other_mean["meta"]["normalization"]["averageImage"][0, 0, 1] += 1
    unread_mean = struct()
    unread_mean["meta"]["normalization"]["averageImage"][5, 5, 1] += 1
    plain = SimpleNN.from_matlab(struct())
    ids = [
        network_id(net)
        for net in (
            plain,
            SimpleNN.from_matlab(struct(seed=1)),
            SimpleNN.from_matlab(struct(pad=np.ones((1, 4)))),
            SimpleNN.from_matlab(other_mean),
            plain.with_layers(list(plain)[:-1]),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert network_id(SimpleNN.from_matlab(unread_mean)) == ids[0]  # only the top-left pixel is used


def test_identity_of_big_tensors_sees_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepibl.networks.identity._CHUNK", 64)
    weight = struct()["layers"][0, 0]["weights"][0, 0]
    ids = set()
    for position in (0, 70, -1):
        changed = struct()
        changed["layers"][0, 0]["weights"][0, 0].flat[position] += 1
        ids.add(network_id(SimpleNN.from_matlab(changed)))
    assert len(ids) == 3
    assert weight.size > 70


def test_layouts_say_what_differs() -> None:
    layout = Layout((LayerSpec("a", "conv", (1, 1, 3, 4)), LayerSpec("b", "relu")))
    assert differences(list(layout.layers), layout) == []
    assert differences([*layout.layers, LayerSpec("c", "pool")], layout) == ["3 layers instead of 2"]
    assert differences([*layout.layers, LayerSpec("c", "pool")], layout._replace(begins=True)) == []
    assert differences([layout.layers[0]], layout._replace(begins=True)) == ["1 layers instead of at least 2"]
    found = [LayerSpec("a", "conv", (3, 3, 3, 4)), LayerSpec("b", "pool")]
    assert differences(found, layout) == [
        "layer 1 is 'a' (conv 3x3x3x4) instead of 'a' (conv 1x1x3x4)",
        "layer 2 is 'b' (pool) instead of 'b' (relu)",
    ]


def test_the_released_layout_has_35_layers_and_vgg16_ends_at_conv5_3() -> None:
    released, vgg = (LAYOUTS[name].layers for name in ("vgg16-netvlad-white", "vgg16"))
    assert len(released) == 35
    assert released[28] == vgg[-1] == LayerSpec("conv5_3", "conv", (3, 3, 512, 512))
    assert [layer.name for layer in released[2:5]] == ["conv1_2", "pool1", "relu1_2"]
    assert [layer.name for layer in vgg[2:5]] == ["conv1_2", "relu1_2", "pool1"]
    assert released[33] == LayerSpec("WPCA", "conv", (1, 1, 32768, 4096))


def test_specs_give_matlabs_shapes() -> None:
    specs = layer_specs(SimpleNN.from_matlab(struct()))
    assert specs == [
        LayerSpec("conv1", "conv", (3, 3, 3, 5)),
        LayerSpec("relu1", "relu"),
        LayerSpec("one", "conv", (3, 3, 5, 1)),
    ]


@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
def test_lists_of_numbers_in_a_description_are_written_as_rows(suffix: str, tmp_path: Path) -> None:
    pool = {"type": "pool", "pool": [2, 2], "stride": (2, 1), "pad": [0, 1, 0, 1], "method": "avg"}
    meta = {"normalization": {"imageSize": [32, 32, 3], "averageImage": [1.0, 2.0, 3.0]}}
    net = SimpleNN.from_matlab({"layers": [pool], "meta": meta})
    net[0].set_field("stride", [2, 2])
    save_network(net, tmp_path / f"net{suffix}")
    again = load_network(tmp_path / f"net{suffix}")
    image = torch.rand(1, 3, 7, 9)
    assert torch.equal(again(again.prepare(image)), net(net.prepare(image)))
    assert np.array_equal(again[0].fields["pool"], [[2, 2]])
    assert np.array_equal(again.meta["normalization"]["imageSize"], [[32, 32, 3]])


def test_a_mean_that_is_no_numbers_says_so() -> None:
    net = SimpleNN([], {"normalization": {"averageImage": np.array([["a", {}]], dtype=object)}})
    with pytest.raises(NetworkFormatError, match="averageImage holds no numbers: 1x2 cell"):
        _ = net.mean_pixel


def test_a_mean_of_other_channels_than_the_images_says_so() -> None:
    net = SimpleNN([], {"normalization": {"averageImage": np.zeros((1, 1, 48), "f4")}})
    with pytest.raises(NetworkFormatError, match="averageImage has 48 channels, the images 3"):
        net.prepare(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
@pytest.mark.parametrize("bug", [TypeError, AttributeError, ValueError, KeyError, MemoryError])
def test_a_bug_of_ours_is_not_reported_as_an_invalid_network(
    suffix: str, bug: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise bug("planted")

    path = tmp_path / f"net{suffix}"
    save_network(load_network(written(tmp_path / "made.mat", net=struct())), path)
    monkeypatch.setattr(SimpleNN, "from_matlab", broken)
    with pytest.raises(bug, match="planted"):
        load_network(path)


@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")  # torch's, of Python 3.13.0
def test_a_network_compiles_into_one_graph() -> None:
    net = simplenn()
    images = net.prepare(torch.rand(2, 3, 48, 64) * 255)
    found = torch._dynamo.explain(net)(images)
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons
    torch._dynamo.reset()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), net(images))
