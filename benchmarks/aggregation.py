"""NetVLAD's sums: two matrix products against the tensor of all residuals, forward and with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.baseline import NetVLADByResiduals
from benchmarks.measure import Settings, Table, paired, peak_memory, require
from deepibl.cli.process import release_buffers
from deepibl.layers import vlad_aggregate


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    dim, clusters, size = (16, 4, (6, 8)) if settings.smoke else (512, 64, (30, 40))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, dim, *size, generator=generator)
    assign, offset = (torch.randn(clusters, dim, generator=generator) for _ in range(2))
    assign *= 30 / dim**0.5
    port = NetVLADByResiduals(assign, offset)

    def products(maps: torch.Tensor) -> torch.Tensor:
        vlad = vlad_aggregate(F.normalize(maps, dim=1), assign.t(), offset.t())
        return F.normalize(vlad.view(len(maps), dim, clusters), dim=1)

    rows = []
    for title, way in (("forward, 4 images", _forward), ("forward and backward, 4 images", _backward)):
        candidates: dict[str, Callable[[], Any]] = {
            "residual tensor (usual port)": lambda way=way: way(port, x),
            "two matrix products": lambda way=way: way(products, x),
        }
        release_buffers()
        medians, results = paired(candidates, settings.rounds + 2)
        first, second = results.values()
        error = float((first - second).abs().max() / first.abs().max())
        require(error < 1e-4, f"NetVLAD, {title}: {error}")
        for name, median in medians.items():
            memory = peak_memory(candidates[name])
            rows.append([title, name, f"{median.seconds * 1e3:.1f}", f"{median.ratio:.1f}", f"{memory:.0f}"])
    columns = ["what", "how", "ms", "x port", "MB"]
    return [Table(f"NetVLAD on maps of {dim} x {size[0]} x {size[1]}", columns, rows)]


def _forward(head: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return head(x)


def _backward(head: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    maps = x.clone().requires_grad_()
    found = head(maps)
    found.backward(torch.linspace(-1, 1, found.numel()).view(found.shape))
    assert maps.grad is not None
    return maps.grad
