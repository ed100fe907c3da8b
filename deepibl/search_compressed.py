"""Approximate search in millions of descriptors: a structure finds candidates, which are measured exactly.

The descriptors themselves stay in their file (memory-mapped, float32 or float16); of each, the structure
(`deepibl.search_structures`) keeps a code of a few dozen bytes and where it belongs:

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
from deepibl.search import Searcher, as_descriptors, require_same_width
from deepibl.search_structures import Structure, build_structure, read_structure
from matlab_compat.errors import ArgumentError
from matlab_compat.files import atomic_output

EFFORT = {"ivfpq": 32, "hnsw": 128}  # lists to look into; rows to remember on the way


@dataclass(frozen=True)
class CompressedIndex:
    """A structure over `database` (N, D), float32 or float16, which may be memory-mapped or a row view."""

    structure: Structure
    database: Any

    @classmethod
    def build(cls, database: Any, kind: str = "ivfpq", **settings: Any) -> CompressedIndex:
        """Builds a structure, 'ivfpq' or 'hnsw', of all rows. settings: those of the structure's `build`.

        Raises ArgumentError for settings that do not fit, FeatureFileError for no matrix of numbers.
        """
        rows = as_descriptors(database, "database", half=True)
        return cls(build_structure(kind, rows, **settings), rows)

    def nearest(
        self, queries: Any, k: int, *, effort: int | None = None, candidates: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """About the nearest rows of each query: ids (Q, min(k, N)) int64, exact squared distances float32.

        effort: lists to look into (ivfpq, default 32), rows to remember on the walk (hnsw, 128). candidates:
        rows that are measured exactly; None: 10 k. Equal distances come lowest id first, as in an exact
        search. A place for which no candidate was found has id -1 and distance infinity.
        """
        rows = as_descriptors(queries, "queries")
        require_same_width(rows, self.database)
        k = min(int(k), len(self.database))
        effort = EFFORT[self.structure.kind] if effort is None else effort
        if k < 1 or effort < 1:
            raise ArgumentError(f"k and effort must be at least 1, not k={k}, effort={effort}")
        wanted = min(len(self.database), max(k, candidates or 10 * k))
        rough = self.structure.candidates(rows, wanted, effort)
        ids = np.full((len(rows), k), -1, np.int64)
        distances = np.full((len(rows), k), np.inf, np.float32)
        for i, found in enumerate(rough):
            near = np.sort(found[found >= 0])
            if len(near) and near[-1] >= len(self.database):
                raise IndexFileError(
                    f"the structure names row {near[-1]} of {len(self.database)}: it is damaged, or of "
                    "another index; make the index again"
                )
            exact = np.square(self.database[near].astype(np.float64) - rows[i]).sum(1).astype(np.float32)
            order = np.argsort(exact, kind="stable")[:k]
            ids[i, : len(order)], distances[i, : len(order)] = near[order], exact[order]
        return ids, distances

    def recall(self, queries: Any, k: int, **settings: Any) -> float:
        """The share of the exact k nearest rows that `nearest` finds. settings: those of `nearest`."""
        exact, _ = Searcher(self.database).nearest(queries, k)
        return found_again(self.nearest(queries, k, **settings)[0], exact)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the structure (not the descriptors); `path` is replaced only by a whole file."""
        with atomic_output(path) as temporary:
            self.structure.write(temporary)

    @classmethod
    def load(cls, path: str | os.PathLike[str], database: Any, kind: str = "ivfpq") -> CompressedIndex:
        """Maps what `save` wrote, for the same descriptors. Raises IndexFileError if it is not that."""
        try:
            structure = read_structure(kind, np.memmap(path, np.uint8, "r"))
        except (IndexFileError, OSError, ValueError) as problem:
            raise IndexFileError(f"{path} cannot be used as an index: {problem}") from problem
        rows = as_descriptors(database, "database", half=True)
        require_fit(structure, rows, path)
        return cls(structure, rows)


def require_fit(structure: Structure, rows: Any, path: str | os.PathLike[str]) -> None:
    """Raises IndexFileError, naming `path`, unless the structure has a row for each of `rows` (N, D)."""
    if structure.shape != rows.shape:
        raise IndexFileError(
            f"{path} indexes {structure.shape[0]} descriptors of {structure.shape[1]} dimensions, the "
            f"database has {rows.shape[0]} of {rows.shape[1]}: give the database it was built from, or build "
            "it again"
        )


def found_again(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the ids `exact` (Q, k) that stand in the same row of `found` (Q, any)."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([np.isin(wanted, answer).mean() for answer, wanted in pairs]))
