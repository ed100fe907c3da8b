"""Full float32 on CUDA devices, or not: TF32 and cuDNN's choice of algorithms, whatever a program has set.

torch 2.9 and later have new names for what may use TF32 (`fp32_precision`), beside the old (`allow_tf32`).
Only the new ones bind whatever a program has set; reading an old one is an error where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError

_Setting = tuple[Any, str, Any]  # what holds it, its name, its value

_Before = dict[tuple[Any, str], Any]  # values by what holds them and their names

_LOCK = Lock()

_HELD: list[_Before] = []  # what held before, of each that has not ended, in the order in which they began


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Within it convolutions and matrix products on a CUDA device are in full float32 (no TF32, whatever the
    program allows elsewhere), and cuDNN's are deterministic. Elsewhere it does nothing.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    choice: list[_Setting] = [(cudnn, "benchmark", False), (cudnn, "deterministic", True)]
    with _set([*choice, *_products(), *_convolutions(tf32=False)]):
        yield


@contextmanager
def fastest_convolutions(*, tf32: bool) -> Iterator[None]:
    """Within it cuDNN tries its algorithms for every size and keeps the fastest; tf32: those of float32 too
    may use TF32. Matrix products stay as they are.
    """
    cudnn = torch.backends.cudnn
    choice: list[_Setting] = [(cudnn, "benchmark", True), (cudnn, "deterministic", False)]
    with _set([*choice, *_convolutions(tf32=tf32)]):
        yield


def _products() -> list[_Setting]:
    products = torch.backends.cuda.matmul
    return [(products, "fp32_precision", "ieee")] if _new_names() else [(products, "allow_tf32", False)]


def _convolutions(*, tf32: bool) -> list[_Setting]:
    cudnn: Any = torch.backends.cudnn
    old: list[_Setting] = [(cudnn, "allow_tf32", tf32)]
    if not _new_names():
        return old
    try:
        bool(cudnn.allow_tf32)
    except RuntimeError:  # old and new names disagree already: whoever made them so reads only the new
        old = []
    # recurrent layers too, and the old name first: so that the three agree
    return [*old, *((part, "fp32_precision", "tf32" if tf32 else "ieee") for part in (cudnn.conv, cudnn.rnn))]


def _new_names() -> bool:
    return hasattr(torch.backends.cuda.matmul, "fp32_precision")


@contextmanager
def _set(settings: Sequence[_Setting]) -> Iterator[None]:
    """Within it these hold; afterwards what held before.

    They are of the whole process: where threads overlap, those of the thread that began last hold, and what
    held before all of them comes back when the last one ends.
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
        _end(before)


def _end(before: _Before) -> None:
    with _LOCK:
        at = next(i for i, each in enumerate(_HELD) if each is before)
        del _HELD[at]
        if at < len(_HELD):  # a thread that began later goes on: it puts these back, too
            _HELD[at].update(before)
            return
        for (holder, name), value in before.items():
            setattr(holder, name, value)


# tf32 and fp16: on CUDA, with `deepibl.engine.cuda`; int8: on a CPU, with `deepibl.engine.quantised`
PRECISIONS = ("fp32", "bf16", "int8", "tf32", "fp16")


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
    """The device of the network's weights."""
    first = next(net.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def device_for(use_gpu: bool) -> str:
    """The device that the original's option useGPU means: 'cuda' if there is a CUDA device, else 'cpu'."""
    return "cuda" if use_gpu and torch.cuda.is_available() else "cpu"


@contextmanager
def inference(net: nn.Module, device: str | torch.device | None = None) -> Iterator[torch.device]:
    """A context in which the network is on `device` (None: where it is), in eval mode, without gradients.

    Yields the device. Convolutions and matrix products are in full float32 (see `exact_products`). At the end
    the mode is restored; the network stays on the device. Raises ArgumentError if there is no such device.
    """
    target = device_of(net) if device is None else torch.device(device)
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ArgumentError(f"device {device}: there is no CUDA device; use 'cpu'")
    was_training = net.training
    net.to(target).eval()
    try:
        with torch.inference_mode(), exact_products(target):
            yield target
    finally:
        net.train(was_training)
