"""Every path to a CUDA device, on fake tensors (`tests.fake_cuda`): nothing mixes devices or waits in a loop.

Numbers are not compared here: that is for the tests marked gpu, and for `python -m benchmarks.gpu`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepibl import losses
from deepibl.engine import cuda as cuda_engine
from deepibl.engine.batch import extract_prepared
from deepibl.engine.choose import choose_engine
from deepibl.features.backbone_cache import Fetched
from deepibl.matlab.networks import computeRepresentation
from deepibl.migrate.verify import verify_layers
from deepibl.networks.build import LayerVLAD
from deepibl.networks.clusters import local_descriptors
from deepibl.networks.torch_backbones import load_torch_network
from deepibl.report.cells import cell_assignment, cell_shares
from deepibl.report.heatmap import gradient_map, occlusion_map
from deepibl.runtime.devices import inference, to_batch
from deepibl.training.gradients import PlainBackbone, TupleGradients
from deepibl.training.options import TrainingOptions
from deepibl.training.state import network_with_momentum
from deepibl.training.step import Stepper
from deepibl.training.tuples import MinedTuple, Objective
from matlab_compat import matfile
from matlab_compat.network import network_from_matlab
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn import base, layer as simplenn_layer
from matlab_compat.simplenn.network import SimpleNN
from tests.fake_cuda import BACKWARD, NAME, placed
from tests.golden_data import GOLDEN
from tests.unit.matlab_compat.test_simplenn_layers import filters, layer

assert LayerVLAD  # registers NetVLAD's layers
VECTOR = [filters(1, 4), filters(1, 4), filters(4, 2)]
LAYERS: dict[str, Callable[[], Any]] = {
    "conv": lambda: layer("conv", [filters(3, 3, 4, 6), filters(1, 6)], pad=[1, 0, 1, 1]),
    "convt": lambda: layer("convt", [filters(3, 3, 5, 4), filters(1, 5)], upsample=2),
    "pool": lambda: layer("pool", pool=[3, 3], stride=2, pad=[0, 1, 0, 2], method="avg"),
    "pool max": lambda: layer("pool", pool=[3, 3], stride=2, pad=[0, 2, 0, 1], method="max"),
    "relu": lambda: layer("relu", leak=0.1),
    "sigmoid": lambda: layer("sigmoid"),
    "softmax": lambda: layer("softmax"),
    "normalize": lambda: layer("normalize", param=[8, 1e-12, 1, 0.5]),
    "lrn": lambda: layer("lrn", param=[3, 1, 1e-4, 0.75]),
    "spnorm": lambda: layer("spnorm", param=[3, 3, 1, 0.5]),
    "noffset": lambda: layer("noffset", param=[1, 0.5]),
    "bnorm": lambda: layer("bnorm", VECTOR),
    "dropout": lambda: layer("dropout", rate=0.5),
    "loss": lambda: layer("loss"),
    "softmaxloss": lambda: layer("softmaxloss"),
    "pdist": lambda: layer("pdist", **{"class": filters(7, 9, 4, 2), "instanceWeights": filters(7, 9, 1, 2)}),
    "layerVLAD": lambda: custom("layerVLAD", [filters(1, 1, 4, 3), filters(1, 1, 4, 3)]),
    "layerVLADv2": lambda: custom("layerVLADv2", [filters(1, 1, 4, 3), filters(1, 3), filters(1, 1, 4, 3)]),
    "layerTotalMaxPool": lambda: custom("layerTotalMaxPool"),
    "layerTotalAvgPool": lambda: custom("layerTotalAvgPool"),
    "layerGeM": lambda: custom("layerGeM", [filters(1, 1)]),
    "layerWholeL2Normalize": lambda: custom("layerWholeL2Normalize"),
}
WAYS = [("torch", "fp32"), ("torch", "bf16"), *(("cuda", each) for each in ("fp32", "tf32", "bf16", "fp16"))]


def custom(classname: str, weights: list[np.ndarray] | None = None) -> Any:
    named = {base.CLASS_FIELD: classname}
    return layer("custom", weights, **named).float()


def photo(height: int = 48, width: int = 64) -> Tensor:
    return torch.empty(3, height, width, dtype=torch.uint8)


def test_every_layer_type_has_a_row() -> None:
    registered = {**simplenn_layer._TYPES, **simplenn_layer._CUSTOM}  # other tests register theirs, too
    ours = ("deepibl.", "matlab_compat.")
    known = {name for name, layer in registered.items() if layer.__module__.startswith(ours)} - {
        "torchBackbone"
    }
    assert known <= set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_layers_compute_where_their_maps_are(card: Any, name: str, training: bool) -> None:
    module = LAYERS[name]().float()
    with card() as waits:
        made = placed(module, NAME).train(training)
        made._configure()  # tensors among its fields
        y = made(torch.empty(2, 4, 7, 9, device=NAME))
        assert y.device == torch.device(NAME)
        assert name == "pdist" or not waits.waits
    with card(BACKWARD):
        x = torch.empty(2, 4, 7, 9, device=BACKWARD, requires_grad=True)
        made = placed(module, BACKWARD).train(training)
        made._configure()
        made(x).sum().backward()
        assert x.grad is not None


@pytest.mark.parametrize("name", ["branches", "chain", "shared", "fromSimpleNN_tiny"])
def test_graphs_compute_where_their_input_is(card: Any, name: str) -> None:
    net = network_from_matlab(matfile.load(GOLDEN / f"dagnn/{name}_net.mat"))
    inputs = matfile.load(GOLDEN / f"dagnn/{name}_vals.mat")["inputs"].ravel()
    for device in (NAME, BACKWARD):
        with card(device):
            given = {
                matfile.text(key): torch.empty(maps_to_torch(value).shape, device=device)
                for key, value in zip(inputs[::2], inputs[1::2], strict=True)
            }
            values = placed(net, device).variables(given)  # type: ignore[operator]
            assert {each.device for each in values.values()} == {torch.device(device)}
            if device == BACKWARD:
                sum(each.sum() for each in values.values()).backward()  # type: ignore[union-attr]


@pytest.mark.parametrize(("engine", "precision"), WAYS)
def test_descriptors_on_the_device_wait_for_nothing(
    card: Any, released: SimpleNN, engine: str, precision: str
) -> None:
    with card() as waits, inference(placed(released, NAME)) as where:
        net = placed(released, NAME)
        made = choose_engine(net, engine, precision, where)
        waits.waits.clear()  # of the check of the weights, once
        for _ in range(2):
            x = net.prepare(to_batch([photo(), photo()], where))
            rows = extract_prepared(net, x, precision, made)
        assert rows.device == torch.device(NAME) and rows.dtype == torch.float32
        assert not waits.waits


def test_cudnn_gets_one_class_channels_last(
    card: Any, released: SimpleNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, convolve = [], torch.conv2d

    def seen(x: Tensor, weight: Tensor, *more: Any, **named: Any) -> Tensor:
        found.append({x.dtype, weight.dtype})
        assert torch.backends.cudnn.enabled and torch.backends.cudnn.benchmark
        for tensor in (x, weight):
            assert tensor.is_contiguous(memory_format=torch.channels_last)
        return convolve(x, weight, *more, **named).contiguous(memory_format=torch.channels_last)

    with card():
        net = placed(released, NAME)
        backbone = cuda_engine.CudaBackbone(net, net.index("preL2"), "bf16")
        monkeypatch.setattr(torch.nn.functional, "conv2d", seen)
        assert backbone(torch.empty(2, 3, 48, 64, device=NAME)).dtype == torch.float32
    assert found == [{torch.bfloat16}] * 13


LOSSES: dict[str, losses.TupleLoss] = {
    **{f"{k} {m}": losses.SARELoss(k, m) for k in ("gauss", "cauchy", "exp") for m in ("ind", "joint")},
    "triplet": losses.TripletLoss(exclude_very_hard=True),
    "contrastive": losses.ContrastiveLoss(),
    "lifted": losses.LiftedStructureLoss(),
    "npair": losses.NPairLoss(),
    "angular": losses.AngularLoss(),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["none", "mean", "pairs"])
def test_losses_compute_where_the_features_are(card: Any, name: str, reduction: str) -> None:
    for device in (NAME, BACKWARD):
        with card(device) as waits:
            q, p, n = (torch.empty(2, *more, 5, device=device) for more in ((), (), (3,)))
            q.requires_grad_(device == BACKWARD)
            for mask in (None, torch.ones(2, 3, dtype=torch.bool, device=device)):
                value = LOSSES[name].terms(q, p, n, mask).reduced(reduction)
                assert value.device == torch.device(device)
            if device == BACKWARD:
                value.sum().backward()
            assert not waits.waits


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_asks_the_device_for_few_numbers(card: Any, released: SimpleNN, precision: str) -> None:
    objective = Objective(losses.SARELoss("gauss", "ind"))
    with card() as waits:
        stepper = Stepper(placed(released, NAME), released.index("conv5_1"), precision=precision)
        stepper.net.requires_grad_(False)  # autocast's casts want a driver otherwise
        below = released["conv4_3"].weight
        maps = torch.empty(5, len(below), 6, 8, device=NAME)  # type: ignore[arg-type]
        features = stepper.features(maps)
        assert features.device == torch.device(NAME)
        outcome = objective(features)
        assert len(waits.waits) == 3  # loss, pairs, very hard: one list, three of our fakes' numbers
        for each in stepper.learned:
            each.weight.grad = torch.empty_like(each.weight)
        assert stepper.gradients_are_finite() and stepper.weights_are_finite()
        stepper.update(TrainingOptions(), 0.001, outcome.pairs)
        assert len(waits.waits) == 5  # one more for all gradients, one for all weights


def test_gradients_of_tuples_and_their_step_stay_on_the_device(card: Any, released: SimpleNN) -> None:
    class Reader:
        def ahead(self, tuples: Any) -> Any:
            return ((mined, [Fetched("", pixels=photo()) for _ in range(4)]) for mined in tuples)

    mined = MinedTuple(0, 0, np.arange(2), np.arange(2))
    with card(BACKWARD):
        net = placed(released, BACKWARD)
        first = net.index("conv5_1")
        stepper = Stepper(net, first)
        compute = TupleGradients(
            stepper, Objective(LOSSES["exp joint"]), PlainBackbone(net, first), Reader(), 1.0
        )  # type: ignore[arg-type]
        assert [outcome.pairs for outcome in compute([mined, mined])] == [1, 1]
        assert all(each.weight.grad is not None for each in stepper.learned)
        stepper.update(TrainingOptions(), 0.001, 2)


def test_momenta_of_a_session_file_go_to_the_networks_device(card: Any, released: SimpleNN) -> None:
    first = released.index("conv5_1")
    with card():
        net = placed(released, NAME)
        read = {each.key: torch.empty(each.weight.shape) for each in Stepper(net, first).learned}
        stepper = Stepper(net, first, momentum=read)
        for each in stepper.learned:
            each.weight.grad = torch.empty_like(each.weight)
        stepper.update(TrainingOptions(), 0.001, 2)
        assert {each.device for each in stepper.momentum.values()} == {torch.device(NAME)}
        assert network_with_momentum(stepper)["layers"].flat[first]["momentum"].size == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda net, image: gradient_map(net, image),
        lambda net, image: gradient_map(net, image, guided=True, against=torch.empty(3, 48, 64)),
        lambda net, image: occlusion_map(net, image, patch=24, step=24, against=torch.empty(3, 48, 64)),
        lambda net, image: cell_shares(net, image, torch.empty(3, 48, 64)).shares,
        lambda net, image: cell_assignment(net, image),
        lambda net, image: local_descriptors(net, lambda i: image, 2, total=8, per_image=4, device=BACKWARD),
    ],
    ids=["gradient", "guided", "occlusion", "shares", "assignment", "clusters"],
)
def test_pictures_and_clusters_of_a_network_elsewhere_take_photos_from_here(
    card: Any, released: SimpleNN, draw: Callable[[nn.Module, Tensor], np.ndarray]
) -> None:
    with card(BACKWARD):
        assert draw(placed(released, BACKWARD), torch.empty(3, 48, 64)).size


def test_matlabs_layer_outputs_are_compared_with_a_network_on_a_card(
    card: Any, released: SimpleNN, tmp_path: Path
) -> None:
    cell = np.empty((1, len(released)), object)
    for i in range(len(released)):
        cell[0, i] = np.zeros((0, 0))
    path = tmp_path / "acts.mat"
    matfile.save(path, {"x": np.zeros((48, 64, 3), np.float32), "acts": cell})
    with card():
        verify_layers(placed(released, NAME), str(path))


def test_a_tensor_that_stays_behind_is_noticed(card: Any, released: SimpleNN) -> None:
    """These tests can fail: one filter, or one photo, on the CPU."""
    with card():
        net = placed(released, NAME)
        x = torch.empty(1, 3, 48, 64, device=NAME)
        net["conv5_2"].bias = nn.Parameter(torch.empty(net["conv5_2"].bias.shape))  # type: ignore[union-attr]
        with pytest.raises(RuntimeError, match="same device"):
            net(x)
    with card() as waits:
        torch.empty(3).to(NAME)
        torch.empty(3, device=NAME).cpu()
        assert waits.waits == ["to the cuda", "to the cpu"]


def test_another_librarys_backbone_takes_its_hidden_tensors_along(card: Any) -> None:
    net = load_torch_network("torchvision:resnet18", "layer2", weights="random")
    for device in (NAME, BACKWARD):
        with card(device) as waits:
            made = placed(net, device)
            y = made(made.prepare(torch.empty(1, 3, 64, 64, device=device)))
            assert y.device == torch.device(device) and not waits.waits


def test_one_image_on_the_device(card: Any, released: SimpleNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepibl.matlab.networks.device_for", lambda use_gpu: NAME)
    with card():
        assert computeRepresentation(placed(released, NAME), torch.empty(3, 48, 64)).shape == (1, 16)
