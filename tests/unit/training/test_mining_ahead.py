"""Mining while a GPU computes: the training that comes of it is, bit for bit, the one that mines in turn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.training import loop
from deepibl.training.tuples import MiningAhead
from matlab_compat.rng import rng
from tests.replay import Replay
from tests.tiny_training import Failing, Log, Workplace

pytestmark = pytest.mark.usefixtures("one_thread")
FEATURES = (np.zeros((4, 2), np.float32), np.zeros((9, 2), np.float32))
CACHES = [np.zeros(0, np.int64)] * 4


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A training with flips, which are drawn between the negatives, and two refreshes an epoch."""
    torch.set_num_threads(1)
    place = Workplace(tmp_path_factory.mktemp("turn"))
    place.train(sessionID="run", jitterFlip=True)
    return place


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """As on a GPU; whether each batch that was mined beforehand was taken."""
    found: list[bool] = []
    take = MiningAhead.take

    def watched(self: MiningAhead, *given: Any) -> Any:
        begun, mined = self._begun, []
        mine, self._mine = self._mine, lambda *more: mined.append(1) or mine(*more)  # type: ignore[func-returns-value]
        tuples = take(self, *given)
        self._mine = mine
        found.extend([not mined] if begun else [])
        return tuples

    monkeypatch.setattr(loop, "worth_it", lambda device: True)
    monkeypatch.setattr(MiningAhead, "take", watched)
    return found


def assert_same(one: Workplace, other: Workplace) -> None:
    for mine, theirs in zip(one.weights("run"), other.weights("run"), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    first, second = (place.load("run")["auxData"] for place in (one, other))
    np.testing.assert_array_equal(first["rngState"]["State"], second["rngState"]["State"])
    for mine, theirs in zip(first["negCache"].flat, second["negCache"].flat, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_training_that_mines_ahead_is_the_same(
    in_turn: Workplace, taken: list[bool], tmp_path: Path
) -> None:
    place, log = Workplace(tmp_path), Log()
    place.train(log, sessionID="run", jitterFlip=True)
    assert_same(place, in_turn)
    assert taken and all(taken) and len(taken) < len(log.batches)  # not across a refresh, nor an epoch's end


def test_a_training_that_stops_while_it_mines_ahead_goes_on_with_the_same_draws(
    in_turn: Workplace, taken: list[bool], tmp_path: Path
) -> None:
    place = Workplace(tmp_path)
    with pytest.raises(ZeroDivisionError):
        place.train(Failing(3, ZeroDivisionError), sessionID="run", jitterFlip=True)
    place.train(sessionID="run", jitterFlip=True)
    assert_same(place, in_turn)
    assert all(taken)


def drawing(queries: np.ndarray, features: Any, caches: Any, generator: Any) -> Any:
    return [(query, float(generator.rand().item())) for query in queries.tolist()]


def test_what_was_mined_for_another_batch_features_or_state_is_mined_again() -> None:
    want = drawing(np.arange(2), None, None, rng(3))
    for queries, features, moved in (
        (np.arange(1, 3), FEATURES, False),
        (np.arange(2), (*FEATURES[:1], FEATURES[1].copy()), False),
        (np.arange(2), FEATURES, True),
    ):
        with MiningAhead(drawing) as miner:
            generator = rng(3)
            if moved:
                generator.rand()
            miner.begin(queries, features, CACHES, generator)
            generator.state = rng(3).state
            assert miner.take(np.arange(2), FEATURES, CACHES, generator) == want


def test_mining_beforehand_draws_nothing_until_it_is_taken_and_leaves_replayed_draws_alone() -> None:
    with MiningAhead(drawing) as miner:
        generator, twin = rng(3), rng(3)
        miner.begin(np.arange(2), FEATURES, CACHES, generator)
        np.testing.assert_array_equal(generator.state, twin.state)
        miner.take(np.arange(2), FEATURES, CACHES, generator)
        drawing(np.arange(2), None, None, twin)
        np.testing.assert_array_equal(generator.state, twin.state)
        miner.begin(np.arange(2), FEATURES, CACHES, Replay([]))
        assert miner._begun is None


def test_an_error_of_mining_comes_in_its_turn() -> None:
    def failing(*given: Any) -> Any:
        raise ZeroDivisionError("in its turn")

    with MiningAhead(failing) as miner:
        miner.begin(np.arange(2), FEATURES, CACHES, rng(3))
        with pytest.raises(ZeroDivisionError, match="in its turn"):
            miner.take(np.arange(2), FEATURES, CACHES, rng(3))
