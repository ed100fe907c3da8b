"""Gradients of 3 x 3 convolutions of a tuple's maps: torch's own, and those by Winograd's products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import Case, Settings, Table, paired, set_allocator
from deepibl.engine import onednn
from deepibl.engine.winograd import LEAST_CHANNELS, filter_gradient, input_gradient

IMAGES = 12  # a tuple
LAYERS = ((512, 30, 40), (256, 60, 80), (128, 60, 80))  # channels, height, width
LIMIT = 1e-5  # norm of the difference, of the norm of torch's gradient


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    if onednn.available():
        return []
    set_allocator(True)
    rows = []
    for channels, *size in ((32, 12, 16),) if settings.smoke else LAYERS:
        x, gradient = (torch.randn(IMAGES, channels, *size) for _ in range(2))
        weight = torch.randn(channels, channels, 3, 3) / (3 * channels**0.5)
        winograd: dict[str, Callable[[], Tensor]] = {
            "of the filters": lambda x=x, gradient=gradient: filter_gradient(x, gradient),
            "of the input": lambda gradient=gradient, weight=weight: input_gradient(gradient, weight),
        }
        for name, fast in winograd.items():
            what = f"{channels}, {size[0]} x {size[1]}, {name}"
            usual = _torch(x, gradient, weight, filters=name == "of the filters")
            cases = {"torch": Case(usual), "Winograd": Case(fast, LIMIT)}
            gigaflop = 18e-9 * channels**2 * IMAGES * size[0] * size[1]
            for how, each in paired(cases, settings.rounds, _difference, what).items():
                speed = f"{gigaflop / each.seconds:.0f}"
                rows.append([what, how, f"{each.seconds * 1e3:.0f}", f"{each.ratio:.2f}", speed])
    columns = ["channels, size, gradient", "how", "ms", "x torch", "GFLOP/s"]
    note = (
        f"{IMAGES} images, NCHW. GFLOP/s counts a direct convolution's operations for both. "
        f"Training takes Winograd's from {LEAST_CHANNELS} channels on."
    )
    return [Table("Gradients of 3 x 3 convolutions", columns, rows, note)]


def _difference(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm())


def _torch(x: Tensor, gradient: Tensor, weight: Tensor, *, filters: bool) -> Callable[[], Tensor]:
    """torch's gradient of the filters, or of the input."""
    backward = torch.ops.aten.convolution_backward
    geometry = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)  # stride, pad, dilation; not transposed; one group
    wanted = (not filters, filters, False)
    return lambda: backward(gradient, x, weight, [weight.shape[0]], *geometry, wanted)[filters]
