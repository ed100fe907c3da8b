"""A network's backbone on a CUDA device: channels last, half precision or TF32, cuDNN's fastest algorithms.

It has not been measured on a GPU yet, so `--engine auto` does not choose it: ask for `--engine cuda` after
`python -m benchmarks.gpu` has shown on your card that it is right and faster.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from deepibl.engine.finite import Overflow, in_range
from deepibl.runtime.devices import fastest_convolutions
from matlab_compat.simplenn.layers import Conv
from matlab_compat.simplenn.network import SimpleNN

PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class CudaBackbone:
    """Layers 0 .. stop-1 on the network's CUDA device: (N, C, H, W) float32 to float32 maps.

    precision: fp32 (no TF32 anywhere), tf32, bf16 or fp16. Convolutions keep a copy of the present weights,
    channels last and in half precision if requested. Except in fp32, cuDNN keeps its fastest algorithm for
    every size, so two runs may differ in the last bits. On a CPU it computes the same, for tests.
    """

    def __init__(self, net: SimpleNN, stop: int, precision: str, *, channels: int | None = 3) -> None:
        self._half = PRECISIONS[precision]
        self._exact = precision == "fp32"
        self._in_range = self._exact or (self._half != torch.float16 and in_range(net, stop, channels))
        self._layers = [self._own(layer) for layer in list(net)[:stop]]

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 on the device to the backbone's maps, float32."""
        x = x.contiguous(memory_format=torch.channels_last)
        with ExitStack() as stack:
            if self._half is not None:
                stack.enter_context(torch.autocast(x.device.type, dtype=self._half))
                x = x.to(self._half)  # or the first layer would cast its filters back to float32
            if not self._exact:
                stack.enter_context(fastest_convolutions(tf32=True))
            overflow = Overflow()
            for layer in self._layers:
                x = layer(x)
                if not self._in_range:
                    overflow.see(x)
            return overflow.mark(x).float()

    def _own(self, layer: Any) -> Any:
        """A convolution as a copy whose weights have the type and order in which they are used."""
        if not isinstance(layer, Conv) or layer.weight is None:
            return layer
        own = layer.copy()
        for name, order in (("weight", torch.channels_last), ("bias", torch.contiguous_format)):
            given = getattr(layer, name)
            if given is not None:
                kept = given.detach().to(self._half or given.dtype, copy=True, memory_format=order)
                setattr(own, name, nn.Parameter(kept, requires_grad=False))
        return own
