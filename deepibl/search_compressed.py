"""Approximate search in millions of descriptors: a few dozen bytes each, the best ones measured exactly.

Descriptors are sorted into lists around centres (IVF) and kept as codes of a product quantiser (PQ). A query
looks into a few lists, and the candidates found there are measured again against the descriptors themselves,
which stay in their file:

    compressed = CompressedIndex.build(np.load("city.npy", mmap_mode="r"))
    ids, distances = compressed.nearest(queries, k=10)
    compressed.save("city.ivfpq");  CompressedIndex.load("city.ivfpq", database)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepibl.errors import IndexFileError
from deepibl.search import as_descriptors
from matlab_compat.errors import ArgumentError
from matlab_compat.files import atomic_output

BLOCK_ROWS = 16384  # of the database in memory at a time
SAMPLE = 40  # training vectors for each list; faiss recommends 39 or more


@dataclass(frozen=True)
class CompressedIndex:
    """An IVF-PQ index of `database` (N, D), float32 or float16, which may be memory-mapped."""

    index: Any
    database: np.ndarray

    @classmethod
    def build(
        cls, database: Any, *, lists: int | None = None, code_bytes: int = 64, seed: int = 0
    ) -> CompressedIndex:
        """Learns centres and codes from a random sample, then adds all rows, a block at a time.

        lists: centres; None: about 2 sqrt(N), at most 4096. code_bytes: of one row's code; divides D.
        Raises ArgumentError for settings that do not fit, FeatureFileError for no matrix of numbers.
        """
        import faiss

        rows = as_descriptors(database, "database", half=True)
        count, dim = rows.shape
        if not 1 <= code_bytes <= dim or dim % code_bytes:
            raise ArgumentError(f"code_bytes={code_bytes} has to divide the {dim} dimensions")
        if count < 2:
            raise ArgumentError(f"{count} descriptors are too few for a compressed index; use nearest()")
        wanted = min(4096, int(2 * np.sqrt(count))) if lists is None else lists
        centres = max(1, min(int(wanted), count))
        size = min(count, max(SAMPLE * centres, SAMPLE << bits_for(count)))
        chosen = np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(dim), dim, centres, code_bytes, bits_for(count))
        index.cp.seed = index.pq.cp.seed = seed + 1
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
        index.train(rows[chosen].astype(np.float32))
        for start in range(0, count, BLOCK_ROWS):
            index.add(rows[start : start + BLOCK_ROWS].astype(np.float32, copy=False))
        return cls(index, rows)

    def nearest(
        self, queries: Any, k: int, *, probes: int = 32, candidates: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """About the nearest rows of each query: ids (Q, min(k, N)) int64, exact squared distances float32.

        probes: lists to look into. candidates: rows whose codes are nearest that are measured exactly; None:
        10 k. A place for which no candidate was found has id -1 and distance infinity.
        """
        rows = as_descriptors(queries, "queries")
        k = min(int(k), len(self.database))
        if k < 1 or probes < 1:
            raise ArgumentError(f"k and probes must be at least 1, not k={k}, probes={probes}")
        self.index.nprobe = min(probes, self.index.nlist)
        _, rough = self.index.search(rows, min(len(self.database), max(k, candidates or 10 * k)))
        ids = np.full((len(rows), k), -1, np.int64)
        distances = np.full((len(rows), k), np.inf, np.float32)
        for i, found in enumerate(rough):
            near = np.sort(found[found >= 0])
            exact = np.square(self.database[near].astype(np.float64) - rows[i]).sum(1)
            order = np.argsort(exact, kind="stable")[:k]
            ids[i, : len(order)], distances[i, : len(order)] = near[order], exact[order]
        return ids, distances

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the codes and lists (not the descriptors); `path` is replaced only by a whole file."""
        import faiss

        with atomic_output(path) as temporary:
            faiss.write_index(self.index, os.fspath(temporary))

    @classmethod
    def load(cls, path: str | os.PathLike[str], database: Any) -> CompressedIndex:
        """Reads what `save` wrote, for the same descriptors. Raises IndexFileError if it is not that."""
        import faiss

        try:
            index = faiss.read_index(os.fspath(path))
        except RuntimeError as problem:
            raise IndexFileError(f"{path} is no index that faiss can read: {problem}") from problem
        rows = as_descriptors(database, "database", half=True)
        if (index.ntotal, index.d) != rows.shape:
            raise IndexFileError(
                f"{path} indexes {index.ntotal} descriptors of {index.d} dimensions, the database has "
                f"{rows.shape[0]} of {rows.shape[1]}: give the database it was built from, or build it again"
            )
        return cls(index, rows)


def bits_for(count: int) -> int:
    """Bits of each part of a code: 8, fewer where there are not rows enough to learn 256 values from."""
    return max(1, min(8, int(np.log2(max(2, count // 4)))))
