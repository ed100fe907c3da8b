"""Devices and their free memory; full float32 or TF32 on CUDA devices, whatever a program has set.

Since torch 2.9 `fp32_precision` decides what may use TF32, beside the older `allow_tf32`. Only the new
setting holds whatever a program has set; reading the old one raises where the two disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError

_Setting = tuple[Any, str, Any]  # holder, attribute, value
_Before = dict[tuple[Any, str], Any]  # values by holder and attribute
_CGROUP = Path("/sys/fs/cgroup")
_LOCK = Lock()
_HELD: list[_Before] = []  # what was set before each context that is still open, in order of entry
_MODES: dict[int, tuple[list[tuple[nn.Module, bool]], int]] = {}  # of networks in use, and by how many


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Within it convolutions and products are full float32, on CUDA also deterministic, whatever is set: also
    within the caller's torch.autocast.
    """
    plain = torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False)
    settings: list[_Setting] = []
    if device.type == "cuda":
        cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
        full = (products, "fp32_precision", "ieee") if _new_names() else (products, "allow_tf32", False)
        settings = [(cudnn, "benchmark", False), (cudnn, "deterministic", True), full]
        settings += _convolutions(tf32=False)
    with plain, _set(settings):
        yield


@contextmanager
def fastest_convolutions(*, tf32: bool) -> Iterator[None]:
    """Within it cuDNN keeps the fastest algorithm for every size; tf32: float32 may be computed in TF32."""
    cudnn = torch.backends.cudnn
    with _set([(cudnn, "benchmark", True), (cudnn, "deterministic", False), *_convolutions(tf32=tf32)]):
        yield


def _convolutions(*, tf32: bool) -> list[_Setting]:
    cudnn: Any = torch.backends.cudnn
    old: list[_Setting] = [(cudnn, "allow_tf32", tf32)]
    if not _new_names():
        return old
    try:
        bool(cudnn.allow_tf32)
    except RuntimeError:  # the program made old and new settings disagree, and so reads only the new
        old = []
    # the old setting first, and recurrent layers' too: otherwise reading the old one would raise
    return [*old, *((part, "fp32_precision", "tf32" if tf32 else "ieee") for part in (cudnn.conv, cudnn.rnn))]


def _new_names() -> bool:
    return hasattr(torch.backends.cuda.matmul, "fp32_precision")


@contextmanager
def _set(settings: Sequence[_Setting]) -> Iterator[None]:
    """Applies settings within it and restores the previous ones.

    They are of the whole process: where threads overlap, those of the thread that entered last apply, and
    what was set before all of them is restored when the last one leaves.
    """
    with _LOCK:
        before = {(holder, name): getattr(holder, name) for holder, name, _ in settings}
        _HELD.append(before)
    try:
        with _LOCK:
            for holder, name, value in settings:
                setattr(holder, name, value)
        yield
    finally:
        with _LOCK:
            at = next(i for i, each in enumerate(_HELD) if each is before)
            del _HELD[at]
            if at < len(_HELD):  # a thread that entered later is still inside: it restores these, too
                _HELD[at].update(before)
            else:
                for (holder, name), value in before.items():
                    setattr(holder, name, value)


# tf32 and fp16: on CUDA, with `deepibl.engine.cuda`; int8: on a CPU, with `deepibl.engine.quantised`
PRECISIONS = ("fp32", "bf16", "int8", "tf32", "fp16")


def channels_last(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) on a CPU in the order in which oneDNN's convolutions are up to 1.5 times as fast."""
    return maps.contiguous(memory_format=torch.channels_last) if maps.device.type == "cpu" else maps


def to_batch(images: Sequence[Tensor], device: torch.device) -> Tensor:
    """Images (1 or 3, H, W) of one size, bytes or float32, as (N, 3, H, W) float32 on the device.

    A CUDA device fetches images in pinned memory while it computes; this function does not wait for them.
    """
    there = [image.to(device, non_blocking=True).expand(3, -1, -1) for image in images]
    return torch.stack(there).to(torch.float32)


def check_precision(precision: str, engine: str = "cuda") -> None:
    """Raises ArgumentError for a precision that is not one of PRECISIONS, or not of this engine."""
    allowed = PRECISIONS if engine == "cuda" else PRECISIONS[:3]
    if precision not in allowed:
        others = "" if engine == "cuda" else f" ({' and '.join(PRECISIONS[3:])} with engine 'cuda')"
        raise ArgumentError(f"precision must be one of {', '.join(allowed)}{others}; got {precision!r}")


def device_of(net: nn.Module) -> torch.device:
    first = next(net.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def device_for(use_gpu: bool) -> str:
    """The device that the original's option useGPU means: 'cuda' if there is a CUDA device, else 'cpu'."""
    return "cuda" if use_gpu and torch.cuda.is_available() else "cpu"


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Within it the network is in eval mode; then each of its modules has the mode that it had.

    Where threads share the network, the last one that leaves restores the modes.
    """
    with _LOCK:
        modes, users = _MODES.get(id(net)) or ([(each, each.training) for each in net.modules()], 0)
        _MODES[id(net)] = modes, users + 1
        net.eval()
    try:
        yield
    finally:
        with _LOCK:
            modes, users = _MODES.pop(id(net))
            if users > 1:
                _MODES[id(net)] = modes, users - 1
            for module, training in modes if users == 1 else []:
                if module.training != training:
                    module.train(training)


@contextmanager
def inference(net: nn.Module, device: str | torch.device | None = None) -> Iterator[torch.device]:
    """A context in which the network is on `device` (None: where it is), in eval mode, without gradients.

    Yields the device. Products are full float32 (`exact_products`). At the end each module has the mode it
    had; the network stays on the device. Raises ArgumentError if there is no such device.
    """
    target = device_of(net) if device is None else torch.device(device)
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ArgumentError(f"device {device}: there is no CUDA device; use 'cpu'")
    net.to(target)
    with evaluating(net), torch.inference_mode(), exact_products(target):
        yield target


def free_on_gpu(device: torch.device) -> int:
    """Bytes of a GPU available to this process, with those that torch has reserved and does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def free_memory() -> int:
    """Bytes available to this process without swapping; 0 where the system does not report it."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0
    try:  # a container's limit; files that the system keeps in memory make room when asked
        most, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        kept = re.search(r"^inactive_file (\d+)", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return free
    return max(1, min(free, most - used + (int(kept[1]) if kept else 0)))
