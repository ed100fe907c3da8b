"""What all tuple losses share: shapes, masks, distances, and how the losses of a batch become one number."""

from __future__ import annotations

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
