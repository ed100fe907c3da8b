"""The losses against naive loops, at their limits, and as modules."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deepibl.losses import (
    AngularLoss,
    ContrastiveLoss,
    LiftedStructureLoss,
    NPairLoss,
    SARELoss,
    TripletLoss,
    sare_loss,
)
from matlab_compat.errors import ArgumentError

Tuple = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture
def batch() -> Tuple:
    """Three unit-norm tuples with 4, 0 and 2 negatives, in float64."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    rows = rows / rows.norm(dim=2, keepdim=True)
    mask = torch.tensor([[True] * 4, [False] * 4, [True, False, True, False]])
    return rows[:, 0], rows[:, 1], rows[:, 2:], mask


def kernel(name: str, d2: float) -> float:
    return {"gauss": math.exp(-d2), "cauchy": 1 / (1 + d2), "exp": math.exp(-math.sqrt(d2))}[name]


def naive_sare(q: list[float], p: list[float], ns: list[list[float]], name: str, mode: str) -> float:
    def d2(other: list[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(q, other, strict=True))

    near = kernel(name, d2(p))
    far = [kernel(name, d2(n)) for n in ns]
    if mode == "joint":
        return -math.log(near / (near + sum(far)))
    return sum(-math.log(near / (near + k)) for k in far)


def naive_baseline(name: str) -> Callable[[Tensor, Tensor, list[Tensor]], float]:
    def d(a: Tensor, b: Tensor) -> float:
        return float((a - b).norm())

    def triplet(q: Tensor, p: Tensor, ns: list[Tensor]) -> float:
        return sum(max(0.0, d(q, p) ** 2 + 0.1 - d(q, n) ** 2) for n in ns)

    def contrastive(q: Tensor, p: Tensor, ns: list[Tensor]) -> float:
        return 0.5 * d(q, p) ** 2 + sum(0.5 * max(0.0, 0.7 - d(q, n)) ** 2 for n in ns)

    def lifted(q: Tensor, p: Tensor, ns: list[Tensor]) -> float:
        j = math.log(sum(math.exp(1 - d(q, n)) for n in ns)) + d(q, p) if ns else 0.0
        return 0.5 * max(0.0, j) ** 2

    def npair(q: Tensor, p: Tensor, ns: list[Tensor]) -> float:
        return math.log(1 + sum(math.exp(float(q @ (n - p))) for n in ns))

    def angular(q: Tensor, p: Tensor, ns: list[Tensor]) -> float:
        t = math.tan(math.radians(45)) ** 2
        return math.log(
            1 + sum(math.exp(4 * t * float((q + p) @ n) - 2 * (1 + t) * float(q @ p)) for n in ns)
        )

    return {
        "triplet": triplet,
        "contrastive": contrastive,
        "lifted": lifted,
        "npair": npair,
        "angular": angular,
    }[name]


BASELINES = {
    "triplet": TripletLoss,
    "contrastive": ContrastiveLoss,
    "lifted": LiftedStructureLoss,
    "npair": NPairLoss,
    "angular": AngularLoss,
}
ALL_LOSSES = [
    *(SARELoss(k, m) for k in ("gauss", "cauchy", "exp") for m in ("ind", "joint")),
    *(loss() for loss in BASELINES.values()),
]


@pytest.mark.parametrize("name", ["gauss", "cauchy", "exp"])
@pytest.mark.parametrize("mode", ["ind", "joint"])
def test_sare_equals_a_loop_whatever_the_number_of_negatives(batch: Tuple, name: str, mode: str) -> None:
    query, positive, negatives, mask = batch
    got = sare_loss(query, positive, negatives, name, mode, mask)
    want = [
        naive_sare(q.tolist(), p.tolist(), n[m].tolist(), name, mode)
        for q, p, n, m in zip(query, positive, negatives, mask, strict=True)
    ]
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_equals_a_loop(batch: Tuple, name: str) -> None:
    query, positive, negatives, mask = batch
    got = BASELINES[name](reduction="none")(query, positive, negatives, mask)
    naive = naive_baseline(name)
    want = [naive(q, p, list(n[m])) for q, p, n, m in zip(query, positive, negatives, mask, strict=True)]
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=repr)
def test_gradients_are_the_numerical_ones(batch: Tuple, loss: torch.nn.Module) -> None:
    query, positive, negatives, mask = batch
    inputs = tuple(t.clone().requires_grad_() for t in (query, positive, negatives))
    assert torch.autograd.gradcheck(lambda q, p, n: loss(q, p, n, mask), inputs)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=repr)
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e3])
def test_values_and_gradients_stay_finite_at_the_limits(loss: torch.nn.Module, scale: float) -> None:
    query = torch.ones(2, 4, requires_grad=True)
    positive = (torch.ones(2, 4) * (1 + scale)).requires_grad_()
    negatives = (torch.ones(2, 3, 4) * (1 - scale)).requires_grad_()
    value = loss(query, positive, negatives)
    value.backward()
    assert torch.isfinite(value)
    for tensor in (query, positive, negatives):
        assert torch.isfinite(tensor.grad).all()


def test_what_the_mask_hides_changes_nothing_not_even_nan(batch: Tuple) -> None:
    query, positive, negatives, mask = batch
    spoiled = negatives.masked_fill(~mask[:, :, None], float("nan")).requires_grad_()
    for loss in ALL_LOSSES:
        value = loss(query, positive, spoiled, mask)
        torch.testing.assert_close(value, loss(query, positive, negatives, mask))
        (gradient,) = torch.autograd.grad(value, spoiled)
        assert not gradient[~mask].any()


def test_a_loss_prints_its_settings() -> None:
    assert repr(SARELoss("exp", "joint")) == "SARELoss(kernel='exp', mode='joint', reduction='mean')"


def test_very_hard_negatives_count_but_do_not_pull() -> None:
    query, positive = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    negatives = torch.tensor([[[0.5, 0.0], [0.0, 1.02]]], requires_grad=True)  # the first is nearer
    loss = TripletLoss(0.1, exclude_very_hard=True)
    value = loss(query, positive, negatives)
    assert value.item() == pytest.approx(TripletLoss(0.1)(query, positive, negatives).item())
    (gradient,) = torch.autograd.grad(value, negatives)
    assert not gradient[0, 0].any()
    assert gradient[0, 1].any()


def test_a_lifted_tuple_without_excess_is_not_counted() -> None:
    query, far = torch.zeros(1, 2), torch.full((1, 3, 2), 9.0)
    terms = LiftedStructureLoss().terms(query, query, far)
    assert (terms.losses.item(), terms.pairs.item()) == (0, 0)


def test_half_precision_features_are_compared_in_single() -> None:
    query = torch.ones(1, 512, dtype=torch.bfloat16)
    value = sare_loss(query, query, 0 * query[:, None])
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "loss", [SARELoss(), TripletLoss(), LiftedStructureLoss(), NPairLoss(), AngularLoss()]
)
def test_autocast_around_a_loss_changes_no_bit(batch: Tuple, loss: torch.nn.Module) -> None:
    query, positive, negatives = (each.float() for each in batch[:3])
    with torch.autocast("cpu", torch.bfloat16):
        got = loss(query, positive, negatives)
    assert torch.equal(got, loss(query, positive, negatives)) and got.dtype == torch.float32


def test_gauss_joint_equals_the_npair_loss_of_scale_two_on_unit_vectors(batch: Tuple) -> None:
    query, positive, negatives, mask = batch
    got = SARELoss("gauss", "joint")(query, positive, negatives, mask)
    torch.testing.assert_close(got, NPairLoss(2)(query, positive, negatives, mask))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SARELoss("box"), "gauss, cauchy, exp"),
        (lambda: SARELoss("gauss", "both"), "ind, joint"),
        (lambda: SARELoss(reduction="median"), "none, sum, mean, pairs"),
        (lambda: sare_loss(torch.ones(2, 3), torch.ones(2, 4), torch.ones(2, 1, 3)), r"\(2, 4\)"),
        (lambda: sare_loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3)), r"\(B, M, D\)"),
        (
            lambda: sare_loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 1, 3), mask=torch.ones(2, 2)),
            "mask",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()
