"""The adapter to pytorch-metric-learning: the same tuples as written out by hand, and the package itself."""

import pytest
import torch

from deepibl.losses import ContrastiveLoss, SARELoss, sare_loss
from matlab_compat.errors import ArgumentError

pytest.importorskip("pytorch_metric_learning", reason="needs pytorch-metric-learning")

from deepibl.metric_learning import MetricLearningLoss

LABELS = torch.tensor([0, 0, 1, 1, 1, 2])


@pytest.fixture
def embeddings():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=generator, dtype=torch.float64)


def by_hand(embeddings, others, anchors_labels, labels, skip_self):
    """The mean over (anchor, positive) of the loss with all negatives, one at a time."""
    losses = []
    for a in range(len(embeddings)):
        negatives = others[labels != anchors_labels[a]]
        for p in torch.where(labels == anchors_labels[a])[0].tolist():
            if not (skip_self and p == a) and len(negatives):
                losses.append(sare_loss(embeddings[a][None], others[p][None], negatives[None])[0])
    return torch.stack(losses).mean()


def test_labels_make_tuples_of_each_pair_and_all_negatives(embeddings):
    got = MetricLearningLoss(SARELoss())(embeddings, LABELS)
    assert torch.allclose(got, by_hand(embeddings, embeddings, LABELS, LABELS, True))


def test_reference_embeddings_are_where_positives_and_negatives_come_from(embeddings):
    loss = MetricLearningLoss(SARELoss())
    got = loss(embeddings[:2], LABELS[:2], ref_emb=embeddings, ref_labels=LABELS)
    assert torch.allclose(got, by_hand(embeddings[:2], embeddings, LABELS[:2], LABELS, False))


def test_triplets_and_pairs_of_a_miner_give_the_same(embeddings):
    loss = MetricLearningLoss(SARELoss("cauchy", "joint"))
    a, p, n = torch.tensor([0, 0, 2]), torch.tensor([1, 1, 3]), torch.tensor([2, 5, 0])
    triplets, pairs = loss(embeddings, None, (a, p, n)), loss(embeddings, None, (a, p, a, n))
    want = [
        sare_loss(embeddings[[0]], embeddings[[1]], embeddings[None, [2, 5]], "cauchy", "joint"),
        sare_loss(embeddings[[2]], embeddings[[3]], embeddings[None, [0]], "cauchy", "joint"),
    ]
    assert torch.allclose(triplets, torch.cat(want).mean()) and torch.equal(triplets, pairs)


def test_a_batch_without_tuples_has_loss_and_gradient_zero(embeddings):
    embeddings.requires_grad_(True)
    loss = MetricLearningLoss(ContrastiveLoss())(embeddings, torch.arange(6))
    loss.backward()
    assert loss == 0 and not embeddings.grad.any()


def test_what_is_lacking_is_said(embeddings):
    loss = MetricLearningLoss(SARELoss())
    with pytest.raises(ArgumentError, match="labels"):
        loss(embeddings)
    with pytest.raises(ArgumentError, match="3 tensors"):
        loss(embeddings, None, (torch.tensor([0]),))


@pytest.mark.filterwarnings("ignore")
def test_a_miner_of_the_package_works_with_it(embeddings):
    from pytorch_metric_learning import miners

    found = miners.TripletMarginMiner(margin=0.5, type_of_triplets="all")(embeddings, LABELS)
    assert torch.isfinite(MetricLearningLoss(SARELoss())(embeddings, LABELS, found))


@pytest.mark.filterwarnings("ignore")
def test_it_is_a_loss_of_the_package_and_takes_its_regularizers(embeddings):
    from pytorch_metric_learning.losses import BaseMetricLossFunction
    from pytorch_metric_learning.regularizers import LpRegularizer

    plain = MetricLearningLoss(SARELoss())
    assert isinstance(plain, BaseMetricLossFunction)
    regular = MetricLearningLoss(SARELoss(), embedding_regularizer=LpRegularizer(), embedding_reg_weight=0.5)
    want = plain(embeddings, LABELS) + 0.5 * embeddings.norm(dim=1).mean()
    assert torch.allclose(regular(embeddings, LABELS), want)


def test_a_memory_of_earlier_batches_gives_positives_and_negatives(embeddings):
    from pytorch_metric_learning.losses import CrossBatchMemory

    memory = CrossBatchMemory(MetricLearningLoss(SARELoss()), 5, memory_size=12)
    first, second = embeddings, embeddings.flip(0) * 0.5
    memory(first, LABELS)
    got = memory(second.requires_grad_(True), LABELS)
    others, labels = torch.cat([first, second]).detach(), torch.cat([LABELS, LABELS])
    losses = []
    for a in range(6):
        for p in torch.where(labels == LABELS[a])[0].tolist():
            if p != a + 6:  # itself, in the memory
                far = others[labels != LABELS[a]]
                losses.append(sare_loss(second[a][None], others[p][None], far[None])[0])
    assert torch.allclose(got, torch.stack(losses).mean())
    got.backward()
    assert second.grad.any()


def test_augmented_views_are_each_others_positives(embeddings):
    from pytorch_metric_learning.losses import SelfSupervisedLoss

    views, ids = embeddings + 0.1, torch.arange(6)
    got = SelfSupervisedLoss(MetricLearningLoss(SARELoss()))(embeddings, views)
    both, labels = torch.cat([embeddings, views]), torch.cat([ids, ids])
    assert torch.allclose(got, by_hand(both, both, labels, labels, True))


def _distributed(rank: int, folder: str) -> None:
    import warnings

    from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

    warnings.simplefilter("ignore")
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    whole = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = DistributedLossWrapper(MetricLearningLoss(SARELoss()))
    got = loss(whole[3 * rank :][:3], torch.tensor([0, 0, 1, 1, 1, 2])[3 * rank :][:3])
    torch.save(got, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_get_the_loss_of_the_whole_batch(embeddings, tmp_path):
    torch.multiprocessing.spawn(_distributed, (str(tmp_path),), nprocs=2)
    want = 2 * MetricLearningLoss(SARELoss())(embeddings, LABELS)  # DDP will divide by the processes
    for rank in range(2):
        assert torch.allclose(torch.load(tmp_path / f"{rank}.pt", weights_only=True), want)
