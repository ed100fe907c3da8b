"""oneDNN's convolutions as torch ships them: filters packed once, the rectifier done while results are hot.

These operators (`torch.ops.mkldnn`) are what torch.compile generates calls of; they are not part of torch's
public interface, so `available` looks whether they are there and work before anything relies on them.

Memory that is given back to the system at every layer has to be fetched, and cleared, at the next one.

glibc does so with blocks of more than 32 MB at the latest; the maps of one 640 x 480 image after conv1_1 are
79 MB. With the thresholds raised, a process keeps what it once used (its peak does not change).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import local
from typing import Any

import torch
from torch import Tensor

Pair = tuple[int, int]

_WITHOUT_BF16 = ("AVX512_CORE", "AVX512_CORE_VNNI")


@lru_cache(maxsize=1)
def available() -> str:
    """'' if the operators are there and right on this machine; else why not."""
    if not torch.backends.mkldnn.is_available():
        return "this torch was built without oneDNN"
    try:
        with torch.inference_mode():
            numbers = torch.arange(-18, 32, dtype=torch.float32, device="cpu")
            x, weight = numbers[18:].view(1, 2, 4, 4), numbers[:36].view(2, 2, 3, 3)
            got = PackedConvolution(weight, None, pad=(1, 1), relu=True)(x)
            right = torch.equal(got, torch.relu(torch.nn.functional.conv2d(x, weight, padding=1)))
    except (RuntimeError, AttributeError, NotImplementedError) as problem:
        return f"this torch has other oneDNN operators: {str(problem).splitlines()[0]}"
    return "" if right else "this torch's oneDNN operators give other results"


def instructions(precision: str = "fp32") -> str:
    """The best instructions for a precision that oneDNN may use here: AMX, AVX-512 with bf16 or VNNI, AVX2 …

    '' if none; for bf16 and int8 that means it would only be emulated. oneDNN's own limit,
    $ONEDNN_MAX_CPU_ISA or by its older name $DNNL_MAX_CPU_ISA, counts.
    """
    asked = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    limit = asked.upper()
    amx = _has("_is_amx_tile_supported") and limit in ("ALL", "DEFAULT", "AVX512_CORE_AMX")
    wide = _has("_is_avx512_supported") and (limit in ("ALL", "DEFAULT") or limit.startswith("AVX512"))
    if precision == "bf16":
        half = wide and _has("_is_avx512_bf16_supported")
        return "AMX" if amx else "AVX-512 bf16" if half and limit not in _WITHOUT_BF16 else ""
    if precision == "int8":
        bytes_too = wide and _has("_is_vnni_supported") and limit != "AVX512_CORE"
        return "AMX" if amx else "AVX-512 VNNI" if bytes_too else ""
    return "AVX-512" if wide else "AVX2" if _has("_is_avx2_supported") else ""


def _has(question: str) -> bool:
    ask = getattr(torch.cpu, question, None)
    return bool(ask and ask())


class PackedFilters:
    """Filters (K, C/groups, FH, FW) in the layouts that oneDNN wants for the sizes of maps that came by.

    A layout that does not fit is accepted by oneDNN but rearranged at every call, which takes longer than the
    convolution. Few layouts are in use, so equal ones are kept once. make: gives the filters when a layout
    is needed (they need not be kept meanwhile).
    """

    def __init__(
        self, make: Callable[[], Tensor], pad: Pair, stride: Pair, dilate: Pair, groups: int = 1
    ) -> None:
        self.geometry: tuple[Any, ...] = (list(pad), list(stride), list(dilate), groups)
        self._make = make
        self._packed: dict[tuple[int, ...], Tensor] = {}

    def for_size(self, size: Sequence[int]) -> Tensor:
        """The filters packed for maps (N, C, H, W) of this size."""
        key = tuple(size)
        if key not in self._packed:
            packed = self._pack(self._make(), list(key))
            held = (other for other in self._packed.values() if _layout(other) == _layout(packed))
            self._packed[key] = next(held, packed)
        return self._packed[key]

    def _pack(self, filters: Tensor, size: list[int]) -> Tensor:
        return torch.ops.mkldnn._reorder_convolution_weight(filters, *self.geometry, size)

    def convolve(self, x: Tensor, bias: Tensor | None, relu: bool = False) -> Tensor:
        """Maps, bias and rectifier in one operation; best with channels last, which the result has too."""
        filters = self.for_size(x.shape)
        after = "relu" if relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(x, filters, bias, *self.geometry, after, [], "")


def _layout(packed: Tensor) -> list[int]:
    return torch.ops.mkldnn._get_mkldnn_serialized_md(packed).tolist()


class PackedConvolution:
    """A convolution in the class of `weight` (K, C, FH, FW), with bias (K,) or None, and ReLU if asked."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        pad: Pair = (0, 0),
        stride: Pair = (1, 1),
        dilate: Pair = (1, 1),
        relu: bool = False,
    ) -> None:
        self._filters = PackedFilters(lambda: weight, pad, stride, dilate)
        self._bias, self._relu = bias, relu

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, K, H', W')."""
        return self._filters.convolve(x, self._bias, self._relu)


class Workers:
    """Threads that share a list of independent jobs, each computing with one thread and buffers of its own.

    torch's own way, every operation divided among the threads, waits for the slowest at every operation.
    """

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._own = local()
        self._pool = ThreadPoolExecutor(self.count, "deepibl-compute", _use_one_thread)

    def run(self, job: Callable[[Any, Scratch], Any], items: Sequence[Any]) -> None:
        """job(item, scratch) for all items; raises what a job raises."""
        wanted = torch.get_num_threads()
        list(self._pool.map(lambda item: self._do(job, item), items))
        torch.set_num_threads(wanted)  # a thread that starts changes it for all that start after it

    def _do(self, job: Callable[[Any, Scratch], Any], item: Any) -> None:
        if not hasattr(self._own, "scratch"):
            self._own.scratch = Scratch()
        with torch.inference_mode():
            job(item, self._own.scratch)


def _use_one_thread() -> None:
    torch.set_num_threads(1)


class Scratch:
    """Named float32 buffers of one thread, which grow as needed and are used again."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def buffer(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this shape with whatever finite numbers it held last."""
        size = int(torch.Size(shape).numel())
        held = self._held.get(name)
        if held is None or held.numel() < size:
            held = self._held[name] = torch.zeros(size, dtype=torch.float32, device="cpu")
        return held[:size].view(shape)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>

_MEGABYTE = 1 << 20

_KEPT = (2047 * _MEGABYTE, 1024 * _MEGABYTE)  # trim above, map above

_USUAL = (64 * _MEGABYTE, 32 * _MEGABYTE)  # what glibc comes to by itself once large blocks have been freed


def keep_buffers() -> bool:
    """Makes glibc keep freed blocks up to 1 GB for the next allocation, for the whole process.

    Returns whether that worked; on systems without glibc nothing happens. Call it before computing.
    """
    return _set(*_KEPT)


def release_buffers() -> bool:
    """Back to what glibc does by itself; what is free is given back now."""
    done = _set(*_USUAL)
    if done:
        _glibc().malloc_trim(0)
    return done


def _set(trim: int, map_above: int) -> bool:
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(_MMAP_THRESHOLD, map_above) and library.mallopt(_TRIM_THRESHOLD, trim))


@lru_cache(maxsize=1)
def _glibc():  # type: ignore[no-untyped-def]
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None
