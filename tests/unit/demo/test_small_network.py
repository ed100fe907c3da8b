"""The small network of the tests: MatConvNet layers, how it is made, how well it recognises places."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.datasets.catalog import load_dbstruct
from deepibl.demo.run import raw_pixel_recall
from deepibl.errors import DatasetError
from deepibl.evaluation.measures import recall_at_n
from deepibl.features.extraction import extract
from deepibl.images import read_image
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network
from deepibl.toycity.city import make_city
from matlab_compat.simplenn.display import describe
from tests.small_network import SMALL_NETWORK, derivative_filters, oriented_gradients, small_network


@pytest.fixture(scope="module")
def net():
    return load_network(SMALL_NETWORK)


def test_it_is_small_and_its_size_is_known_layer_by_layer(net) -> None:
    assert SMALL_NETWORK.stat().st_size < 2 * 2**20
    info, _ = describe(net)
    assert np.isfinite(info["dataSize"]).all()
    assert info["dataSize"][:, -1].tolist() == [1, 1, 224, 1]
    assert net.names[-6:] == ["preL2", "vlad:core", "vlad:intranorm", "postL2", "WPCA", "finalL2"]


def test_its_first_filters_are_those_that_the_script_computes(net) -> None:
    np.testing.assert_array_equal(net["gradients"].weights_to_matlab()[0], derivative_filters())


def test_filters_do_not_see_a_flat_picture_and_tell_directions_apart() -> None:
    net = oriented_gradients([0.0, 0.0, 0.0])
    flat = net(torch.full((1, 3, 48, 48), 99.0), stop="relu")
    assert flat.abs().max() < 1e-3
    ramp = torch.arange(48.0).expand(1, 3, 48, 48)  # brighter to the right
    strength = net(ramp, stop="relu").mean((0, 2, 3))
    assert int(strength.argmax()) == 0
    turned = net(ramp.transpose(2, 3), stop="relu").mean((0, 2, 3))  # brighter downwards
    assert int(turned.argmax()) == 2  # a quarter turn of eight directions


def test_descriptors_do_not_mind_brightness_and_contrast(net) -> None:
    picture = torch.rand(1, 3, 240, 320, generator=torch.Generator().manual_seed(0)) * 100
    picture = torch.nn.functional.avg_pool2d(picture, 9, 1, 4)
    with torch.inference_mode():
        one, other = (net(net.prepare(p)).flatten() for p in (picture, picture * 1.5 + 30))
    assert float(one @ other) > 0.99


def test_it_recognises_the_toy_city_better_than_pixels_and_not_perfectly(net, tmp_path: Path) -> None:
    city = make_city(tmp_path, images=120, queries=40, seed=1)
    dataset = load_dbstruct(city, root=tmp_path)
    queries, database = (extract(net, dataset.image_paths(which), progress=False) for which in ("q", "db"))
    recall = recall_at_n(queries, database, dataset).at(1)
    pixels = raw_pixel_recall(dataset)
    print(f"\n120 images, 40 queries: Recall@1 {recall:.2f}, raw pixels {pixels:.2f}")
    assert pixels < 0.35
    assert pixels + 0.2 < recall < 0.95


def test_a_network_of_this_kind_is_built_from_a_few_photos(tmp_path: Path) -> None:
    city = make_city(tmp_path, images=40, queries=0, seed=5, size=(96, 72), split="train")
    dataset = load_dbstruct(city, root=tmp_path)
    files = dataset.image_paths("db")

    def build() -> torch.nn.Module:
        sizes = {"local_dim": 8, "clusters": 4, "dim": 16, "samples": 2000}
        return small_network(files, lambda i: read_image(files[i]), name="few", **sizes)

    net = build()
    features = extract(net, files, progress=False)
    assert features.shape == (40, 16)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    assert network_id(net) == network_id(build())
    with pytest.raises(DatasetError, match="more than 100 images"):
        small_network(files, lambda i: read_image(files[i]), name="few", dim=100)


def test_whitened_directions_have_equal_spread(net) -> None:
    weights = net["WPCA"].weights[0].flatten(1)
    assert weights.shape == (224, math.prod(describe(net)[0]["dataSize"][:3, -3]))
