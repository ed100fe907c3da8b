"""Which images make a training tuple: the nearest positive and the hardest negatives of a query, by features
that were computed some batches ago."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from deepibl.training.options import TrainingOptions
from matlab_compat.yael import yael_nn

SEARCHED_BEYOND_CAP = 10  # so many times nNegCap nearest negatives are ranked
CORES_A_QUERY = 2  # a comparison has threads of its own as well

Features = tuple[np.ndarray, np.ndarray]  # of the queries (Q, D) and the database (N, D)


class Selection(Protocol):
    """Which negatives may stay: of distances (M,) and the positive's distance, a mask (M,)."""

    def __call__(self, positive: float, negatives: np.ndarray) -> np.ndarray: ...


class TrainingSet(Protocol):
    """What mining needs of a data set (deepibl.datasets.PlaceDataset has it); ids are 0-based."""

    def nontrivialPosQ(self, query: int) -> np.ndarray: ...

    def sampleNegsQ(self, query: int, n: int, generator: Any) -> np.ndarray: ...


@dataclass(frozen=True)
class MinedTuple:
    """A query and what is compared with it; ids 0-based, distances squared, by the cached features.

    negatives: (M,) nearest first, M <= nNegCap, possibly none. cache: the query's hardest negatives, to start
    from in the next epoch. ranked: how many negatives were looked at, violating: how many the selection kept,
    very_hard: how many are nearer than the positive. margin_loss: sum of max(d_pos + margin - d_neg, 0).
    scale, flip: how the tuple's images are to be read (scale: index of jitterScale, or None).
    """

    query: int
    positive: int
    negatives: np.ndarray
    cache: np.ndarray
    violating: int = 0
    very_hard: int = 0
    margin_loss: float = 0.0
    scale: int | None = None
    flip: bool = False

    @property
    def trains(self) -> bool:
        """Whether any negative is left to learn from."""
        return len(self.negatives) > 0


@dataclass(frozen=True)
class _Drawn:
    """A query with its positives, and the negatives that were drawn for it or remembered; ids."""

    query: int
    positives: np.ndarray
    candidates: np.ndarray


def mine(
    dataset: TrainingSet,
    query: int,
    features: Features,
    cached: np.ndarray,
    options: TrainingOptions,
    generator: Any,
    select: Selection,
) -> MinedTuple | None:
    """The tuple of a query, or None when it has no positive (then nothing is drawn).

    features: (queries (Q, D), database (N, D)) float32. cached: the query's hardest negatives so far, ids.
    Draws from the generator in the original's order: negatives, then scale, then flip; the last two only
    when the options ask for them and a negative is left.

    Ported from: deepIBL/trainGaussKernalInd.m, netvlad/trainWeakly.m
    """
    drawn = _draw(dataset, query, cached, options, generator)
    if drawn is None:
        return None
    mined = _rank(drawn, features, options, select)
    scale, flip = _jitter(options, generator) if mined.trains else (None, False)
    return replace(mined, scale=scale, flip=flip)


def mine_batch(
    dataset: TrainingSet,
    queries: Sequence[int] | np.ndarray,
    features: Features,
    negative_caches: Sequence[np.ndarray],
    options: TrainingOptions,
    generator: Any,
    select: Selection,
) -> list[MinedTuple]:
    """The tuples of a batch's queries, in their order; queries without a positive are left out.

    Where no jitter has to be drawn between them, several queries are compared at once on a large machine.
    """
    if options.jitterFlip or options.jitterScale:
        mined = (
            mine(dataset, int(query), features, negative_caches[query], options, generator, select)
            for query in queries
        )
        return [each for each in mined if each is not None]
    drawn = (_draw(dataset, int(query), negative_caches[query], options, generator) for query in queries)
    found = [each for each in drawn if each is not None]
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // CORES_A_QUERY)) as pool:
        return list(pool.map(lambda each: _rank(each, features, options, select), found))


def _draw(
    dataset: TrainingSet, query: int, cached: np.ndarray, options: TrainingOptions, generator: Any
) -> _Drawn | None:
    positives = np.asarray(dataset.nontrivialPosQ(query))
    if not positives.size:
        return None
    drawn = dataset.sampleNegsQ(query, options.nNegChoice, generator)
    return _Drawn(query, positives, np.unique(np.concatenate([cached, drawn]).astype(np.int64)))


def _rank(drawn: _Drawn, features: Features, options: TrainingOptions, select: Selection) -> MinedTuple:
    """The tuple, without jitter: the nearest positive, and the nearest of the negatives that `select` lets
    in.
    """
    queries, database = features
    feature = np.asarray(queries[drawn.query : drawn.query + 1])
    nearest, distance = yael_nn(database[drawn.positives], feature, 1)
    positive, positive_distance = int(drawn.positives[nearest[0, 0]]), distance[0, 0]
    candidates = drawn.candidates
    wanted = min(SEARCHED_BEYOND_CAP * options.nNegCap, len(candidates))
    if not wanted:
        return MinedTuple(drawn.query, positive, candidates, candidates)
    order, distances = (found[0] for found in yael_nn(database[candidates], feature, wanted))
    ranked = candidates[order]
    kept = select(positive_distance, distances)
    return MinedTuple(
        drawn.query,
        positive,
        ranked[kept][: options.nNegCap],
        ranked[: options.nNegCache],
        violating=int(kept.sum()),
        very_hard=int((distances < positive_distance).sum()),
        margin_loss=float(np.maximum(positive_distance + options.margin - distances, 0).sum()),
    )


def _jitter(options: TrainingOptions, generator: Any) -> tuple[int | None, bool]:
    scale = int(generator.randsample(len(options.jitterScale), 1)[0]) if options.jitterScale else None
    flip = bool(options.jitterFlip and float(np.ravel(generator.rand())[0]) > 0.5)
    return scale, flip
