"""Gradients of 3 x 3 convolutions of a tuple's maps: torch's own, and those by Winograd's products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Settings, Table, paired, require
from deepibl.cli.process import keep_buffers
from deepibl.engine import onednn
from deepibl.engine.winograd import LEAST_CHANNELS, filter_gradient, input_gradient

IMAGES = 12  # a tuple
LAYERS = ((512, 30, 40), (256, 60, 80), (128, 60, 80))  # channels, height, width
LIMIT = 1e-5  # norm of the difference, of torch's norm


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    if onednn.available():
        return []
    keep_buffers()
    rows = []
    for channels, *size in ((32, 12, 16),) if settings.smoke else LAYERS:
        x, gradient = (torch.randn(IMAGES, channels, *size) for _ in range(2))
        weight = torch.randn(channels, channels, 3, 3) / (3 * channels**0.5)
        gradients: dict[str, Callable[[], Tensor]] = {
            "of the filters": lambda x=x, gradient=gradient: filter_gradient(x, gradient),
            "of the input": lambda gradient=gradient, weight=weight: input_gradient(gradient, weight),
        }
        for what, winograd in gradients.items():
            usual = _torch(x, gradient, weight, filters=what == "of the filters")
            medians, results = paired({"torch": usual, "Winograd": winograd}, settings.rounds)
            want, got = results.values()
            error = float((got - want).norm() / want.norm())
            require(error <= LIMIT, f"gradient {what}, {channels} channels: {error}")
            operations = 18 * channels**2 * IMAGES * size[0] * size[1]
            rows += [
                [f"{channels}, {size[0]} x {size[1]}, {what}", name, f"{median.seconds * 1e3:.0f}",
                 f"{median.ratio:.2f}", f"{operations / median.seconds / 1e9:.0f}"]
                for name, median in medians.items()
            ]  # fmt: skip
    columns = ["channels, size, gradient", "how", "ms", "x torch", "GFLOP/s"]
    note = (
        f"{IMAGES} images, NCHW. GFLOP/s counts a direct convolution's operations for both. "
        f"Training takes Winograd's from {LEAST_CHANNELS} channels on."
    )
    return [Table("Gradients of 3 x 3 convolutions", columns, rows, note)]


def _torch(x: Tensor, gradient: Tensor, weight: Tensor, *, filters: bool) -> Callable[[], Tensor]:
    count = weight.shape[0]
    geometry: tuple[Any, ...] = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    wanted = (not filters, filters, False)

    def compute() -> Tensor:
        backward = torch.ops.aten.convolution_backward
        return backward(gradient, x, weight, [count], *geometry, wanted)[filters]

    return compute
