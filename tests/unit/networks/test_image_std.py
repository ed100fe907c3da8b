"""meta.normalization.imageStd: images are divided by it through every door, or the door refuses it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.networks.conversion import convert, difference
from deepibl.networks.export import DescriptorModule, hloc_struct
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network, save_network
from deepibl.networks.torch_files import save_vgg16
from matlab_compat.errors import NetworkFormatError
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row
from tests.dagnn_of_simplenn import from_simplenn

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def network(mean: Any, std: Any) -> SimpleNN:
    filters = np.random.default_rng(0).standard_normal((3, 3, 3, 4)).astype(np.float32)
    normalization = {"averageImage": np.array(mean), "imageStd": np.array(std)}
    conv = {"type": "conv", "name": "c", "weights": cell_row([filters, np.zeros((1, 4), np.float32)])}
    return SimpleNN.from_matlab({"layers": cell_row([conv]), "meta": {"normalization": normalization}})


def images() -> torch.Tensor:
    return torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 1, 3)])
def test_images_are_divided_by_it(shape: tuple[int, ...]) -> None:
    # difference: image-std
    x = images()
    column = torch.tensor([MEAN, STD])[:, :, None, None]
    small = network(np.reshape(MEAN, shape), np.reshape(STD, shape))
    large = network(255 * np.reshape(MEAN, shape), 255 * np.reshape(STD, shape))
    want = (x / 255 - column[0]) / column[1]
    for net in (small, large, from_simplenn(small)):
        assert torch.allclose(net.prepare(x), want, atol=1e-5)
        assert torch.allclose(net.mean_pixel / 255, torch.tensor(MEAN))
        assert torch.allclose(DescriptorModule(net)(x), net(net.prepare(x)), atol=1e-4)


def test_one_number_serves_all_channels_and_zeros_are_a_mean() -> None:
    x = images()
    assert torch.allclose(network([[0.0, 0, 0]], [[58.0]]).prepare(x), x / 58)


@pytest.mark.parametrize("suffix", [".mat", ".safetensors", ".pt2"])
def test_it_is_written_and_computed_by_every_format(suffix: str, tmp_path: Path) -> None:
    net = network(MEAN, STD)
    save_network(net, tmp_path / "n.mat")
    convert(tmp_path / "n.mat", tmp_path / f"m{suffix}")
    assert difference(load_network(tmp_path / "n.mat"), tmp_path / f"m{suffix}").ok


def test_a_format_whose_readers_do_not_divide_refuses_it() -> None:
    net = network(MEAN, STD)
    with pytest.raises(NetworkFormatError, match=r"hloc subtracts a mean .* fold"):
        hloc_struct(net)
    with pytest.raises(NetworkFormatError, match=r"vgg16 .* subtracts a mean"):
        save_vgg16(net, "unwritten.pth")


def test_the_identity_sees_it() -> None:
    net, other = network([[123.0, 117, 104]], [[58.0]]), network([[123.0, 117, 104]], [[57.0]])
    assert network_id(net) != network_id(other)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (MEAN, [58.0, 57, 57]),
        ([123.0, 117, 104], STD),
        ([0.0], [1.0]),
        (MEAN, [0.2, 0, 0.2]),
        (MEAN, [np.nan]),
    ],
)
def test_a_deviation_of_no_certain_scale_is_refused(mean: list[float], std: list[float]) -> None:
    net = network(mean, std)
    for use in (lambda: net.prepare(images()), lambda: DescriptorModule(net)):
        with pytest.raises(
            NetworkFormatError, match=r"imageStd is \[.*both for images 0\.\.255 or both for 0"
        ):
            use()


def test_a_deviation_without_a_mean_and_one_of_text_are_refused() -> None:
    net = network(np.zeros((0, 0)), STD)
    with pytest.raises(NetworkFormatError, match="averageImage None"):
        DescriptorModule(net)
    net.meta["normalization"]["imageStd"] = "none"
    with pytest.raises(NetworkFormatError, match="imageStd holds no numbers"):
        DescriptorModule(net)
