"""Exact nearest neighbours of descriptors, by faiss's matrix products over blocks of queries."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from deepibl.errors import FeatureFileError
from deepibl.runtime.files import RowView
from matlab_compat.errors import ArgumentError
from matlab_compat.yael import float_rows, search_checked, squared_norms

BLOCK = 1024  # queries at a time: bounds memory, changes no result


def nearest(queries: Any, database: Any, k: int, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest database rows of each query, nearest first; equal distances are ordered by id.

    queries: (Q, D), database: (N, D), float32 or convertible to it; the database may be memory-mapped. block:
    queries at a time; the ids do not depend on it, since near ties are decided in float64.
    Returns ids (Q, min(k, N)) int64, 0-based, and squared L2 distances of the same shape, float32.
    Raises FeatureFileError for descriptors that do not fit together or hold NaN or infinity, ArgumentError
    for k or block below 1.

    >>> nearest([[0.0, 0.0]], [[3.0, 4.0], [1.0, 0.0]], k=2)
    (array([[1, 0]]), array([[ 1., 25.]], dtype=float32))
    """
    return Searcher(database).nearest(queries, k, block)


class Searcher:
    """A database (N, D) that is checked once and searched many times: `searcher(queries, k)`, see `nearest`.

    largest: its largest squared norm, if known from an earlier check (an index file): then it is not read.
    """

    def __init__(self, database: Any, largest: float | None = None) -> None:
        self.database = as_descriptors(database, "database", half=True)
        self.largest = largest_norm(self.database, "database") if largest is None else largest

    def nearest(self, queries: Any, k: int, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
        """See the function `nearest`."""
        if k < 1 or block < 1:
            raise ArgumentError(f"k and block must be at least 1; got k={k!r}, block={block!r}")
        rows = as_descriptors(queries, "queries")
        parts = [self(rows[start : start + block], k) for start in range(0, len(rows), block)]
        width = min(int(k), len(self.database))
        empty = (np.zeros((0, width), np.int64), np.zeros((0, width), np.float32))
        ids, distances = zip(empty, *parts, strict=True)
        return np.concatenate(ids), np.concatenate(distances)

    def __call__(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        rows = as_descriptors(queries, "queries")
        require_same_width(rows, self.database)
        largest = max(self.largest, largest_norm(rows, "queries"))
        k = min(int(k), len(self.database))
        if k == 0 or not len(rows):
            return np.zeros((len(rows), k), np.int64), np.zeros((len(rows), k), np.float32)
        return search_checked(self.database, rows, k, largest)


class BlockSearcher:
    """Answers one query at a time from blocks of queries that are searched together.

    order: the query ids (T,) in the order of the calls; depth: neighbours to search for. A query that is not
    in `order`, or one for more neighbours than `depth`, is searched by itself.
    """

    def __init__(
        self, searcher: Searcher, queries: np.ndarray, order: np.ndarray, depth: int, block: int
    ) -> None:
        self.searcher, self.queries, self.order = searcher, queries, order
        self.depth, self.block = depth, block
        self.place = {int(query): row for row, query in enumerate(order)}
        self.start = -1
        self.ids = self.distances = np.zeros((0, 0))

    def __call__(self, query: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        if k > self.depth or query not in self.place:
            ids, distances = self.searcher(self.queries[query : query + 1], k)
            return ids[0], distances[0]
        row = self.place[query]
        if self.start < 0 or not self.start <= row < self.start + len(self.ids):
            self.start = row - row % self.block
            wanted = self.order[self.start : self.start + self.block]
            self.ids, self.distances = self.searcher(self.queries[wanted], self.depth)
        return self.ids[row - self.start, :k], self.distances[row - self.start, :k]


def as_descriptors(array: Any, what: str, half: bool = False) -> Any:
    """Descriptors as C-ordered float32 (N, D), without a copy if they already are.

    half: keeps float16 (a memory-mapped database may be larger than memory) and a RowView. Raises
    FeatureFileError, naming `what`, for anything but a matrix of numbers.
    """
    if half and isinstance(array, RowView):
        return array
    return _refuse_as_features(partial(float_rows, half=half), array, what)


def require_same_width(queries: Any, database: Any) -> None:
    """Raises FeatureFileError unless queries (Q, D) and database (N, D) have the same D."""
    if queries.shape[1] != database.shape[1]:
        raise FeatureFileError(
            f"the queries have {queries.shape[1]} dimensions, the database {database.shape[1]}: both must "
            "come from the same network and have the same number of dimensions kept"
        )


def largest_norm(rows: Any, what: str) -> float:
    """The largest squared norm of rows (N, D); raises FeatureFileError, naming `what`, for NaN, infinity."""
    return float(_refuse_as_features(squared_norms, rows, what).max(initial=0))


def _refuse_as_features(check: Callable[[Any, str], np.ndarray], rows: Any, what: str) -> np.ndarray:
    try:
        return check(rows, what)
    except ArgumentError as problem:
        raise FeatureFileError(str(problem)) from None
