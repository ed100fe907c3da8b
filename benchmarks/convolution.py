"""VGG-16's 3 x 3 convolutions one by one: the usual way, oneDNN's with packed filters, and Winograd's."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.measure import Case, Settings, Table, paired
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
SPAN = 4.0  # of the int8 results
EXACT, ROUNDED = 1e-5, 2e-2  # differences allowed to the usual way, of the largest value


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    if onednn.available():
        return []
    rows = []
    for channels, count, height, width in ((64, 64, 12, 16), (3, 64, 12, 16)) if settings.smoke else LAYERS:
        what = f"{channels} -> {count}, {height} x {width}"
        with torch.inference_mode():
            found = paired(_cases(channels, count, height, width), settings.rounds + 2, _difference, what)
        gigaflop = 18e-9 * channels * count * height * width
        rows += [
            [what, name, f"{each.seconds * 1e3:.1f}", f"{each.ratio:.2f}", f"{gigaflop / each.seconds:.0f}",
             f"{each.error:.0e}"]
            for name, each in found.items()
        ]  # fmt: skip
    columns = ["channels and size", "how", "ms", "x port", "GFLOP/s", "difference"]
    note = "One image, bias-free, with the ReLU. GFLOP/s counts a direct convolution's operations for all."
    return [Table("3 x 3 convolutions", columns, rows, note)]


def _cases(channels: int, count: int, height: int, width: int) -> dict[str, Case]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, channels, height, width, generator=generator)
    weight = torch.randn(count, channels, 3, 3, generator=generator) / (3 * channels**0.5)
    last = x.contiguous(memory_format=torch.channels_last)
    packed = PackedConvolution(weight, None, pad=(1, 1), relu=True)
    cases = {
        "usual port: NCHW, then ReLU": Case(lambda: F.conv2d(x, weight, padding=1).relu_(), keep=False),
        "packed, fp32": Case(lambda: packed(last), EXACT, keep=True),
    }
    if not channels % 16:  # for 64 channels too, which the engine leaves to oneDNN
        fast = WinogradConvolution(weight, None, relu=True, workers=Workers(torch.get_num_threads()))
        cases["Winograd, fp32"] = Case(lambda: fast(last), EXACT, keep=True)
    if onednn.instructions("bf16"):
        half, rounded = last.bfloat16(), PackedConvolution(weight.bfloat16(), None, pad=(1, 1), relu=True)
        cases["packed, bf16"] = Case(lambda: rounded(half), ROUNDED, keep=True)
    if onednn.instructions("int8") and not quantised.available():
        taken, given = Bytes.covering(0.0, 1.0), Bytes.covering(0.0, SPAN)
        layer = QuantisedConvolution(weight, None, taken, given, pad=(1, 1), relu=True)
        levels = taken.of(last)  # from bytes to bytes, as in the middle of a network
        cases["packed, int8"] = Case(lambda: layer(levels), ROUNDED, keep=True)
    return cases


def _difference(got: torch.Tensor, want: torch.Tensor) -> float:
    values = got.float() if got.is_floating_point() else got.float() * (SPAN / 255)
    return float((values - want).abs().max() / want.abs().max())
