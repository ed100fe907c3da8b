"""faiss, loaded when it is needed, with the matrix kernels that suit the processor.

faiss's wheel brings a copy of OpenBLAS of its own, which knows the processors of its time. On a newer AMD
processor it takes kernels for AVX2, though there is AVX-512; the kernels that it calls SkylakeX are made for
that and run there. OpenBLAS can be told so by an environment variable, which it reads once, when it is
loaded. So the variable is there for that moment, and only then: numpy's and scipy's copies of OpenBLAS, and
processes that are started later, keep the kernels and the digits that they had.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  # its own OpenBLAS is loaded before the variable is set

VARIABLE = "OPENBLAS_CORETYPE"
KERNELS = "SkylakeX"
NEEDED = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})  # by those kernels
PROCESSOR = Path("/proc/cpuinfo")


def load_faiss() -> Any:
    """The module faiss (its published types do not know all of it).

    A user's own OPENBLAS_CORETYPE is obeyed: `OPENBLAS_CORETYPE=Haswell` brings the AVX2 kernels back.
    """
    loaded = "faiss" in sys.modules
    with _told(None if loaded else better_kernels(_processor(), os.environ)):
        import faiss

    return faiss


def better_kernels(processor: str, environment: Mapping[str, str]) -> str | None:
    """What OpenBLAS should be told to take; None: it knows best, or the user has told it.

    processor: the text of /proc/cpuinfo, empty where there is none.
    """
    facts: dict[str, str] = {}
    for line in processor.splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    if VARIABLE in environment or facts.get("vendor_id") != "AuthenticAMD":
        return None
    return KERNELS if set(facts.get("flags", "").split()) >= NEEDED else None


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
