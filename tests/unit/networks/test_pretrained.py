"""Networks to start from: files, cropping, torchvision's VGG-16."""

from pathlib import Path

import pytest
import torch
from torch import nn

from deepibl.errors import ConfigurationError
from deepibl.matlab.networks import loadNet
from deepibl.networks import torch_files as vgg16
from deepibl.networks.io import load_network, save_network
from deepibl.networks.pretrained import FILES, load_pretrained
from deepibl.networks.torch_files import vgg16_from_torchvision
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.network import SimpleNN
from tests.unit.networks.test_networks import struct

NARROW = ((2, 4), (2, 5), (3, 6), (3, 7), (3, 8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_network(SimpleNN.from_matlab(struct()), tmp_path / "mine.mat")
    return tmp_path


def torchvisions(blocks: tuple[tuple[int, int], ...] = NARROW) -> nn.Sequential:
    """torchvision's VGG-16 features at other widths, by its own builder."""
    from torchvision.models.vgg import make_layers

    torch.manual_seed(0)
    return make_layers([item for count, width in blocks for item in [*[width] * count, "M"]])


def state(blocks: tuple[tuple[int, int], ...] = NARROW) -> dict[str, torch.Tensor]:
    return {f"features.{name}": value for name, value in torchvisions(blocks).state_dict().items()}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg16, "VGG16_BLOCKS", NARROW)


def test_a_file_is_found_by_its_name_and_cropped(folder: Path) -> None:
    # difference: loadnet-any-file
    net = load_pretrained("mine", "relu1", folder=folder)
    assert net.names == ["conv1", "relu1"]
    assert net.meta["netID"] == "mine"
    assert net.meta["sessionID"] == "mine_offtheshelf_relu1"
    assert net.meta["epoch"] == 0


def test_known_netIDs_have_matconvnets_file_names(folder: Path) -> None:
    for net_id, name in FILES.items():
        (folder / "mine.mat").rename(folder / name)
        assert load_pretrained(net_id, folder=folder).meta["sessionID"] == f"{net_id}_offtheshelf"
        (folder / name).rename(folder / "mine.mat")


def test_the_facade_finds_files_by_localPaths(folder: Path) -> None:
    paths = {"pretrainedCNNs": str(folder)}
    assert loadNet("mine", paths=paths).names == loadNet("mine", "_relja_none_", paths=paths).names


@pytest.mark.parametrize(
    ("net_id", "message"),
    [
        ("vd16", "deepibl fetch vd16.*torchvision:vgg16 in its place"),
        ("caffe", "vlfeat"),
        ("no", "known netIDs are vd16, vd19, caffe, places"),
    ],
)
def test_a_missing_file_says_what_is_there_and_what_to_do(folder: Path, net_id: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the folder holds mine; .*{message}"):
        load_pretrained(net_id, folder=folder)


def test_an_unknown_layer_is_refused(folder: Path) -> None:
    with pytest.raises(ArgumentError, match="conv5_3"):
        load_pretrained("mine", "conv5_3", folder=folder)


@pytest.mark.usefixtures("narrow")
def test_torchvisions_vgg16_computes_the_same() -> None:
    images = 255 * torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    net = vgg16_from_torchvision(state())
    with torch.no_grad():
        want = torchvisions()(images - torch.tensor(vgg16.MEAN_RGB)[:, None, None])
        got = net(net.prepare(images))
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)
    assert net.names[:6] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1"]
    assert net.names[-3:] == ["conv5_3", "relu5_3", "pool5"]


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(
        NetworkFormatError, match=r"features\.0 has shape \(4, 3, 3, 3\), expected \(64, 3, 3, 3\)"
    ):
        vgg16_from_torchvision(state())
    with pytest.raises(NetworkFormatError, match=r"features\.0\.weight' is missing"):
        vgg16_from_torchvision({"conv.weight": torch.zeros(1)})


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"features.0.weight": Harm()}, tmp_path / "a.pth")
    with pytest.raises(NetworkFormatError):
        load_network(tmp_path / "a.pth")
    assert not (tmp_path / "harm").exists()


def test_torchvisions_full_network_has_the_shapes_that_are_expected() -> None:
    from torchvision.models import vgg16 as torchvision_vgg16

    with torch.device("meta"):
        whole = torchvision_vgg16(weights=None).state_dict()
    full = {name: torch.empty(value.shape) for name, value in whole.items() if name.startswith("features.")}
    net = vgg16_from_torchvision(full)
    from deepibl.networks.io import layer_specs
    from deepibl.networks.weights import LAYOUTS, differences

    assert not differences(layer_specs(net), LAYOUTS["vgg16"])
