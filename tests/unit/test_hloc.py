"""hloc: a reader of the documented positions, written here, and hloc's way of finding an extractor."""

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import torch
from torch import nn

from deepibl import hloc
from deepibl.errors import ConfigurationError
from deepibl.networks.io import load_network
from matlab_compat.errors import ArgumentError
from tests.tolerances import assert_close


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
        net = load_network(released_file)
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
