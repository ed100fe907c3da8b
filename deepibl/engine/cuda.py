"""A network's trunk on a CUDA device: channels last, half precision or TF32, replayed as a CUDA graph.

NOT RUN where it was written: no GPU was to be had there. So `--engine auto` does not choose it; ask for it
with `--engine cuda`, after `python -m benchmarks.gpu` has shown on your card that it is right and faster.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from matlab_compat.simplenn import SimpleNN

PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
MOST_GRAPHS = 8  # sizes of maps that have a graph; each holds its activations
SEEN_BEFORE = 3  # times that a size runs without a graph first: cuDNN and the allocator settle meanwhile


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    given: Tensor
    found: Tensor


class CudaTrunk:
    """Layers 0 .. stop-1 on the network's CUDA device: (N, C, H, W) float32 to float32 maps.

    precision: fp32 (no TF32 anywhere), tf32, bf16 or fp16 (both with float32 weights, cast as they are used).
    Sizes that come often are recorded as CUDA graphs, which saves the launches; others run as they are.
    """

    def __init__(self, net: SimpleNN, stop: int, precision: str, *, graphs: bool = True) -> None:
        self._net, self._stop, self._precision = net, stop, precision
        self._graphs = graphs
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], _Recorded] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 on the device to the trunk's maps, float32."""
        x = x.contiguous(memory_format=torch.channels_last)
        size = tuple(x.shape)
        if size in self._recorded:
            recorded = self._recorded[size]
            recorded.given.copy_(x)
            recorded.graph.replay()
            return recorded.found.float() if recorded.found.dtype != torch.float32 else recorded.found.clone()
        self._seen[size] += 1
        if self._graphs and self._seen[size] > SEEN_BEFORE and len(self._recorded) < MOST_GRAPHS:
            return self._record(size, x)
        return self._compute(x).float()

    def _record(self, size: tuple[int, ...], x: Tensor) -> Tensor:
        given = x.clone(memory_format=torch.channels_last)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = self._compute(given)
        self._recorded[size] = _Recorded(graph, given, found)
        return self(x)

    def _compute(self, x: Tensor) -> Tensor:
        half = PRECISIONS[self._precision]
        with ExitStack() as stack:
            if half is not None:
                # without its cache: casts that were cached while recording would not be in the graph
                stack.enter_context(torch.autocast("cuda", dtype=half, cache_enabled=False))
            if self._precision == "tf32":
                stack.enter_context(torch.backends.cudnn.flags(allow_tf32=True, benchmark=True))
            return self._net(x, stop=self._stop - 1)
