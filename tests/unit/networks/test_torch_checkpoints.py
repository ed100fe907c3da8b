"""Checkpoints of others as input: their networks, rebuilt here in plain torch, give the same descriptors."""

import argparse
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from deepibl.networks.io import load_network
from deepibl.networks.torch_files import KEY_MAPS, load_state, read_checkpoint, vgg16_from_torchvision
from matlab_compat.errors import NetworkFormatError
from tests.tolerances import assert_close

CLUSTERS, WHITE = 8, 16


def backbone() -> nn.Sequential:
    """torchvision's vgg16.features without its last ReLU and pooling, random."""
    torch.manual_seed(0)
    return make_layers(cfgs["D"])[:-2].eval()


def vlad_by_cluster(x: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """A NetVLAD as the checkpoints' authors flatten it: k*D + d."""
    x = F.normalize(x, dim=1)
    scores = F.conv2d(x, state["assign"], state.get("bias")).flatten(2).softmax(1)
    residuals = x.flatten(2)[:, None] - state["centres"][None, :, :, None]
    vlad = (residuals * scores[:, :, None]).sum(-1)
    return F.normalize(F.normalize(vlad, dim=2).flatten(1), dim=1)


def head(bias: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    found = {
        "assign": torch.randn(CLUSTERS, 512, 1, 1) * 3,
        "centres": F.normalize(torch.randn(CLUSTERS, 512), dim=1),
        "white": torch.randn(WHITE, CLUSTERS * 512, 1, 1) * 0.1,
        "white_bias": torch.randn(WHITE) * 0.1,
    }
    return found | ({"bias": torch.randn(CLUSTERS)} if bias else {})


def described(images: torch.Tensor, state: dict[str, torch.Tensor], base: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        vlad = vlad_by_cluster(base(images), state)
        return F.normalize(F.conv2d(vlad[:, :, None, None], state["white"], state["white_bias"]).flatten(1))


def images() -> torch.Tensor:
    return torch.rand(2, 3, 50, 67, generator=torch.Generator().manual_seed(2)) * 255


def openibl(prefix: str = "") -> dict[str, torch.Tensor]:
    state, base = head(), backbone().state_dict()
    found = {f"base_model.base.{name}": value for name, value in base.items()}
    found |= {"net_vlad.conv.weight": state["assign"], "net_vlad.centroids": state["centres"]}
    found |= {"pca_layer.weight": state["white"], "pca_layer.bias": state["white_bias"]}
    return {prefix + name: value for name, value in found.items()}


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_openibl_checkpoint_gives_its_authors_descriptors(wrapped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth.tar"
    extra = {"epoch": 3, "best_recall5": np.float64(0.8)}
    torch.save({"state_dict": openibl("module."), **extra} if wrapped else openibl(), path)
    net = load_network(path)
    mean = torch.tensor([0.48501960784313836, 0.4579568627450961, 0.4076039215686255])[:, None, None]
    want = described((images() / 255 - mean) * 255, head(), backbone())
    with torch.no_grad():
        assert_close(net(net.prepare(images())).flatten(1), want, "net")


@pytest.mark.parametrize("bias", [False, True], ids=["vlad", "vladv2"])
@pytest.mark.parametrize("parallel", ["", "module."])
def test_a_pytorch_netvlad_checkpoint_gives_its_authors_descriptors(
    bias: bool, parallel: str, tmp_path: Path
) -> None:
    state = head(bias)
    found = {f"encoder.{parallel}{name}": value for name, value in backbone().state_dict().items()}
    found |= {f"pool.{parallel}conv.weight": state["assign"], f"pool.{parallel}centroids": state["centres"]}
    found |= {f"pool.{parallel}conv.bias": state["bias"]} if bias else {}
    found |= {"WPCA.0.weight": state["white"], "WPCA.0.bias": state["white_bias"]}
    torch.save(
        {"epoch": 1, "state_dict": found, "best_score": 0.5, "parallel": bool(parallel)},
        tmp_path / "c.pth.tar",
    )
    net = read_checkpoint(tmp_path / "c.pth.tar")
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    want = described((images() / 255 - mean) / std, state, backbone())
    with torch.no_grad():
        assert_close(net(net.prepare(images())).flatten(1), want, "net")
    assert net["vlad:core"].classname == ("layerVLADv2" if bias else "layerVLAD")
    assert net.meta["source"] == "pytorch-NetVlad"


def test_torchvisions_vgg16_computes_the_same(tmp_path: Path) -> None:
    features = make_layers(cfgs["D"]).eval()
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save(state, tmp_path / "vgg16.pth")
    net, again = vgg16_from_torchvision(state), load_network(tmp_path / "vgg16.pth")
    x = torch.randn(1, 3, 64, 96) * 50
    with torch.no_grad():
        assert_close(net(x, stop="pool5"), features(x), "op")
        assert_close(again(x[:, :, :61, :77]), features(x[:, :, :61, :77]), "op")  # unpadded at any size


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("this must never run",))


def test_a_checkpoint_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"state_dict": openibl(), "config": Evil()}, tmp_path / "evil2.pth")
    for name, why in (("evil.pth", "cannot be read as a file of tensors"), ("evil2.pth", "holds a print")):
        with pytest.raises(NetworkFormatError, match=why):
            read_checkpoint(tmp_path / name)
    assert "never run" not in capsys.readouterr().out


def test_unknown_and_incomplete_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"layer1.0.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(NetworkFormatError, match=r"layer1\.0\.weight.*OpenIBL.*pytorch-NetVlad"):
        read_checkpoint(tmp_path / "resnet.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(NetworkFormatError, match="unknown kind"):
        read_checkpoint(tmp_path / "list.pth")
    state = openibl()
    del state["net_vlad.centroids"]
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(NetworkFormatError, match=r"OpenIBL.*net_vlad\.centroids"):
        read_checkpoint(tmp_path / "half.pth")
    with pytest.raises(NetworkFormatError, match="no file"):
        load_network(tmp_path / "missing.pth")


def test_key_maps_tell_kinds_apart() -> None:
    first = [kind.backbone.format(n=0) for kind in KEY_MAPS]
    assert len(set(first)) == len(first)


class Opened:
    """A class of a training script."""


def test_numpys_arrays_beside_the_weights_are_read(tmp_path: Path) -> None:
    state = {f"features.{name}": value for name, value in backbone().state_dict().items()}
    arrays = {
        "recalls": np.linspace(0, 1, 6).reshape(2, 3),
        "turned": np.arange(6, dtype=np.int32).reshape(2, 3).T,
        "names": np.array(["a", "bc"]),
        "mixed": np.array([1, "x", None], dtype=object),
        "flags": np.array([True]),
        "none": np.zeros((0, 4), np.float32),
        "score": np.float32(0.5),
    }
    for name, old in (("zip.pth", True), ("old.pth", False)):
        torch.save({"state_dict": state, **arrays}, tmp_path / name, _use_new_zipfile_serialization=old)
        found = load_state(tmp_path / name)
        for key, value in arrays.items():
            assert (
                np.array_equal(found[key], value) and np.asarray(found[key]).dtype == np.asarray(value).dtype
            )
        assert read_checkpoint(tmp_path / name).names[0] == "conv1_1"
    torch.save({name: value.numpy() for name, value in state.items()}, tmp_path / "arrays.pth")
    assert torch.equal(
        read_checkpoint(tmp_path / "arrays.pth")["conv1_1"].weights[0], state["features.0.weight"]
    )


def test_pickles_with_numpys_old_names_are_read(tmp_path: Path) -> None:
    torch.save({"a": np.arange(3.0), "b": np.float64(2)}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            for core in (b"numpy._core", b"numpy.core"):
                content = content.replace(core + b".multiarray", b"numpy.core.multiarray")
            old.writestr(name, content)
    assert load_state(tmp_path / "old.pth")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Path("x"), f"{type(Path()).__module__}.PosixPath"),
        (Opened(), f"{__name__}.Opened"),
        (print, "print"),
        (os.system, "posix.system"),
        (np.ma.masked_array([1.0]), "numpy.ma"),
    ],
)
def test_another_type_is_named_in_one_line(value: object, name: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "args": value}, tmp_path / "c.pth")
    with pytest.raises(
        NetworkFormatError, match=r"holds a .* beside its tensors.*model\.state_dict"
    ) as caught:
        load_state(tmp_path / "c.pth")
    assert name in str(caught.value) and "\n" not in str(caught.value)
