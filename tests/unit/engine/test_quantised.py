"""deepibl.engine.quantised: int8 convolutions against float64 sums of the same whole numbers."""

import logging
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from deepibl.engine import onednn, quantised
from deepibl.engine.batch import extract_batch, extract_prepared
from deepibl.engine.choose import choose_engine
from deepibl.engine.quantised import Bytes, QuantisedBackbone, QuantisedConvolution, largest
from deepibl.engine.scales import measure
from deepibl.errors import NetworkMismatchError
from deepibl.runtime.devices import inference
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import Extractor, simplenn
from tests.processor import int8_here
from tests.released_layout import released_network
from tests.tolerances import TOL, assert_close
from tests.unit.engine.test_engine import cosine_distance, photos, simplenn_of

CPU = torch.device("cpu")
SHAPES = [  # filters (K, C, FH, FW), geometry
    ((64, 3, 3, 3), {"pad": (1, 1)}),
    ((32, 64, 3, 3), {"pad": (1, 1)}),
    ((7, 5, 5, 5), {"pad": (2, 1), "stride": (2, 3)}),
    ((16, 16, 3, 3), {"dilate": (2, 2)}),
    ((9, 33, 1, 1), {}),
]


def bytes_of(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    values = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return values.contiguous(memory_format=torch.channels_last)


def normal(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def reference(convolution: QuantisedConvolution, x: torch.Tensor, bias: torch.Tensor, geometry: dict):
    """In float64, from the whole numbers: the padding stands for 0."""
    names = {"pad": "padding", "stride": "stride", "dilate": "dilation"}
    options = {names[name]: value for name, value in geometry.items()}
    sums = F.conv2d(x.double() - convolution.incoming.zero, convolution.filters.double(), **options)
    scales = convolution.scales.double() * convolution.incoming.scale
    return sums * scales.view(1, -1, 1, 1) + bias.double().view(1, -1, 1, 1)


@pytest.mark.skipif(bool(onednn.available()), reason="no oneDNN on this processor")
def test_the_int8_operators_are_right_here_with_or_without_its_instructions() -> None:
    assert quantised.available() == ""


@int8_here
@pytest.mark.parametrize("zero", [0, 117])
@pytest.mark.parametrize(("shape", "geometry"), SHAPES)
def test_a_convolution_is_the_sum_of_its_whole_numbers(shape, geometry, zero: int) -> None:
    weight, bias, x = normal(shape), normal(shape[:1], 1), bytes_of((2, shape[1], 13, 18))
    with inference(torch.nn.Identity()):
        exact = QuantisedConvolution(weight, bias, Bytes(0.05, zero), **geometry)
        want = reference(exact, x, bias, geometry)
        assert_close(exact(x), want, "op")
        given = Bytes.covering(0.0, float(want.max()) * 0.9)  # what is above is cut
        rounded = QuantisedConvolution(weight, bias, Bytes(0.05, zero), given, relu=True, **geometry)(x)
    assert rounded.dtype == torch.uint8 and int(rounded.max()) == 255
    steps = (want.clamp_min(0) / given.scale).clamp_max(255)
    assert float((rounded.double() - steps).abs().max()) <= 0.5 + 1e-4


@int8_here
def test_filters_are_rounded_to_127_steps_of_the_largest_each() -> None:
    weight = normal((6, 4, 3, 3))
    weight[2] = 0
    made = QuantisedConvolution(weight, None, Bytes(1.0, 0))
    assert (
        made.filters.dtype == torch.int8
        and made.filters.abs().amax((1, 2, 3)).tolist() == [127] * 2 + [0] + [127] * 3
    )
    again = made.filters * made.scales.view(-1, 1, 1, 1)
    assert bool(((again - weight).abs() <= made.scales.view(-1, 1, 1, 1) * (0.5 + 1e-4)).all())


@int8_here
def test_another_size_and_another_batch_give_the_same_bytes() -> None:
    made = QuantisedConvolution(normal((32, 16, 3, 3)), None, Bytes(0.1, 3), Bytes(0.5, 0), pad=(1, 1))
    x = bytes_of((4, 16, 20, 24))
    with inference(torch.nn.Identity()):
        together = made(x)
        one_by_one = torch.cat([made(x[i : i + 1]) for i in range(4)])
        made(bytes_of((1, 16, 9, 31)))
        assert torch.equal(together, one_by_one) and torch.equal(made(x), together)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"),
    [(0.0, 255.0, 1.0, 0), (-51.0, 204.0, 1.0, 51), (3.0, 510.0, 2.0, 0), (-255.0, -7.0, 1.0, 255)],
)
def test_bytes_cover_a_range_and_zero(low: float, high: float, scale: float, zero: int) -> None:
    found = Bytes.covering(low, high)
    assert (found.scale, found.zero) == (pytest.approx(scale), zero)
    x = torch.tensor([low - 9 * scale, 0.0, low, high, high + 9 * scale]).view(1, 1, 1, 5)
    near = (found.of(x).double() - found.zero) * found.scale
    assert float((near - x.clamp(min(low, 0), max(high, 0))).abs().max()) <= 0.5 * scale
    assert Bytes.covering(0.0, 0.0).of(torch.zeros(1, 1, 2, 2)).unique().tolist() == [0]


@pytest.mark.parametrize("pad", [(0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 1, 1)])
@pytest.mark.parametrize(("window", "stride"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((2, 3), (1, 2))])
def test_pooling_of_bytes_is_that_of_numbers(window, stride, pad) -> None:
    x = bytes_of((2, 5, 11, 14))
    top, bottom, left, right = pad
    padded = F.pad(x.float(), (left, right, top, bottom), value=-1.0)
    want = F.max_pool2d(padded, window, stride)
    with inference(torch.nn.Identity()):
        assert torch.equal(largest(x, window, stride, pad).float(), want)


def described(net: SimpleNN, x: torch.Tensor, name: str = "auto") -> torch.Tensor:
    with inference(net):
        engine = choose_engine(net, name, "int8", CPU, scales=measure(net, [x]))
        assert (engine.name, engine.backbone is None) == ("fused", False)
        return extract_prepared(net, x, "int8", engine)


NETWORKS = {
    "released": lambda: SimpleNN.from_matlab(released_network(small=True)),
    "pool and ReLU in both orders": lambda: simplenn_of([(3, 96), (96, 96), (96, 112)]),
    "with LRN, of all kinds": simplenn,
}


@int8_here
@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=list(NETWORKS))
def test_int8_is_close_to_the_network(make, size: tuple[int, int]) -> None:
    net, x = make(), photos(2, *size)
    with inference(net):
        want = net(x).flatten(1)
    assert 0 < cosine_distance(described(net, x), want) <= TOL["engine int8"]


@int8_here
def test_a_chain_of_convolutions_stays_in_bytes_and_the_last_one_gives_numbers() -> None:
    net = simplenn_of([(3, 16), (16, 16), (16, 16)])
    x = photos(1, 24, 24)
    scales = measure(net, [x])
    backbone = QuantisedBackbone(net, len(net), scales.by_position)
    kinds = []
    with inference(net):
        for step in backbone.steps:
            x = step(x)
            kinds.append(x.dtype)
    assert kinds[0] == torch.uint8 and set(kinds[:-2]) == {torch.uint8} and kinds[-1] == torch.float32


@int8_here
def test_what_has_no_range_is_computed_in_float32() -> None:
    net, x = simplenn_of([(3, 16), (16, 16)]), photos(1, 24, 24)
    with inference(net):
        assert_close(QuantisedBackbone(net, len(net), {})(x), net(x), "net")


@int8_here
def test_the_range_of_a_layer_that_is_no_convolution_is_refused() -> None:
    net = simplenn_of([(3, 16), (16, 16)])
    scales = measure(net, [photos(1, 24, 24)])
    edited = replace(scales, ranges=(*scales.ranges, (1, 0.0, 1.0), (99, 0.0, 1.0)))
    with pytest.raises(ArgumentError, match=r"layer 1 \(from 0\).*deepibl calibrate"):
        choose_engine(net, "auto", "int8", CPU, scales=edited)


@int8_here
def test_int8_says_what_computes_and_with_what(caplog: pytest.LogCaptureFixture) -> None:
    net = simplenn_of([(3, 16)])
    with caplog.at_level(logging.INFO):
        engine = choose_engine(net, "auto", "int8", CPU, scales=measure(net, [photos()]))
    assert "int8 with the scales of 2 images" in str(engine)


def test_int8_without_scales_says_how_to_make_them() -> None:
    with pytest.raises(ArgumentError, match="deepibl calibrate"):
        choose_engine(simplenn_of([(3, 16)]), "auto", "int8", CPU)
    with pytest.raises(ArgumentError, match="choose_engine"):
        extract_batch(simplenn(), torch.zeros(1, 3, 32, 32), "int8")


def test_scales_without_int8_are_refused() -> None:
    net = simplenn_of([(3, 16)])
    with pytest.raises(ArgumentError, match="leave --scales out"):
        choose_engine(net, "auto", "bf16", CPU, scales=measure(net, [photos()]))


@int8_here
def test_scales_of_another_network_are_refused() -> None:
    other = measure(simplenn_of([(3, 32)]), [photos()])
    with pytest.raises(NetworkMismatchError, match="deepibl calibrate"):
        choose_engine(simplenn_of([(3, 16)]), "auto", "int8", CPU, scales=other)


@pytest.mark.parametrize("name", ["torch", "cuda"])
def test_only_the_fused_engine_computes_int8(name: str) -> None:
    net = simplenn_of([(3, 16)])
    with pytest.raises(ArgumentError, match=f"fused only, not by {name}"):
        choose_engine(net, name, "int8", CPU, scales=measure(net, [photos()]))


def test_int8_is_refused_on_a_gpu_and_for_a_module_of_ones_own() -> None:
    net = simplenn_of([(3, 16)])
    scales = measure(net, [photos()])
    with pytest.raises(ArgumentError, match="not available: on cuda"):
        choose_engine(net, "auto", "int8", torch.device("cuda"), scales=scales)
    with pytest.raises(ArgumentError, match="not a SimpleNN"):
        choose_engine(Extractor(), "auto", "int8", CPU, scales=scales)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "bf16", "int8"),
    [("AVX512_CORE", "", ""), ("AVX512_CORE_VNNI", "", "AVX-512 VNNI"), ("AVX2", "", "")],
)
def test_an_older_processor_refuses_int8_and_says_why(limit: str, bf16: str, int8: str) -> None:
    code = (
        "import torch; from tests.unit.engine.test_quantised import *\n"
        "net = simplenn_of([(3, 16)]); x = photos(1, 16, 16)\n"
        "print([onednn.instructions(p) for p in ('bf16', 'int8')])\n"
        "try: print(choose_engine(net, 'auto', 'int8', CPU, scales=measure(net, [x])))\n"
        "except ArgumentError as refused: print(refused)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"ONEDNN_MAX_CPU_ISA": limit, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if not onednn.instructions("int8"):
        int8 = ""
    assert found[0] == str([bf16, int8])
    assert ("int8 with the scales" if int8 else "no int8 instructions (VNNI or AMX)") in found[1]


def test_torch_without_such_operators_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    quantised.available.cache_clear()
    monkeypatch.setattr(torch.ops, "onednn", object())
    try:
        assert "different int8 operators" in quantised.available()
    finally:
        quantised.available.cache_clear()
