"""faiss, loaded when it is needed, with the matrix kernels that suit the processor.

faiss's wheel brings a copy of OpenBLAS of its own, which knows the processors of its time. On a newer one it
takes kernels for SSE3, or for AVX2 where there is AVX-512. The kernels that it calls Haswell (AVX2) and
SkylakeX (AVX-512) run wherever those instructions are. OpenBLAS can be told by an environment variable, which
it reads once, when it is loaded. So the variable is there for that moment, and only then: numpy's and scipy's
copies of OpenBLAS, and processes that are started later, keep the kernels and the digits that they had."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  # its own OpenBLAS is loaded before the variable is set

VARIABLE = "OPENBLAS_CORETYPE"

KERNELS = (  # the best first, and the instructions that they use
    ("SkylakeX", frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})),
    ("Haswell", frozenset({"avx2", "fma"})),
)

PROCESSOR = Path("/proc/cpuinfo")


def load_faiss() -> Any:
    """The module faiss (its published types do not know all of it).

    A user's own OPENBLAS_CORETYPE is obeyed: `OPENBLAS_CORETYPE=Haswell` brings AVX2 kernels.
    """
    loaded = "faiss" in sys.modules
    with _told(None if loaded else better_kernels(_processor(), os.environ)):
        import faiss

    return faiss


def better_kernels(processor: str, environment: Mapping[str, str]) -> str | None:
    """What OpenBLAS should be told to take; None: it knows best, or the user has told it.

    processor: the text of /proc/cpuinfo, empty where there is none.
    """
    lines = (line.partition(":") for line in processor.splitlines())
    flags = next((value.split() for name, _, value in lines if name.strip() == "flags"), [])
    if VARIABLE in environment:
        return None
    return next((name for name, needed in KERNELS if needed <= set(flags)), None)


@contextmanager
def _told(kernels: str | None) -> Iterator[None]:
    if kernels is None:
        yield
        return
    os.environ[VARIABLE] = kernels
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)


def _processor() -> str:
    try:
        return PROCESSOR.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system
        return ""
