"""The losses behind pytorch-metric-learning's interface: `loss(embeddings, labels, indices_tuple)`.

>>> from deepibl import SARELoss
>>> loss = MetricLearningLoss(SARELoss("gauss", "joint"))
>>> loss(torch.eye(4), torch.tensor([0, 0, 1, 1])).shape
torch.Size([])
"""

from typing import Any

import torch
from torch import Tensor, nn

from deepibl.losses import TupleLoss
from matlab_compat.errors import ArgumentError


class MetricLearningLoss(nn.Module):
    """A loss of `deepibl.losses` behind pytorch-metric-learning's interface; that package is not needed.

    Each pair of an anchor and a positive makes a tuple with all negatives of the anchor: those of another
    label, or those that a miner of that package picked. The loss's own reduction is kept ('mean' is over the
    tuples, 'pairs' what the original steps along).
    """

    def __init__(self, loss: TupleLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: tuple[Tensor, ...] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Any:
        """The loss of a batch, 0 where no anchor has both a positive and a negative.

        Args:
            embeddings: (B, D). labels: (B,), of places; may be left out with indices_tuple.
            indices_tuple: (anchors, positives, negatives) of triplets, or (anchors, positives, anchors,
                negatives) of pairs, as miners give them.
            ref_emb, ref_labels: (R, D), (R,): where positives and negatives are taken from (default: from
                the batch itself, but never the anchor).

        Raises:
            ArgumentError: neither labels nor indices, or an indices_tuple of another length.
        """
        others = embeddings if ref_emb is None else ref_emb
        shape = (len(embeddings), len(others))
        if indices_tuple is not None:
            positive, negative = _from_indices(indices_tuple, shape, embeddings.device)
        else:
            if labels is None or (ref_emb is not None and ref_labels is None):
                raise ArgumentError("give labels (and ref_labels with ref_emb), or an indices_tuple")
            same = labels[:, None] == (labels if ref_labels is None else ref_labels)[None]
            itself = torch.eye(*shape, dtype=torch.bool, device=embeddings.device) & (ref_emb is None)
            positive, negative = same & ~itself, ~same
        anchors, positives = (positive & negative.any(1)[:, None]).nonzero(as_tuple=True)
        if not len(anchors):
            return embeddings.sum() * 0.0
        negatives = others.expand(len(anchors), -1, -1)
        return self.loss(embeddings[anchors], others[positives], negatives, negative[anchors])


def _from_indices(
    indices: tuple[Tensor, ...], shape: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Masks (B, R) of the anchors' positives and of their negatives."""
    if len(indices) == 3:
        anchors, positives, negatives = indices
        pairs = ((anchors, positives), (anchors, negatives))
    elif len(indices) == 4:
        pairs = ((indices[0], indices[1]), (indices[2], indices[3]))
    else:
        raise ArgumentError(
            f"an indices_tuple has 3 tensors (triplets) or 4 (pairs), this one {len(indices)}"
        )
    masks = torch.zeros(2, *shape, dtype=torch.bool, device=device)
    for mask, (rows, columns) in zip(masks, pairs, strict=True):
        mask[rows, columns] = True
    return masks[0], masks[1]
