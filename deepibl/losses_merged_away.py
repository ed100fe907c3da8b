"""The SARE losses (stochastic attraction and repulsion embedding), and the losses they are compared with.

Every loss takes query and positive (B, D), negatives (B, M, D), and a mask (B, M), True where there is a
negative, so that queries may have different numbers of them. Features need not have unit length.

How the original divides: it prints the mean loss over a batch's queries, but divides the gradient by the
batch's number of (query, negative) pairs, for the Joint losses too. `reduction="mean"` and `"pairs"` give the
two (with "mean" and ten negatives the same learning rate steps ten times as far); `"none"` and `"sum"` are as
in torch.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from deepibl.losses_baselines import (
    AngularLoss,
    ContrastiveLoss,
    LiftedStructureLoss,
    NPairLoss,
    TripletLoss,
    angular_loss,
    contrastive_loss,
    lifted_structure_loss,
    npair_loss,
    triplet_loss,
)
from deepibl.losses_tuples import (
    Terms,
    TupleLoss,
    Tuples,
    check_choice,
    distance,
    log_one_plus_sum_exp,
)

__all__ = [
    "AngularLoss",
    "ContrastiveLoss",
    "LiftedStructureLoss",
    "NPairLoss",
    "SARELoss",
    "TripletLoss",
    "TupleLoss",
    "angular_loss",
    "contrastive_loss",
    "lifted_structure_loss",
    "npair_loss",
    "sare_loss",
    "triplet_loss",
]

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
