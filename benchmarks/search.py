"""Exact search, mining's and recall's work: against the machine's own matrix product, and the usual port."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.baseline import search as port_search
from benchmarks.measure import Settings, Table, paired, peak_memory, require
from deepibl.search import Searcher, nearest
from deepibl.search.exact import BLOCK


def descriptors(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors (count, dim) float32, as descriptors are."""
    rows = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    shape = (40, 200, 64) if settings.smoke else (6816, 10000, 4096) if settings.full else (1500, 10000, 4096)
    count, size, dim = shape
    k = min(100, size)
    database = descriptors(size, dim, 1)
    queries = database[np.random.default_rng(2).integers(0, size, count)] + 0.3 * descriptors(count, dim, 3)
    searcher = Searcher(database)

    def product() -> None:
        for start in range(0, count, BLOCK):
            torch.from_numpy(queries[start : start + BLOCK]) @ torch.from_numpy(database).t()

    def search() -> np.ndarray:
        return np.concatenate([searcher(queries[s : s + BLOCK], k)[0] for s in range(0, count, BLOCK)])

    candidates = {
        "usual port: distance matrix, sort": lambda: port_search(queries, database, k),
        "matrix products alone": product,
        f"deepibl.search, top {k}": search,
    }
    medians, results = paired(candidates, settings.rounds)
    alone = medians["matrix products alone"].seconds
    rows = [
        [name, f"{m.seconds:.2f}", f"{m.ratio:.2f}", f"{m.seconds / alone:.2f}",
         f"{peak_memory(candidates[name]):.0f}"]
        for name, m in medians.items()
    ]  # fmt: skip
    usual, ours = results["usual port: distance matrix, sort"], results[f"deepibl.search, top {k}"]
    agree = float((usual == ours).mean())
    require(agree > 0.99 and bool((usual[:, 0] == ours[:, 0]).all()), f"search: {agree} of the ids agree")
    stable = all(
        np.array_equal(ours[:64], nearest(queries[:64], database, k, block)[0]) for block in (1, 7, 64)
    )
    require(stable, "search: ids depend on the block")
    note = (
        f"{agree:.2%} of the ids are the port's (near ties differ in float32); deepibl.search gives the "
        "same ids for blocks of 1, 7 and 64 queries."
    )
    columns = ["how", "s", "x port", "x the products' time", "MB"]
    return [Table(f"{count} queries in {size} descriptors of {dim} dimensions", columns, rows, note)]
