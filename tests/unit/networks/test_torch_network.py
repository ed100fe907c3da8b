"""Any backbone by its library's name: a layer of a SimpleNN that goes wherever a MatConvNet network goes."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

import deepibl
from deepibl.datasets.catalog import load_dbstruct
from deepibl.evaluation.evaluate import evaluate_network
from deepibl.networks.build import add_pca, add_pooling
from deepibl.networks.conversion import convert, difference
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network, save_network
from deepibl.networks.torch_backbones import load_torch_network
from deepibl.toycity.city import make_city
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.display import describe
from matlab_compat.simplenn.network import SimpleNN
from tests.resnet18 import random_weights
from tests.tolerances import TOL, assert_close

MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


def images(number: int = 2) -> torch.Tensor:
    return torch.rand(number, 3, 70, 90, generator=torch.Generator().manual_seed(1)) * 255


def resnet(weights: Path) -> SimpleNN:
    return load_torch_network("torchvision:resnet18", "layer2", weights=weights)


def test_maps_equal_the_librarys(weights: Path) -> None:
    model = torchvision.models.resnet18(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    want = create_feature_extractor(model.eval(), {"layer2": "x"})((images() / 255 - MEAN) / STD)["x"]
    net = resnet(weights)
    with torch.no_grad():
        assert_close(net(net.prepare(images())), want.detach(), "net")
    assert net["layer2"].channels_out(None) == 128


@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
def test_a_session_file_brings_the_network_back(suffix: str, weights: Path, tmp_path: Path) -> None:
    net = add_pooling(resnet(weights), "max")
    save_network(net, tmp_path / f"net{suffix}")
    again = load_network(tmp_path / f"net{suffix}")
    assert network_id(again) == network_id(net) and again.names == net.names == [
        "layer2",
        "max:core",
        "postL2",
    ]
    with torch.no_grad():
        want = net(net.prepare(images()))
        assert_close(again(again.prepare(images())), want, "op")


def test_matlab_finds_the_weights_in_plain_fields(weights: Path, tmp_path: Path) -> None:
    save_network(resnet(weights), tmp_path / "net.mat")
    (layer,) = matfile.cell_list(matfile.load(tmp_path / "net.mat", ["net"])["net"]["layers"])
    names = matfile.cell_list(layer["weightNames"])
    first = matfile.cell_list(layer["weights"])[names.index("conv1.weight")]
    want = torch.load(weights, weights_only=True)["conv1.weight"]
    assert (layer["type"], layer["class__"], layer["model"]) == ("custom", "torchBackbone", "resnet18")
    np.testing.assert_array_equal(first, want.permute(2, 3, 1, 0))
    assert not any(name.startswith(("layer3", "layer4", "fc")) for name in names)


def test_a_netvlad_head_and_whitening_go_on_top(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = rng.standard_normal((200, 128)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    net = add_pooling(
        resnet(weights), "vlad_preL2_intra", centres=found[:4], descriptors=found, training_set="t"
    )
    assert net.names == ["layer2", "preL2", "vlad:core", "vlad:intranorm", "postL2"]
    features = rng.standard_normal((40, 512)).astype(np.float32)
    white = add_pca(net, features, dim=16)
    with torch.no_grad():
        found = white(white.prepare(images())).flatten(1)
    assert found.shape == (2, 16)
    assert_close(found.norm(dim=1), np.ones(2), "op")
    other = convert_and_back(white, tmp_path)
    assert other.largest <= TOL["op"] * other.scale


def convert_and_back(net: torch.nn.Module, folder: Path):
    save_network(net, folder / "a.safetensors")
    return difference(convert(folder / "a.safetensors", folder / "b.mat"), folder / "b.mat")


def test_gradients_reach_the_backbone_but_not_its_statistics(weights: Path) -> None:
    net = add_pooling(resnet(weights), "avg").train()
    before = [x.clone() for x in net.buffers()]
    net(net.prepare(images())).sum().backward()
    assert all(x.grad is not None for x in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))


@pytest.mark.parametrize(
    ("net_id", "layer", "split"),
    [
        ("torchvision:resnet18", "layer3", "layer2"),
        ("torchvision:resnet18", "layer3", "layer3"),
        ("torchvision:resnet18", "layer2", "layer2.1.conv1"),
        ("torchvision:squeezenet1_1", "features.6", "features.4"),
        ("torchvision:mobilenet_v3_small", "features", "features.4"),
        ("timm:resnet10t", "layer2", "layer2"),
    ],
)
def test_two_parts_do_what_the_whole_does(net_id: str, layer: str, split: str, tmp_path: Path) -> None:
    pytest.importorskip(net_id.partition(":")[0])
    torch.manual_seed(0)
    net = load_torch_network(net_id, layer, weights="random", split=split)
    state = {}
    for part in net:
        state |= dict(zip(matfile.cell_list(part.fields["weightNames"]), part.weights, strict=True))
    torch.save(library_state(net_id, state), tmp_path / "whole.pth")
    whole = load_torch_network(net_id, layer, weights=tmp_path / "whole.pth")
    assert net.names == [f"before:{split}", split] and len(whole) == 1
    save_network(add_pooling(net, "max"), tmp_path / "net.mat")
    again = load_network(tmp_path / "net.mat")
    with torch.no_grad():
        want = whole(whole.prepare(images()))
        assert torch.equal(net(net.prepare(images())), want)
        assert (
            again(again.prepare(images())).shape[1]
            == want.shape[1]
            == again[1].channels_out(again[0].channels_out(None))
        )


def library_state(net_id: str, known: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    library, _, model = net_id.partition(":")
    made = (
        torchvision.models.get_model(model, weights=None)
        if library == "torchvision"
        else pytest.importorskip("timm").create_model(model)
    )
    return {**made.state_dict(), **{name: x.detach() for name, x in known.items()}}


def test_loadNet_takes_the_name(weights: Path) -> None:
    # difference: loadnet-libraries
    net = deepibl.loadNet("torchvision:resnet18", "layer1", weights=str(weights))
    assert net.meta["netID"] == "torchvision:resnet18"
    assert net.meta["sessionID"] == "torchvision-resnet18_offtheshelf_layer1"
    info, text = describe(net, (64, 96))
    assert info["dataSize"][:3, -1].tolist() == [16, 24, 64] and "layer1" in text


def test_timm_models_work_too() -> None:
    timm = pytest.importorskip("timm", reason="timm is optional")
    net = load_torch_network("timm:resnet10t", "layer2", weights="random")
    with torch.no_grad():
        assert net(net.prepare(images())).ndim == 4
    assert timm.create_model("resnet10t").pretrained_cfg["mean"] is not None


@pytest.mark.parametrize(
    ("net_id", "layer", "reason"),
    [
        ("torchvision:resnet17", "layer3", "no model 'resnet17'"),
        ("timm:nothing_alike", "layer3", "no model 'nothing_alike'; deepibl.list_networks"),
        ("torchvision:resnet18", "layer9", "no layer 'layer9'.*layer4"),
        ("torchvision:resnet18:a:b:c", None, "expected torchvision or timm"),
        ("torchvision:", "layer3", "a colon"),
        ("torchvision:resnet18", "avgpool.flatten", "no layer"),
        ("torchvision:resnet18", "fc", r"not \(1, 1000\): choose another layer"),
    ],
)
def test_what_is_not_there_is_refused_by_name(net_id: str, layer: str | None, reason: str) -> None:
    with pytest.raises((ArgumentError, NetworkFormatError), match=reason):
        net = load_torch_network(net_id, layer, weights="random")
        net(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("split", ["layer3", "layer9", "maxpool"])
def test_a_split_that_cannot_be_is_refused(split: str) -> None:
    with pytest.raises(NetworkFormatError, match=f"up to layer2 has no layer '{split}' with weights"):
        load_torch_network("torchvision:resnet18", "layer2", weights="random", split=split)


@pytest.mark.parametrize(
    ("net_id", "layer", "split"),
    [
        ("torchvision:resnet18", "layer2", "conv1"),  # nothing is before it
        ("torchvision:resnet18", "layer2", "layer1.0.conv2"),  # within a residual block
        ("torchvision:vit_b_16", "encoder.layers.encoder_layer_2", "encoder.layers.encoder_layer_1"),
    ],
)
def test_a_model_that_cannot_be_divided_stays_one_layer(net_id: str, layer: str, split: str) -> None:
    (whole,) = load_torch_network(net_id, layer, weights="random", split=split)
    trained = [spec.name for spec in whole.weight_specs if spec.trainable]
    assert whole.name == split and trained[0].startswith(f"body.model.{split}.")


def test_weights_of_another_model_are_refused(weights: Path) -> None:
    with pytest.raises(ArgumentError, match=r"weights .* of .* (have shape|are missing)"):
        load_torch_network("torchvision:resnet50", "layer2", weights=weights)


@pytest.mark.slow
def test_a_named_backbone_can_be_exported(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    net = add_pooling(resnet(weights), "avg")
    save_network(net, tmp_path / "net.onnx")
    assert difference(net, tmp_path / "net.onnx").largest <= TOL["net"]


@pytest.mark.octave
def test_octave_loads_the_weights_of_a_backbone(weights: Path, tmp_path: Path) -> None:
    save_network(resnet(weights), tmp_path / "net.mat")
    script = (
        "l = load('net.mat').net.layers{1}; printf('%s %s %s [%s]', l.type, l.class__, l.weightNames{1}, "
        "sprintf('%d ', size(l.weights{1})));"
    )
    command = ["octave-cli", "--no-init-file", "--quiet", "--eval", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "custom torchBackbone conv1.weight [7 7 3 64 ]", done.stderr


@pytest.mark.slow
def test_the_originals_functions_work_on_a_backbone_by_name(weights: Path, tmp_path: Path) -> None:
    city = load_dbstruct(make_city(tmp_path, images=40, size=(160, 120), progress=False), root=tmp_path)
    paths = {name: f"{tmp_path / name}/" for name in ("initData", "outPrefix", "pretrainedCNNs")}
    opts = {"method": "vlad_preL2_intra", "netID": "torchvision:resnet18", "layerName": "layer1"}
    net = deepibl.loadNet(opts["netID"], opts["layerName"], weights=str(weights), paths=paths)
    net = deepibl.addLayers(net, opts, city, paths=paths)
    white = deepibl.addPCA(net, city, pcaDim=16, useGPU=False, paths=paths)
    assert white.names == ["layer1", "preL2", "vlad:core", "vlad:intranorm", "postL2", "WPCA", "finalL2"]
    save_network(white, tmp_path / "white.mat")
    recall = evaluate_network(load_network(tmp_path / "white.mat"), city).as_dict()
    assert recall["network_id"] == network_id(white)
    assert all(":" not in path.name for path in tmp_path.rglob("*"))
