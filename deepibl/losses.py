"""The SARE losses (stochastic attraction and repulsion embedding), and the losses they are compared with.

Every loss takes query and positive (B, D), negatives (B, M, D), and a mask (B, M), True where there is a
negative, so that queries may have different numbers of them. Features need not have unit length.

How the original divides: it prints the mean loss over a batch's queries, but divides the gradient by the
batch's number of (query, negative) pairs, for the Joint losses too. `reduction="mean"` and `"pairs"` give the
two (with "mean" and ten negatives the same learning rate steps ten times as far); `"none"` and `"sum"` are as
in torch.

What all tuple losses share: shapes, masks, distances, and how the losses of a batch become one number.

The losses that the paper compares SARE with: triplet, contrastive, lifted structure, N-pair, angular.

Shapes, masks and reductions are those of `deepibl.losses`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError

REDUCTIONS = ("none", "sum", "mean", "pairs")


class Tuples(NamedTuple):
    """B queries, each with its positive and up to M negatives; of at least float32, absent negatives zero."""

    query: Tensor  # (B, D)
    positive: Tensor  # (B, D)
    negatives: Tensor  # (B, M, D)
    mask: Tensor  # (B, M) bool, True where there is a negative

    def squared_distances(self) -> tuple[Tensor, Tensor]:
        """Squared L2 distances of the query to its positive (B,) and its negatives (B, M)."""
        to_positive = (self.query - self.positive).square().sum(1)
        to_negatives = (self.query[:, None] - self.negatives).square().sum(2)
        return to_positive, to_negatives


class Terms(NamedTuple):
    """Each query's loss (B,), and the number by which the original's trainer divides its gradient (B,)."""

    losses: Tensor
    pairs: Tensor


def distance(squared: Tensor) -> Tensor:
    """The root of squared distances, with subgradient 0 (not NaN) at 0."""
    apart = squared > 0
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)


def log_one_plus_sum_exp(exponents: Tensor, mask: Tensor) -> Tensor:
    """log(1 + sum over the row's True entries of exp), for (B, M); no overflow, and 0 for an empty row."""
    one = exponents.new_zeros(exponents.shape[0], 1)
    return torch.logsumexp(torch.cat([one, exponents.masked_fill(~mask, -torch.inf)], 1), 1)


def make_tuples(query: Tensor, positive: Tensor, negatives: Tensor, mask: Tensor | None) -> Tuples:
    """Checks shapes and puts zeros where the mask says there is no negative.

    Raises ArgumentError unless query and positive are (B, D), negatives (B, M, D) and mask (B, M).
    """
    if query.ndim != 2 or positive.shape != query.shape:
        raise ArgumentError(
            f"query {tuple(query.shape)} and positive {tuple(positive.shape)}: expected (B, D) both"
        )
    if negatives.ndim != 3 or negatives.shape[0] != query.shape[0] or negatives.shape[2] != query.shape[1]:
        raise ArgumentError(
            f"negatives of shape {tuple(negatives.shape)}: expected (B, M, D), B, D = {tuple(query.shape)}"
        )
    if mask is None:
        mask = torch.ones(negatives.shape[:2], dtype=torch.bool, device=negatives.device)
    elif mask.shape != negatives.shape[:2]:
        raise ArgumentError(
            f"mask of shape {tuple(mask.shape)}: expected (B, M) = {tuple(negatives.shape[:2])}"
        )
    mask = mask.bool()
    exact = torch.promote_types(query.dtype, torch.float32)
    return Tuples(
        query.to(exact), positive.to(exact), negatives.to(exact).masked_fill(~mask[:, :, None], 0.0), mask
    )


def reduce_terms(terms: Terms, reduction: str) -> Tensor:
    """The losses as one number, or as they are.

    'none': (B,). 'sum'. 'mean': over the queries; this is what the original prints. 'pairs': the sum divided
    by the batch's number of (query, negative) pairs; its gradient is the one the original's trainers step
    along, for Joint losses too. Without queries or pairs the result is 0.
    """
    if reduction == "none":
        return terms.losses
    total = terms.losses.sum()
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / max(1, len(terms.losses))
    return total / terms.pairs.sum().clamp(min=1)


def check_choice(value: str, allowed: tuple[str, ...], name: str) -> str:
    """The value in lower case; ArgumentError if it is none of the allowed ones."""
    if value.lower() not in allowed:
        raise ArgumentError(f"{name} {value!r} is not known; use one of {', '.join(allowed)}")
    return value.lower()


class TupleLoss(nn.Module):
    """Base of the losses as modules: `loss(query, positive, negatives, mask)`.

    `terms(...)` gives each query's loss with the number that the original's trainer divides by, for those who
    collect a batch tuple by tuple.
    """

    def __init__(self, compute: partial[Terms], reduction: str) -> None:
        super().__init__()
        self.compute = compute
        self.reduction = check_choice(reduction, REDUCTIONS, "reduction")

    def extra_repr(self) -> str:
        """The settings, for print(loss)."""
        settings = {**self.compute.keywords, "reduction": self.reduction}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())

    def terms(self, query: Tensor, positive: Tensor, negatives: Tensor, mask: Tensor | None = None) -> Terms:
        """Losses and divisors by query, both (B,); for query, positive (B, D) and negatives (B, M, D)."""
        return self.compute(make_tuples(query, positive, negatives, mask))

    def forward(
        self, query: Tensor, positive: Tensor, negatives: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """The loss, reduced as the module was told; for query, positive (B, D) and negatives (B, M, D)."""
        return reduce_terms(self.terms(query, positive, negatives, mask), self.reduction)


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


KERNELS = ("gauss", "cauchy", "exp")

MODES = ("ind", "joint")


def _minus_log_kernel(kernel: str, squared: Tensor) -> Tensor:
    """-log K of squared distances: d^2, log(1 + d^2) or d."""
    if kernel == "gauss":
        return squared
    return torch.log1p(squared) if kernel == "cauchy" else distance(squared)


def _sare_terms(tuples: Tuples, *, kernel: str, mode: str) -> Terms:
    to_positive, to_negatives = tuples.squared_distances()
    margins = _minus_log_kernel(kernel, to_positive)[:, None] - _minus_log_kernel(kernel, to_negatives)
    pairs = tuples.mask.sum(1)
    if mode == "joint":
        return Terms(log_one_plus_sum_exp(margins, tuples.mask), pairs)
    each = torch.logaddexp(margins, torch.zeros_like(margins))
    return Terms(each.masked_fill(~tuples.mask, 0.0).sum(1), pairs)


class SARELoss(TupleLoss):
    """The SARE loss as a module; see `sare_loss`. Its reduction is 'mean' unless told otherwise.

    >>> loss = SARELoss("gauss", "joint")
    >>> loss(torch.eye(2), torch.eye(2), torch.zeros(2, 3, 2)).shape
    torch.Size([])
    """

    def __init__(self, kernel: str = "gauss", mode: str = "ind", *, reduction: str = "mean") -> None:
        kernel = check_choice(kernel, KERNELS, "kernel")
        mode = check_choice(mode, MODES, "mode")
        super().__init__(partial(_sare_terms, kernel=kernel, mode=mode), reduction)


def sare_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    kernel: str = "gauss",
    mode: str = "ind",
    mask: Tensor | None = None,
    *,
    reduction: str = "none",
) -> Tensor:
    """The SARE loss of each query.

    With d the L2 distance to the query, K = exp(-d^2) for 'gauss', 1 / (1 + d^2) for 'cauchy', exp(-d) for
    'exp', and m_i = log K(negative i) - log K(positive): 'ind' is sum_i log(1 + exp(m_i)), 'joint' is
    log(1 + sum_i exp(m_i)). Neither overflows. The gradient of 'exp' at distance 0 is 0.

    Args:
        query, positive: (B, D) features.
        negatives: (B, M, D) features; M may be 0.
        kernel: 'gauss', 'cauchy' or 'exp'.
        mode: 'ind' or 'joint'.
        mask: (B, M), True where there is a negative.
        reduction: 'none', 'sum', 'mean' (over queries, as the original prints it) or 'pairs' (divided by the
            number of negatives in the batch, as the original steps).

    Returns:
        (B,) losses, all >= 0, or one number; float32 for half-precision features.

    Raises:
        ArgumentError: shapes or names that do not fit.

    Ported from: deepIBL/trainGaussKernalInd.m, trainGaussKernalJoint.m, trainCauchyKernelInd.m,
    trainCauchyKernelJoint.m, trainExpKernalInd.m, trainExpKernalJoint.m
    """
    result: Tensor = SARELoss(kernel, mode, reduction=reduction)(query, positive, negatives, mask)
    return result
