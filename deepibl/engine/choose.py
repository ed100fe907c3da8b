"""What computes a network's backbone: torch's operators, or fused ones where machine and network allow it.

======  =============================================================================================
engine  computes
======  =============================================================================================
torch   the network as it is; on any device, with any layers
fused   on a CPU: convolution, pooling and ReLU in one step, packed filters, Winograd in float32; int8
cuda    on a CUDA device: channels last, fp16 and tf32 too; not measured yet, so not automatic
auto    fused where the machine and the network have what it needs, else torch
======  =============================================================================================

    engine = choose_engine(net, "auto", "fp32", torch.device("cpu"))
    print(engine)  # what was chosen and why
    descriptors = extract_prepared(net, prepared, "fp32", engine)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepibl.engine import onednn, quantised
from deepibl.engine.backbone import FusedBackbone, head_start
from deepibl.engine.cuda import CudaBackbone
from deepibl.engine.finite import require_finite
from deepibl.engine.quantised import QuantisedBackbone
from deepibl.runtime.devices import check_precision
from matlab_compat.errors import ArgumentError, UnknownLayerError
from matlab_compat.simplenn.layer import UnknownLayer
from matlab_compat.simplenn.network import SimpleNN

if TYPE_CHECKING:
    from deepibl.engine.scales import Scales

ENGINES = ("auto", "torch", "fused", "cuda")


@dataclass(frozen=True)
class Engine:
    """An engine made for one network, precision and device.

    backbone: prepared images to the float32 maps of layers 0 .. stop-1; None: torch's own operators.
    """

    name: str
    reason: str
    stop: int = 0
    backbone: Callable[[Tensor], Tensor] | None = None

    def __str__(self) -> str:
        return f"engine: {self.name} ({self.reason})"


def check_engine(name: str) -> None:
    if name not in ENGINES:
        raise ArgumentError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")


def check_scales(precision: str, scales: Scales | None) -> None:
    """Raises ArgumentError for int8 without scales and for scales without int8."""
    if precision == "int8" and scales is None:
        raise ArgumentError(
            "int8 needs the network's scales: deepibl calibrate NET PHOTOS… -o s.json, then --scales s.json"
        )
    if precision != "int8" and scales is not None:
        raise ArgumentError(f"scales are for precision int8, not {precision}: leave --scales out")


def choose_engine(
    net: nn.Module,
    name: str,
    precision: str,
    device: torch.device,
    stop: int | None = None,
    *,
    channels: int | None = 3,
    scales: Scales | None = None,
) -> Engine:
    """The engine `name` for this network with its present weights: choose again after changing them.

    stop: the backbone is layers 0 .. stop-1; None: see `head_start`. channels: of its input; None: unknown.
    Raises ArgumentError for what this machine, network or engine does not support; NetworkMismatchError for
    scales of another network; UnknownLayerError for a layer that cannot be run; as `require_finite`.
    """
    check_engine(name)
    check_precision(precision, name)
    check_scales(precision, scales)
    if isinstance(net, SimpleNN):
        for index, layer in enumerate(net):
            if isinstance(layer, UnknownLayer) and not layer.left_out:
                raise UnknownLayerError(f"{net.label(index)}: {layer.remark()}")
    require_finite(net)
    if precision == "int8" and name not in ("auto", "fused"):
        raise ArgumentError(f"precision int8 is computed by the engine fused only, not by {name}")
    if stop is None and isinstance(net, SimpleNN):
        stop = head_start(net)
    if name == "cuda":
        if device.type != "cuda" or not isinstance(net, SimpleNN) or stop is None:
            raise ArgumentError(f"--engine cuda computes a SimpleNN on a CUDA device, not on {device.type}")
        return Engine("cuda", precision, stop, CudaBackbone(net, stop, precision, channels=channels))
    if name == "torch":
        return Engine("torch", "requested")
    obstacle = _obstacle(net, precision, device)
    if obstacle and precision == "int8":
        raise ArgumentError(f"precision int8 is not available: {obstacle}; use fp32 or bf16")
    if obstacle and name == "fused":
        raise ArgumentError(f"--engine fused is not available: {obstacle}; use --engine torch")
    if obstacle:
        return Engine("torch", obstacle)
    assert isinstance(net, SimpleNN) and stop is not None
    how = f"oneDNN on {onednn.instructions(precision)}"
    if scales is not None:
        scales.identity(net)  # raises for scales of another network
        backbone = QuantisedBackbone(net, stop, scales.by_position, channels=channels)
        return Engine("fused", f"{how}, int8 with the scales of {scales.images} images", stop, backbone)
    how += f", {'Winograd' if precision == 'fp32' else 'direct'} convolutions, {precision}"
    return Engine("fused", how, stop, FusedBackbone(net, stop, precision, channels=channels))


def _obstacle(net: nn.Module, precision: str, device: torch.device) -> str:
    """Why the fused engine cannot compute this network here; '' if it can."""
    if device.type != "cpu":
        return f"on {device.type}, torch's own operators"
    if not isinstance(net, SimpleNN):
        return "the network is not a SimpleNN"
    if any(layer._forward_hooks or layer._forward_pre_hooks for layer in net):
        return "the network's layers have hooks"  # which fused layers would not call
    if not onednn.instructions(precision):
        missing = {"bf16": "no bfloat16 instructions", "int8": "no int8 instructions (VNNI or AMX)"}
        return f"this processor has {missing.get(precision, 'neither AVX-512 nor AVX2')}"
    return onednn.available() or (quantised.available() if precision == "int8" else "")
