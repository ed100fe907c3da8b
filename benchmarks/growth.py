"""Time and memory as work grows: search, exact and compressed, and the bookkeeping of a data set."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Settings, Table, peak_memory, require
from deepibl.positions import ClosePosition
from deepibl.search import nearest
from deepibl.search_compressed import CompressedIndex

QUERIES, TOP = 100, 10
SEED, SPREAD, PLACES = 5, 0.6, 20  # descriptors of 20 pictures a place lie around a common one


def write_descriptors(path: Path, count: int, dim: int) -> np.ndarray:
    """A float16 .npy file of unit vectors (count, dim), written a block at a time; memory-mapped."""
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (count, dim))
    step = max(PLACES, (1 << 26) // dim // PLACES * PLACES)
    for start in range(0, count, step):
        random = np.random.Generator(np.random.SFC64([SEED, start]))
        size = min(step, count - start)
        block = random.standard_normal((-(-size // PLACES), dim), dtype=np.float32).repeat(PLACES, 0)[:size]
        block += SPREAD * random.standard_normal((size, dim), dtype=np.float32)
        rows[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    rows.flush()
    del rows
    return np.load(path, mmap_mode="r")


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    sizes = (100, 1000) if settings.smoke else (1_000, 10_000, 100_000)
    dim = 64 if settings.smoke else 4096 if settings.full else 512
    rows: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in sizes:
            database = write_descriptors(Path(folder) / f"{count}.npy", count, dim)
            rows += _of_size(count, database)
    table = Table(
        f"Cost as work grows, {dim} dimensions, {QUERIES} queries",
        ["what", "images", "s", "us an image", "MB"],
        sorted(rows, key=lambda row: (row[0], row[1])),
        "MB: by how much the process's own memory rose; pages of mapped files are not counted.",
    )
    return [table, _large(settings)]


def _of_size(count: int, database: np.ndarray) -> list[Any]:
    random = np.random.default_rng(count)
    queries = database[random.integers(0, count, QUERIES)].astype(np.float32)
    side = 10 * np.sqrt(count)
    positions = random.uniform(0, side, (count, 2))
    jobs: dict[str, Callable[[], Any]] = {
        "search, float16 memory-mapped": lambda: nearest(queries, database, TOP),
        "bookkeeping: who is within 25 m of each image": lambda: _neighbours(positions),
    }
    rows = []
    for name, job in jobs.items():
        found: list[float] = []

        def timed(job: Callable[[], Any] = job, found: list[float] = found) -> None:
            start = time.perf_counter()
            job()
            found.append(time.perf_counter() - start)

        memory = peak_memory(timed)
        timed()
        seconds = min(found)
        rows.append([name, count, f"{seconds:.3f}", f"{seconds / count * 1e6:.1f}", f"{memory:.0f}"])
    return rows


def _neighbours(positions: np.ndarray) -> int:
    near = ClosePosition(positions, 25.0)
    return sum(len(near.getPosIDs(position)[0]) for position in positions)


def _large(settings: Settings) -> Table:
    """Exact and compressed search in one large memory-mapped file."""
    count, dim = (600, 16) if settings.smoke else (1_000_000, 4096) if settings.full else (50_000, 1024)
    rows: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        database = write_descriptors(Path(folder) / "large.npy", count, dim)
        random = np.random.default_rng(0)
        queries = database[random.integers(0, count, QUERIES)].astype(np.float32)
        queries += SPREAD / dim**0.5 * random.standard_normal(queries.shape, dtype=np.float32)
        kept: dict[str, Any] = {}

        def job(name: str, work: Callable[[], Any]) -> None:
            start = time.perf_counter()
            memory = peak_memory(lambda: kept.__setitem__(name, work()))
            rows.append([name, f"{time.perf_counter() - start:.2f}", f"{memory:.0f}", _recall(kept, name)])
            limit = 8192
            require(memory < limit, f"{name}: {memory:.0f} MB, above {limit}")

        job("exact", lambda: nearest(queries, database, TOP))
        job("IVF-PQ, built", lambda: CompressedIndex.build(database, code_bytes=min(64, dim)))
        for probes in (8, 32):
            job(
                f"IVF-PQ, {probes} lists",
                lambda probes=probes: kept["IVF-PQ, built"].nearest(queries, TOP, effort=probes),
            )
    require(float(rows[-1][3]) > 0.5, f"IVF-PQ finds only {rows[-1][3]} of the neighbours")
    title = f"{QUERIES} queries in {count:,} x {dim} float16 descriptors, memory-mapped"
    return Table(title, ["how", "s", "MB", f"recall of the exact top {TOP}"], rows)


def _recall(kept: dict[str, Any], name: str) -> str:
    if not isinstance(kept[name], tuple):
        return ""
    pairs = zip(kept[name][0], kept["exact"][0], strict=True)
    return f"{np.mean([len(set(a) & set(b)) / TOP for a, b in pairs]):.3f}"
