"""Time and memory as work grows: bookkeeping, mining, search; and one large index, exact and compressed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generated import PLACE, new_pictures, write_descriptors
from benchmarks.measure import Settings, Table, best, peak_memory, require, timed
from deepibl.datasets import PlaceDataset
from deepibl.search import CompressedIndex, PlaceIndex, check_file, found_again
from deepibl.training import TrainingOptions, weakly
from deepibl.training.tuples import mine_batch
from matlab_compat.rng import rng

QUERIES, TOP = 100, 10
LIMIT = 8192  # MB of the process's own memory that one million descriptors may take


def run(settings: Settings) -> list[Table]:
    sizes = (100, 1000) if settings.smoke else (1_000, 10_000, 100_000)
    dim = 64 if settings.smoke else 4096 if settings.full else 512
    rows: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in sizes:
            rows += _of_size(generated_index(Path(folder) / f"{count}.npy", count, dim))
    table = Table(
        f"Cost as work grows, {dim} dimensions, {QUERIES} queries",
        ["what", "images", "s", "us an image", "MB"],
        sorted(rows, key=lambda row: (row[0], row[1])),
        "MB: by how much the process's own memory rose; pages of mapped files are not counted.",
    )
    return [table, _large(settings)]


def generated_index(path: Path, count: int, dim: int) -> PlaceIndex:
    """An index of generated pictures: float16 descriptors mapped from `path`, a place every 10 m."""
    side = int(np.ceil(np.sqrt(count / PLACE)))
    place = np.arange(count) // PLACE
    positions = np.stack([10.0 * (place % side), 10.0 * (place // side)], axis=1)
    names = [f"{i:08d}.jpg" for i in range(count)]
    return PlaceIndex(write_descriptors(path, count, dim), names, positions, "generated")


def query_rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, count, QUERIES)


def _of_size(index: PlaceIndex) -> list[Any]:
    rows, count = query_rows(len(index)), len(index)
    queries, near = new_pictures(rows, index.dim), index.positions[rows]
    names = [f"q{i}" for i in range(QUERIES)]
    dataset = PlaceDataset("g", index.names, index.positions, names, near + 3.0)
    jobs: dict[str, Callable[[], Any]] = {
        "bookkeeping: a data set, and who is within 25 m of each image": lambda: _bookkeeping(index),
        f"mining: tuples of {QUERIES} queries": lambda: _mined(dataset, queries, index.descriptors),
        "search: exact, float16 memory-mapped": lambda: index.search(queries, TOP),
        f"search: within 50 m, {QUERIES} positions": lambda: index.search(
            queries, TOP, near=near, within=50.0
        ),
    }
    measured = []
    for name, job in jobs.items():
        memory, seconds = peak_memory(job), best(job, 2)
        measured.append([name, count, f"{seconds:.3f}", f"{seconds / count * 1e6:.1f}", f"{memory:.0f}"])
    return measured


def _bookkeeping(index: PlaceIndex) -> int:
    dataset = PlaceDataset("g", index.names, index.positions, ["q"], index.positions[:1])
    return sum(len(dataset.close_positions.positives(position)[0]) for position in index.positions)


def _mined(dataset: PlaceDataset, queries: np.ndarray, database: np.ndarray) -> list[Any]:
    options = TrainingOptions()
    caches = [np.zeros(0, np.int64)] * QUERIES
    select = weakly(options).select
    return mine_batch(dataset, range(QUERIES), (queries, database), caches, options, rng(43), select)


def _large(settings: Settings) -> Table:
    """Exact and compressed search in one large memory-mapped index file."""
    count, dim = (600, 16) if settings.smoke else (1_000_000, 4096) if settings.full else (50_000, 1024)
    table: list[Any] = []

    def job(name: str, work: Callable[[], Any], recall: Callable[[Any], str] = lambda _: "") -> Any:
        found: list[Any] = []
        memory = peak_memory(lambda: found.append(timed(work)))
        seconds, result = found[0]
        require(memory < LIMIT, f"{name}: {memory:.0f} MB, above {LIMIT}")
        table.append([name, f"{seconds:.2f}", f"{memory:.0f}", recall(result)])
        return result

    with tempfile.TemporaryDirectory() as folder:
        raw, path = Path(folder) / "raw.npy", Path(folder) / "large.idx"
        made = generated_index(raw, count, dim)
        job("index file written, checksums and all", lambda: made.save(path))
        raw.unlink()
        job("every checksum compared", lambda: check_file(path))
        index = job("opened", lambda: PlaceIndex.load(path))
        queries = new_pictures(query_rows(count), dim)
        exact = job("exact", lambda: index._searcher.nearest(queries, TOP))[0]
        job("within 50 m, one position", lambda: index.search(queries, near=(500.0, 500.0), within=50.0))
        compressed = job("IVF-PQ built", lambda: CompressedIndex.build(index.descriptors))
        for effort in (8, 32, 128):
            job(
                f"IVF-PQ, {effort} lists",
                lambda effort=effort: compressed.nearest(queries, TOP, effort=effort)[0],
                lambda ids: f"{found_again(ids, exact):.3f}",
            )
        with_lists = replace(index, structure=compressed.structure)
        job("IVF-PQ: index file written", lambda: with_lists.save(Path(folder) / "lists.idx"))
        again = job("IVF-PQ: opened", lambda: PlaceIndex.load(Path(folder) / "lists.idx"))
        job("IVF-PQ: asked from the file", lambda: again.search(queries, TOP))
    require(not settings.smoke or float(table[-4][3]) > 0.5, f"IVF-PQ finds only {table[-4][3]}")
    title = f"{QUERIES} queries in an index of {count:,} x {dim} float16 descriptors, memory-mapped"
    return Table(title, ["how", "s", "MB", f"recall of the exact top {TOP}"], table)
