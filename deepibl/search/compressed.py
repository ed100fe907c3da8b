"""Approximate search in millions of descriptors: a structure finds candidates, which are measured exactly.

    ids, distances = CompressedIndex.build(np.load("city.npy", mmap_mode="r")).nearest(queries, k=10)

The descriptors stay in their file (memory-mapped, float32 or float16). A `Structure`, by faiss, holds a code
of a few dozen bytes for each, never the descriptors themselves, and finds ids that are probably near without
scanning every descriptor; `CompressedIndex` measures those exactly.

ivfpq     sorts codes of `code_bytes` + 8 bytes into about 2 sqrt(N) lists, and scans those with near centres
hnsw      links 8-bit codes, D + about 140 bytes a row, and walks along the links towards the query

Reading maps the bytes (faiss's zero-copy reader): codes and links stay in the file until they are used.
faiss trusts what it reads, so `deepibl.search.index_file` compares a checksum first. That does not protect
against a file made with intent to harm: open structures only from sources whose programs you would run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepibl.errors import IndexFileError
from deepibl.runtime.files import RowView, blocks
from deepibl.runtime.progress import counting, working
from deepibl.search.exact import as_descriptors, require_same_width
from matlab_compat.errors import ArgumentError
from matlab_compat.faiss_library import load_faiss
from matlab_compat.files import StrPath

SAMPLE = 40  # training vectors for each list; faiss recommends 39 or more
LINKS = 16  # of a row in the graph (twice as many on its lowest level)
GRAPH_SAMPLE = 10_000  # rows from which the range of each dimension is learned


@dataclass(frozen=True)
class Structure:
    """One of faiss's indexes, `kind` of KINDS, of a database (N, D); ids are the database's 0-based rows."""

    kind: str
    index: Any
    source: Any = None  # the bytes that a mapped `index` reads, kept alive

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions (N, D) of the database."""
        return self.index.ntotal, self.index.d

    def candidates(self, queries: np.ndarray, count: int, effort: int) -> np.ndarray:
        """Ids (Q, count) int64 of rows that are probably near, -1 where none was found.

        effort: lists with the nearest centres that are scanned, or the best rows that a walk keeps (`count`
        if that is larger).
        """
        faiss = load_faiss()
        if self.kind == "ivfpq":
            how = faiss.SearchParametersIVF(nprobe=min(effort, self.index.nlist))
        else:
            how = faiss.SearchParametersHNSW(efSearch=max(effort, count))
        return self.index.search(queries, count, params=how)[1]

    def edited(self, kept: np.ndarray, rows: Any) -> Structure:
        """The structure of `rows`: the `kept` rows of this one's database (ascending ids), then new ones.

        Lists keep the centres and the codes of the kept rows, and encode new ones with the same centres. A
        graph links new rows in; it cannot lose rows, so it is built again if some are gone.
        """
        if self.kind == "hnsw" and len(kept) < self.index.ntotal:
            graph = self.index.hnsw
            return build_structure(
                "hnsw", rows, links=graph.nb_neighbors(1), construction=graph.efConstruction
            )
        faiss = load_faiss()
        # a copy that may be changed: faiss's own clone of a mapped index refers to the mapped bytes
        fresh = faiss.deserialize_index(faiss.serialize_index(self.index))
        if self.kind == "ivfpq":
            fresh.reset()
            new_ids = np.full(self.index.ntotal, -1, np.int64)
            new_ids[kept] = np.arange(len(kept))
            lists, size = self.index.invlists, self.index.invlists.code_size
            for number in range(self.index.nlist):
                if not (count := lists.list_size(number)):
                    continue
                ids = new_ids[faiss.rev_swig_ptr(lists.get_ids(number), count)]
                codes = faiss.rev_swig_ptr(lists.get_codes(number), count * size).reshape(count, size)
                codes, ids = np.ascontiguousarray(codes[ids >= 0]), ids[ids >= 0]
                if len(ids):
                    fresh.invlists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
            fresh.ntotal = len(kept)
        _add(fresh, rows, len(kept))
        return Structure(self.kind, fresh)

    def write(self, path: StrPath) -> None:
        """Writes it in faiss's format."""
        load_faiss().write_index(self.index, os.fspath(path))


def _ivfpq(rows: Any, *, lists: int | None = None, code_bytes: int | None = None, seed: int = 0) -> Any:
    """Centres and codes learned from a random sample, without rows."""
    faiss = load_faiss()
    count, dim = rows.shape
    if code_bytes is None:
        code_bytes = max(size for size in range(1, min(dim, 64) + 1) if dim % size == 0)
    if not 1 <= code_bytes <= dim or dim % code_bytes:
        raise ArgumentError(f"code_bytes={code_bytes} must divide the {dim} dimensions")
    wanted = min(4096, int(2 * np.sqrt(count))) if lists is None else lists
    centres = max(1, min(int(wanted), count))
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(dim), dim, centres, code_bytes, bits_for(count))
    index.cp.seed = index.pq.cp.seed = seed + 1
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    with working("learning the centres and codes of ivfpq"):
        index.train(sample(rows, max(SAMPLE * centres, SAMPLE << bits_for(count)), seed))
    return index


def _hnsw(rows: Any, *, links: int = LINKS, construction: int = 80, seed: int = 0) -> Any:
    """A graph over 8-bit codes, whose ranges are learned from a random sample, without rows."""
    faiss = load_faiss()
    if links < 2 or construction < 1:
        raise ArgumentError(f"links must be at least 2, construction at least 1; got {links}, {construction}")
    index = faiss.IndexHNSWSQ(rows.shape[1], faiss.ScalarQuantizer.QT_8bit, int(links))
    index.hnsw.efConstruction = int(construction)
    index.train(sample(rows, GRAPH_SAMPLE, seed))
    return index


KINDS: dict[str, Callable[..., Any]] = {"ivfpq": _ivfpq, "hnsw": _hnsw}


def build_structure(kind: str, rows: Any, **settings: Any) -> Structure:
    """A structure of the rows (N, D) of a matrix or view, added in blocks.

    settings of ivfpq: `lists`, centres (default: about 2 sqrt(N), at most 4096), and `code_bytes` of a row's
    code, a divisor of D (default: the largest up to 64). Of hnsw: `links`, of every row to near ones (16),
    among `construction` candidates (80; more: slower, better). Of both: `seed`.
    Raises ArgumentError for a kind that is not in KINDS, fewer than two rows, and invalid settings.
    """
    if len(rows) < 2:
        raise ArgumentError(f"too few descriptors for {kind}: {len(rows)}; use an exact search")
    if kind not in KINDS:
        raise ArgumentError(f"the structure must be one of {', '.join(KINDS)}; got {kind!r}")
    index = KINDS[kind](rows, **settings)
    _add(index, rows)
    return Structure(kind, index)


def read_structure(kind: str, content: np.ndarray) -> Structure:
    """The structure in faiss's bytes (M,) uint8, which are not copied but read when needed.

    Raises IndexFileError if they are not a structure of that kind.
    """
    faiss = load_faiss()
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(content), content.nbytes)
    try:
        index = faiss.read_index(reader)
    except RuntimeError as problem:
        raise IndexFileError(f"not an {kind} structure that faiss can read: {problem}") from problem
    if not isinstance(index, {"ivfpq": faiss.IndexIVFPQ, "hnsw": faiss.IndexHNSWSQ}.get(kind, ())):
        raise IndexFileError(f"holds faiss's {type(index).__name__}, not a structure of kind {kind}")
    return Structure(kind, index, (content, reader))


def sample(rows: Any, size: int, seed: int) -> np.ndarray:
    """At most `size` random rows, float32, in their order."""
    count = len(rows)
    chosen = np.random.default_rng(seed).choice(count, min(size, count), replace=False)
    return rows[np.sort(chosen)].astype(np.float32)


def bits_for(count: int) -> int:
    """Bits of each part of a code: 8, fewer if there are too few rows to learn 256 values from."""
    return max(1, min(8, int(np.log2(max(2, count // 4)))))


def _add(index: Any, rows: Any, first: int = 0) -> None:
    rest = RowView([(rows, np.arange(first, len(rows)))]) if first else rows
    with counting(None, "adding descriptors to the search structure") as count:
        for part in blocks(rest):
            index.add(np.ascontiguousarray(part, np.float32))
            count(index.ntotal - first, len(rest))


EFFORT = {"ivfpq": 32, "hnsw": 512}  # lists to scan; rows to keep on a walk: 128 miss many places


@dataclass(frozen=True)
class CompressedIndex:
    """A structure over `database` (N, D), float32 or float16, which may be memory-mapped or a row view."""

    structure: Structure
    database: Any

    @classmethod
    def build(cls, database: Any, kind: str = "ivfpq", **settings: Any) -> CompressedIndex:
        """Builds a structure, 'ivfpq' or 'hnsw', of all rows. settings: see `build_structure`.

        Raises ArgumentError for invalid settings, FeatureFileError for anything but a matrix of numbers.
        """
        rows = as_descriptors(database, "database", half=True)
        return cls(build_structure(kind, rows, **settings), rows)

    def nearest(
        self, queries: Any, k: int, *, effort: int | None = None, candidates: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probably the k nearest rows of each query, and their exact squared distances.

        effort: lists to scan (ivfpq, default 32) or rows to keep on the walk (hnsw, 512). candidates: rows to
        measure exactly; None: 10 k. Returns ids (Q, min(k, N)) int64 and distances float32; equal distances
        are ordered by id, and where too few candidates were found the id is -1 and the distance infinity.
        """
        rows = as_descriptors(queries, "queries")
        require_same_width(rows, self.database)
        k = min(int(k), len(self.database))
        effort = EFFORT[self.structure.kind] if effort is None else effort
        if k < 1 or effort < 1:
            raise ArgumentError(f"k and effort must be at least 1; got k={k}, effort={effort}")
        wanted = min(len(self.database), max(k, candidates or 10 * k))
        rough = self.structure.candidates(rows, wanted, effort)
        ids = np.full((len(rows), k), -1, np.int64)
        distances = np.full((len(rows), k), np.inf, np.float32)
        for i, found in enumerate(rough):
            near = np.sort(found[found >= 0])
            if len(near) and near[-1] >= len(self.database):
                raise IndexFileError(
                    f"the structure names row {near[-1]} of {len(self.database)}: make the index again"
                )
            exact = np.square(self.database[near].astype(np.float64) - rows[i]).sum(1).astype(np.float32)
            order = np.argsort(exact, kind="stable")[:k]
            ids[i, : len(order)], distances[i, : len(order)] = near[order], exact[order]
        return ids, distances


def require_fit(structure: Structure, rows: Any, path: StrPath) -> None:
    """Raises IndexFileError, naming `path`, unless the structure has a row for each of `rows` (N, D)."""
    if structure.shape != rows.shape:
        raise IndexFileError(
            f"{path} indexes {structure.shape[0]} descriptors of {structure.shape[1]} dimensions, the "
            f"database has {rows.shape[0]} of {rows.shape[1]}: build it again"
        )


def found_again(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the ids `exact` (Q, k) that are in the same row of `found` (Q, any)."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([np.isin(wanted, answer).mean() for answer, wanted in pairs]))
