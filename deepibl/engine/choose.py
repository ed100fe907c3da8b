"""What computes a network's trunk: torch's own operators, or fused ones for a CPU; chosen by the machine.

========  ===========================================================================================
engine    computes
========  ===========================================================================================
torch     the network as it is; everywhere, on any device, with any layers
fused     on a CPU: convolution + pooling + ReLU in one step, filters packed once, Winograd in float32; int8
openvino  on a CPU, where OpenVINO is installed (the extra `openvino`): the trunk by OpenVINO
cuda      on a CUDA device: channels last, fp16 and tf32 too, CUDA graphs; never run yet, so never chosen
auto      fused where the machine and the network have what it needs, else torch
========  ===========================================================================================

>>> engine = choose_engine(net, "auto", "fp32", torch.device("cpu"))
>>> print(engine)                                # what was chosen and why
>>> describe_prepared(net, prepared, "fp32", engine)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepibl.engine import onednn
from deepibl.engine.onednn import keep_buffers
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN

if TYPE_CHECKING:
    from deepibl.engine.scales import Scales

ENGINES = ("auto", "torch", "fused", "openvino", "cuda")


@dataclass(frozen=True)
class Engine:
    """An engine made for one network, precision and device. `trunk` is None for torch's own operators;
    else it computes layers 0 .. stop-1, float32 maps from prepared images.
    """

    name: str
    reason: str
    stop: int = 0
    trunk: Callable[[Tensor], Tensor] | None = None

    def __str__(self) -> str:
        return f"engine: {self.name} ({self.reason})"


def check_engine(name: str) -> None:
    """Raises ArgumentError for a name that is not one of ENGINES."""
    if name not in ENGINES:
        raise ArgumentError(f"engine is one of {', '.join(ENGINES)}, not {name!r}")


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
    """The engine that `name` asks for, made ready for this network as it is now.

    stop: the trunk's layers are 0 .. stop-1; None: those before the first pooling layer and its
    normalisation (`deepibl.engine.head_start`). channels: of what goes in; None: not known. scales: the
    network's, for int8. Weights are read here: choose again after changing them.
    Raises ArgumentError for an unknown name, or an engine that was asked for by name and cannot be had here;
    for int8, also NetworkMismatchError for scales of another network.
    """
    from deepibl.engine.trunk import head_start

    check_engine(name)
    check_scales(precision, scales)
    if name == "cuda" and precision != "int8":
        return _cuda(net, precision, device, stop)
    if precision not in ("fp32", "bf16", "int8"):
        raise ArgumentError(f"precision is fp32, bf16 or int8, not {precision!r}, unless with --engine cuda")
    if precision == "int8":
        return _int8(net, name, device, stop, channels, scales)
    if name == "torch":
        return Engine("torch", "asked for")
    obstacle = _obstacle(net, precision, device)
    if name == "auto" and obstacle:
        return Engine("torch", obstacle)
    if obstacle:
        raise ArgumentError(f"--engine {name} cannot be had here: {obstacle}; use --engine torch")
    assert isinstance(net, SimpleNN)
    end = head_start(net) if stop is None else stop
    if name == "openvino":
        return _openvino(net, end, precision)
    return _fused(net, end, precision, channels)


def _obstacle(net: nn.Module, precision: str, device: torch.device) -> str:
    """Why the network cannot be computed by anything but torch's own operators; '' if it can."""
    if device.type != "cpu":
        return f"on {device.type}, torch's own operators"
    if not isinstance(net, SimpleNN):
        return "the network is no SimpleNN"
    if any(hook != {} for layer in net for hook in (layer._forward_hooks, layer._forward_pre_hooks)):
        return "hooks watch the network's layers"
    if precision == "bf16" and not onednn.instructions("bf16"):
        return "this processor has no bfloat16 instructions"
    if precision == "int8" and not onednn.instructions("int8"):
        return "this processor has no int8 instructions (VNNI or AMX)"
    if not onednn.instructions():
        return "this processor has neither AVX-512 nor AVX2"
    return onednn.available()


def check_scales(precision: str, scales: Scales | None) -> None:
    """Raises ArgumentError for int8 without scales and for scales without int8."""
    if precision == "int8" and scales is None:
        raise ArgumentError(
            "precision int8 needs the network's scales: make them once with deepibl calibrate NET PHOTOS… "
            "-o scales.json, and give --scales scales.json"
        )
    if precision != "int8" and scales is not None:
        raise ArgumentError(f"scales are for precision int8, not {precision}: leave --scales out")


def _cuda(net: nn.Module, precision: str, device: torch.device, stop: int | None) -> Engine:
    from deepibl.engine.cuda import CudaTrunk
    from deepibl.engine.trunk import head_start

    if device.type != "cuda" or not isinstance(net, SimpleNN):
        raise ArgumentError(f"--engine cuda computes a SimpleNN on a CUDA device, not on {device.type}")
    end = head_start(net) if stop is None else stop
    return Engine("cuda", f"CUDA graphs, {precision}", end, CudaTrunk(net, end, precision))


def _int8(
    net: nn.Module,
    name: str,
    device: torch.device,
    stop: int | None,
    channels: int | None,
    scales: Scales | None,
) -> Engine:
    from deepibl.engine.quantised import QuantisedTrunk, available
    from deepibl.engine.trunk import head_start

    if name not in ("auto", "fused"):
        raise ArgumentError(f"precision int8 is computed by the engine fused alone, not by {name}")
    obstacle = _obstacle(net, "int8", device) or available()
    if obstacle:
        raise ArgumentError(f"precision int8 cannot be had here: {obstacle}; use fp32 or bf16")
    assert isinstance(net, SimpleNN) and scales is not None
    scales.identity(net)
    keep_buffers()
    end = head_start(net) if stop is None else stop
    reason = f"oneDNN on {onednn.instructions('int8')}, int8 with the scales of {scales.images} images"
    return Engine("fused", reason, end, QuantisedTrunk(net, end, scales.by_position, channels=channels))


def _fused(net: SimpleNN, stop: int, precision: str, channels: int | None) -> Engine:
    from deepibl.engine.trunk import FusedTrunk

    keep_buffers()
    how = "Winograd" if precision == "fp32" else "direct"
    reason = f"oneDNN on {onednn.instructions(precision)}, {how} convolutions, {precision}"
    return Engine("fused", reason, stop, FusedTrunk(net, stop, precision, channels=channels))


def _openvino(net: SimpleNN, stop: int, precision: str) -> Engine:
    if find_spec("openvino") is None:
        raise ArgumentError("--engine openvino needs OpenVINO: pip install 'deepibl[openvino]'")
    from deepibl.engine.openvino import OpenVINOTrunk

    keep_buffers()
    return Engine("openvino", f"OpenVINO on the CPU, {precision}", stop, OpenVINOTrunk(net, stop, precision))
