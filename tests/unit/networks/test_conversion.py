"""Converting networks by suffix: what is written computes the same, and what cannot be written says why."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deepibl.cli.main import app
from deepibl.networks.backbones import CAFFE, from_torch
from deepibl.networks.conversion import Difference, convert, difference, run_onnx
from deepibl.networks.export import DescriptorModule, exported, save_exported, save_onnx
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network, read_mat_network, save_network
from deepibl.runtime.files import map_tensors
from matlab_compat import matfile
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files
from tests.simplenn_structs import conv
from tests.small_network import SMALL_NETWORK
from tests.tolerances import TOL, assert_close

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def dag() -> Path:
    return golden_files("dagnn/chain_net.mat")[0]


@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
def test_a_converted_network_computes_the_same(suffix: str, released_file: Path, tmp_path: Path) -> None:
    net = convert(released_file, tmp_path / f"net{suffix}")
    found = difference(net, tmp_path / f"net{suffix}")
    assert found.largest <= TOL["op"] * found.scale  # not 0: weights lie in memory in another order
    assert network_id(load_network(tmp_path / f"net{suffix}")) == network_id(net)


@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
def test_a_dagnn_converts_too(suffix: str, dag: Path, tmp_path: Path) -> None:
    net = convert(dag, tmp_path / f"net{suffix}")
    again = load_network(tmp_path / f"net{suffix}")
    assert isinstance(again, DagNN) and network_id(again) == network_id(net)
    assert difference(net, tmp_path / f"net{suffix}").largest == 0


SIZES = [(1, 64, 64), (3, 61, 83), (2, 120, 50)]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["released_file", "dag"])
def test_onnx_takes_any_number_and_size_of_images(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    net = load_network(request.getfixturevalue(which))
    save_onnx(net, tmp_path / "net.onnx")
    describer = DescriptorModule(net)
    for number, height, width in SIZES:
        images = torch.rand(number, describer.channels, height, width) * 255
        with torch.no_grad():
            assert_close(run_onnx(tmp_path / "net.onnx", images.numpy()), describer(images), "net")
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert said["network_id"] == network_id(net)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["released_file", "dag"])
def test_torch_export_takes_any_number_and_size_of_images(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    net = load_network(request.getfixturevalue(which))
    save_exported(net, tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2").module()
    describer = DescriptorModule(net)
    for number, height, width in SIZES:
        images = torch.rand(number, describer.channels, height, width) * 255
        with torch.no_grad():
            assert_close(program(images), describer(images), "op")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_the_network_that_ships_computes_the_same_elsewhere_and_convert_says_so(
    suffix: str, tmp_path: Path
) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
    target = tmp_path / f"net{suffix}"
    result = CliRunner().invoke(app, ["convert", str(SMALL_NETWORK), str(target), "--check"])
    assert result.exit_code == 0, result.output  # noise: clusters without pixels, one image alone
    found = difference(load_network(SMALL_NETWORK), target, SIZES)
    assert found.relative <= TOL["net"]


@pytest.mark.slow
def test_onnx_keeps_the_small_number_beside_a_norm(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    net = SimpleNN.from_matlab({"layers": [{"type": "normalize", "param": np.array([[6, 1e-12, 1, 0.5]])}]})
    save_onnx(net, tmp_path / "net.onnx")
    assert np.array_equal(
        run_onnx(tmp_path / "net.onnx", np.zeros((1, 3, 20, 30), np.float32)), np.zeros((1, 3, 20, 30))
    )


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_the_maximum_is_of_the_whole_maps_whatever_the_size_of_the_image(suffix: str, tmp_path: Path) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
    stem = conv("c1", 3, 3, 4, pad=np.array([[2.0, 0, 1, 3]]), stride=np.array([[2.0, 3]]))
    pool = {"type": "pool", "method": "avg", "pool": np.array([[3.0, 2]]), "pad": np.array([[2.0, 0, 0, 1]])}
    top = {"type": "custom", "class__": "layerTotalMaxPool", "name": "max"}
    for number, layers in enumerate([[stem, top], [stem, pool, top]]):
        net = SimpleNN.from_matlab({"layers": layers})
        save_network(net, target := tmp_path / f"net{number}{suffix}")
        assert difference(net, target, [*SIZES, (2, 192, 256)]).relative <= TOL["net"]


def test_check_compares_images_of_another_size_than_the_traced_one(tmp_path: Path) -> None:
    class Traced(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :, :64, :64].mean((2, 3))

    net = from_torch(torch.nn.AvgPool2d((64, 64), (64, 64)), head="max", **vars(CAFFE))
    fixed = torch.export.export(Traced(), (torch.rand(1, 3, 96, 128),))
    torch.export.save(fixed, tmp_path / "net.pt2")
    with pytest.raises(NetworkFormatError, match=r"net\.pt2 does not take \(2, 3, 121, 165\)"):
        difference(net, tmp_path / "net.pt2")


@pytest.mark.parametrize("suffix", [".mat", ".safetensors", ".pt2"])
def test_a_network_that_needs_larger_images_is_checked_with_larger_ones(suffix: str, tmp_path: Path) -> None:
    layers = [conv("c1", 3, 3, 4, stride=np.array([[32.0]])), conv("fc6", 7, 4, 5, pad=np.zeros((1, 1)))]
    save_network(SimpleNN.from_matlab({"layers": layers}), tmp_path / "in.mat")
    found = CliRunner().invoke(
        app, ["convert", str(tmp_path / "in.mat"), f"{tmp_path}/out{suffix}", "--check"]
    )
    assert found.exit_code == 0 and "(maps): largest difference" in found.output, found.output


def test_a_file_that_onnxruntime_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(NetworkFormatError, match=r"net\.onnx does not take .*INVALID_PROTOBUF"):
        difference(load_network(SMALL_NETWORK), tmp_path / "net.onnx")


def test_convert_ends_with_4_where_the_two_differ(
    released_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["convert", str(released_file), str(tmp_path / "net.mat"), "--check"]
    monkeypatch.setattr(
        "deepibl.networks.conversion.difference", lambda net, target: Difference(0.07, 0.3, "descriptors")
    )
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 4 and "2.3e-01" in result.output and "do not use" in result.output


@pytest.mark.slow
def test_a_torch_backbone_can_be_exported() -> None:
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU())
    net = from_torch(body, head="gem")
    images = torch.rand(2, 3, 77, 91) * 255
    with torch.no_grad():
        assert_close(exported(net).module()(images), net(net.prepare(images)).flatten(1), "op")


def test_safetensors_say_where_the_network_comes_from(released_file: Path, tmp_path: Path) -> None:
    net = read_mat_network(released_file)
    net.meta |= {"netID": "vd16", "sessionID": "53e0", "epoch": np.array([[4.0]])}
    save_network(net, tmp_path / "net.safetensors")
    said = map_tensors(tmp_path / "net.safetensors")[1]
    assert {"netID": "vd16", "sessionID": "53e0", "epoch": "4"}.items() <= said.items()
    assert said["network_id"] == network_id(net) and said["written_by"] == "deepibl"


def test_class_objects_are_written_for_matlab(released_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matio", reason="writing class objects needs mat-io")
    net = read_mat_network(released_file)
    save_network(net, tmp_path / "net.mat", classes=True)
    layers = matfile.cell_list(matfile.load(tmp_path / "net.mat", ["net"])["net"]["layers"])
    objects = {layer.classname for layer in layers if isinstance(layer, matfile.MatObject)}
    assert objects == {"layerVLAD", "layerWholeL2Normalize"}
    again = read_mat_network(tmp_path / "net.mat")
    assert network_id(again) == network_id(net) and again.names == net.names
    with pytest.raises(NetworkFormatError, match=r"only \.mat files hold class objects"):
        save_network(net, tmp_path / "net.safetensors", classes=True)


REFUSED: list[tuple[str, str]] = [
    ("net.h5", "the suffix must be one of"),
    ("net", "the suffix must be one of"),
    ("net.pth", "the suffix must be one of"),
]


@pytest.mark.parametrize(("name", "reason"), REFUSED)
def test_what_cannot_be_written_says_why(name: str, reason: str, released_file: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkFormatError, match=reason):
        convert(released_file, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2", "a.h5", "a.pkl"])
def test_what_cannot_be_read_says_why(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(NetworkFormatError, match="cannot be read: "):
        convert(tmp_path / name, tmp_path / "b.mat")


def test_a_network_is_not_converted_onto_itself(released_file: Path) -> None:
    with pytest.raises(ArgumentError, match="give another file"):
        convert(released_file, released_file)


def test_a_dagnn_with_several_results_is_not_exported() -> None:
    net = load_network(golden_files("dagnn/shared_net.mat")[0])
    with pytest.raises((NetworkFormatError, ArgumentError), match=r"in1, in2|several results"):
        DescriptorModule(net)


def test_the_command_converts_and_checks(released_file: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(
        app, ["convert", str(released_file), str(tmp_path / "net.safetensors"), "--check"]
    )
    assert found.exit_code == 0, found.output
    assert "wrote" in found.output and "largest difference" in found.output


def test_the_command_shows_a_dagnn(dag: Path) -> None:
    found = CliRunner().invoke(app, ["info", str(dag), "--json"])
    assert found.exit_code == 0, found.output
    info: dict[str, Any] = json.loads(found.output)
    assert [layer["name"] for layer in info["layers"]] == load_network(dag).names
    assert info["inputs"] == ["input"]


def test_torch_hub_loads_a_network_from_the_repository(released_file: Path) -> None:
    """In a process of its own: torch.hub changes sys.path and sys.modules."""
    script = f"""
import torch
net = torch.hub.load({str(ROOT)!r}, "network", {str(released_file)!r}, source="local")
images = torch.rand(2, 3, 64, 64) * 255
with torch.no_grad():
    one = net(net.prepare(images)).flatten(1)
    other = torch.hub.load({str(ROOT)!r}, "describer", {str(released_file)!r}, source="local")(images)
    vlad = torch.hub.load({str(ROOT)!r}, "netvlad", 4, 8, source="local")(torch.rand(1, 8, 3, 3))
assert torch.equal(one, other), (one - other).abs().max()
print(tuple(one.shape), tuple(vlad.shape))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert "(1, 8, 1, 4)" in done.stdout
