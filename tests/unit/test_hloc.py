"""hloc: a reader of the documented positions, written here, and hloc's way of finding an extractor."""

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import scipy.io
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepibl import hloc
from deepibl.errors import ConfigurationError
from deepibl.networks.io import load_network, read_mat_network, save_network
from matlab_compat.errors import ArgumentError, NetworkFormatError
from tests.tolerances import assert_close


def descriptors_by_position(path: Path, images: Tensor, whiten: bool = True) -> Tensor:
    """Reads the .mat as hloc documents it: convolutions in the order of vgg16.features, layers 30 and 33."""
    net = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True)["net"]
    x = images - torch.tensor(net.meta.normalization.averageImage[0, 0]).view(1, -1, 1, 1)
    plan = ["c", "r", "c", "r", "p"] * 2 + ["c", "r", "c", "r", "c", "r", "p"] * 3
    for position, step in enumerate(plan[:-2]):
        if step == "c":
            weights, bias = (torch.tensor(w) for w in net.layers[position].weights)
            x = F.conv2d(x, weights.permute(3, 2, 0, 1), bias, padding=1)
        else:
            x = F.relu(x) if step == "r" else F.max_pool2d(x, 2, 2)
    x = F.normalize(x.flatten(2), dim=1)
    assign, minus_centres = (torch.tensor(w) for w in net.layers[30].weights)  # D x K
    scores = torch.einsum("dk,ndp->nkp", assign, x).softmax(1)
    residuals = x[:, :, None] + minus_centres[None, :, :, None]
    vlad = F.normalize((scores[:, None] * residuals).sum(-1), dim=1)
    found = F.normalize(vlad.flatten(1), dim=1)
    if whiten:
        weights, bias = (torch.tensor(w) for w in net.layers[33].weights)
        found = F.normalize(found @ weights.squeeze() + bias, dim=1)
    return found


def test_a_reader_by_position_gets_the_same_descriptors(released_file: Path, tmp_path: Path) -> None:
    net = read_mat_network(released_file)
    save_network(net, tmp_path / "net.hloc.mat")
    images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        want = net(net.prepare(images)).flatten(1)
    assert_close(descriptors_by_position(tmp_path / "net.hloc.mat", images), want, "net")
    again = load_network(tmp_path / "net.hloc.mat", cached_copy=False)
    with torch.no_grad():
        assert torch.equal(again(again.prepare(images)).flatten(1), want)


def test_a_mean_pixel_is_spread_so_that_its_first_element_is_the_mean(
    released_file: Path, tmp_path: Path
) -> None:
    net = read_mat_network(released_file)
    net.meta["normalization"] = {"averageImage": np.array([[[1.0, 2, 3]]], np.float32)}
    save_network(net, tmp_path / "net.hloc.mat")
    content = scipy.io.loadmat(tmp_path / "net.hloc.mat", struct_as_record=False, squeeze_me=True)
    assert content["net"].meta.normalization.averageImage[0, 0].tolist() == [1, 2, 3]


def test_a_network_of_another_layout_is_refused_by_position(released_file: Path, tmp_path: Path) -> None:
    net = read_mat_network(released_file)
    with pytest.raises(NetworkFormatError, match=r"hloc expects normalize at layer 29 .* not layerVLAD"):
        save_network(
            net.with_layers([layer for layer in net if layer.name != "preL2"]), tmp_path / "n.hloc.mat"
        )
    assert not (tmp_path / "n.hloc.mat").exists()


class BaseModel(nn.Module):
    """What hloc's extractors derive from, after its documentation."""

    default_conf: ClassVar[dict] = {}
    required_inputs: ClassVar[list] = []

    def __init__(self, conf: dict) -> None:
        super().__init__()
        self.conf = {**self.default_conf, **conf}
        self._init(self.conf)

    def forward(self, data: dict) -> dict:
        assert all(key in data for key in self.required_inputs)
        return self._forward(data)


def load_as_hloc(name: str) -> type:
    """hloc finds the one subclass of BaseModel that a module of its extractors package defines."""
    module = __import__(f"hloc.extractors.{name}", fromlist=[""])
    classes = [cls for _, cls in inspect.getmembers(module, inspect.isclass)]
    (found,) = [cls for cls in classes if cls.__module__ == module.__name__ and issubclass(cls, BaseModel)]
    return found


def test_hloc_finds_the_extractor_and_gets_our_descriptors(
    released_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hloc", "hloc.utils", "hloc.utils.base_model", "hloc.extractors"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["hloc.utils.base_model"].BaseModel = BaseModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, hloc.MODULE, ModuleType(hloc.MODULE))
    conf = hloc.register(released_file)
    model = load_as_hloc(conf["model"]["name"])(conf["model"]).eval()
    image = torch.rand(1, 3, 60, 90)
    with torch.no_grad():
        found = model({"image": image})["global_descriptor"]
        net = load_network(released_file, cached_copy=False)
        assert_close(found, net(net.prepare(image * 255)).flatten(1), "net")
    with pytest.raises(ArgumentError, match="no network"):
        load_as_hloc("deepibl")({"name": "deepibl"})


def test_without_hloc_the_extractor_says_so(released_file: Path) -> None:
    if "hloc" in sys.modules:
        pytest.skip("hloc is installed")
    with pytest.raises(ArgumentError, match="hloc cannot be imported"):
        hloc.register(released_file)


def test_an_unknown_network_is_refused_before_hloc_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"no network file 'model.mat'.*those that ship: "):
        hloc.register("model.mat")
