"""VGG-16's 3 x 3 convolutions one by one: the usual way, oneDNN's with packed filters, and Winograd's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.measure import Settings, Table, paired, require
from deepibl.cli.process import keep_buffers, release_buffers
from deepibl.engine import onednn, quantised
from deepibl.engine.onednn import PackedConvolution, Workers
from deepibl.engine.quantised import Bytes, QuantisedConvolution
from deepibl.engine.winograd import WinogradConvolution

# channels in, channels out, height, width for images of 480 x 640
LAYERS = (
    (3, 64, 480, 640),
    (64, 64, 480, 640),
    (64, 128, 240, 320),
    (128, 128, 240, 320),
    (256, 256, 120, 160),
    (512, 512, 60, 80),
    (512, 512, 30, 40),
)
USUAL = "usual port: NCHW, then ReLU"
PACKED, WINOGRAD, HALF, BYTES = "packed, fp32", "Winograd, fp32", "packed, bf16", "packed, int8"
SPAN = 4.0  # of the int8 results
LIMITS = {
    PACKED: 1e-5,
    WINOGRAD: 1e-5,
    HALF: 2e-2,
    BYTES: 2e-2,
}  # difference to the usual way, of the largest value


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    if onednn.available():
        return []
    layers = ((64, 64, 12, 16), (3, 64, 12, 16)) if settings.smoke else LAYERS
    rows = []
    for layer in layers:
        rows += _layer(layer, settings)
    columns = ["channels and size", "how", "ms", "x port", "GFLOP/s", "difference"]
    note = "One image, bias-free, with the ReLU. GFLOP/s counts a direct convolution's operations for all."
    return [Table("3 x 3 convolutions", columns, rows, note)]


def _layer(layer: tuple[int, int, int, int], settings: Settings) -> list[list[str]]:
    channels, count, height, width = layer
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, channels, height, width, generator=generator)
    weight = torch.randn(count, channels, 3, 3, generator=generator) / (3 * channels**0.5)
    last = x.contiguous(memory_format=torch.channels_last)
    half = last.bfloat16()
    packed = PackedConvolution(weight, None, pad=(1, 1), relu=True)
    candidates: dict[str, Callable[[], Any]] = {
        USUAL: lambda: F.conv2d(x, weight, padding=1).relu_(),
        PACKED: lambda: packed(last),
    }
    if not channels % 16:  # for 64 channels too, which the engine leaves to oneDNN
        fast = WinogradConvolution(weight, None, relu=True, workers=Workers(torch.get_num_threads()))
        candidates[WINOGRAD] = lambda: fast(last)
    if onednn.instructions("bf16"):
        rounded = PackedConvolution(weight.bfloat16(), None, pad=(1, 1), relu=True)
        candidates[HALF] = lambda: rounded(half)
    if onednn.instructions("int8") and not quantised.available():
        candidates[BYTES] = _of_bytes(last, weight)

    def memory(name: str) -> None:
        release_buffers() if name == USUAL else keep_buffers()

    with torch.inference_mode():
        medians, results = paired(candidates, settings.rounds + 2, memory)
    release_buffers()
    if BYTES in results:
        results[BYTES] = results[BYTES].float() * (SPAN / 255)
    rows, flop, want = [], 18 * channels * count * height * width, results[USUAL]
    for name, median in medians.items():
        error = float((results[name].float() - want).abs().max() / want.abs().max())
        require(error <= LIMITS.get(name, 0), f"{name} for {layer}: {error}")
        times = [f"{median.seconds * 1e3:.1f}", f"{median.ratio:.2f}", f"{flop / median.seconds / 1e9:.0f}"]
        title = f"{channels} -> {count}, {height} x {width}"
        rows.append([title, name, *times, f"{error:.0e}"])
    return rows


def _of_bytes(x: torch.Tensor, weight: torch.Tensor) -> Callable[[], Any]:
    """The same from bytes to bytes, as in the middle of a trunk."""
    taken = Bytes.covering(0.0, 1.0)
    layer = QuantisedConvolution(weight, None, taken, Bytes.covering(0.0, SPAN), pad=(1, 1), relu=True)
    given = taken.of(x)
    return lambda: layer(given)
