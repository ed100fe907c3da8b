"""Approximate search in millions of descriptors: a structure finds candidates, which are measured exactly.

The descriptors themselves stay in their file (memory-mapped, float32 or float16); of each, the structure
(`deepibl.search.compressed`) keeps a code of a few dozen bytes and where it belongs:

    compressed = CompressedIndex.build(np.load("city.npy", mmap_mode="r"))
    ids, distances = compressed.nearest(queries, k=10)
    compressed.save("city.ivfpq");  CompressedIndex.load("city.ivfpq", database)

What finds candidates without looking at every descriptor: IVF-PQ lists, and a navigable graph (HNSW).

Both are faiss's. A structure holds codes of the descriptors, never the descriptors themselves, and gives ids
that are probably near; `deepibl.search.compressed` measures those exactly.

========  ================================================  =================================================
kind      holds of a row of D numbers                       finds
========  ================================================  =================================================
ivfpq     `code_bytes` + 8 bytes, in about 2 sqrt(N) lists  rows of the lists whose centres are near
hnsw      D + about 140 bytes: an 8-bit code, its links     rows met on a walk towards the query
========  ================================================  =================================================

Reading maps the bytes (faiss's zero-copy reader): codes and links stay in the file until they are looked at.
faiss trusts what it reads, so `deepibl.search.index_file` compares a checksum first; a file that somebody *meant* to
be harmful is another matter: open structures only from where you would run programs from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from deepibl.errors import IndexFileError
from deepibl.runtime.files import RowView, blocks
from deepibl.search.exact import Searcher, as_descriptors, require_same_width
from matlab_compat.errors import ArgumentError
from matlab_compat.faiss_library import load_faiss
from matlab_compat.files import atomic_output

SAMPLE = 40  # training vectors for each list; faiss recommends 39 or more

LINKS = 16  # of a row in the graph (twice as many on its lowest level)

GRAPH_SAMPLE = 10_000  # rows from which the range of each dimension is learnt


class Structure(Protocol):
    """What an index asks of a structure. Ids are 0-based rows of the database it was built from."""

    kind: ClassVar[str]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions (N, D) of its database."""

    def candidates(self, queries: np.ndarray, count: int, effort: int) -> np.ndarray:
        """Ids (Q, count) int64 of rows that are probably near, -1 where none was found. effort: more finds
        more and takes longer.
        """

    def edited(self, kept: np.ndarray, rows: Any) -> Structure:
        """The structure of a database `rows` whose first rows are the `kept` ones of this one's (ascending
        ids); the rows after them are new.
        """

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes it in faiss's format."""


@dataclass(frozen=True)
class _OfFaiss:
    """One of faiss's indexes."""

    index: Any
    source: Any = None  # the bytes that `index` looks at, kept alive

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions (N, D)."""
        return self.index.ntotal, self.index.d

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes it in faiss's format."""
        load_faiss().write_index(self.index, os.fspath(path))


class IvfPq(_OfFaiss):
    """Rows sorted into lists around centres, each as a code of a product quantiser (see `build`)."""

    kind: ClassVar[str] = "ivfpq"

    @classmethod
    def build(
        cls, rows: Any, *, lists: int | None = None, code_bytes: int | None = None, seed: int = 0
    ) -> IvfPq:
        """Learns centres and codes from a random sample, then adds all rows, a block at a time.

        lists: centres; None: about 2 sqrt(N), at most 4096. code_bytes: of one row's code; divides D; None:
        64, or the largest divisor of D below. Raises ArgumentError for settings that do not fit.
        """
        faiss = load_faiss()
        count, dim = rows.shape
        if code_bytes is None:
            code_bytes = max(size for size in range(1, min(dim, 64) + 1) if dim % size == 0)
        if not 1 <= code_bytes <= dim or dim % code_bytes:
            raise ArgumentError(f"code_bytes={code_bytes} has to divide the {dim} dimensions")
        wanted = min(4096, int(2 * np.sqrt(count))) if lists is None else lists
        centres = max(1, min(int(wanted), count))
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(dim), dim, centres, code_bytes, bits_for(count))
        index.cp.seed = index.pq.cp.seed = seed + 1
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
        index.train(sample(rows, max(SAMPLE * centres, SAMPLE << bits_for(count)), seed))
        _add(index, rows)
        return cls(index)

    def candidates(self, queries: np.ndarray, count: int, effort: int) -> np.ndarray:
        """Rows of the `effort` lists with the nearest centres, those with the nearest codes first."""
        faiss = load_faiss()
        how = faiss.SearchParametersIVF(nprobe=min(effort, self.index.nlist))
        return self.index.search(queries, count, params=how)[1]

    def edited(self, kept: np.ndarray, rows: Any) -> IvfPq:
        """Keeps the centres and the codes of the kept rows; new rows are coded with them."""
        faiss = load_faiss()
        new_ids = np.full(self.index.ntotal, -1, np.int64)
        new_ids[kept] = np.arange(len(kept))
        fresh = _owned(self.index)
        fresh.reset()
        size = self.index.invlists.code_size
        for number in range(self.index.nlist):
            ids, codes = _list(self.index, number)
            stays = new_ids[ids] >= 0
            ids, codes = new_ids[ids][stays], np.ascontiguousarray(codes.reshape(-1, size)[stays])
            if len(ids):
                fresh.invlists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        fresh.ntotal = len(kept)
        _add(fresh, rows, len(kept))
        return IvfPq(fresh)


class Hnsw(_OfFaiss):
    """A graph of rows, each linked to near ones, over 8-bit codes (see `build`)."""

    kind: ClassVar[str] = "hnsw"

    @classmethod
    def build(cls, rows: Any, *, links: int = LINKS, construction: int = 80, seed: int = 0) -> Hnsw:
        """Links every row with `links` near ones, found among `construction` (more: slower, better)."""
        faiss = load_faiss()
        if links < 2 or construction < 1:
            raise ArgumentError(f"links={links} must be at least 2, construction={construction} at least 1")
        index = faiss.IndexHNSWSQ(rows.shape[1], faiss.ScalarQuantizer.QT_8bit, int(links))
        index.hnsw.efConstruction = int(construction)
        index.train(sample(rows, GRAPH_SAMPLE, seed))
        _add(index, rows)
        return cls(index)

    def candidates(self, queries: np.ndarray, count: int, effort: int) -> np.ndarray:
        """The nearest rows of a walk that remembers the `effort` best ones so far, or `count` if more."""
        faiss = load_faiss()
        how = faiss.SearchParametersHNSW(efSearch=max(effort, count))
        return self.index.search(queries, count, params=how)[1]

    def edited(self, kept: np.ndarray, rows: Any) -> Hnsw:
        """New rows are linked in; a graph cannot lose rows, so where some are gone it is built anew."""
        if len(kept) < self.index.ntotal:
            links = self.index.hnsw.nb_neighbors(1)
            return Hnsw.build(rows, links=links, construction=self.index.hnsw.efConstruction)
        fresh = _owned(self.index)
        _add(fresh, rows, len(kept))
        return Hnsw(fresh)


STRUCTURES: dict[str, type[IvfPq] | type[Hnsw]] = {"ivfpq": IvfPq, "hnsw": Hnsw}


def build_structure(kind: str, rows: Any, **settings: Any) -> Structure:
    """A structure of the rows (N, D) of a matrix or view. settings: those of the kind's `build`.

    Errors: ArgumentError for another kind, for fewer than two rows, for settings that do not fit.
    """
    if len(rows) < 2:
        raise ArgumentError(f"{len(rows)} descriptors are too few for {kind}; search them exactly")
    return _class(kind).build(rows, **settings)


def read_structure(kind: str, content: np.ndarray) -> Structure:
    """The structure in faiss's bytes (M,) uint8, which stay where they are and are looked at as needed.

    Errors: IndexFileError if they are not a structure of that kind.
    """
    faiss = load_faiss()
    made = _class(kind)
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(content), content.nbytes)
    try:
        index = faiss.read_index(reader)
    except RuntimeError as problem:
        raise IndexFileError(f"no {kind} structure that faiss can read: {problem}") from problem
    wanted = {"ivfpq": faiss.IndexIVFPQ, "hnsw": faiss.IndexHNSWSQ}[kind]
    if not isinstance(index, wanted):
        raise IndexFileError(f"holds a {type(index).__name__} where a structure of kind {kind} should be")
    return made(index, (content, reader))


def sample(rows: Any, size: int, seed: int) -> np.ndarray:
    """At most `size` random rows, float32, in their order."""
    count = len(rows)
    chosen = np.random.default_rng(seed).choice(count, min(size, count), replace=False)
    return rows[np.sort(chosen)].astype(np.float32)


def bits_for(count: int) -> int:
    """Bits of each part of a code: 8, fewer where there are not rows enough to learn 256 values from."""
    return max(1, min(8, int(np.log2(max(2, count // 4)))))


def _class(kind: str) -> type[IvfPq] | type[Hnsw]:
    if kind not in STRUCTURES:
        raise ArgumentError(f"{kind!r} is no structure; there are {', '.join(STRUCTURES)}")
    return STRUCTURES[kind]


def _owned(index: Any) -> Any:
    """A copy that may be changed (faiss's own clone of an index over mapped bytes is over them, too)."""
    faiss = load_faiss()
    return faiss.deserialize_index(faiss.serialize_index(index))


def _add(index: Any, rows: Any, first: int = 0) -> None:
    rest = RowView([(rows, np.arange(first, len(rows)))]) if first else rows
    for part in blocks(rest):
        index.add(np.ascontiguousarray(part, np.float32))


def _list(index: Any, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and code bytes of one list."""
    faiss = load_faiss()
    size = index.invlists.list_size(number)
    if not size:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    ids = faiss.rev_swig_ptr(index.invlists.get_ids(number), size)
    return ids, faiss.rev_swig_ptr(index.invlists.get_codes(number), size * index.invlists.code_size)


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
