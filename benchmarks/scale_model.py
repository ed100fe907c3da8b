"""Bytes, time and machines at sizes that are not measured, from rates that are.

Assumed: machines of 16 cores, 128 GB of memory and 8 TB of disk, each with an equal part of the images; a
query asks all of them at once, one core of each, and comes in batches of 100. In memory must fit what queries
go through: all descriptors (exact, Milvus's FLAT), or the structure (ivfpq, hnsw); the 100 descriptors that
are measured exactly are read from the disk. With n images on a machine, and rates measured at two sizes, the
larger one n0:

- bytes = N (descriptor + structure); machines = the larger of what memory and disk ask for. The structure of
  ivfpq: what is measured, less its centres and codebook, 4 D (L(n0) + 256) bytes, plus those of n images
- exact: query = measured x n / n0
- ivfpq, 32 lists: query = r + c L(n) + b n 32 / L(n), with L(n) = min(4096, 2 sqrt(n)) lists. b, the time of
  a code, from searches of few and of many lists; r + c L from what is left at the two sizes. build = measured
  x L(n) / L(n0) an image
- hnsw: query and build = measured x log n / log n0
- recall: a line through the two measured ones over log n, between 0 and 1. This is not proved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Table

SIZES = (10**6, 10**8, 10**10)
CORES, MEMORY, DISK = 16, 128e9, 8e12
LISTS = 32  # that the ivfpq rows look into


@dataclass(frozen=True)
class Rates:
    """One backend at one size: bytes and seconds an image, seconds a query and recall for each effort."""

    name: str
    images: int
    row_bytes: float
    structure_bytes: float
    build_seconds: float
    query_seconds: tuple[float, ...]
    recall: tuple[float, ...]
    efforts: tuple[int, ...] = (0,)

    def structure(self, images: float) -> float:
        """Bytes of the structure of this many images on one machine."""
        if not self.name.startswith("ivfpq"):
            return self.structure_bytes * images
        here = 2 * self.row_bytes * (lists(self.images) + 256)  # 4 D: twice the bytes of a float16 row
        there = 2 * self.row_bytes * (lists(images) + 256)
        return (self.structure_bytes * self.images - here) * images / self.images + there


def lists(images: float) -> float:
    """The lists that an ivfpq structure of this many images has by default."""
    return min(4096.0, 2 * math.sqrt(images))


def machines(rate: Rates, images: float) -> int:
    """How many of the assumed machines hold this many images."""
    count = 1
    while True:
        each = images / count
        rows, structure = rate.row_bytes * each, rate.structure(each)
        needed = max((structure or rows) / MEMORY, (rows + structure) / DISK)
        if needed <= 1:
            return count
        count = max(count + 1, math.floor(count * needed))


def query_seconds(small: Rates, large: Rates, images: float) -> float:
    """Seconds of one core for a query among this many images on one machine."""
    if large.name.startswith("ivfpq"):
        code = max(0.0, _code_seconds(large))
        rest = [_rest(rate, code) for rate in (small, large)]
        slope = max(0.0, (rest[1] - rest[0]) / (lists(large.images) - lists(small.images)))
        fixed = max(0.0, rest[1] - slope * lists(large.images))
        return fixed + slope * lists(images) + code * images * LISTS / lists(images)
    measured = large.query_seconds[_middle(large)]
    if large.name.startswith("hnsw"):
        return measured * math.log(images) / math.log(large.images)
    return measured * images / large.images


def build_seconds(large: Rates, images: float) -> float:
    """Seconds of one core to build the structure of one image among this many."""
    if large.name.startswith("ivfpq"):
        return large.build_seconds * lists(images) / lists(large.images)
    if large.name.startswith("hnsw"):
        return large.build_seconds * math.log(images) / math.log(large.images)
    return large.build_seconds


def recall(small: Rates, large: Rates, images: float) -> float:
    """Recall among this many images, on the line through the two measured sizes."""
    first, last = (rate.recall[_middle(rate)] for rate in (small, large))
    if small.images == large.images:
        return last
    slope = (last - first) / math.log(large.images / small.images)
    return min(1.0, max(0.0, last + slope * math.log(images / large.images)))


def model_table(rates: Sequence[Rates], dim: int) -> Table:
    """The computed table, a row for each backend and size."""
    rows = []
    for name in dict.fromkeys(rate.name for rate in rates):
        same = sorted((rate for rate in rates if rate.name == name), key=lambda rate: rate.images)
        small, large = same[0], same[-1]
        for images in SIZES:
            count = machines(large, images)
            each = images / count
            size = _bytes(images * large.row_bytes + count * large.structure(each))
            hours, seconds = build_seconds(large, each) * images / 3600, query_seconds(small, large, each)
            speed, found = f"{CORES / seconds:,.3g}", f"{recall(small, large, each):.2f}"
            many = f"{images:.0e}".replace("e+", "e")
            rows.append([name, many, size, count, f"{hours:,.1f}", f"{seconds:.3g}", speed, found])
    columns = ["backend", "images", "bytes", "machines", "core hours to build", "s a query, one core each"]
    columns += ["queries/s, all cores", "recall@10"]
    return Table(
        f"Computed, {dim} dimensions: machines of {CORES} cores, {MEMORY / 1e9:.0f} GB memory, "
        f"{DISK / 1e12:.0f} TB disk",
        columns,
        rows,
        "Not measured. Formulas and assumptions: `benchmarks/scale_model.py`. Building an exact index takes "
        "no more than writing it. 16 cores are assumed to do 16 times the work of one.",
    )


def _middle(rate: Rates) -> int:
    return len(rate.query_seconds) // 2


def _code_seconds(rate: Rates) -> float:
    """Seconds to compare one code, from searches of few and of many lists."""
    per_list = rate.images / lists(rate.images)
    codes = (rate.efforts[-1] - rate.efforts[0]) * per_list
    return (rate.query_seconds[-1] - rate.query_seconds[0]) / codes


def _rest(rate: Rates, code: float) -> float:
    """What a query takes besides comparing codes."""
    at = _middle(rate)
    return max(0.0, rate.query_seconds[at] - code * rate.efforts[at] * rate.images / lists(rate.images))


def _bytes(count: float) -> str:
    for unit in ("GB", "TB", "PB"):
        count /= 1e9 if unit == "GB" else 1e3
        if count < 1000:
            return f"{count:.3g} {unit}"
    return f"{count:.3g} PB"
