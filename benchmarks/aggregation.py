"""NetVLAD's sums: two matrix products against the tensor of all residuals, forward and with gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.baseline import NetVLADByResiduals
from benchmarks.measure import Case, Settings, Table, paired, peak_memory, set_allocator
from deepibl.layers import vlad_aggregate

Head = Callable[[torch.Tensor], torch.Tensor]


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    dim, clusters, size = (16, 4, (6, 8)) if settings.smoke else (512, 64, (30, 40))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, dim, *size, generator=generator)
    assign, offset = (torch.randn(clusters, dim, generator=generator) for _ in range(2))
    assign *= 30 / dim**0.5

    def products(maps: torch.Tensor) -> torch.Tensor:
        vlad = vlad_aggregate(F.normalize(maps, dim=1), assign.t(), offset.t())
        return F.normalize(vlad.view(len(maps), dim, clusters), dim=1)

    heads: dict[str, Head] = {
        "residual tensor (usual port)": NetVLADByResiduals(assign, offset),
        "two matrix products": products,
    }
    rows = []
    for what, way in (("forward, 4 images", _forward), ("forward and backward, 4 images", _backward)):
        cases = {name: Case(lambda way=way, head=head: way(head, x), 1e-4) for name, head in heads.items()}
        set_allocator(False)
        for name, found in paired(cases, settings.rounds + 2, _difference, f"NetVLAD, {what}").items():
            memory = peak_memory(cases[name].run)
            rows.append([what, name, f"{found.seconds * 1e3:.1f}", f"{found.ratio:.1f}", f"{memory:.0f}"])
    columns = ["what", "how", "ms", "x port", "MB"]
    return [Table(f"NetVLAD on maps of {dim} x {size[0]} x {size[1]}", columns, rows)]


def _difference(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def _forward(head: Head, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return head(x)


def _backward(head: Head, x: torch.Tensor) -> torch.Tensor:
    maps = x.clone().requires_grad_()
    found = head(maps)
    found.backward(torch.linspace(-1, 1, found.numel()).view(found.shape))
    assert maps.grad is not None
    return maps.grad
