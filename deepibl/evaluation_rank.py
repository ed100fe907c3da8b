"""The rank loss: how far random negatives are beyond the nearest positive."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepibl.datasets import PlaceDataset
from deepibl.errors import DatasetError
from deepibl.evaluation import Report, checked_features, queries_to_test, seeded
from matlab_compat.rng import Generator


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
    losses: list[float] = []
    used: list[int] = []
    started = time.perf_counter()
    with seeded(generator) as draws:
        for number, query in enumerate(tested.tolist(), start=1):
            if report:
                report(number, len(tested), float(np.mean(losses)) if losses else float("nan"))
            positives = dataset.nontrivialPosQ(query)
            if not len(positives):
                continue
            negatives = dataset.sampleNegsQ(query, n_negatives, draws)
            nearest_positive = _squared(queries[query], database[positives]).min()
            excess = nearest_positive + margin - _squared(queries[query], database[negatives])
            losses.append(float(np.maximum(excess, 0).mean()) if len(negatives) else 0.0)
            used.append(query)
    if not losses:
        raise DatasetError(f"{dataset.name}: none of the {len(tested)} tested queries has positives")
    seconds = time.perf_counter() - started
    return RankLossResult(margin, np.array(losses), np.array(used), len(tested), seconds)


def _squared(query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    difference = rows.astype(np.float64) - query
    return np.einsum("ij,ij->i", difference, difference)
