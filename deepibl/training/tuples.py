"""Which images make a training tuple: the nearest positive and the hardest negatives of a query, by features
that were computed some batches ago.

Mining a batch while a GPU computes the one before it: the tuples and draws of mining it in its turn.

What a training minimises: a loss of `deepibl.losses`, and which of the mined negatives it takes.

The original's seven trainers, and the four of its history: a table of what each minimises.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from deepibl.losses import (
    AngularLoss,
    ContrastiveLoss,
    LiftedStructureLoss,
    NPairLoss,
    SARELoss,
    TripletLoss,
    TupleLoss,
)
from deepibl.training.options import TrainingOptions
from matlab_compat.rng import Generator
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


# queries, features, negative caches, generator -> tuples
Mine = Callable[[np.ndarray, Features, Sequence[np.ndarray], Any], list[MinedTuple]]


def worth_it(device: torch.device) -> bool:
    """On a processor that computes, mining beside it only takes its cores."""
    return device.type == "cuda"


@dataclass(frozen=True)
class _Begun:
    queries: np.ndarray
    features: Features
    before: np.ndarray  # the generator's state
    generator: Generator
    tuples: Future[list[MinedTuple]]


class MiningAhead:
    """Mines batches, the next one beforehand where it is told which. Use as a context manager.

    A batch depends on nothing that the batch before it changes: on the cached features, on its own queries'
    negative caches, and on the draws, which are made here from a copy of the generator. What was mined is
    taken only if queries, features and the generator's state are still those; else it is mined again.
    """

    def __init__(self, mine: Mine) -> None:
        self._mine = mine
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="deepibl-miner")
        self._begun: _Begun | None = None

    def __enter__(self) -> MiningAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> None:
        """Begins to mine a batch, if there are queries, from where the generator, MATLAB's, stands."""
        if len(queries) and isinstance(generator, Generator):
            own = copy.deepcopy(generator)
            found = self._pool.submit(self._mine, queries, features, list(caches), own)
            self._begun = _Begun(queries, features, generator.state, own, found)

    def take(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> list[MinedTuple]:
        """The batch's tuples; the generator then stands after its draws. Raises what mining raises."""
        begun, self._begun = self._begun, None
        if begun is not None:
            same = features is begun.features and np.array_equal(queries, begun.queries)
            if same and np.array_equal(generator.state, begun.before):
                tuples = begun.tuples.result()
                generator.state = begun.generator.state
                return tuples
        return self._mine(queries, features, caches, generator)


class TupleOutcome(NamedTuple):
    """A tuple's loss as it is logged; what is differentiated (None: nothing); how many pairs it counts for.

    The step of a batch is the sum of its objectives' gradients divided by the sum of its pairs.
    """

    loss: float
    objective: Tensor | None
    pairs: int
    very_hard: int = 0


@dataclass(frozen=True)
class Objective:
    """A loss, and the rule by which negatives get into a tuple.

    margin: None takes all mined negatives; else those whose distance is below the positive's plus margin.
    exclude_very_hard: leaves out negatives nearer than the positive, by cached and by fresh features.
    """

    loss: TupleLoss
    margin: float | None = None
    exclude_very_hard: bool = False

    def select(self, positive: float, negatives: np.ndarray) -> np.ndarray:
        """Which negatives may be in the tuple: a mask (M,), from squared distances of cached features."""
        chosen = np.ones(len(negatives), dtype=bool)
        if self.margin is not None:
            chosen &= negatives < positive + self.margin
        return chosen & (negatives >= positive) if self.exclude_very_hard else chosen

    def __call__(self, features: Tensor) -> TupleOutcome:
        """The outcome for a tuple's fresh features (2 + M, D): query, positive, negatives."""
        query, positive, negatives = features[:1], features[1:2], features[2:]
        squared = (query - features[1:]).detach().square().sum(dim=1)
        very_hard = squared[1:] < squared[0]
        mask = ~very_hard if self.exclude_very_hard and self.margin is None else torch.ones_like(very_hard)
        terms = self.loss.terms(query, positive, negatives[None], mask[None])
        value = terms.losses[0]
        # one question to the device for all three numbers
        asked = torch.stack([value.detach(), terms.pairs[0].to(value), very_hard.sum().to(value)])
        loss, pairs, hard = asked.tolist()
        return TupleOutcome(loss, value if pairs else None, int(pairs), int(hard))


ObjectiveMaker = Callable[[TrainingOptions], Objective]


def sare(kernel: str, mode: str) -> ObjectiveMaker:
    """SARE: every negative of the tuple is a pair, in mode 'joint' too, where the loss is one term a query.

    Ported from: deepIBL/trainGaussKernalInd.m and its five siblings, which ignore excludeVeryHard
    """
    return lambda options: Objective(SARELoss(kernel, mode), exclude_very_hard=options.excludeVeryHard)


def weakly(options: TrainingOptions) -> Objective:
    """NetVLAD's ranking loss: only negatives that violate the margin are in a tuple, and in the step.

    Ported from: netvlad/trainWeakly.m
    """
    loss = TripletLoss(options.margin, exclude_very_hard=options.excludeVeryHard)
    return Objective(loss, options.margin, options.excludeVeryHard)


@dataclass(frozen=True)
class Trainer:
    """A trainer: its name, what it minimises, and whether its files have the original's unused geo fields."""

    name: str
    objective: ObjectiveMaker
    geo_fields: bool = False


def baseline(loss: Callable[[], TupleLoss]) -> ObjectiveMaker:
    """A loss that the paper compares SARE with, at its own settings; every mined negative is in the tuple.

    Ported from: deepIBL/trainContrastiveLoss.m and its siblings (history, before 2019-07-25)
    """
    return lambda options: Objective(loss(), exclude_very_hard=options.excludeVeryHard)


TRAINERS = {
    each.name: each
    for each in (
        Trainer("trainGaussKernalInd", sare("gauss", "ind"), geo_fields=True),
        Trainer("trainGaussKernalJoint", sare("gauss", "joint"), geo_fields=True),
        Trainer("trainCauchyKernelInd", sare("cauchy", "ind")),
        Trainer("trainCauchyKernelJoint", sare("cauchy", "joint")),
        Trainer("trainExpKernalInd", sare("exp", "ind"), geo_fields=True),
        Trainer("trainExpKernalJoint", sare("exp", "joint"), geo_fields=True),
        Trainer("trainWeakly", weakly),
        Trainer("trainContrastive", baseline(ContrastiveLoss)),
        Trainer("trainLiftStruct", baseline(LiftedStructureLoss)),
        Trainer("trainNpairLoss", baseline(NPairLoss)),
        Trainer("trainAngularLoss", baseline(AngularLoss)),
    )
}

# what the command line calls their losses
LOSSES = {
    "gauss-ind": "trainGaussKernalInd",
    "gauss-joint": "trainGaussKernalJoint",
    "cauchy-ind": "trainCauchyKernelInd",
    "cauchy-joint": "trainCauchyKernelJoint",
    "exp-ind": "trainExpKernalInd",
    "exp-joint": "trainExpKernalJoint",
    "weakly": "trainWeakly",
    "contrastive": "trainContrastive",
    "lifted": "trainLiftStruct",
    "npair": "trainNpairLoss",
    "angular": "trainAngularLoss",
}
