"""Full float32 on CUDA devices, or not: TF32 and cuDNN's choice of algorithms, whatever a program has set.

torch 2.9 and later have new names for what may use TF32 (`fp32_precision`), beside the old (`allow_tf32`).
Only the new ones bind whatever a program has set; reading an old one is an error where they disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch

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
