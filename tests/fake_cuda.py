"""A CUDA device without a card: torch's own fake tensors, with shapes, classes and devices but no numbers.

Any operator that gets tensors of two devices raises, as on a real one, and so does a real tensor that the
code keeps beside the network. What needs numbers gets stand-ins here: ones for what is fetched, and a count.
What tracks gradients needs a driver, even for fakes; such paths run with `BACKWARD`, torch's device without
memory, which mixes with others as little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

FETCHES = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default)
NAME = "cuda:0"  # "cuda" alone makes torch ask the driver which one is meant
BACKWARD = "meta"


class Waits(TorchDispatchMode):
    """Counts what makes the processor wait for the device: `waits`. Numbers that are asked for are 1."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def number(self, tensor: Tensor) -> int | bool:
        """What a fake tensor of one element is taken for."""
        if tensor.is_cuda:
            self.waits.append("a number")
        return True if tensor.dtype == torch.bool else 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FETCHES:
            return self.number(args[0])
        before = args[1] if func is torch.ops.aten.copy_.default else next(iter(args), None)
        found = func(*args, **kwargs)
        if isinstance(before, Tensor) and isinstance(found, Tensor):
            names = [argument.name for argument in func._schema.arguments]
            asked = {**dict(zip(names, args, strict=False)), **kwargs}
            if {before.device.type, found.device.type} == {"cpu", "cuda"} and not asked.get("non_blocking"):
                self.waits.append(f"to the {found.device.type}")
        return found


@contextmanager
def fake_device(monkeypatch: pytest.MonkeyPatch, *, gradients: bool = False) -> Iterator[Waits]:
    """Within it tensors are fakes and CUDA, the device NAME, is there; gives the count of waits.

    gradients: for BACKWARD only; torch ends the process where a CUDA tensor wants one.
    """
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        patch.setattr(nn.Module, "to", _module_to)
        patch.setattr(Tensor, "__getitem__", _getitem)
        patch.setattr(Tensor, "contiguous", _contiguous)
        patch.setattr(Tensor, "__invert__", lambda self: torch.bitwise_not(self))
        patch.setattr(Tensor, "copy_", lambda self, *args, **how: torch.ops.aten.copy_(self, *args, **how))
        patch.setattr(Tensor, "tolist", _tolist)
        patch.setattr(Tensor, "numpy", _numpy)
        patch.setattr(Tensor, "pin_memory", lambda self: self)
        patch.setattr(torch, "autocast", _autocast)
        fakes, waits = FakeTensorMode(allow_non_fake_inputs=False), Waits()
        patch.setattr(Tensor, "__bool__", lambda self: bool(waits.number(self)))
        with fakes, waits, torch.set_grad_enabled(gradients):
            yield waits


def placed(net: nn.Module, device: str) -> nn.Module:
    """A copy of a network with fake weights and buffers on a device; call it inside `fake_device`."""
    with _disable_current_modes():
        twin = deepcopy(net)
    return _module_to(twin, device)


def _modules(net: nn.Module) -> Iterator[nn.Module]:
    for module in net.modules():
        yield module
        yield from (part for part in vars(module).values() if isinstance(part, nn.Module))  # hidden ones


def _fake(tensor: Tensor, device: str | torch.device) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


def _module_to(module: nn.Module, device: str | torch.device) -> nn.Module:
    """Module.to for fakes, whose weights torch cannot exchange in place."""
    for part in _modules(module):
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(_fake(weight, device), weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = _fake(buffer, device)
    return module


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
    """torch.autocast, which does not know BACKWARD."""
    return torch.amp.autocast_mode.autocast(
        "cpu" if device_type == BACKWARD else device_type, *args, **kwargs
    )


def _getitem(tensor: Tensor, index: Any) -> Tensor:
    """tensor[index] by operators: torch's own asks the driver first."""
    axis = 0
    keys = index if isinstance(index, tuple) else (index,)
    for key in keys:
        if key is None:
            tensor = tensor.unsqueeze(axis)
        elif isinstance(key, int):
            tensor = tensor.select(axis, key)
            continue
        elif isinstance(key, slice):
            tensor = torch.ops.aten.slice(tensor, axis, key.start, key.stop, key.step or 1)
        elif isinstance(key, Tensor) and len(keys) == 1:
            return torch.ops.aten.index(tensor, [key])
        else:
            raise NotImplementedError(f"index {key!r} of a fake tensor")
        axis += 1
    return tensor


def _contiguous(tensor: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    if tensor.is_contiguous(memory_format=memory_format):
        return tensor
    return torch.ops.aten.clone(tensor, memory_format=memory_format)


def _tolist(tensor: Tensor) -> list[float]:
    assert tensor.ndim == 1
    return [float(each) for each in tensor]


def _numpy(tensor: Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    return np.ones(tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))
