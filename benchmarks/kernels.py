"""Search and IVF-PQ with the matrix kernels that faiss gets here, and with those that OpenBLAS takes alone.

Each run is a process of its own: kernels are chosen when faiss is loaded.
"""

from __future__ import annotations

import os
import statistics
from typing import Any

import numpy as np

from benchmarks.measure import Settings, Table, in_a_process, require, timed
from benchmarks.search import descriptors
from deepibl.search import CompressedIndex, found_again, nearest
from matlab_compat.faiss_library import VARIABLE, choose_kernels, load_faiss

JOBS = ("exact search, top 100", "IVF-PQ built", "IVF-PQ asked, 32 lists, top 10")
KERNELS = {"none": "left alone", "Haswell": "AVX2", "": "as here"}  # value of the variable: title


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    shape = (1500, 10000, 4096) if settings.full else (1000, 5000, 2048)
    if settings.smoke:
        shape = (40, 400, 64)
    taken: dict[str, list[Any]] = {kernels: [] for kernels in KERNELS}
    for _ in range(settings.rounds):
        for kernels, runs in taken.items():
            runs.append(in_a_process(_search, kernels, shape))
    ids = [run[1] for runs in taken.values() for run in runs]
    require(all(np.array_equal(each, ids[0]) for each in ids), "search: ids depend on the kernels")
    rows = []
    for job, name in enumerate(JOBS):
        seconds = [[run[0][job] for run in runs] for runs in taken.values()]
        ratios = [a / b for a, b in zip(seconds[0], seconds[-1], strict=True)]
        medians = [f"{statistics.median(times):.2f}" for times in seconds]
        rows.append([name, *medians, f"{statistics.median(ratios):.1f}"])
    recalls = [f"{statistics.median(run[2] for run in runs):.3f}" for runs in taken.values()]
    title = f"faiss's kernels: {shape[0]} queries in {shape[1]} descriptors of {shape[2]} dimensions"
    note = f"The exact ids are the same. Recall@10 of IVF-PQ: {', '.join(recalls)}."
    columns = ["what", *(f"s, {name}" for name in KERNELS.values()), "times as fast as left alone"]
    return [Table(title, columns, rows, note)]


def _search(kernels: str, shape: tuple[int, int, int]) -> tuple[list[float], np.ndarray, float]:
    """Seconds of each job, the ids of the exact search, and the recall of IVF-PQ."""
    os.environ.pop(VARIABLE, None)  # numpy is loaded already: what follows is for faiss alone
    if not kernels:
        choose_kernels()
    elif kernels != "none":
        os.environ[VARIABLE] = kernels
    load_faiss()
    count, size, dim = shape
    database = descriptors(size, dim, 1)
    queries = database[np.random.default_rng(2).integers(0, size, count)] + 0.3 * descriptors(count, dim, 3)
    searching, (exact, _) = timed(lambda: nearest(queries, database, 100))
    building, built = timed(lambda: CompressedIndex.build(database))
    asking, (lists, _) = timed(lambda: built.nearest(queries, 10))
    return [searching, building, asking], exact, found_again(lists, exact[:, :10])
