"""The losses and their gradients equal the lines of the original trainers, every edge case included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deepibl.losses import NPairLoss, SARELoss, TripletLoss, TupleLoss
from tests.golden_data import golden_files, golden_id, read_golden
from tests.tolerances import TOL, assert_close, error

FILES = golden_files("losses/*.mat")
KERNELS = {"Gauss": "Kernal", "Cauchy": "Kernel", "Exp": "Kernal"}  # the original spells two of them so
SARE = [(f"{k}{word}{m}", k.lower(), m.lower()) for k, word in KERNELS.items() for m in ("Ind", "Joint")]
HARDER_MARGIN = 0.5  # of the variables named Weakly_m5


def evaluate(loss: TupleLoss, feats: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Loss, gradient (D, M + 2) as MATLAB has it, and divisor, of one tuple [query, positive, negatives]."""
    rows = torch.tensor(feats.T.copy(), requires_grad=True)
    terms = loss.terms(rows[:1], rows[1:2], rows[None, 2:])
    (gradient,) = torch.autograd.grad(terms.losses.sum(), rows)
    return terms.losses.detach().numpy().reshape(1, 1), gradient.numpy().T, float(terms.pairs)


def tangential(gradient: np.ndarray, feats: np.ndarray) -> np.ndarray:
    """What a gradient does to unit vectors: its part along each feature goes, as in the last L2 layer."""
    unit = feats / np.linalg.norm(feats, axis=0)
    return gradient - unit * (unit * gradient).sum(0)


def is_unit(feats: np.ndarray) -> bool:
    return np.allclose(np.linalg.norm(feats, axis=0), 1, atol=1e-3)


def cases() -> list[Any]:
    return [
        pytest.param(path, *row, double, id=f"{golden_id(path)}-{row[0]}-{'double' if double else 'single'}")
        for path in FILES
        for row in SARE
        for double in (False, True)
        # exp(2 q'(n-p)) equals the Gaussian kernel on unit vectors only: elsewhere see the next test
        if row[0] != "GaussKernalJoint" or is_unit(read_golden(path)["feats"])
    ]


@pytest.mark.parametrize(("path", "name", "kernel", "mode", "double"), cases())
def test_sare_equals_the_original(path: Path, name: str, kernel: str, mode: str, double: bool) -> None:
    variables = read_golden(path)
    feats = variables["feats"].astype(np.float64 if double else np.float32)
    suffix, kind = ("_f64", "loss double") if double else ("", "loss")
    value, gradient, divisor = evaluate(SARELoss(kernel, mode), feats)
    assert divisor == variables[f"{name}_nTriplets"].item()
    assert np.isfinite(gradient).all()
    want_value, want = variables[f"{name}_loss{suffix}"], variables[f"{name}_dzdy{suffix}"]
    if name == "GaussKernalJoint":
        # difference: gauss-joint-formula
        gradient, want = tangential(gradient, feats), tangential(want, feats)
        kind = "loss double" if double and unit_to_rounding(feats) else "loss"
    assert_close(value + 1, want_value + 1, kind)  # the original takes -log of a number near 1: absolute
    if np.isnan(want).any():
        # difference: exp-at-distance-zero
        want = limit_gradient(feats, mode)
        kind = "loss"
    if not double and not np.isnan(variables[f"{name}_dzdy_f64"]).any():
        # in single the original takes 1 - p of p near 1: its error against its double result is allowed for
        exact = variables[f"{name}_dzdy_f64"]
        exact = tangential(exact, feats) if name == "GaussKernalJoint" else exact
        assert_close(gradient, exact, kind)
        assert error(gradient, want) <= TOL[kind] + error(want, exact)
    else:
        assert_close(gradient, want, kind)


def unit_to_rounding(feats: np.ndarray) -> bool:
    return bool(np.abs(np.linalg.norm(feats, axis=0) - 1).max() < 1e-12)


def limit_gradient(feats: np.ndarray, mode: str) -> np.ndarray:
    """The gradient of the Exp losses, each term whose distance is 0 left out (subgradient 0), in float64."""
    f = feats.astype(np.float64)
    query, others = f[:, :1], f[:, 1:]
    difference = query - others
    length = np.linalg.norm(difference, axis=0)
    direction = np.divide(difference, length, out=np.zeros_like(difference), where=length > 0)
    weights = np.exp(length[0] - length[1:])
    weights = weights / (1 + (weights.sum() if mode == "joint" else weights))
    slope = np.concatenate([[weights.sum()], -weights])  # of the loss by each distance
    by_other = -direction * slope
    return np.concatenate([-by_other.sum(1, keepdims=True), by_other], axis=1)


@pytest.mark.parametrize("path", FILES, ids=golden_id)
def test_the_originals_gauss_joint_formula_is_the_npair_loss_of_scale_two(path: Path) -> None:
    variables = read_golden(path)
    value, gradient, _ = evaluate(NPairLoss(scale=2), variables["feats"])
    assert_close(value, variables["GaussKernalJoint_loss"], "loss")
    assert_close(gradient, variables["GaussKernalJoint_dzdy"], "loss")


TRIPLETS = [
    pytest.param(path, variant, id=f"{golden_id(path)}-{variant}")
    for path in FILES
    for variant in ("Weakly", "Weakly_m5", "Weakly_m5_exclVH")
    if f"{variant}_loss" in read_golden(path)
]


@pytest.mark.parametrize(("path", "variant"), TRIPLETS)
def test_triplet_loss_equals_the_original(path: Path, variant: str) -> None:
    variables = read_golden(path)
    margin = variables["margin"].item() if variant == "Weakly" else HARDER_MARGIN
    loss = TripletLoss(margin, exclude_very_hard=variant.endswith("exclVH"))
    value, gradient, divisor = evaluate(loss, variables["feats"])
    assert divisor == variables[f"{variant}_nTriplets"].item()
    assert_close(value, variables[f"{variant}_loss"], "loss")
    if variables[f"{variant}_dzdy"].size:  # without a violating negative the original has no gradient
        assert_close(gradient, variables[f"{variant}_dzdy"], "loss")
    else:
        assert not gradient.any()


@pytest.mark.parametrize("path", FILES, ids=golden_id)
def test_gradients_equal_the_originals_numerical_ones(path: Path) -> None:
    variables = read_golden(path)
    feats = variables["feats"].astype(np.float64)
    for name, kernel, mode in SARE:
        want = variables[f"{name}_numgrad_f64"]
        if np.isnan(variables[f"{name}_dzdy"]).any() or (name == "GaussKernalJoint" and not is_unit(feats)):
            continue
        _, gradient, _ = evaluate(SARELoss(kernel, mode), feats)
        if name == "GaussKernalJoint":
            gradient, want = tangential(gradient, feats), tangential(want, feats)
        assert np.abs(gradient - want).max(initial=0) < 1e-6 * max(1.0, np.abs(want).max(initial=0))


def test_files_are_there() -> None:
    assert FILES
    assert any(np.isnan(read_golden(path)["ExpKernalInd_dzdy"]).any() for path in FILES)


def test_reductions_divide_as_the_original(golden: Path) -> None:
    """The printed loss is the mean over queries; the step is divided by the number of pairs, in Joint too."""
    path = next(path for path in FILES if read_golden(path)["feats"].shape[1] > 3)
    rows: Tensor = torch.tensor(read_golden(path)["feats"].T.copy())
    tuple_ = (rows[:1].repeat(2, 1), rows[1:2].repeat(2, 1), rows[None, 2:].repeat(2, 1, 1))
    each = SARELoss("cauchy", "joint", reduction="none")(*tuple_)
    assert SARELoss("cauchy", "joint", reduction="mean")(*tuple_) == pytest.approx(float(each.sum()) / 2)
    pairs = 2 * (len(rows) - 2)
    assert SARELoss("cauchy", "joint", reduction="pairs")(*tuple_) == pytest.approx(float(each.sum()) / pairs)
