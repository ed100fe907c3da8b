"""Training by several processes: what is killed, broken or diverges in one, and what all of them say."""

import os
from collections.abc import Callable

import numpy as np
import pytest
import torch

from deepibl.runtime import processes
from deepibl.training.gradients import TupleGradients
from deepibl.training.listeners import TrainingListener
from tests.teams import die, needs_fork, run_team, values
from tests.tiny_training import Log, Workplace

pytestmark = [pytest.mark.slow, needs_fork, pytest.mark.usefixtures("one_thread")]
OPTIONS = {"sessionID": "run", "jitterFlip": True, "batchSize": 3}
SOON = {"DEEPIBL_LOST_AFTER": "2"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of one process that nothing disturbed."""
    place = Workplace(tmp_path_factory.mktemp("whole"))
    torch.set_num_threads(1)
    place.train(**OPTIONS)
    return place


class After(TrainingListener):
    """Does something after so many batches."""

    def __init__(self, batches: int, what: Callable[[], None]) -> None:
        self.left, self.what = batches, what

    def batch_done(self, state, report):
        self.left -= 1
        if self.left == 0:
            self.what()


def train(place, lost=None, wrong=None, **changes):
    """Trains; lost: (process, calls), killed at so many batches; wrong: (process, calls), whose losses become
    NaN then. Gives the session, what was told in this process, and how many batches it computed a part of."""
    log, calls = Log(), []
    rank, compute = processes.team().rank, TupleGradients.__call__

    def counted(self, tuples, computed=lambda: None):
        calls.append(len(tuples))
        if lost == (rank, len(calls)):
            die()
        outcomes = compute(self, tuples, computed)
        bad = wrong == (rank, len(calls))
        return [each._replace(loss=float("nan")) if bad else each for each in outcomes]

    TupleGradients.__call__ = counted
    session = place.train(log, **{**OPTIONS, **changes})
    return session, [len(log.batches), len(log.saves), len(log.tests)], calls


def assert_same_end(place, whole):
    for mine, wanted in zip(place.weights("run"), whole.weights("run"), strict=True):
        np.testing.assert_array_equal(mine, wanted)
    one, other = place.load("run"), whole.load("run")
    for which in ("train", "val"):
        for name in ("loss", "recall", "rankloss"):
            np.testing.assert_array_equal(one["obj"][which][name], other["obj"][which][name])
    np.testing.assert_array_equal(one["auxData"]["rngState"]["State"], other["auxData"]["rngState"]["State"])
    names = [sorted(os.listdir(each.folder / "out")) for each in (place, whole)]
    assert names[0] == names[1]


@pytest.mark.parametrize("size", [2, 4])
def test_all_compute_and_one_saves_tests_and_tells(whole, tmp_path, size):
    place = Workplace(tmp_path)
    found = values(run_team(size, train, place))
    assert_same_end(place, whole)
    assert [session for session, *_ in found] == ["run"] * size
    batches = len(whole.load("run")["obj"]["train"]["loss"].ravel())
    assert found[0][1][0] == batches and min(found[0][1]) > 0
    assert all(told == [0, 0, 0] for _, told, _ in found[1:])
    assert all(len(calls) == batches for *_, calls in found)
    assert sum(calls[0] for *_, calls in found) == 3


@pytest.mark.parametrize(("lost", "size", "then"), [((1, 4), 2, 1), ((0, 3), 2, 3), ((2, 5), 3, 2)])
def test_a_lost_process_leaves_a_state_that_any_number_goes_on_with(whole, tmp_path, lost, size, then):
    place = Workplace(tmp_path)
    ended = run_team(size, train, place, lost, environment=SOON)
    assert ended[lost[0]].signal == 9
    for rank in set(range(size)) - {lost[0]}:
        assert f"process {lost[0]} of {size} (pid" in ended[rank].error
        assert "is lost: it gave no sign of life for 2 seconds" in ended[rank].error
        assert "the same command" in ended[rank].error
    before = len(place.load("run")["obj"]["train"]["loss"].ravel()) if lost[0] else 0
    found = values(run_team(then, train, place)) if then > 1 else [train_here(place)]
    assert found[0][1][0] + before <= len(whole.load("run")["obj"]["train"]["loss"].ravel())
    assert_same_end(place, whole)


def train_here(place):
    log = Log()
    return place.train(log, **OPTIONS), [len(log.batches)], []


def test_a_loss_that_is_not_finite_in_one_ends_all_with_the_same_words(tmp_path):
    place = Workplace(tmp_path)
    ended = run_team(3, train, place, None, (2, 4))
    for each in ended:
        assert each.error.startswith("TrainingError: training of session run diverged in epoch 2, batch 1")
        assert "is saved as" in each.error and "the same command resumes" in each.error
    assert len({each.error for each in ended}) == 1
    assert len(place.load("run")["obj"]["train"]["loss"].ravel()) == 3


def break_image(place):
    """Trains until an image that only process 1 reads cannot be read."""
    if processes.team().rank == 1:
        compute, calls = TupleGradients.__call__, []

        def broken(self, tuples, computed=lambda: None):
            calls.append(None)
            if len(calls) == 3:
                name = place.sets[0].database_names[tuples[0].positive]
                (place.folder / "train" / name).write_bytes(b"")
            return compute(self, tuples, computed)

        TupleGradients.__call__ = broken
    return place.train(backboneCache="off", **OPTIONS)


def test_an_unreadable_image_of_one_ends_all_and_is_named(whole, tmp_path):
    place = Workplace(tmp_path)
    kept = {name: (tmp_path / "train" / name).read_bytes() for name in place.sets[0].database_names}
    for each in run_team(2, break_image, place):
        assert each.error.startswith("TrainingError") and ".jpg" in each.error
        assert "the same command resumes from there" in each.error
    for name, content in kept.items():
        (tmp_path / "train" / name).write_bytes(content)
    values(run_team(2, train, place))
    assert_same_end(place, whole)


def test_a_training_that_is_refused_is_refused_in_all(tmp_path):
    place = Workplace(tmp_path)
    with place.files("run").locked():
        for each in run_team(2, train, place):
            assert each.error.startswith("SessionError: session run is being trained by another process")
