"""Bytes, time and recall of each index backend, as images become more.

`python -m benchmarks --only scale`: generated descriptors, two sizes, processor time of one thread.
`python -m benchmarks.scale --real FILE`: the descriptors in a .npy, .h5 or .bin file, photos first and
distractors after them; time by the clock. The first ones are the queries, and are not in the index, unless
--queries has others. Recall is against an exact search in float32; with --right (`benchmarks.crowd` writes
it) also of the places: the share of queries whose first answer is right.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.generated import new_pictures, write_descriptors
from benchmarks.growth import QUERIES, TOP, query_rows
from benchmarks.measure import Settings, Table, command_line, require, timed
from deepibl.features import read_features
from deepibl.search import CompressedIndex, PlaceIndex, Searcher, found_again
from matlab_compat.faiss_library import choose_kernels

EFFORTS = {"ivfpq": (8, 32, 128), "hnsw": (64, 128, 512)}
CODES = (16, 64, 256)  # bytes of an ivfpq code
Clock = Callable[[], float]


@dataclass(frozen=True)
class Rates:
    """One backend at one size: bytes and seconds an image, seconds a query and recall for each effort."""

    name: str
    images: int
    row_bytes: float
    structure_bytes: float
    build_seconds: float
    query_seconds: Sequence[float]
    recall: Sequence[float]
    places: Sequence[float] = ()


def run(settings: Settings) -> list[Table]:
    dim, sizes, few, codes = 4096, (4_000, 16_000), 500, CODES
    if settings.full:
        sizes, few = (10_000, 100_000), 2_000
    if settings.smoke:
        dim, sizes, few, codes = 32, (200, 600), 60, (4, 8)
    found: list[Rates] = []
    with tempfile.TemporaryDirectory() as name:
        for count in sizes:
            whole = write_descriptors(Path(name) / "whole.npy", count, dim, np.float32)
            queries = new_pictures(query_rows(count), dim)
            found += rates(Path(name), whole, queries, codes, few if count == sizes[0] else 0)
    for rate in found:
        least = 0.95 if rate.structure_bytes == 0 else 0.5 if settings.smoke else 0.0
        require(rate.recall[-1] >= least, f"{rate.name} finds only {rate.recall} of {rate.images} images")
    note = f"Processor time, {dim} dimensions, generated descriptors (`benchmarks/generated.py`)."
    return [_table(found, note)]


def rates(
    folder: Path,
    whole: np.ndarray,
    queries: np.ndarray,
    codes: Sequence[int],
    in_milvus: int,
    clock: Clock = time.process_time,
    right: np.ndarray | None = None,
) -> list[Rates]:
    """What every backend takes for descriptors (N, D) float32.

    in_milvus: of how many there, at most. right (Q, n): which of the first n rows are right answers.
    """
    seconds = partial(timed, clock=clock)
    count, dim = whole.shape
    half = np.lib.format.open_memmap(folder / "half.npy", "w+", np.float16, whole.shape)
    for start in range(0, count, 1000):
        half[start : start + 1000] = whole[start : start + 1000]
    exact = Searcher(whole, 1.001).nearest(queries, TOP)[0]
    found = []
    for name, rows in (("exact, float32", whole), ("exact, float16", half)):
        taken, (ids, _) = seconds(partial(Searcher(rows, 1.001).nearest, queries, TOP))
        size, recall = rows.dtype.itemsize * dim, [found_again(ids, exact)]
        found.append(Rates(name, count, size, 0, 0.0, [taken / len(queries)], recall, _places([ids], right)))
    for kind, how in [*(("ivfpq", {"code_bytes": size}) for size in codes), ("hnsw", {})]:
        build, compressed = seconds(partial(CompressedIndex.build, half, kind, **how))
        compressed.structure.write(folder / "structure")
        each = (folder / "structure").stat().st_size / count, build / count
        times, recalls, answers = [], [], []
        for effort in EFFORTS[kind]:
            taken, (ids, _) = seconds(partial(compressed.nearest, queries, TOP, effort=effort))
            times.append(taken / len(queries))
            recalls.append(found_again(ids, exact))
            answers.append(ids)
        name = f"ivfpq, {how['code_bytes']} bytes" if how else "hnsw, 8 bits"
        found.append(Rates(name, count, 2 * dim, *each, times, recalls, _places(answers, right)))
    return found + (_milvus(folder, whole[:in_milvus], queries[:20], seconds) if in_milvus else [])


def _places(answers: Sequence[np.ndarray], right: np.ndarray | None) -> list[float]:
    """Recall@1 of the places, of answers (Q, k) at each effort; none if it is not known what is right."""
    if right is None:
        return []
    padded = np.pad(right, ((0, 0), (0, 1)))  # the last column: all other images
    first = [np.minimum(ids[:, 0], right.shape[1]) for ids in answers]
    return [float(np.take_along_axis(padded, each[:, None], axis=1).mean()) for each in first]


def _milvus(folder: Path, rows: np.ndarray, queries: np.ndarray, seconds: Callable) -> list[Rates]:
    """milvus-lite with its exact index, if it is installed: how the embedded form does, not a cluster."""
    try:
        from deepibl.search import MilvusIndex
    except ImportError:
        return []
    count, where = len(rows), Path(tempfile.mkdtemp(dir=folder)) / "index.db"
    index = PlaceIndex(np.asarray(rows), [str(i) for i in range(count)], np.zeros((count, 2)), "generated")
    build, made = seconds(lambda: MilvusIndex.create(str(where), index))
    taken, found = seconds(lambda: made.search(queries, TOP))
    made.close()
    size = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    wanted = [{match.name for match in row} for row in index.search(queries, TOP)]
    same = [len(want & {m.name for m in row}) / TOP for want, row in zip(wanted, found, strict=True)]
    shutil.rmtree(where)
    each = [taken / len(queries)], [float(np.mean(same))]
    return [Rates("milvus-lite, FLAT", count, size / count, 0, build / count, *each)]


def _table(found: Sequence[Rates], note: str) -> Table:
    ordered = sorted(found, key=lambda rate: rate.name)
    rows = [
        [
            rate.name,
            f"{rate.images:,}",
            f"{rate.row_bytes:,.0f} + {rate.structure_bytes:,.0f}",
            f"{rate.build_seconds * 1e6:,.0f}",
            " / ".join(f"{seconds * 1e3:.2f}" for seconds in rate.query_seconds),
            " / ".join(f"{recall:.3f}" for recall in rate.recall),
        ]
        for rate in ordered
    ]
    columns = ["backend", "images", "bytes an image", "us an image to build", "ms a query", f"recall@{TOP}"]
    if any(rate.places for rate in found):
        columns.append("places@1")
        for row, rate in zip(rows, ordered, strict=True):
            row.append(" / ".join(f"{recall:.3f}" for recall in rate.places))
    note += (
        f" Bytes: descriptor + structure. Three figures: {EFFORTS['ivfpq']} lists of ivfpq, efSearch "
        f"{EFFORTS['hnsw']} of hnsw."
    )
    return Table("Bytes, time and recall of each backend", columns, rows, note)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    parser.add_argument("--real", type=Path, required=True, help="descriptors: a .npy, .h5 or .bin file")
    parser.add_argument("--queries", type=Path, help="descriptors of the queries, in another file")
    parser.add_argument("--right", type=Path, help="(Q, n) .npy: which of the first n images are right")
    parser.add_argument("--dim", type=int, help="dimensions of a .bin file")
    parser.add_argument("--images", type=int, nargs="+", default=[100_000], help="sizes, at most")
    parser.add_argument("--milvus", type=int, default=100_000, help="of how many images in Milvus, at most")
    parser.add_argument("--codes", type=int, nargs="+", default=CODES, help="bytes of ivfpq's codes")
    given = parser.parse_args(arguments)
    choose_kernels()  # as the command does
    rows = read_features(given.real, dim=given.dim, mmap=given.real.suffix != ".h5")
    if given.queries is None:
        queries, rows = np.array(rows[:QUERIES]), rows[QUERIES:]
    else:
        queries = read_features(given.queries, dim=rows.shape[1])
    with tempfile.TemporaryDirectory() as name:
        for count in sorted({min(size, len(rows)) for size in given.images}):
            some, codes = rows[:count], [size for size in given.codes if not rows.shape[1] % size]
            right = None if given.right is None else np.load(given.right)
            found = rates(
                Path(name), some, queries, codes, min(count, given.milvus), time.perf_counter, right
            )
            note = f"Seconds by the clock, {len(queries)} queries, {rows.shape[1]} dimensions: {given.real}."
            _table(found, note).print()


if __name__ == "__main__":
    main()
