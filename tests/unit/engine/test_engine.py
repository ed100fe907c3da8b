"""deepibl.engine: which engine computes, what it says, and that all give one network's descriptors."""

import logging
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepibl.engine import onednn
from deepibl.engine.batch import extract_prepared
from deepibl.engine.choose import choose_engine
from deepibl.features.extraction import extract
from deepibl.runtime.devices import inference
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import Extractor, make_photos, simplenn
from tests.tolerances import TOL

CPU = torch.device("cpu")
ASKED = ["auto", "torch", "fused"]


@pytest.fixture(scope="module")
def wide() -> SimpleNN:
    """Enough channels for Winograd's convolutions: 3 x 3, pooled, rectified, in both orders."""
    return simplenn_of([(3, 96), (96, 96), (96, 112)])


def simplenn_of(channels: list[tuple[int, int]], pooled: Sequence[int] | None = None) -> SimpleNN:
    """Rectified 3 x 3 convolutions of these channels; pooled: the numbers of those with a pool (all)."""
    random = np.random.default_rng(0)
    layers = []
    for i, (depth, count) in enumerate(channels):
        filters = random.standard_normal((3, 3, depth, count)).astype(np.float32) / np.sqrt(4.5 * depth)
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = filters, random.standard_normal((1, count)).astype(np.float32)
        conv = {"type": "conv", "name": f"conv{i}", "weights": weights, "pad": 1.0, "stride": 1.0}
        relu = {"type": "relu", "name": f"relu{i}"}
        pool = {"type": "pool", "name": f"pool{i}", "method": "max", "pool": 2.0, "stride": 2.0}
        pool["pad"] = np.array([[0.0, 1, 0, 1]])
        if pooled is not None and i not in pooled:
            layers += [conv, relu]
        else:
            layers += [conv, pool, relu] if i % 2 else [conv, relu, pool]
    cell = np.empty((1, len(layers)), object)
    cell[0, :] = layers
    return SimpleNN.from_matlab({"layers": cell})


def photos(count: int = 2, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 255 - 120


def descriptors(net: SimpleNN, x: torch.Tensor, name: str, precision: str = "fp32") -> torch.Tensor:
    with inference(net):
        return extract_prepared(net, x, precision, choose_engine(net, name, precision, CPU))


def cosine_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((1 - F.cosine_similarity(a.double(), b.double())).max())


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("size", [(48, 64), (33, 47), (64, 48), (48, 64)])
def test_every_engine_gives_the_networks_descriptors(
    released: SimpleNN, wide: SimpleNN, name: str, size: tuple[int, int]
) -> None:
    for net in (released, wide):
        with inference(net):
            want = net(photos(2, *size)).flatten(1)
        got = descriptors(net, photos(2, *size), name)
        assert cosine_distance(got, want) <= TOL["engine"]


@pytest.mark.parametrize("name", ASKED)
def test_bf16_is_close_under_every_engine(released: SimpleNN, name: str) -> None:
    if name not in ("auto", "torch") and not onednn.instructions("bf16"):
        pytest.skip("this processor has no bfloat16 instructions")
    want = descriptors(released, photos(), "torch")
    assert 0 < cosine_distance(descriptors(released, photos(), name, "bf16"), want) <= TOL["engine bf16"]


def test_an_engine_has_the_weights_of_when_it_was_chosen(wide: SimpleNN) -> None:
    assert choose_engine(wide, "auto", "fp32", CPU).backbone is not None
    assert not any(parameter.grad_fn for parameter in wide.parameters())


def test_layers_that_no_engine_fuses_run_as_they_are() -> None:
    net = simplenn()
    assert "lrn" in net.types or "normalize" in net.types
    with inference(net):
        want = net(photos(2, 32, 32)).flatten(1)
    assert cosine_distance(descriptors(net, photos(2, 32, 32), "auto"), want) <= TOL["engine"]


def test_a_network_that_is_watched_by_hooks_runs_on_torch(wide: SimpleNN) -> None:
    handle = wide[0].register_forward_hook(lambda *_: None)
    try:
        engine = choose_engine(wide, "auto", "fp32", CPU)
    finally:
        handle.remove()
    assert (engine.name, engine.backbone) == ("torch", None) and "hooks" in engine.reason


def test_a_module_of_ones_own_runs_on_torch_and_says_why() -> None:
    assert "not a SimpleNN" in str(choose_engine(Extractor(), "auto", "fp32", CPU))
    with pytest.raises(ArgumentError, match="--engine torch"):
        choose_engine(Extractor(), "fused", "fp32", CPU)


def test_an_unknown_engine_is_refused_with_the_known_ones(tmp_path) -> None:
    with pytest.raises(ArgumentError, match="auto, torch, fused, cuda"):
        extract(simplenn(), ["a.jpg"], engine="warp")


def test_extraction_says_which_engine_computes(tmp_path, caplog) -> None:
    names = make_photos(tmp_path)[:2]
    with caplog.at_level(logging.INFO, "deepibl.features"):
        extract(simplenn(), names, root=tmp_path, engine="torch")
    assert "engine: torch (requested)" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "limit", "says"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "AVX2"),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE", "AVX-512,"),
        ("ONEDNN_MAX_CPU_ISA", "SSE41", None),
    ],
)
def test_an_older_processor_falls_back_and_gives_the_same(
    variable: str, limit: str, says: str | None
) -> None:
    code = (
        "import torch; from tests.unit.engine.test_engine import *\n"
        "net = simplenn_of([(3, 96), (96, 96)]); x = photos(1, 32, 32)\n"
        "want = descriptors(net, x, 'torch')\n"
        "for p in ('fp32', 'bf16'):\n"
        "    print(choose_engine(net, 'auto', p, CPU), cosine_distance(descriptors(net, x, 'auto', p), want))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={variable: limit, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert says is None or says in found[0] or (says == "AVX-512," and onednn.instructions() != "AVX-512")
    assert float(found[0].split()[-1]) <= TOL["engine"] and float(found[1].split()[-1]) <= TOL["engine bf16"]
    assert "no bfloat16 instructions" in found[1]


def test_a_program_may_compute_in_float64_elsewhere(wide: SimpleNN, monkeypatch: pytest.MonkeyPatch) -> None:
    if onednn.available():
        pytest.skip(onednn.available())
    monkeypatch.setattr(onednn, "available", onednn.available.__wrapped__)  # as in a new process
    x = photos(1, 48, 64)
    found = []
    try:
        for other in (torch.float32, torch.float64):
            torch.set_default_dtype(other)
            with inference(wide):
                engine = choose_engine(wide, "fused", "fp32", CPU)
                found.append(extract_prepared(wide, x, "fp32", engine))
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(*found)
