"""faiss's matrix kernels: chosen if a program asks for it; nothing else changes, the ids are the same."""

import json
import os
import subprocess
import sys

import pytest

from matlab_compat import faiss_library
from matlab_compat.faiss_library import KERNELS, VARIABLE, better_kernels

AVX2 = "fpu sse2 avx2 fma"
AVX512 = " ".join([AVX2, *sorted(KERNELS[0][1])])


def processor(flags: str) -> str:
    core = f"processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: a: b\nflags\t\t: {flags}\n\n"
    return core + core.replace(flags, "none")  # the first one counts


@pytest.mark.parametrize(
    ("text", "environment", "kernels"),
    [
        (processor(AVX512), {}, "SkylakeX"),
        (processor(AVX512.replace("avx512vl", "")), {}, "Haswell"),
        (processor(AVX2), {}, "Haswell"),
        (processor("fpu sse2 avx2"), {}, None),
        (processor(AVX512), {VARIABLE: "Haswell"}, None),
        (processor(AVX2), {VARIABLE: ""}, None),
        ("", {}, None),
        ("CPU architecture: 8\nFeatures\t: fp asimd\n", {}, None),
    ],
)
def test_kernels_are_those_of_the_processors_instructions(text, environment, kernels) -> None:
    assert better_kernels(text, environment) == kernels


REPORT = """
import ctypes, json, os
from matlab_compat import faiss_library
before = dict(os.environ)
faiss_library.choose_kernels()
faiss_library.load_faiss()
assert dict(os.environ) == before
found = {}
for path in {line.split()[-1] for line in open("/proc/self/maps") if "openblas" in line}:
    library = ctypes.CDLL(path)
    for name in ("openblas_get_corename", "scipy_openblas_get_corename64_", "scipy_openblas_get_corename"):
        if hasattr(library, name):
            getattr(library, name).restype = ctypes.c_char_p
            found["faiss" if "faiss" in path else "numpy"] = getattr(library, name)().decode()
print(json.dumps(found))
"""

SEARCH = """
import json, sys
import numpy as np
from deepibl.search import nearest
from deepibl.search import CompressedIndex
from matlab_compat.faiss_library import choose_kernels
choose_kernels()
random = np.random.default_rng(3)
rows = random.standard_normal((1000, 96)).astype(np.float32)
rows[500:] = rows[:500] + random.normal(0, 1e-4, (500, 96))  # near ties, which float32 products confuse
asked = rows[::10] + random.normal(0, 0.1, (100, 96)).astype(np.float32)
exact = nearest(asked, rows, 20)[0].tolist()
hnsw = CompressedIndex.build(rows, kind="hnsw").nearest(asked, 5, effort=200)[0].tolist()
lists = CompressedIndex.build(rows, code_bytes=48).nearest(asked, 5, effort=60, candidates=1000)[0].tolist()
print(json.dumps([exact, hnsw, lists]))
"""


def said(code: str, **environment: str):
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={**inherited, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def kernels() -> str:
    """Those that this processor gets."""
    here = faiss_library.PROCESSOR
    chosen = better_kernels(here.read_text() if here.exists() else "", {})
    if chosen is None:
        pytest.skip("needs Linux on a processor with AVX2")
    return chosen


def test_faiss_alone_changes_its_kernels_and_the_environment_is_as_before(kernels) -> None:
    chosen, told = said(REPORT), said(REPORT, **{VARIABLE: "Sandybridge"})
    if "faiss" not in chosen:
        pytest.skip("this faiss has no OpenBLAS of its own")
    assert (chosen["faiss"], told["faiss"]) == (kernels, "Sandybridge")
    unasked = REPORT.replace("faiss_library.choose_kernels()", "")
    untouched = said(unasked.replace("faiss_library.load_faiss()", "import faiss"))
    assert said(unasked) == untouched and chosen.get("numpy") == untouched.get("numpy")


def test_the_ids_are_those_of_other_kernels(kernels) -> None:
    assert said(SEARCH) == said(SEARCH, **{VARIABLE: "Sandybridge"})
