"""Extracting the descriptors of one batch of images, in float32 or with a bfloat16 backbone."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepibl.engine.backbone import head_start
from deepibl.engine.finite import require_finite
from deepibl.errors import ExtractionError
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN

if TYPE_CHECKING:
    from deepibl.engine.choose import Engine

NOT_FINITE = "the network's output is not finite"


def extract_batch(net: nn.Module, images: Tensor, precision: str = "fp32") -> Tensor:
    """Returns the descriptors (N, D) float32 of images (N, 3, H, W) float32, RGB 0–255, on one device.

    precision: fp32; or bf16, of the backbone (see `head_start`); sums, whitening and the last normalisations
    are float32. Raises ArgumentError for int8, which needs an engine, NetworkFormatError for weights and
    ExtractionError for descriptors that are not finite.
    """
    with torch.autocast(images.device.type, enabled=False):  # the caller's
        rows = extract_prepared(net, net.prepare(images), precision)  # type: ignore[operator]
    if not bool(torch.isfinite(rows).all()):
        require_finite(net)
        raise ExtractionError(NOT_FINITE)
    return rows


def extract_prepared(
    net: nn.Module, prepared: Tensor, precision: str = "fp32", engine: Engine | None = None
) -> Tensor:
    """As `extract_batch`, for prepared images, by an engine made by `choose_engine` for this network."""
    if engine is not None and engine.backbone is not None:
        maps = engine.backbone(prepared)
        return (net(maps, start=engine.stop) if engine.stop < len(net) else maps).flatten(1).float()  # type: ignore
    if prepared.device.type == "cpu" or precision != "fp32":
        # with channels last oneDNN's convolutions are 1.5 times as fast; tensor cores need it, or cuDNN
        # rearranges the maps at every layer
        prepared = prepared.contiguous(memory_format=torch.channels_last)
    if precision == "int8":
        raise ArgumentError("precision int8 needs an engine, made by choose_engine with the network's scales")
    split = isinstance(net, SimpleNN) and precision != "fp32"
    first = head_start(net) if split else 0  # type: ignore[arg-type]
    low = torch.autocast(prepared.device.type, dtype=torch.bfloat16) if precision != "fp32" else nullcontext()
    with low:
        if not split or first == len(net):  # type: ignore[arg-type]
            return net(prepared).flatten(1).float()
        maps = net(prepared, stop=first - 1) if first else prepared
    return net(maps.float(), start=first).flatten(1).float()
