"""The losses as pytorch-metric-learning's: `loss(embeddings, labels, indices_tuple)`, and under its wrappers.

>>> from deepibl import SARELoss
>>> loss = MetricLearningLoss(SARELoss("gauss", "joint"))
>>> loss(torch.eye(4), torch.tensor([0, 0, 1, 1])).shape
torch.Size([])
"""

from typing import Any

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction, CrossBatchMemory, SelfSupervisedLoss
from torch import Tensor

from deepibl.losses import TupleLoss
from matlab_compat.errors import ArgumentError


class MetricLearningLoss(BaseMetricLossFunction):
    """A loss of `deepibl.losses` as a BaseMetricLossFunction, which miners, samplers and wrappers take.

    Each pair of an anchor and a positive makes a tuple with all negatives of the anchor: those of another
    label, or those that a miner picked. The loss's own reduction is kept ('mean' is over the tuples, 'pairs'
    what the original steps along); regularizers of the package are added to it.

    Args of a call: embeddings (B, D); labels (B,), of places, which may be left out with indices_tuple;
    indices_tuple: (anchors, positives, negatives) of triplets, or (anchors, positives, anchors, negatives) of
    pairs; ref_emb, ref_labels (R, D), (R,): where positives and negatives are taken from (default: from the
    batch itself, but never the anchor). The loss is 0 where no anchor has both a positive and a negative.
    Raises ArgumentError: neither labels nor indices, or an indices_tuple of another length.
    """

    def __init__(self, loss: TupleLoss, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss = loss

    def compute_loss(
        self, embeddings: Tensor, labels: Any, indices_tuple: Any, ref_emb: Tensor, ref_labels: Any
    ) -> dict[str, Any]:
        """The package's description of the loss, reduced already."""
        shape = (len(embeddings), len(ref_emb))
        if indices_tuple is not None:
            positive, negative = _from_indices(indices_tuple, shape, embeddings.device)
        elif labels is None or ref_labels is None:
            raise ArgumentError("give labels (and ref_labels with ref_emb), or an indices_tuple")
        else:
            same = labels[:, None] == ref_labels[None]
            itself = torch.eye(*shape, dtype=torch.bool, device=embeddings.device) & (ref_emb is embeddings)
            positive, negative = same & ~itself, ~same
        anchors, positives = (positive & negative.any(1)[:, None]).nonzero(as_tuple=True)
        if not len(anchors):
            return self.zero_losses()
        negatives = ref_emb.expand(len(anchors), -1, -1)
        found = self.loss(embeddings[anchors], ref_emb[positives], negatives, negative[anchors])
        return {"loss": {"losses": found, "indices": None, "reduction_type": "already_reduced"}}


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
        raise ArgumentError(f"an indices_tuple has 3 tensors (triplets) or 4 (pairs), not {len(indices)}")
    masks = torch.zeros(2, *shape, dtype=torch.bool, device=device)
    for mask, (rows, columns) in zip(masks, pairs, strict=True):
        mask[rows, columns] = True
    return masks[0], masks[1]


def _admit(wrapper: Any) -> None:
    """Adds the loss to a wrapper's list of losses, which holds the package's own by their names."""
    known = wrapper.supported_losses()
    wrapper.supported_losses = staticmethod(lambda: [*known, MetricLearningLoss.__name__])


_admit(CrossBatchMemory)
_admit(SelfSupervisedLoss)
