"""The rank loss: how far random negatives are beyond the nearest positive."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from deepibl.datasets import PlaceDataset
from deepibl.errors import DatasetError
from deepibl.evaluation import Report, checked_features, queries_to_test, seeded
from matlab_compat.rng import Generator

BLOCK_BYTES = 1 << 22  # of float64 differences at a time and thread


@dataclass(frozen=True)
class RankLossResult:
    """Rank losses (T,) of the queries `query_ids` that have positives; `tested` queries in all."""

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
    query_features: Any,
    database_features: Any,
    dataset: PlaceDataset,
    margin: float = 0.1,
    n_negatives: int = 1000,
    *,
    n_sample: float = 1000,
    generator: Generator | None = None,
    report: Report | None = None,
) -> RankLossResult:
    """The mean of max(d2 of the nearest positive + margin - d2 of a random negative, 0) over queries.

    n_negatives: drawn for each query by dataset.sampleNegsQ. generator: seeded with 43 for the queries and
    again for the negatives, and put back; the rest as in recall_at_n. Errors: as recall_at_n; DatasetError
    when no tested query has positives. Ported from: netvlad/testCoreRank.m
    """
    queries = checked_features(query_features, dataset.numQueries, "queries", dataset)
    database = checked_features(database_features, dataset.numImages, "database", dataset)
    tested = queries_to_test(len(queries), n_sample, generator)
    started = time.perf_counter()
    drawn: list[tuple[int, np.ndarray, np.ndarray]] = []
    with seeded(generator) as draws:
        for query in tested.tolist():
            positives = np.asarray(dataset.nontrivialPosQ(query))
            negatives = dataset.sampleNegsQ(query, n_negatives, draws) if len(positives) else positives
            drawn.append((query, positives, negatives))

    measure = partial(_loss, queries, database, margin)
    losses: list[float] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for number, loss in enumerate(pool.map(measure, drawn), start=1):
            if report:
                report(number, len(tested), float(np.mean(losses)) if losses else float("nan"))
            losses += [] if loss is None else [loss]
    if not losses:
        raise DatasetError(f"{dataset.name}: none of the {len(tested)} tested queries has positives")
    seconds = time.perf_counter() - started
    used = np.array([query for query, positives, _ in drawn if len(positives)])
    return RankLossResult(margin, np.array(losses), used, len(tested), seconds)


def _loss(
    queries: np.ndarray, database: np.ndarray, margin: float, drawn: tuple[int, np.ndarray, np.ndarray]
) -> float | None:
    """Of a query, its positives and negatives (ids); None without positives."""
    query, positives, negatives = drawn
    if not len(positives):
        return None
    nearest_positive = squared_distances(queries[query], database, positives).min()
    excess = nearest_positive + margin - squared_distances(queries[query], database, negatives)
    return float(np.maximum(excess, 0).mean()) if len(negatives) else 0.0


def squared_distances(query: np.ndarray, database: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Squared distances (M,) float64 of these rows, a block that stays in the processor's cache at a time."""
    blocks = max(1, len(ids) * database.shape[1] * 8 // BLOCK_BYTES)
    found = []
    for part in np.array_split(ids, min(blocks, max(1, len(ids) // 2))):  # a row alone is summed otherwise
        difference = database[part].astype(np.float64)
        difference -= query
        found.append(np.einsum("ij,ij->i", difference, difference))
    return np.concatenate(found)
