"""Bytes, time, machines and recall of each index backend at 1 million, 100 million and 10 billion images.

Measured, at two sizes, in processor time of one thread: bytes, building, searching, recall against an exact
search in float32. `benchmarks.scale_model` computes larger sizes from that, with its assumptions.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.generated import new_pictures, write_descriptors
from benchmarks.growth import asked_rows
from benchmarks.measure import Settings, Table, require, timed
from benchmarks.scale_model import Rates, model_table
from deepibl.search import CompressedIndex, PlaceIndex, Searcher, found_again

TOP = 10
EFFORTS = {"ivfpq": (8, 32, 128), "hnsw": (64, 128, 512)}
_processor = partial(timed, clock=time.process_time)  # seconds of this process, and the result


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    dim, sizes, few, codes = 4096, (4_000, 16_000), 500, (16, 64, 256)
    if settings.full:
        sizes, few = (10_000, 100_000), 2_000
    if settings.smoke:
        dim, sizes, few, codes = 32, (200, 600), 60, (4, 8)
    found: list[Rates] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in sizes:
            whole = write_descriptors(Path(folder) / "whole.npy", count, dim, np.float32)
            database = write_descriptors(Path(folder) / "half.npy", count, dim)
            queries = new_pictures(asked_rows(count), dim)
            exact = Searcher(whole, 1.001).nearest(queries, TOP)[0]
            found += [_exact("exact, float32", whole, queries, exact)]
            found += [_exact("exact, float16", database, queries, exact)]
            kinds = [*(("ivfpq", {"code_bytes": size}) for size in codes), ("hnsw", {})]
            found += [_structure(Path(folder), database, queries, exact, *kind) for kind in kinds]
        found += _milvus(Path(folder), few, dim)
    for rate in found:
        least = 0.95 if rate.structure_bytes == 0 else 0.5 if settings.smoke else 0.0
        require(rate.recall[-1] >= least, f"{rate.name} finds only {rate.recall} of {rate.images} images")
    return [_measured(found, dim), model_table(found, dim)]


def _exact(name: str, database: np.ndarray, queries: np.ndarray, exact: np.ndarray) -> Rates:
    count, dim = database.shape
    searcher = Searcher(database, 1.001)
    seconds, (ids, _) = _processor(lambda: searcher.nearest(queries, TOP))
    size = database.dtype.itemsize * dim
    return Rates(name, count, size, 0, 0.0, (seconds / len(queries),), (found_again(ids, exact),))


def _structure(
    folder: Path, database: np.ndarray, queries: np.ndarray, exact: np.ndarray, kind: str, how: dict[str, int]
) -> Rates:
    count, dim = database.shape
    build, compressed = _processor(lambda: CompressedIndex.build(database, kind, **how))
    compressed.save(folder / "structure")
    size = (folder / "structure").stat().st_size
    times, recalls = [], []
    for effort in EFFORTS[kind]:
        seconds, ids = _processor(lambda effort=effort: compressed.nearest(queries, TOP, effort=effort)[0])
        times.append(seconds / len(queries))
        recalls.append(found_again(ids, exact))
    name = f"ivfpq, {how['code_bytes']} bytes" if kind == "ivfpq" else "hnsw, 8 bits"
    each = size / count, build / count
    return Rates(name, count, 2 * dim, *each, tuple(times), tuple(recalls), EFFORTS[kind])


def _milvus(folder: Path, count: int, dim: int) -> list[Rates]:
    """milvus-lite with its exact index, if it is installed: how the embedded form does, not a cluster."""
    try:
        from deepibl.search import MilvusIndex
    except ImportError:
        return []
    rows = np.asarray(write_descriptors(folder / "few.npy", count, dim), np.float32)
    index = PlaceIndex(rows, [str(i) for i in range(count)], np.zeros((count, 2)), "generated")
    queries = new_pictures(asked_rows(count)[:20], dim)
    where = folder / "few.db"
    build, made = _processor(lambda: MilvusIndex.create(str(where), index))
    seconds, found = _processor(lambda: made.search(queries, TOP))
    made.close()
    size = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    wanted = [{match.name for match in row} for row in index.search(queries, TOP)]
    same = [len(want & {m.name for m in row}) / TOP for want, row in zip(wanted, found, strict=True)]
    shutil.rmtree(where)
    each, recall = (seconds / len(queries),), (float(np.mean(same)),)
    return [Rates("milvus-lite, FLAT", count, size / count, 0, build / count, each, recall)]


def _measured(rates: list[Rates], dim: int) -> Table:
    rows = [
        [
            rate.name,
            f"{rate.images:,}",
            f"{rate.row_bytes:,.0f} + {rate.structure_bytes:,.0f}",
            f"{rate.build_seconds * 1e6:,.0f}",
            " / ".join(f"{seconds * 1e3:.2f}" for seconds in rate.query_seconds),
            " / ".join(f"{recall:.3f}" for recall in rate.recall),
        ]
        for rate in sorted(rates, key=lambda rate: rate.name)
    ]
    columns = ["backend", "images", "bytes an image", "us an image to build", "ms a query", f"recall@{TOP}"]
    note = (
        f"Processor time, {dim} dimensions, generated descriptors (`benchmarks/generated.py`). Bytes: "
        f"descriptor + structure. Three figures: {EFFORTS['ivfpq']} lists of ivfpq, efSearch "
        f"{EFFORTS['hnsw']} of hnsw."
    )
    return Table("Measured: bytes, time and recall of each backend", columns, rows, note)
