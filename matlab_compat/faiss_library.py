"""faiss, loaded when it is needed, and with the matrix kernels that suit the processor if a program wants it.

faiss's wheel brings a copy of OpenBLAS that takes kernels for SSE3 on newer processors. It reads an
environment variable when it is loaded, which `load_faiss` sets for that moment only: numpy's and scipy's
copies of OpenBLAS, and processes that are started later, keep their kernels and their digits.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "OPENBLAS_CORETYPE"

KERNELS = (  # the best first, and the instructions that they use
    ("SkylakeX", frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})),
    ("Haswell", frozenset({"avx2", "fma"})),
)

PROCESSOR = Path("/proc/cpuinfo")
_chosen: list[str] = []  # the kernels that faiss is to be loaded with, if any


def choose_kernels() -> None:
    """Makes `load_faiss` load faiss with the best kernels for this processor, unless it is loaded already.

    A value of OPENBLAS_CORETYPE that the user has set is respected.
    """
    try:
        processor = PROCESSOR.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        processor = ""
    kernels = better_kernels(processor, os.environ)
    _chosen[:] = [kernels] if kernels else []


def load_faiss() -> Any:
    """The module faiss (typed as Any: its published types are incomplete)."""
    import numpy  # noqa: F401  # its own OpenBLAS must be loaded before the variable is set

    if not _chosen or "faiss" in sys.modules:
        import faiss

        return faiss
    os.environ[VARIABLE] = _chosen[0]
    try:
        import faiss
    finally:
        os.environ.pop(VARIABLE, None)
    return faiss


def better_kernels(processor: str, environment: Mapping[str, str]) -> str | None:
    """The kernels that OpenBLAS should take; None: it knows best, or the environment decides.

    processor: the content of /proc/cpuinfo, empty if there is none.
    """
    lines = (line.partition(":") for line in processor.splitlines())
    flags = next((value.split() for name, _, value in lines if name.strip() == "flags"), [])
    if VARIABLE in environment:
        return None
    return next((name for name, needed in KERNELS if needed <= set(flags)), None)
