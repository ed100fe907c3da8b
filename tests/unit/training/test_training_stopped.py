"""Trainings that are stopped again and again, and settings that no golden run has."""

import numpy as np
import pytest

from deepibl.errors import TrainingError
from deepibl.training.step import Stepper
from matlab_compat.simplenn.network import SimpleNN
from tests.tiny_training import Failing, Log, Workplace

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_same_end(one: Workplace, other: Workplace) -> None:
    for mine, theirs in zip(one.weights("run"), other.weights("run"), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    first, second = one.load("run"), other.load("run")
    for which in ("train", "val"):
        for name in ("loss", "recall", "rankloss"):
            np.testing.assert_array_equal(first["obj"][which][name], second["obj"][which][name])
    for mine, theirs in zip(
        first["auxData"]["negCache"].ravel(), second["auxData"]["negCache"].ravel(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_stopped_after_every_single_batch_it_ends_with_the_same_bits(tmp_path):
    whole, stopped = Workplace(tmp_path / "whole"), Workplace(tmp_path / "stopped")
    jitter = {"sessionID": "run", "jitterFlip": True, "jitterScale": [0.75, 1, 1.5]}
    whole.train(**jitter)
    stops = 0
    while True:
        try:
            stopped.train(Failing(1, KeyboardInterrupt()), **jitter)
        except KeyboardInterrupt:
            stops += 1
            continue
        break
    assert stops == whole.load("run")["obj"]["train"]["loss"].size
    assert_same_end(stopped, whole)


@pytest.mark.parametrize("trainer", ["trainGaussKernalInd", "trainExpKernalJoint", "trainWeakly"])
def test_exclude_very_hard_leaves_out_negatives_nearer_than_the_positive(tmp_path, trainer):
    # difference: excludeVeryHard-in-SARE
    place = Workplace(tmp_path)
    options = {"nNegChoice": 12, "nNegCap": 12, "margin": 2.0, "nEpoch": 1, "trainer": trainer}
    everyone, semi_hard = Log(), Log()
    place.train(everyone, sessionID="all", **options)
    place.train(semi_hard, sessionID="semi", excludeVeryHard=True, **options)
    assert any(mined.very_hard for mined in everyone.mined)
    for mined in semi_hard.mined:
        assert len(mined.negatives) <= mined.violating <= 16 - mined.very_hard
    for outcome, mined in zip(
        semi_hard.outcomes, [m for m in semi_hard.mined if len(m.negatives)], strict=True
    ):
        assert outcome.pairs <= len(mined.negatives) - outcome.very_hard
    assert sum(o.pairs for o in semi_hard.outcomes) < sum(o.pairs for o in everyone.outcomes)


def test_a_bnorm_layer_that_would_learn_is_refused_and_a_fixed_one_is_not():
    # difference: bnorm-learning
    weights = [np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32), np.ones((2, 2), np.float32)]
    net = SimpleNN.from_matlab({"layers": [{"type": "bnorm", "name": "norm", "weights": weights}]})
    with pytest.raises(TrainingError, match=r"'norm'.*fixLayers"):
        Stepper(net, 0)
    assert not Stepper(net, 0, ["norm"]).learned
