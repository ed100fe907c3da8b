"""A network's backbone on a CUDA device: channels last, half precision or TF32, replayed as a CUDA graph.

It has not been measured on a GPU yet, so `--engine auto` does not choose it: ask for `--engine cuda` after
`python -m benchmarks.gpu` has shown on your card that it is right and faster.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deepibl.engine.backbone import groups
from deepibl.engine.finite import Overflow, in_range
from deepibl.runtime.devices import fastest_convolutions
from matlab_compat.simplenn.layers import Conv
from matlab_compat.simplenn.network import SimpleNN

_log = logging.getLogger("deepibl.features")
PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
MOST_GRAPHS = 8  # sizes of images that have a graph
SEEN_BEFORE = 3  # runs of a size without a graph: cuDNN chooses its algorithm and the allocator settles


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    input: Tensor
    output: Tensor


class FusedConvolution:
    """A convolution and its ReLU in one operation of cuDNN; where it refuses the maps, in two."""

    def __init__(self, layer: Conv) -> None:
        self._layer = layer
        self._fused = True

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) channels last, in the type of the filters, to maps >= 0."""
        layer = self._layer
        assert layer.weight is not None
        if self._fused and x.is_cuda:
            top, _, left, _ = layer.pad
            shape = (layer.stride, (top, left), layer.dilate, x.shape[1] // layer.weight.shape[1])
            try:
                return torch.cudnn_convolution_relu(x, layer.weight, layer.bias, *shape)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as refusal:
                _log.info("cuDNN does not fuse %s with its ReLU here: %s", layer.name, refusal)
                self._fused = False
        return layer(x).relu_()


class CudaBackbone:
    """Layers 0 .. stop-1 on the network's CUDA device: (N, C, H, W) float32 to float32 maps.

    precision: fp32 (no TF32 anywhere), tf32, bf16 or fp16. Convolutions keep a copy of the present weights,
    channels last and in half precision if requested. Except in fp32, cuDNN keeps its fastest algorithm for
    every size, so two runs may differ in the last bits, and computes the ReLUs. graphs: whether sizes that
    occur often are recorded as CUDA graphs, which share their memory: each result is copied out. On a CPU it
    computes the same without graphs, for tests.
    """

    def __init__(
        self, net: SimpleNN, stop: int, precision: str, *, channels: int | None = 3, graphs: bool = True
    ) -> None:
        self._half = PRECISIONS[precision]
        self._exact = precision == "fp32"
        self._layers: list[Callable[[Tensor], Tensor]] = []
        for group in groups(net, stop, channels):
            own = self._own(group.layer)
            # in fp32 the ReLUs are torch's own, which keep NaN
            self._layers.append(FusedConvolution(own) if group.relu and not self._exact else own)
            self._layers += [group.pool] if group.pool is not None else []
            self._layers += [torch.relu_] if group.relu and self._exact else []
        self._in_range = self._exact or (self._half != torch.float16 and in_range(net, stop, channels))
        self.graphs = graphs
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], _Recorded] = {}
        self._pool: Any = None

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 on the device to the backbone's maps, float32."""
        x = x.contiguous(memory_format=torch.channels_last)
        size = tuple(x.shape)
        self._seen[size] += 1
        often = self.graphs and x.is_cuda and self._seen[size] > SEEN_BEFORE
        if often and size not in self._recorded and len(self._recorded) < MOST_GRAPHS:
            try:
                self._record(size, x)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as refusal:
                _log.warning("engine cuda continues without CUDA graphs, %s was refused: %s", size, refusal)
                self.graphs = False
        if size not in self._recorded:
            return self._compute(x).float()
        recorded = self._recorded[size]
        recorded.input.copy_(x)
        recorded.graph.replay()
        return recorded.output.to(torch.float32, copy=True)

    def _record(self, size: tuple[int, ...], x: Tensor) -> None:
        fixed = x.clone(memory_format=torch.channels_last)  # outside the graphs' memory
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream(x.device)
        # once before recording, in this thread and on this stream: cuDNN has handles and choices for each
        side.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(side):
            self._compute(fixed)
        torch.cuda.current_stream(x.device).wait_stream(side)
        # thread_local: otherwise the threads that read images, which pin memory meanwhile, end the recording
        with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
            output = self._compute(fixed)
        self._pool = self._pool or graph.pool()
        self._recorded[size] = _Recorded(graph, fixed, output)

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

    def _compute(self, x: Tensor) -> Tensor:
        with ExitStack() as stack:
            if self._half is not None:
                # without its cache: casts that were cached before recording would not be in the graph
                stack.enter_context(torch.autocast(x.device.type, dtype=self._half, cache_enabled=False))
                x = x.to(self._half)  # or the first layer would cast its filters back to float32
            if not self._exact:
                stack.enter_context(fastest_convolutions(tf32=True))
            overflow = Overflow()
            if not self._exact:
                overflow.see(x)
            for layer in self._layers:
                x = layer(x)
                if not self._in_range:
                    overflow.see(x)
            return overflow.mark(x)
