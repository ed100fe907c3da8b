"""deepibl.engine.finite: no NaN becomes a descriptor, with any engine and by any door."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.datasets.folder import Places
from deepibl.engine.backbone import FusedBackbone, head_start
from deepibl.engine.batch import extract_batch
from deepibl.engine.choose import choose_engine
from deepibl.engine.cuda import CudaBackbone
from deepibl.engine.finite import IMAGES, MOST, in_range, require_finite
from deepibl.engine.quantised import QuantisedBackbone
from deepibl.errors import ExtractionError
from deepibl.features.backbone_cache import BackboneCache
from deepibl.features.extraction import extract, extract_to_file
from deepibl.matlab.networks import computeRepresentation
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network
from deepibl.networks.weights import find_network, shipped_networks
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import build_index
from deepibl.serve.finder import PlaceFinder
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import NetworkFormatError, UnknownLayerError
from matlab_compat.matfile.values import StructArray
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import Extractor, make_photos, simplenn
from tests.processor import bf16_here
from tests.unit.engine.test_engine import CPU, photos, simplenn_of

BROKEN = [float("nan"), float("inf"), -float("inf")]


def conv(name: str, *shape: int, factor: float = 1.0) -> dict[str, object]:
    filters = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * np.float32(factor)
    return {"type": "conv", "name": name, "weights": [filters, np.zeros((1, shape[3]), np.float32)], "pad": 1}


def with_bnorm(moments: np.ndarray | None) -> SimpleNN:
    """A convolution, batch normalisation, ReLU and a convolution; moments None: as of an old file."""
    weights = [np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)]
    weights += [] if moments is None else [moments]
    bnorm = {"type": "bnorm", "name": "bn1", "weights": weights}
    layers = [conv("conv1", 3, 3, 3, 4), bnorm, {"type": "relu"}, conv("conv2", 3, 3, 4, 8), {"type": "relu"}]
    meta = {"normalization": {"averageImage": np.full((1, 1, 3), 120, np.float32)}}
    return SimpleNN.from_matlab({"layers": layers, "meta": meta})


def dag(moments: np.ndarray) -> DagNN:
    names = ("name", "type", "inputs", "outputs", "params", "block")
    block = {"numChannels": np.array([[3.0]])}
    layer = {"name": "bn", "type": "dagnn.BatchNorm", "inputs": "input", "outputs": "x", "block": block}
    layer |= {"params": np.array([["g", "b", "m"]], object)}
    values = {"g": np.ones((3, 1), np.float32), "b": np.zeros((3, 1), np.float32), "m": moments}
    rows = [{"name": name, "value": value} for name, value in values.items()]
    parts = {"layers": StructArray((1, 1), names, [layer]), "vars": []}
    return DagNN.from_matlab(parts | {"params": StructArray((1, 3), ("name", "value"), rows)})


@pytest.mark.parametrize("engine", ["auto", "torch", "fused"])
@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize(
    ("layer", "weight"), [("conv1", "weight"), ("conv2", "bias"), ("vlad:core", "assign"), ("WPCA", "weight")]
)
def test_one_number_of_any_weight_is_refused_by_every_engine(
    layer: str, weight: str, value: float, engine: str
) -> None:
    net = simplenn()
    with torch.no_grad():
        getattr(net[layer], weight).view(-1)[1] = value
    found = rf"{re.escape(net.label(net.index(layer)))}: 1 of \d+ numbers of its {weight} are NaN"
    with pytest.raises(NetworkFormatError, match=found):
        choose_engine(net, engine, "fp32", CPU)


def test_a_mean_pixel_that_is_none_is_refused() -> None:
    net = simplenn()
    net.meta["normalization"]["averageImage"] = np.full((1, 1, 3), np.nan, np.float32)
    with pytest.raises(NetworkFormatError, match=r"meta\.normalization.*averageImage"):
        require_finite(net)


@pytest.mark.parametrize("engine", ["auto", "torch", "fused"])
def test_batch_normalisation_without_moments_is_refused(engine: str) -> None:
    good = np.array([[1.0, 2], [0, 1], [-1, 3], [0, 1]], np.float32)
    choose_engine(with_bnorm(good), engine, "fp32", CPU)
    dead, unknown = good.copy(), good.copy()
    dead[2, 1], unknown[1, 0] = 0, np.nan
    for moments, message in ((None, "no moments"), (dead, "no moments"), (unknown, "1 of 8 numbers")):
        with pytest.raises(NetworkFormatError, match=rf"layer 2 'bn1' \(bnorm\).*{message}"):
            choose_engine(with_bnorm(moments), engine, "fp32", CPU)


def test_a_graph_is_checked_as_a_chain_is() -> None:
    require_finite(dag(np.ones((3, 2), np.float32)))
    with pytest.raises(NetworkFormatError, match=r"'bn'.*has no moments"):
        require_finite(dag(np.zeros((3, 2), np.float32)))
    net = dag(np.ones((3, 2), np.float32))
    with torch.no_grad():
        net.param("g")[1] = np.nan
    with pytest.raises(NetworkFormatError, match=r"'bn' .*1 of 3 numbers of its g"):
        require_finite(net)


def test_another_module_may_hold_infinity_beside_its_parameters() -> None:
    net = Extractor()
    net.register_buffer("mask", torch.full((3,), -torch.inf))
    require_finite(net)
    with torch.no_grad():
        net.body[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(NetworkFormatError, match=r"1 of 1200 numbers of its body\.0\.weight"):
        require_finite(net)


def test_large_weights_that_are_finite_are_not_refused() -> None:
    net = Extractor()
    with torch.no_grad():
        net.body[0].weight.fill_(3e38)  # their sum is infinite
    require_finite(net)


def test_the_bound_holds_for_what_the_layers_give() -> None:
    net = simplenn_of([(3, 8), (8, 16), (16, 4)])
    with torch.no_grad():
        found = net.activations(photos() * (IMAGES / 255))
    largest = max(float(maps.abs().max()) for maps in found)
    assert in_range(net, len(net), 3) and in_range(net, len(net), 8)
    with torch.no_grad():
        for layer in net:
            if layer.type == "conv":
                layer.weight *= (1.001 * MOST / largest) ** (1 / 3)
    assert not in_range(net, len(net), 3)
    assert not in_range(with_bnorm(np.ones((4, 2), np.float32)), 2, 3)  # of layers that are not known


def test_the_networks_that_ship_need_no_measuring() -> None:
    for path in map(find_network, shipped_networks()):
        net = load_network(path)
        assert isinstance(net, SimpleNN) and in_range(net, head_start(net), 3)


def overflowing(factor: float = 1e25) -> SimpleNN:
    """Three convolutions of finite weights, of which the second overflows on any but a black image."""
    net = simplenn_of([(3, 96), (96, 96), (96, 96)], pooled=[])
    with torch.no_grad():
        for number, layer in enumerate(net):
            if layer.type == "conv":
                layer.weight *= (factor, factor, 1.0)[number // 2]
                layer.bias.zero_()
    return net


@pytest.mark.parametrize(
    ("backbone", "factor"),
    [
        (lambda net: FusedBackbone(net, len(net), "fp32"), 1e25),
        pytest.param(lambda net: FusedBackbone(net, len(net), "bf16"), 1e25, marks=bf16_here),
        (lambda net: QuantisedBackbone(net, len(net), {}), 1e25),
        (lambda net: CudaBackbone(net, len(net), "tf32"), 1e25),
        (lambda net: CudaBackbone(net, len(net), "fp16"), 300.0),
    ],
    ids=["fused", "bf16", "int8", "tf32", "fp16"],
)
def test_maps_that_overflow_are_not_a_number(
    backbone: Callable[[SimpleNN], Callable[[torch.Tensor], torch.Tensor]], factor: float
) -> None:
    net, x = overflowing(factor), photos(2, 24, 32)
    x[1] = 0
    with torch.inference_mode():
        found = backbone(net)(x)
    assert torch.isnan(found[0]).all() and (found[1] == 0).all()


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize(
    "backbone",
    [
        lambda net: lambda x: net(x),
        lambda net: FusedBackbone(net, len(net), "fp32"),
        pytest.param(lambda net: FusedBackbone(net, len(net), "bf16"), marks=bf16_here),
        lambda net: QuantisedBackbone(net, len(net), {}),
        lambda net: CudaBackbone(net, len(net), "fp32"),
        lambda net: CudaBackbone(net, len(net), "tf32"),
        lambda net: CudaBackbone(net, len(net), "fp16"),
    ],
    ids=["torch", "fused", "bf16", "int8", "fp32", "tf32", "fp16"],
)
def test_an_image_with_nan_gives_nan_with_every_engine(
    backbone: Callable[[SimpleNN], Callable[[torch.Tensor], torch.Tensor]], value: float
) -> None:
    # difference: nan-through-relu
    net, x = simplenn_of([(3, 8), (8, 16), (16, 16)]), photos(2, 24, 32)
    x[0, 1, 12, 13] = value
    with torch.inference_mode():
        found = backbone(net)(x)
    assert not torch.isfinite(found[0]).all() and torch.isfinite(found[1]).all()


def test_what_overflows_is_listed_by_extract(tmp_path: Path) -> None:
    make_photos(tmp_path)
    net = overflowing()
    net.meta["normalization"] = {"averageImage": np.full((1, 1, 3), 120, np.float32)}
    for engine in ("auto", "torch"):
        with pytest.raises(ExtractionError, match=r"(?s)none of the 2.*00\.jpg: .* is not finite"):
            extract_to_file(net, tmp_path, ["00.jpg", "01.jpg"], tmp_path / "f.bin", engine=engine)


def test_maps_that_are_kept_are_finite_or_refused(tmp_path: Path) -> None:
    names = make_photos(tmp_path)[:2]
    net = overflowing()
    net.meta["normalization"] = {"averageImage": np.full((1, 1, 3), 120, np.float32)}
    with BackboneCache(net, "conv2", store="ram") as cache:
        with pytest.raises(ExtractionError, match=r"(?s)none of the 2.*00\.jpg: .* are not finite"):
            extract_to_file(net, tmp_path, names, tmp_path / "f.bin", backbone=cache)
        assert cache.computed == cache.found == 0


@pytest.fixture
def broken() -> SimpleNN:
    net = simplenn()
    with torch.no_grad():
        net["conv1"].weight[0, 0, 0, 0] = torch.nan
    return net


def test_no_door_gives_descriptors_of_a_broken_network(broken: SimpleNN, tmp_path: Path) -> None:
    # difference: descriptors-finite
    names = make_photos(tmp_path)[:2]
    index = PlaceIndex(np.eye(2, 12, dtype=np.float32), names, np.zeros((2, 2)), network_id(broken))
    places = Places(str(tmp_path), names, np.zeros((2, 2)), "33N")
    doors: list[Callable[[], object]] = [
        lambda: extract(broken, names, root=tmp_path),
        lambda: extract_to_file(broken, tmp_path, names, tmp_path / "f.npy"),
        lambda: build_index(broken, places, tmp_path / "a.idx"),
        lambda: extract_batch(broken, torch.rand(1, 3, 48, 64) * 255),
        lambda: extract_batch(broken, torch.rand(1, 3, 48, 64) * 255, "bf16"),
        lambda: computeRepresentation(broken, torch.rand(3, 48, 64) * 255),
        lambda: PlaceFinder(broken, index),
    ]
    for door in doors:
        with pytest.raises(NetworkFormatError, match="layer 1 'conv1'"):
            door()
    assert not (tmp_path / "f.npy").exists() and not (tmp_path / "a.idx").exists()


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_a_layer_that_cannot_be_run_is_refused_before_an_image_is_read(engine: str) -> None:
    layers = [conv("conv1", 3, 3, 3, 4), {"type": "wibble", "name": "odd"}]
    net = SimpleNN.from_matlab({"layers": layers})
    with pytest.raises(UnknownLayerError, match=r"layer 2 'odd' \(wibble\): .*remove it with"):
        extract(net, ["missing.jpg"], engine=engine, progress=False)
