"""Exact search, as mining and recall do it: against the machine's own matrix product, and the usual port."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.baseline import search as port_search
from benchmarks.measure import Case, Settings, Table, paired, peak_memory, require
from deepibl.search import Searcher, nearest
from deepibl.search.exact import BLOCK

PORT, ALONE, OURS = "usual port: distance matrix, sort", "matrix products alone", "deepibl.search, top {k}"


def descriptors(count: int, dim: int, seed: int) -> np.ndarray:
    """Random unit vectors (count, dim), float32."""
    rows = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def run(settings: Settings) -> list[Table]:
    shape = (40, 200, 64) if settings.smoke else (6816, 10000, 4096) if settings.full else (1500, 10000, 4096)
    count, size, dim = shape
    k, starts = min(100, size), range(0, count, BLOCK)
    ours = OURS.format(k=k)
    database = descriptors(size, dim, 1)
    queries = database[np.random.default_rng(2).integers(0, size, count)] + 0.3 * descriptors(count, dim, 3)
    searcher = Searcher(database)

    def products() -> None:
        for start in starts:
            torch.from_numpy(queries[start : start + BLOCK]) @ torch.from_numpy(database).t()

    cases = {
        PORT: Case(lambda: port_search(queries, database, k)),
        ALONE: Case(products),
        ours: Case(lambda: np.concatenate([searcher(queries[s : s + BLOCK], k)[0] for s in starts])),
    }
    found = paired(cases, settings.rounds)
    rows = [
        [name, *each.cells("seconds:.2f", "ratio:.2f"), f"{each.seconds / found[ALONE].seconds:.2f}"]
        for name, each in found.items()
    ]
    for row in rows:
        row.append(f"{peak_memory(cases[row[0]].run):.0f}")
    want, got = found[PORT].result, found[ours].result
    agree = float((want == got).mean())
    require(agree > 0.99 and bool((want[:, 0] == got[:, 0]).all()), f"search: {agree} of the ids agree")
    blocks = (nearest(queries[:64], database, k, block)[0] for block in (1, 7, 64))
    require(all(np.array_equal(got[:64], ids) for ids in blocks), "search: ids depend on the block")
    note = (
        f"{agree:.2%} of the ids are the port's (near ties differ in float32); deepibl.search gives the "
        "same ids for blocks of 1, 7 and 64 queries."
    )
    columns = ["how", "s", "x port", "x the products' time", "MB"]
    return [Table(f"{count} queries in {size} descriptors of {dim} dimensions", columns, rows, note)]
