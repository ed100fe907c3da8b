"""The losses that the paper compares SARE with: triplet, contrastive, lifted structure, N-pair, angular.

Shapes, masks and reductions are those of `deepibl.losses`.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from deepibl.losses_tuples import Terms, TupleLoss, Tuples, distance, log_one_plus_sum_exp


def _triplet_terms(tuples: Tuples, *, margin: float, exclude_very_hard: bool) -> Terms:
    to_positive, to_negatives = tuples.squared_distances()
    hinges = torch.relu(to_positive[:, None] + margin - to_negatives).masked_fill(~tuples.mask, 0.0)
    violating = hinges > 0
    if exclude_very_hard:
        very_hard = to_negatives < to_positive[:, None]
        violating = violating & ~very_hard
        hinges = torch.where(very_hard, hinges.detach(), hinges)
    return Terms(hinges.sum(1), violating.sum(1))


class TripletLoss(TupleLoss):
    """The weakly supervised triplet loss as a module; see `triplet_loss`."""

    def __init__(
        self, margin: float = 0.1, *, exclude_very_hard: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(
            partial(_triplet_terms, margin=margin, exclude_very_hard=exclude_very_hard), reduction
        )


def triplet_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    margin: float = 0.1,
    mask: Tensor | None = None,
    *,
    exclude_very_hard: bool = False,
    reduction: str = "none",
) -> Tensor:
    """NetVLAD's ranking loss: sum_i max(0, d^2(positive) + margin - d^2(negative i)).

    With exclude_very_hard, negatives nearer than the positive count in the value but have no gradient, as in
    the original. 'pairs' divides by the number of violating negatives.

    Ported from: netvlad/trainWeakly.m
    """
    loss = TripletLoss(margin, exclude_very_hard=exclude_very_hard, reduction=reduction)
    result: Tensor = loss(query, positive, negatives, mask)
    return result


def _contrastive_terms(tuples: Tuples, *, margin: float) -> Terms:
    to_positive, to_negatives = tuples.squared_distances()
    lacking = torch.relu(margin - distance(to_negatives)).masked_fill(~tuples.mask, 0.0)
    violating = (distance(to_negatives) <= margin) & tuples.mask
    return Terms(0.5 * to_positive + 0.5 * lacking.square().sum(1), violating.sum(1) + 1)


class ContrastiveLoss(TupleLoss):
    """The contrastive loss as a module; see `contrastive_loss`."""

    def __init__(self, margin: float = 0.7, *, reduction: str = "mean") -> None:
        super().__init__(partial(_contrastive_terms, margin=margin), reduction)


def contrastive_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    margin: float = 0.7,
    mask: Tensor | None = None,
    *,
    reduction: str = "none",
) -> Tensor:
    """0.5 d(positive)^2 + sum_i 0.5 max(0, margin - d(negative i))^2, d the L2 distance.

    The gradient of a negative equal to the query is 0 (NaN in the original). 'pairs' divides by the number of
    violating negatives plus one a query.

    Ported from: deepIBL/trainContrastiveLoss.m (history, before 2019-07-25)
    """
    result: Tensor = ContrastiveLoss(margin, reduction=reduction)(query, positive, negatives, mask)
    return result


def _lifted_terms(tuples: Tuples, *, alpha: float) -> Terms:
    to_positive, to_negatives = tuples.squared_distances()
    any_negative = tuples.mask.any(1)
    # a row without negatives keeps finite numbers, so that its zero gradient stays zero
    counted = tuples.mask | ~any_negative[:, None]
    repulsion = (alpha - distance(to_negatives)).masked_fill(~counted, -torch.inf)
    excess = torch.logsumexp(repulsion, 1) + distance(to_positive)
    excess = torch.where(any_negative, torch.relu(excess), 0.0)
    return Terms(0.5 * excess.square(), torch.where(excess > 0, tuples.mask.sum(1), 0))


class LiftedStructureLoss(TupleLoss):
    """The lifted structure loss as a module; see `lifted_structure_loss`."""

    def __init__(self, alpha: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(partial(_lifted_terms, alpha=alpha), reduction)


def lifted_structure_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    alpha: float = 1.0,
    mask: Tensor | None = None,
    *,
    reduction: str = "none",
) -> Tensor:
    """0.5 max(0, J)^2 with J = log(sum_i exp(alpha - d(negative i))) + d(positive), d the L2 distance.

    'pairs' divides by the number of negatives of the queries with J > 0. (The original leaves queries with
    J <= 0 out of the mean it prints; here they count as 0.)

    Ported from: deepIBL/trainLiftStruct.m (history, before 2019-07-25)
    """
    result: Tensor = LiftedStructureLoss(alpha, reduction=reduction)(query, positive, negatives, mask)
    return result


def _npair_terms(tuples: Tuples, *, scale: float) -> Terms:
    exponents = scale * (tuples.negatives - tuples.positive[:, None]) @ tuples.query[:, :, None]
    return Terms(log_one_plus_sum_exp(exponents.squeeze(2), tuples.mask), tuples.mask.sum(1))


class NPairLoss(TupleLoss):
    """The N-pair loss as a module; see `npair_loss`."""

    def __init__(self, scale: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(partial(_npair_terms, scale=scale), reduction)


def npair_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    scale: float = 1.0,
    mask: Tensor | None = None,
    *,
    reduction: str = "none",
) -> Tensor:
    """log(1 + sum_i exp(scale * query . (negative i - positive))).

    With scale 2 this is the very formula of the original's trainGaussKernalJoint, raw gradient included; on
    unit vectors its value equals the SARE loss of kernel 'gauss', mode 'joint'.

    Ported from: deepIBL/trainNpairLoss.m (history, before 2019-07-25)
    """
    result: Tensor = NPairLoss(scale, reduction=reduction)(query, positive, negatives, mask)
    return result


def _angular_terms(tuples: Tuples, *, degrees: float) -> Terms:
    tan2 = math.tan(math.radians(degrees)) ** 2
    anchor = tuples.query + tuples.positive
    attraction = (tuples.query * tuples.positive).sum(1, keepdim=True)
    exponents = 4 * tan2 * (tuples.negatives @ anchor[:, :, None]).squeeze(2) - 2 * (1 + tan2) * attraction
    return Terms(log_one_plus_sum_exp(exponents, tuples.mask), tuples.mask.sum(1))


class AngularLoss(TupleLoss):
    """The angular loss as a module; see `angular_loss`."""

    def __init__(self, degrees: float = 45.0, *, reduction: str = "mean") -> None:
        super().__init__(partial(_angular_terms, degrees=degrees), reduction)


def angular_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    degrees: float = 45.0,
    mask: Tensor | None = None,
    *,
    reduction: str = "none",
) -> Tensor:
    """log(1 + sum_i exp(4 t (query + positive) . negative i - 2 (1 + t) query . positive)).

    t is the squared tangent of the angle, given in degrees.

    Ported from: deepIBL/trainAngularLoss.m (history, before 2019-07-25)
    """
    result: Tensor = AngularLoss(degrees, reduction=reduction)(query, positive, negatives, mask)
    return result
