"""oneDNN's convolutions as torch ships them: filters packed once, the ReLU fused into the convolution.

torch.compile generates calls of these operators (`torch.ops.mkldnn`), which are not part of torch's public
interface: `available` tests that they are there and work before anything relies on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import local
from typing import Any

import torch
from torch import Tensor

Pair = tuple[int, int]

# values of $ONEDNN_MAX_CPU_ISA: each allows those before it
_LIMITS = (
    *("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"),
    *("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512", "AVX512_CORE_AMX", "AVX10_1_512_AMX"),
)

# precision, limit that allows them, what torch.cpu calls the question, name; the best of a precision first
_INSTRUCTIONS = (
    ("fp32", "AVX512_CORE", "_is_avx512_supported", "AVX-512"),
    ("fp32", "AVX2", "_is_avx2_supported", "AVX2"),
    ("bf16", "AVX512_CORE_AMX", "_is_amx_tile_supported", "AMX"),
    ("bf16", "AVX512_CORE_BF16", "_is_avx512_bf16_supported", "AVX-512 bf16"),
    ("int8", "AVX512_CORE_AMX", "_is_amx_tile_supported", "AMX"),
    ("int8", "AVX512_CORE_VNNI", "_is_vnni_supported", "AVX-512 VNNI"),
)


@lru_cache(maxsize=1)
def available() -> str:
    """'' if the operators are there and right on this machine; else why not."""
    if not torch.backends.mkldnn.is_available():
        return "this torch was built without oneDNN"

    def right() -> bool:
        numbers = torch.arange(-18, 32, dtype=torch.float32, device="cpu")
        x, weight = numbers[18:].view(1, 2, 4, 4), numbers[:36].view(2, 2, 3, 3)
        got = PackedConvolution(weight, None, pad=(1, 1), relu=True)(x)
        return torch.equal(got, torch.relu(torch.nn.functional.conv2d(x, weight, padding=1)))

    return problem_with("oneDNN operators", right)


def problem_with(what: str, right: Callable[[], bool]) -> str:
    """'' where operators compute something rightly, else what is wrong with them."""
    try:
        with torch.inference_mode():
            return "" if right() else f"this torch's {what} give different results"
    except (RuntimeError, AttributeError, NotImplementedError) as problem:
        return f"this torch has different {what}: {str(problem).splitlines()[0]}"


def instructions(precision: str = "fp32") -> str:
    """The best instructions that oneDNN may use here for fp32, bf16 or int8, such as 'AVX-512 bf16'; ''
    without.

    Respects oneDNN's own limit, the environment variable ONEDNN_MAX_CPU_ISA, formerly DNNL_MAX_CPU_ISA.
    """
    given = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    limit = given.upper()
    allowed = _LIMITS[: _LIMITS.index(limit) + 1] if limit in _LIMITS else _LIMITS
    for of, needed, question, name in _INSTRUCTIONS:
        if of == precision and needed in allowed and getattr(torch.cpu, question, bool)():
            return name
    return ""


class PackedConvolution:
    """A convolution in the type of its weights, with bias (K,) or None, and the ReLU after it if `relu`.

    weight: (K, C/groups, FH, FW), or a function that makes it whenever a packing is needed. Filters are
    packed in the layout that oneDNN wants for a size: any other is rearranged at every call, which takes
    longer than the convolution. Equal packings are kept once.
    """

    def __init__(
        self,
        weight: Tensor | Callable[[], Tensor],
        bias: Tensor | None,
        *,
        pad: Pair = (0, 0),
        stride: Pair = (1, 1),
        dilate: Pair = (1, 1),
        groups: int = 1,
        relu: bool = False,
    ) -> None:
        self._weight, self._bias, self._after = weight, bias, "relu" if relu else "none"
        self._pad, self._stride, self._dilate, self._groups = list(pad), list(stride), list(dilate), groups
        self._packed: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, K, H', W'); fastest with channels last, which the result has too."""
        geometry = (self._pad, self._stride, self._dilate, self._groups)
        filters = self.packed(x.shape)
        return torch.ops.mkldnn._convolution_pointwise(x, filters, self._bias, *geometry, self._after, [], "")

    def packed(self, size: Sequence[int]) -> Tensor:
        """The filters packed for maps (N, C, H, W) of this size."""
        key = tuple(size)
        if key not in self._packed:
            packed = self._pack(list(key))
            layout = torch.ops.mkldnn._get_mkldnn_serialized_md
            same = (each for each in self._packed.values() if torch.equal(layout(each), layout(packed)))
            self._packed[key] = next(same, packed)
        return self._packed[key]

    def _pack(self, size: list[int]) -> Tensor:
        filters = self._weight if isinstance(self._weight, Tensor) else self._weight()
        geometry = (self._pad, self._stride, self._dilate, self._groups)
        return torch.ops.mkldnn._reorder_convolution_weight(filters, *geometry, size)


class Workers:
    """Threads that share a list of independent jobs; each computes with one thread and its own buffers.

    torch itself divides every operation among its threads, and waits for the slowest at every operation.
    """

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._own = local()
        self._pool = ThreadPoolExecutor(self.count, "deepibl-compute", torch.set_num_threads, (1,))

    def run(self, job: Callable[[Any, Scratch], Any], items: Sequence[Any]) -> None:
        """Calls job(item, scratch) for all items; raises what a job raises."""

        def do(item: Any) -> None:
            if not hasattr(self._own, "scratch"):
                self._own.scratch = Scratch()
            with torch.inference_mode():
                job(item, self._own.scratch)

        wanted = torch.get_num_threads()
        list(self._pool.map(do, items))
        # a worker that starts sets one thread for every thread that starts later, too: undo that
        torch.set_num_threads(wanted)


class Scratch:
    """Named float32 buffers of one thread, which grow as needed and are reused."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def buffer(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this shape holding finite but otherwise arbitrary numbers."""
        size = int(torch.Size(shape).numel())
        held = self._held.get(name)
        if held is None or held.numel() < size:
            held = self._held[name] = torch.zeros(size, dtype=torch.float32, device="cpu")
        return held[:size].view(shape)
