"""The real VGG-16 with NetVLAD on a real photo: the descriptor is that which plain torch computes."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.io import loadmat
from torch import Tensor

from deepibl.images import read_image
from deepibl.networks import add_pooling, load_network
from deepibl.networks.build import add_pre_l2
from matlab_compat.simplenn import SimpleNN

pytestmark = [pytest.mark.real, pytest.mark.slow]

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: a pooling
MEAN = (123.68, 116.779, 103.939)
CENTRES = "initdata/pitts30k_train_vd16_conv5_3_preL2_k064_clst.mat"


@pytest.fixture(scope="module")
def photo(real: Path) -> Tensor:
    return read_image(real / "images/lund/data/lund/images/01.jpg", max_side=320)[None]


@pytest.fixture(scope="module")
def backbone(real: Path) -> SimpleNN:
    net = load_network(real / "backbones/vgg16/imagenet-vgg-verydeep-16.mat")
    return net.with_layers(list(net)[: net.index("conv5_3") + 1])


@pytest.fixture(scope="module")
def net(real: Path, backbone: SimpleNN, photo: Tensor) -> SimpleNN:
    with torch.inference_mode():
        maps = add_pre_l2(backbone)(backbone.prepare(photo))
    descriptors = maps[0].flatten(1).t().numpy()
    centres = loadmat(real / CENTRES)["clsts"].T
    return add_pooling(backbone, "vlad_preL2_intra", centres=centres, descriptors=descriptors)


def plain_maps(backbone: SimpleNN, photo: Tensor) -> Tensor:
    """conv5_3 in float64, by torch's operators alone."""
    x = photo.double() - torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1)
    convolutions = iter(layer for layer in backbone if layer.type == "conv")
    for position, width in enumerate(WIDTHS):
        if not width:
            x = F.max_pool2d(x, 2, ceil_mode=True)
            continue
        layer = next(convolutions)
        x = F.conv2d(x, layer.weight.double(), layer.bias.double().flatten(), padding=1)
        assert x.shape[1] == width
        x = F.relu(x) if position + 1 < len(WIDTHS) else x
    return x


@torch.inference_mode()
def test_the_descriptor_of_vgg16_is_that_of_plain_torch(
    net: SimpleNN, backbone: SimpleNN, photo: Tensor
) -> None:
    maps = F.normalize(plain_maps(backbone, photo), dim=1).flatten(2)[0]  # (512, P)
    assign, offset = (weight.double().flatten(1) for weight in net.layer("vlad:core").parameters())  # (K, D)
    shares = torch.softmax(assign @ maps, 0)
    residuals = maps[None] + offset[:, :, None]  # (K, D, P)
    vlad = F.normalize((shares[:, None] * residuals).sum(2), dim=1)  # of each cluster
    # hloc's normalisation differs from MatConvNet's where a cluster is nearly empty: those are left out
    full = shares.sum(1) > 1e-2
    assert int(full.sum()) > 32
    exact = copy.deepcopy(net).double()
    found = exact(exact.prepare(photo.double())).view(512, 64)[:, full]
    expected = vlad.t()[:, full]
    apart = found / found.norm() - expected / expected.norm()
    assert float(apart.norm()) < 1e-6


def test_the_authors_centres_fit_the_features(real: Path, backbone: SimpleNN, photo: Tensor) -> None:
    maps = F.normalize(plain_maps(backbone, photo), dim=1).flatten(2)[0].t()
    centres = torch.from_numpy(loadmat(real / CENTRES)["clsts"].T).double()
    nearest = np.square(torch.cdist(maps, centres).min(1).values.detach().numpy()).mean()
    assert nearest < 0.13  # 0.104 over six photos; 0.28 with another mean
