"""Which images make a training tuple, and which loss of it each trainer minimises (`TRAINERS`).

`MiningAhead` mines a batch while a GPU computes the one before it, with the same tuples and draws.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepibl import losses
from deepibl.training.options import TrainingOptions
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import Generator
from matlab_compat.yael import yael_nn

SEARCHED_BEYOND_CAP = 10  # nearest negatives that are ranked, in multiples of negatives_cap
CORES_A_QUERY = 2  # a comparison has threads of its own as well
Features = tuple[np.ndarray, np.ndarray]  # of the queries (Q, D) and the database (N, D)

# the positive's distance, the negatives' (M,) -> which negatives may stay, a mask (M,)
Selection = Callable[[float, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MinedTuple:
    """A query with its positive and negatives: 0-based ids, by squared distances of cached features.

    negatives: (M,) nearest first. cache: the hardest, to start from in the next epoch. violating: how many
    the selection kept, very_hard: how many are nearer than the positive. margin_loss: sum of max(d_pos +
    margin - d_neg, 0). scale: index of jitter_scales, or None.
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
        return len(self.negatives) > 0


_Drawn = tuple[int, np.ndarray, np.ndarray]  # a query, its positives, its negatives drawn or remembered; ids


def mine_batch(
    dataset: Any,
    queries: Sequence[int] | np.ndarray,
    features: Features,
    negative_caches: Sequence[np.ndarray],
    options: TrainingOptions,
    generator: Any,
    select: Selection,
) -> list[MinedTuple]:
    """The tuples of a batch's queries, in their order; queries without a positive are left out.

    negative_caches: each query's hardest negatives so far, ids. Draws in the original's order: of each query
    its negatives, then scale, then flip; the last two only when the options ask for them and a negative is
    left. Without them several queries are compared at once on a large machine.

    Ported from: deepIBL/trainGaussKernalInd.m, netvlad/trainWeakly.m
    """
    jitter = options.jitter_flip or options.jitter_scales
    drawn, mined = [], []
    for query in map(int, queries):
        positives = np.asarray(dataset.nontrivial_positives(query))
        if not positives.size:
            continue
        negatives = dataset.sample_negatives(query, options.negatives_per_query, generator)
        candidates = np.unique(np.concatenate([negative_caches[query], negatives]).astype(np.int64))
        drawn.append((query, positives, candidates))
        if jitter:
            mined.append(_jittered(_rank(drawn[-1], features, options, select), options, generator))
    if jitter:
        return mined
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // CORES_A_QUERY)) as pool:
        return list(pool.map(lambda each: _rank(each, features, options, select), drawn))


def _rank(drawn: _Drawn, features: Features, options: TrainingOptions, select: Selection) -> MinedTuple:
    """The tuple, without jitter: the nearest positive, and the nearest negatives that `select` keeps."""
    queries, database = features
    query, positives, candidates = drawn
    feature = np.asarray(queries[query : query + 1])
    nearest, distance = yael_nn(database[positives], feature, 1)
    positive, positive_distance = int(positives[nearest[0, 0]]), distance[0, 0]
    wanted = min(SEARCHED_BEYOND_CAP * options.negatives_cap, len(candidates))
    if not wanted:
        return MinedTuple(query, positive, candidates, candidates)
    order, distances = (found[0] for found in yael_nn(database[candidates], feature, wanted))
    ranked = candidates[order]
    kept = select(positive_distance, distances)
    margin_loss = float(np.maximum(positive_distance + options.margin - distances, 0).sum())
    negatives, cached = ranked[kept][: options.negatives_cap], ranked[: options.negatives_cached]
    nearer = int((distances < positive_distance).sum())
    return MinedTuple(query, positive, negatives, cached, int(kept.sum()), nearer, margin_loss)


def _jittered(mined: MinedTuple, options: TrainingOptions, generator: Any) -> MinedTuple:
    """The tuple with the scale and the flip that are drawn for it, where it has a negative."""
    if not mined.trains:
        return mined
    scales = options.jitter_scales
    scale = int(generator.randsample(len(scales), 1)[0]) if scales else None
    flip = bool(options.jitter_flip and float(np.ravel(generator.rand())[0]) > 0.5)
    return replace(mined, scale=scale, flip=flip)


# queries, features, negative caches, generator -> tuples
Mine = Callable[[np.ndarray, Features, Sequence[np.ndarray], Any], list[MinedTuple]]


def worth_it(device: torch.device) -> bool:
    """Whether mining ahead saves time: where the CPU computes the gradients, it only takes their cores."""
    return device.type == "cuda"


class MiningAhead:
    """Mines batches, and the next one ahead after `begin`. A context manager.

    A batch depends on nothing that the batch before it changes. What was mined is taken only if queries,
    features and the generator's state are still those; else it is mined again.
    """

    def __init__(self, mine: Mine) -> None:
        self._mine = mine
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="deepibl-miner")
        self._begun: tuple[Any, ...] | None = None

    def __enter__(self) -> MiningAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> None:
        """Begins to mine a batch, if it has queries, from the present state of a generator of MATLAB's."""
        if len(queries) and isinstance(generator, Generator):
            own = copy.deepcopy(generator)
            tuples = self._pool.submit(self._mine, queries, features, list(caches), own)
            self._begun = queries, features, generator.state, own, tuples

    def take(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> list[MinedTuple]:
        """The batch's tuples; the generator is then after its draws. Raises what mining raises."""
        begun, self._begun = self._begun, None
        if begun is not None:
            asked, of, before, own, tuples = begun
            same = np.array_equal(queries, asked) and np.array_equal(generator.state, before)
            if same and features is of:
                found: list[MinedTuple] = tuples.result()
                generator.state = own.state
                return found
        return self._mine(queries, features, caches, generator)


class TupleOutcome(NamedTuple):
    """A tuple's loss as it is logged; what is differentiated (None: nothing); how many pairs it counts for.

    The step of a batch is the sum of its objectives' gradients, divided by the sum of its pairs.
    """

    loss: float
    objective: Tensor | None
    pairs: int
    very_hard: int = 0


@dataclass(frozen=True)
class Objective:
    """A loss, and the rule by which negatives get into a tuple.

    margin: None takes all mined negatives; else those whose squared distance is below the positive's plus
    margin. exclude_very_hard: leaves out negatives nearer than the positive.
    """

    loss: losses.TupleLoss
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
        # one tensor for all three numbers: reading each by itself would wait for the GPU three times
        numbers = torch.stack([value.detach(), terms.pairs[0].to(value), very_hard.sum().to(value)])
        loss, pairs, hard = numbers.tolist()
        return TupleOutcome(loss, value if pairs else None, int(pairs), int(hard))


ObjectiveMaker = Callable[[TrainingOptions], Objective]


def sare(kernel: str, mode: str) -> ObjectiveMaker:
    """SARE: every negative of the tuple is a pair, in mode 'joint' too, where the loss is one term a query.

    Ported from: deepIBL/trainGaussKernalInd.m and its five siblings, which ignore excludeVeryHard
    """
    return baseline(lambda: losses.SARELoss(kernel, mode))


def baseline(loss: Callable[[], losses.TupleLoss]) -> ObjectiveMaker:
    """A loss at its own settings, which takes every mined negative.

    Ported from: deepIBL/trainContrastiveLoss.m and its siblings (history, before 2019-07-25)
    """
    return lambda options: Objective(loss(), exclude_very_hard=options.exclude_very_hard)


def weakly(options: TrainingOptions) -> Objective:
    """NetVLAD's ranking loss: only negatives that violate the margin are in a tuple, and in the step.

    Ported from: netvlad/trainWeakly.m
    """
    loss = losses.TripletLoss(options.margin, exclude_very_hard=options.exclude_very_hard)
    return Objective(loss, options.margin, options.exclude_very_hard)


@dataclass(frozen=True)
class Trainer:
    """A trainer, by the original's name and the command line's. geo_fields: writes unused geoCenters."""

    name: str
    loss: str
    objective: ObjectiveMaker
    geo_fields: bool = False


TRAINERS = {
    each.name: each
    for each in (
        Trainer("trainGaussKernalInd", "gauss-ind", sare("gauss", "ind"), geo_fields=True),
        Trainer("trainGaussKernalJoint", "gauss-joint", sare("gauss", "joint"), geo_fields=True),
        Trainer("trainCauchyKernelInd", "cauchy-ind", sare("cauchy", "ind")),
        Trainer("trainCauchyKernelJoint", "cauchy-joint", sare("cauchy", "joint")),
        Trainer("trainExpKernalInd", "exp-ind", sare("exp", "ind"), geo_fields=True),
        Trainer("trainExpKernalJoint", "exp-joint", sare("exp", "joint"), geo_fields=True),
        Trainer("trainWeakly", "weakly", weakly),
        Trainer("trainContrastive", "contrastive", baseline(losses.ContrastiveLoss)),
        Trainer("trainLiftStruct", "lifted", baseline(losses.LiftedStructureLoss)),
        Trainer("trainNpairLoss", "npair", baseline(losses.NPairLoss)),
        Trainer("trainAngularLoss", "angular", baseline(losses.AngularLoss)),
    )
}

LOSSES = {each.loss: each.name for each in TRAINERS.values()}


def find_trainer(name: str) -> Trainer:
    """The trainer of a loss ('gauss-ind'), or of that name. Raises ArgumentError for another name."""
    found = TRAINERS.get(LOSSES.get(name, name))
    if found is None:
        raise ArgumentError(f"the loss must be one of {', '.join(LOSSES)}; got {name!r}")
    return found
