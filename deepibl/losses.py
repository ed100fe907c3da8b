"""The SARE losses (stochastic attraction and repulsion embedding), and the losses they are compared with.

Every loss takes query and positive (B, D), negatives (B, M, D), and a mask (B, M), True where there is a
negative, so that queries may have different numbers of them. Features need not have unit length. Values are
at least 0, and float32 for half-precision features. Each loss is a module, SARE a function too; they raise
ArgumentError for shapes or names that do not fit.

How the original divides: it prints the mean loss over a batch's queries, but divides the gradient by the
batch's number of (query, negative) pairs, for the Joint losses too. `reduction="mean"` and `"pairs"` give the
two (with "mean" and ten negatives the same learning rate steps ten times as far); `"none"`, (B,), and `"sum"`
are as in torch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError

KERNELS = ("gauss", "cauchy", "exp")
MODES = ("ind", "joint")
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

    def reduced(self, reduction: str) -> Tensor:
        """The losses as one number, 0 without queries or pairs; or (B,) as they are."""
        match _one_of(reduction, REDUCTIONS, "reduction"):
            case "none":
                return self.losses
            case "sum":
                return self.losses.sum()
            case "mean":
                return self.losses.sum() / max(1, len(self.losses))
            case _:
                return self.losses.sum() / self.pairs.sum().clamp(min=1)


class TupleLoss(nn.Module):
    """Base of the losses: `loss(query, positive, negatives, mask)`, reduced as the module says.

    `terms(...)` gives each query's loss with the number that the original's trainer divides by, for a batch
    that is collected tuple by tuple.
    """

    def __init__(self, reduction: str = "mean", **settings: Any) -> None:
        super().__init__()
        self.settings, self.reduction = settings, _one_of(reduction, REDUCTIONS, "reduction")

    def extra_repr(self) -> str:
        """The settings, for print(loss)."""
        settings = {**self.settings, "reduction": self.reduction}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        raise NotImplementedError

    def terms(self, query: Tensor, positive: Tensor, negatives: Tensor, mask: Tensor | None = None) -> Terms:
        """Losses and divisors by query, both (B,); for query, positive (B, D) and negatives (B, M, D)."""
        return self.compute(_tuples(query, positive, negatives, mask))

    def forward(
        self, query: Tensor, positive: Tensor, negatives: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """The loss, reduced; for query, positive (B, D) and negatives (B, M, D)."""
        return self.terms(query, positive, negatives, mask).reduced(self.reduction)


class SARELoss(TupleLoss):
    """The SARE loss.

    With d the L2 distance to the query, K = exp(-d^2) for 'gauss', 1 / (1 + d^2) for 'cauchy', exp(-d) for
    'exp', and m_i = log K(negative i) - log K(positive): 'ind' is sum_i log(1 + exp(m_i)), 'joint' is
    log(1 + sum_i exp(m_i)). Neither overflows. The gradient of 'exp' at distance 0 is 0. reduction: 'none',
    'sum', 'mean' (over queries, as the original prints it) or 'pairs' (divided by the number of negatives in
    the batch, as the original steps).

    >>> loss = SARELoss("gauss", "joint")
    >>> loss(torch.eye(2), torch.eye(2), torch.zeros(2, 3, 2)).shape
    torch.Size([])

    Ported from: deepIBL/trainGaussKernalInd.m, trainGaussKernalJoint.m, trainCauchyKernelInd.m,
    trainCauchyKernelJoint.m, trainExpKernalInd.m, trainExpKernalJoint.m
    """

    def __init__(self, kernel: str = "gauss", mode: str = "ind", *, reduction: str = "mean") -> None:
        kernel, mode = _one_of(kernel, KERNELS, "kernel"), _one_of(mode, MODES, "mode")
        super().__init__(reduction, kernel=kernel, mode=mode)

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        to_positive, to_negatives = map(self._minus_log_kernel, tuples.squared_distances())
        margins, pairs = to_positive[:, None] - to_negatives, tuples.mask.sum(1)
        if self.settings["mode"] == "joint":
            return Terms(_log_one_plus_sum_exp(margins, tuples.mask), pairs)
        each = torch.logaddexp(margins, torch.zeros_like(margins))
        return Terms(each.masked_fill(~tuples.mask, 0.0).sum(1), pairs)

    def _minus_log_kernel(self, squared: Tensor) -> Tensor:
        """-log K of squared distances: d^2, log(1 + d^2) or d."""
        if self.settings["kernel"] == "gauss":
            return squared
        return torch.log1p(squared) if self.settings["kernel"] == "cauchy" else _distance(squared)


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
    """`SARELoss` as a function: the loss of each query (B,), or one number.

    query, positive: (B, D). negatives: (B, M, D); M may be 0. mask: (B, M), True where there is a negative.
    """
    return SARELoss(kernel, mode, reduction=reduction)(query, positive, negatives, mask)


class TripletLoss(TupleLoss):
    """NetVLAD's ranking loss: sum_i max(0, d^2(positive) + margin - d^2(negative i)).

    With exclude_very_hard, negatives nearer than the positive count in the value but have no gradient, as in
    the original. 'pairs' divides by the number of violating negatives.

    Ported from: netvlad/trainWeakly.m
    """

    def __init__(
        self, margin: float = 0.1, *, exclude_very_hard: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction, margin=margin, exclude_very_hard=exclude_very_hard)

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        to_positive, to_negatives = tuples.squared_distances()
        hinges = torch.relu(to_positive[:, None] + self.settings["margin"] - to_negatives)
        hinges = hinges.masked_fill(~tuples.mask, 0.0)
        violating = hinges > 0
        if self.settings["exclude_very_hard"]:
            very_hard = to_negatives < to_positive[:, None]
            violating = violating & ~very_hard
            hinges = torch.where(very_hard, hinges.detach(), hinges)
        return Terms(hinges.sum(1), violating.sum(1))


class ContrastiveLoss(TupleLoss):
    """0.5 d(positive)^2 + sum_i 0.5 max(0, margin - d(negative i))^2, d the L2 distance.

    The gradient of a negative equal to the query is 0 (NaN in the original). 'pairs' divides by the number of
    violating negatives plus one per query.

    Ported from: deepIBL/trainContrastiveLoss.m (history, before 2019-07-25)
    """

    def __init__(self, margin: float = 0.7, *, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        to_positive, to_negatives = tuples.squared_distances()
        margin, apart = self.settings["margin"], _distance(to_negatives)
        lacking = torch.relu(margin - apart).masked_fill(~tuples.mask, 0.0)
        violating = (apart <= margin) & tuples.mask
        return Terms(0.5 * to_positive + 0.5 * lacking.square().sum(1), violating.sum(1) + 1)


class LiftedStructureLoss(TupleLoss):
    """0.5 max(0, J)^2 with J = log(sum_i exp(alpha - d(negative i))) + d(positive), d the L2 distance.

    'pairs' divides by the number of negatives of the queries with J > 0. (The original leaves queries with
    J <= 0 out of the mean it prints; here they count as 0.)

    Ported from: deepIBL/trainLiftStruct.m (history, before 2019-07-25)
    """

    def __init__(self, alpha: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction, alpha=alpha)

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        to_positive, to_negatives = tuples.squared_distances()
        any_negative = tuples.mask.any(1)
        # a row of -inf alone has a NaN gradient, even times 0: a row without negatives is left unmasked
        counted = tuples.mask | ~any_negative[:, None]
        repulsion = (self.settings["alpha"] - _distance(to_negatives)).masked_fill(~counted, -torch.inf)
        excess = torch.logsumexp(repulsion, 1) + _distance(to_positive)
        excess = torch.where(any_negative, torch.relu(excess), 0.0)
        return Terms(0.5 * excess.square(), torch.where(excess > 0, tuples.mask.sum(1), 0))


class NPairLoss(TupleLoss):
    """log(1 + sum_i exp(scale * query . (negative i - positive))).

    With scale 2 this is the very formula of the original's trainGaussKernalJoint, raw gradient included; on
    unit vectors its value equals the SARE loss of kernel 'gauss', mode 'joint'.

    Ported from: deepIBL/trainNpairLoss.m (history, before 2019-07-25)
    """

    def __init__(self, scale: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction, scale=scale)

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        towards = tuples.negatives - tuples.positive[:, None]
        exponents = self.settings["scale"] * (towards * tuples.query[:, None]).sum(2)  # autocast rounds @
        return Terms(_log_one_plus_sum_exp(exponents, tuples.mask), tuples.mask.sum(1))


class AngularLoss(TupleLoss):
    """log(1 + sum_i exp(4 t (query + positive) . negative i - 2 (1 + t) query . positive)).

    t is the squared tangent of the angle, given in degrees.

    Ported from: deepIBL/trainAngularLoss.m (history, before 2019-07-25)
    """

    def __init__(self, degrees: float = 45.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction, degrees=degrees)

    def compute(self, tuples: Tuples) -> Terms:
        """The terms of checked tuples."""
        tan2 = math.tan(math.radians(self.settings["degrees"])) ** 2
        anchor = tuples.query + tuples.positive
        to_positive = (tuples.query * tuples.positive).sum(1, keepdim=True)
        to_negatives = (tuples.negatives * anchor[:, None]).sum(2)
        exponents = 4 * tan2 * to_negatives - 2 * (1 + tan2) * to_positive
        return Terms(_log_one_plus_sum_exp(exponents, tuples.mask), tuples.mask.sum(1))


def _distance(squared: Tensor) -> Tensor:
    """The root of squared distances, with subgradient 0 (not NaN) at 0."""
    apart = squared > 0
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)


def _log_one_plus_sum_exp(exponents: Tensor, mask: Tensor) -> Tensor:
    """log(1 + sum over the row's True entries of exp), for (B, M); no overflow, and 0 for an empty row."""
    one = exponents.new_zeros(exponents.shape[0], 1)
    return torch.logsumexp(torch.cat([one, exponents.masked_fill(~mask, -torch.inf)], 1), 1)


def _tuples(query: Tensor, positive: Tensor, negatives: Tensor, mask: Tensor | None) -> Tuples:
    """Checks shapes and puts zeros where the mask says there is no negative.

    Raises ArgumentError unless query and positive are (B, D), negatives (B, M, D) and mask (B, M).
    """
    if query.ndim != 2 or positive.shape != query.shape:
        raise ArgumentError(f"query {tuple(query.shape)} and positive {tuple(positive.shape)}: need (B, D)")
    if negatives.ndim != 3 or negatives.shape[0] != query.shape[0] or negatives.shape[2] != query.shape[1]:
        raise ArgumentError(
            f"negatives of shape {tuple(negatives.shape)}: expected (B, M, D), B, D = {tuple(query.shape)}"
        )
    if mask is None:
        mask = torch.ones(negatives.shape[:2], dtype=torch.bool, device=negatives.device)
    elif mask.shape != negatives.shape[:2]:
        raise ArgumentError(f"mask of {tuple(mask.shape)}: expected (B, M) = {tuple(negatives.shape[:2])}")
    mask = mask.bool()
    exact = torch.promote_types(query.dtype, torch.float32)
    return Tuples(
        query.to(exact), positive.to(exact), negatives.to(exact).masked_fill(~mask[:, :, None], 0.0), mask
    )


def _one_of(value: str, allowed: tuple[str, ...], name: str) -> str:
    """The value in lower case. Raises ArgumentError if it is not allowed."""
    if value.lower() not in allowed:
        raise ArgumentError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value.lower()
