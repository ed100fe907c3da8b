"""What a training minimises: a loss of `deepibl.losses`, and which of the mined negatives it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepibl.losses import SARELoss, TripletLoss, TupleLoss
from deepibl.training.options import TrainingOptions


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
