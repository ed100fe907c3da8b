"""Search and IVF-PQ with the matrix kernels that faiss gets here, and with those that OpenBLAS takes alone.

Each run is a process of its own, for kernels are chosen when faiss is loaded.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from benchmarks.measure import Settings, Table, in_a_process, require
from matlab_compat.faiss_library import VARIABLE

_CODE = """
import os
import numpy as np
from benchmarks.search import descriptors
from deepibl.search import nearest
from deepibl.search import CompressedIndex, found_again
from matlab_compat.faiss_library import choose_kernels, load_faiss

os.environ.pop({variable!r}, None)  # numpy is loaded: what follows is for faiss alone
if not {told!r}:
    choose_kernels()
elif {told!r} != "none":
    os.environ[{variable!r}] = {told!r}
load_faiss()
count, size, dim = {shape}
database = descriptors(size, dim, 1)
queries = database[np.random.default_rng(2).integers(0, size, count)] + 0.3 * descriptors(count, dim, 3)
exact = timed(lambda: nearest(queries, database, 100))[0]
built = timed(lambda: CompressedIndex.build(database))
lists = timed(lambda: built.nearest(queries, 10))[0]
print(json.dumps([took, exact.tolist(), found_again(lists, exact[:, :10])]))
"""

_JOBS = ("exact search, top 100", "IVF-PQ built", "IVF-PQ asked, 32 lists, top 10")
_TOLD = {"none": "left alone", "Haswell": "AVX2", "": "as here"}


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    shape = (1500, 10000, 4096) if settings.full else (1000, 5000, 2048)
    if settings.smoke:
        shape = (40, 400, 64)
    taken: dict[str, list[Any]] = {told: [] for told in _TOLD}
    for _ in range(settings.rounds):
        for told, runs in taken.items():
            code = _CODE.format(told=told, variable=VARIABLE, shape=shape)
            runs.append(json.loads(in_a_process(code)))
    alone = taken["none"]
    same = all(run[1] == alone[0][1] for runs in taken.values() for run in runs)
    require(same, "search: ids depend on the kernels")
    rows = []
    for job, name in enumerate(_JOBS):
        seconds = [[run[0][job] for run in runs] for runs in taken.values()]
        ratios = [a / b for a, b in zip(seconds[0], seconds[-1], strict=True)]
        medians = [f"{statistics.median(times):.2f}" for times in seconds]
        rows.append([name, *medians, f"{statistics.median(ratios):.1f}"])
    recalls = [f"{statistics.median(run[2] for run in runs):.3f}" for runs in taken.values()]
    title = f"faiss's kernels: {shape[0]} queries in {shape[1]} descriptors of {shape[2]} dimensions"
    note = f"The exact ids are the same. Recall@10 of IVF-PQ: {', '.join(recalls)}."
    columns = ["what", *(f"s, {name}" for name in _TOLD.values()), "times as fast as left alone"]
    return [Table(title, columns, rows, note)]
