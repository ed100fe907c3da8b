"""Recall@N and the rank loss of descriptors on a data set, with the original's random draws and rules.

The rank loss measures how much farther random negatives are than the nearest positive.

`report`, an argument of several functions, is called before each query with (its number from 1, the number
of queries, the mean so far).
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.place import Neighbours, PlaceSet
from deepibl.errors import DatasetError, FeatureFileError
from deepibl.features.files import read_features
from deepibl.search.exact import BLOCK, BlockSearcher, Searcher, as_descriptors
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.relja import relja_l2normalize_col
from matlab_compat.rng import Generator, rng

RECALL_NS = (1, 2, 3, 4, 5, *range(10, 101, 5))
PRINT_N = 10
SEED = 43
Report = Callable[[int, int, float], None]


@dataclass(frozen=True)
class RecallResult:
    """Recall@N of T queries.

    ns: the values of N; query_ids: (T,) int64, 0-based; found: (T, len(ns)) bool, whether a positive is among
    the first N; found_print: (T,) the same for print_n. A query without positives counts as not found.
    groups: named groups of query ids whose recall is reported separately (Tokyo 24/7: day, sunset, night).
    """

    ns: tuple[int, ...]
    query_ids: np.ndarray
    found: np.ndarray
    print_n: int
    found_print: np.ndarray
    seconds: float = 0.0
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def recalls(self) -> np.ndarray:
        """Recall@N for each of ns, (len(ns),) float64."""
        return self.found.mean(axis=0) if len(self.found) else np.full(len(self.ns), np.nan)

    @property
    def recall_print(self) -> float:
        """Recall@print_n."""
        return float(self.found_print.mean()) if len(self.found_print) else float("nan")

    def at(self, n: int) -> float:
        """Recall@n. Raises ArgumentError when n is not one of ns."""
        if n not in self.ns:
            raise ArgumentError(f"Recall@{n} was not measured, only @{', @'.join(map(str, self.ns))}")
        return float(self.recalls[self.ns.index(n)])

    def intervals(self) -> np.ndarray:
        """The 95 % intervals of the recalls, lower and upper ends (len(ns), 2), by Wilson's score."""
        count = len(self.found)
        if not count:
            return np.full((len(self.ns), 2), np.nan)
        z, p = 1.959964, self.recalls  # z: of the normal distribution
        half = z * np.sqrt(p * (1 - p) / count + (z / (2 * count)) ** 2)
        ends = np.stack([p - half, p + half], axis=1) + z**2 / (2 * count)
        return np.clip(ends / (1 + z**2 / count), 0, 1)

    def only(self, ids: ArrayLike) -> "RecallResult":
        """The result of some queries, by id."""
        rows = np.isin(self.query_ids, ids)
        kept = {name: getattr(self, name)[rows] for name in ("query_ids", "found", "found_print")}
        return replace(self, **kept)

    def tested_groups(self) -> dict[str, np.ndarray]:
        """The ids of each group that has tested queries."""
        return {name: ids for name, ids in self.groups.items() if np.isin(ids, self.query_ids).any()}

    def by_group(self) -> dict[str, np.ndarray]:
        """Recall@N for each of ns, (len(ns),), of each group that has tested queries."""
        return {name: self.only(ids).recalls for name, ids in self.tested_groups().items()}

    def table(self) -> str:
        """The lines that the original prints: N with three digits, recall with four decimals."""
        return "".join(f"{n:03d} {recall:.4f}\n" for n, recall in zip(self.ns, self.recalls, strict=True))


def recall_at_n(
    query_features: ArrayLike,
    database_features: ArrayLike,
    dataset: PlaceSet,
    ns: Sequence[int] = RECALL_NS,
    *,
    print_n: int = PRINT_N,
    n_sample: float = np.inf,
    generator: Generator | None = None,
    report: Report | None = None,
    block: int = BLOCK,
) -> RecallResult:
    """Recall@N of descriptors on a data set, by its rules (time stamps, one match for each panorama …).

    Args:
        query_features, database_features: (Q, D) and (N, D), one row for each image; may be memory-mapped.
        ns: the values of N, ascending.
        print_n: another N, for progress.
        n_sample: how many random queries to test instead of all.
        generator: draws them; it is seeded with 43 and gets its state back. By default a new one.
        report: called before each query, see the module.
        block: queries searched at a time; does not change the result.

    Raises FeatureFileError for features of another size or with NaN, ArgumentError for ns that do not ascend.

    Ported from: netvlad/testCore.m
    """
    queries = checked_features(query_features, dataset.query_count, "queries", dataset)
    database = checked_features(database_features, dataset.database_size, "database", dataset)
    tested = queries_to_test(len(queries), n_sample, generator)
    raw = BlockSearcher(Searcher(database), queries, tested, dataset.search_depth(_deepest(ns)), block)

    def ranked(query: int, n_top: int) -> Neighbours:
        return dataset.rank_matches(raw, query, n_top)

    return _measure(ranked, tested, dataset.is_positive, ns, print_n, report, dataset.query_groups())


def recall_of_searcher(
    searcher: Callable[[int, int], Any],
    query_count: int,
    is_pos: Callable[[int, Any], Any],
    ns: Sequence[int] = RECALL_NS,
    *,
    print_n: int = PRINT_N,
    n_sample: float = np.inf,
    generator: Generator | None = None,
    report: Report | None = None,
) -> RecallResult:
    """Recall@N of any searcher: searcher(query, top) returns at most `top` ranked ids (or ids and distances).

    is_pos(query, ids): for each id, whether it is a positive. Where the searcher returns fewer than N ids,
    Recall@N is that of all of them. The other arguments are those of recall_at_n.

    Ported from: netvlad/recallAtN.m
    """
    tested = queries_to_test(query_count, n_sample, generator)
    return _measure(searcher, tested, is_pos, ns, print_n, report, {})


def _measure(
    searcher: Callable[[int, int], Any],
    tested: np.ndarray,
    is_pos: Callable[[int, Any], Any],
    ns: Sequence[int],
    print_n: int,
    report: Report | None,
    groups: dict[str, np.ndarray],
) -> RecallResult:
    n_top = _deepest(ns)
    found = np.zeros((len(tested), len(ns)), bool)
    found_print = np.zeros(len(tested), bool)
    started = time.perf_counter()
    for row, query in enumerate(tested.tolist()):
        if report:
            report(row + 1, len(tested), found_print[:row].mean() if row else float("nan"))
        answer = searcher(query, n_top)
        ids = np.asarray(answer[0] if isinstance(answer, tuple) else answer).ravel()
        if len(ids) > n_top:
            raise ArgumentError(f"the searcher returned {len(ids)} ids for query {query}, more than {n_top}")
        if len(ids):
            so_far = np.logical_or.accumulate(np.asarray(is_pos(query, ids), bool).ravel())
            found[row] = so_far[np.minimum(ns, len(ids)) - 1]
            found_print[row] = so_far[min(print_n, len(ids)) - 1]
    seconds = time.perf_counter() - started
    return RecallResult(tuple(ns), tested, found, print_n, found_print, seconds, groups)


def crop_features(features: ArrayLike, dim: int) -> np.ndarray:
    """The first `dim` of D dimensions, normalised again: (N, dim). Valid for whitened descriptors.

    A dim above D changes nothing and warns, as in the original; 0 changes nothing.
    """
    rows = as_descriptors(features, "features")
    if dim > rows.shape[1]:
        text = f"cropToDim ({dim}) larger than the dimensionality ({rows.shape[1]}) -- ignoring"
        warnings.warn(text, stacklevel=2)
        return rows
    return relja_l2normalize_col(rows[:, :dim]) if dim > 0 else rows


def read_feature_pair(
    dataset: PlaceSet, db_file: StrPath, q_file: StrPath, crop_to_dim: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Query and database features (Q, D), (N, D) from two .bin files, cropped to crop_to_dim dimensions.

    The database is memory-mapped unless it is cropped.
    Raises FeatureFileError for files that do not have the data set's number of descriptors of one size.
    """
    queries = read_features(q_file, count=dataset.query_count)
    own = queries.shape[1]
    database = read_features(db_file, count=dataset.database_size, dim=own, mmap=True)
    cropped = crop_features(database, crop_to_dim) if crop_to_dim <= own else database  # one warning of it
    return crop_features(queries, crop_to_dim), cropped


def best_epoch(recalls: ArrayLike, ns: Sequence[int] = RECALL_NS, n: int = 5) -> int:
    """The column of recalls (len(ns), epochs) that is best at N = n, from 0.

    Ties (within 1e-6) are decided at smaller N, n-1 … 1, then at larger N; then the first column wins.
    Raises ArgumentError when n is not one of ns, or for another shape.

    >>> best_epoch([[0.5, 0.6, 0.6], [0.8, 0.7, 0.9]], ns=(1, 5))
    2

    Ported from: netvlad/getBestEpoch.m
    """
    table = np.asarray(recalls, dtype=np.float64)
    values = np.asarray(ns).ravel().tolist()
    if table.ndim != 2 or len(table) != len(values) or not table.shape[1]:
        raise ArgumentError(f"recalls must be ({len(values)} values of N, epochs), found {table.shape}")
    if n not in values:
        raise ArgumentError(f"N must be one of the measured {values}, not {n!r}")
    at = values.index(n)
    left = np.ones(table.shape[1], bool)
    for row in [*range(at, -1, -1), *range(at + 1, len(values))]:
        left &= np.abs(table[row] - table[row, left].max()) < 1e-6
        if left.sum() <= 1:
            break
    return int(np.flatnonzero(left)[0])


def queries_to_test(count: int, n_sample: float, generator: Generator | None) -> np.ndarray:
    """The 0-based queries to test: all `count`, or n_sample drawn as in recall_at_n."""
    if not n_sample < count:
        return np.arange(count)
    with seeded(generator) as draws:
        return draws.randsample(count, int(n_sample))


@contextmanager
def seeded(generator: Generator | None) -> Iterator[Generator]:
    """A context in which the generator has the state after rng(43); its own state is restored at the end."""
    draws = generator or rng(SEED)
    before = draws.state
    draws.state = rng(SEED).state
    try:
        yield draws
    finally:
        draws.state = before


def checked_features(features: ArrayLike, count: int, what: str, dataset: PlaceSet) -> np.ndarray:
    """Features as (count, D) float32. Raises FeatureFileError for another shape."""
    rows = as_descriptors(features, what)
    if len(rows) != count:
        found = f"{count} images in its {what}, but features of shape {rows.shape}"
        raise FeatureFileError(f"{dataset.name}: {found}: there must be one row for each image")
    return rows


def _deepest(ns: Sequence[int]) -> int:
    values = np.asarray(ns)
    whole = values.ndim == 1 and values.size and values.dtype.kind in "iu"
    if not whole or (np.diff(values, prepend=1) < 0).any():
        raise ArgumentError(f"the values of N must ascend from 1 or more, in integers, not {ns!r}")
    return int(values[-1])


BLOCK_BYTES = 1 << 22  # of float64 differences at a time in each thread


@dataclass(frozen=True)
class RankLossResult:
    """Rank losses (M,) of the M queries `query_ids` that have positives, of `tested` queries in all."""

    margin: float
    losses: np.ndarray
    query_ids: np.ndarray
    tested: int
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """The mean over the queries with positives."""
        return float(self.losses.mean())


def rank_loss(
    query_features: ArrayLike,
    database_features: ArrayLike,
    dataset: PlaceSet,
    margin: float = 0.1,
    n_negatives: int = 1000,
    *,
    n_sample: float = 1000,
    generator: Generator | None = None,
    report: Report | None = None,
) -> RankLossResult:
    """The mean of max(d2 of the nearest positive + margin - d2 of a random negative, 0) over queries.

    n_negatives: the number of negatives drawn for each query. generator: seeded with 43 for the queries and
    again for the negatives; it gets its state back. The other arguments are those of recall_at_n. Raises
    what that raises, and DatasetError when no tested query has positives.

    Ported from: netvlad/testCoreRank.m
    """
    queries = checked_features(query_features, dataset.query_count, "queries", dataset)
    database = checked_features(database_features, dataset.database_size, "database", dataset)
    tested = queries_to_test(len(queries), n_sample, generator)
    started = time.perf_counter()
    drawn: list[tuple[int, np.ndarray, np.ndarray]] = []
    with seeded(generator) as draws:
        for query in tested.tolist():
            positives = np.asarray(dataset.nontrivial_positives(query))
            negatives = dataset.sample_negatives(query, n_negatives, draws) if len(positives) else positives
            drawn.append((query, positives, negatives))

    measure = partial(_loss, queries, database, margin)
    losses: list[float] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for number, loss in enumerate(pool.map(measure, drawn), start=1):
            if report:
                report(number, len(tested), float(np.mean(losses)) if losses else float("nan"))
            losses += [] if loss is None else [loss]
    if not losses:
        none = f"{dataset.name}: none of the {len(tested)} tested queries has positives"
        raise DatasetError(f"{none} to train with (own photos: raise --training-threshold, metres)")
    used = np.array([query for query, positives, _ in drawn if len(positives)])
    return RankLossResult(margin, np.array(losses), used, len(tested), time.perf_counter() - started)


def _loss(
    queries: np.ndarray, database: np.ndarray, margin: float, drawn: tuple[int, np.ndarray, np.ndarray]
) -> float | None:
    """The loss of (query, ids of positives, ids of negatives); None without positives."""
    query, positives, negatives = drawn
    if not len(positives):
        return None
    nearest_positive = squared_distances(queries[query], database, positives).min()
    excess = nearest_positive + margin - squared_distances(queries[query], database, negatives)
    return float(np.maximum(excess, 0).mean()) if len(negatives) else 0.0


def squared_distances(query: np.ndarray, database: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Squared distances (M,) float64 of database rows, computed in blocks that fit the processor's cache."""
    blocks = max(1, len(ids) * database.shape[1] * 8 // BLOCK_BYTES)
    found = []
    # two rows or more at a time: numpy adds up a single row in another order, with other roundings
    for part in np.array_split(ids, min(blocks, max(1, len(ids) // 2))):
        difference = database[part].astype(np.float64)
        difference -= query
        found.append(np.einsum("ij,ij->i", difference, difference))
    return np.concatenate(found)
