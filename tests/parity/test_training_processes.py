"""The golden trainings by several processes: the draws, tuples, losses and weights of one, bit for bit."""

from itertools import cycle

import numpy as np
import pytest

from deepibl.runtime import processes
from tests.golden_data import GOLDEN, golden_id
from tests.parity.training_runs import RUNS, prepare, run, run_prepared
from tests.teams import needs_fork, run_team, values
from tests.tolerances import TOL

pytestmark = [pytest.mark.slow, needs_fork, pytest.mark.usefixtures("one_thread")]
WAYS = [(2, {}), (3, {"backboneCache": "off"}), (4, {"backboneCache": "disk"}), (2, {"stepGB": 2})]
CASES = [pytest.param(path, *way, id=f"{golden_id(path)}-{way}") for path, way in zip(RUNS, cycle(WAYS))]


def train(path, folder, speed):
    """A golden run as process 0 saw it: losses, weights, negatives of every batch; nothing of the others."""
    outcome = run_prepared(path, folder, GOLDEN, **speed)
    if not processes.team().leads:
        assert not outcome.watch.batches and outcome.session
        return None
    return outcome.replay.used_up, seen(outcome.watch)


def seen(watch):
    batches = [
        (
            batch["report"].loss,
            {key: each.numpy() for key, each in batch["weights"].items()},
            {key: each.numpy() for key, each in batch["momenta"].items()},
            batch["caches"],
        )
        for batch in watch.batches
    ]
    return batches, [(mined.query, mined.positive, list(mined.negatives)) for mined in watch.tuples]


@pytest.mark.parametrize(("path", "size", "speed"), CASES)
def test_several_processes_train_what_one_does(path, size, speed, tmp_path):
    for folder in ("one", "team"):
        (tmp_path / folder).mkdir()
    alone = run(path, tmp_path / "one", GOLDEN, **speed)
    prepare(path, tmp_path / "team", GOLDEN)
    used_up, (batches, tuples) = values(run_team(size, train, path, tmp_path / "team", speed))[0]
    want_batches, want_tuples = seen(alone.watch)
    assert used_up and tuples == want_tuples and len(batches) == len(want_batches) > 0
    # tuples that go through the network together do so in other groups, and are the same to rounding
    allowed = TOL["trajectory"] if "stepGB" in speed else 0.0
    for (loss, weights, momenta, caches), (want_loss, *want) in zip(batches, want_batches, strict=True):
        assert loss == pytest.approx(want_loss, rel=allowed, abs=0)
        assert all(np.array_equal(a, b) for a, b in zip(caches, want[2], strict=True))
        assert farthest(weights, want[0]) <= allowed
        assert allowed or farthest(momenta, want[1]) == 0


def farthest(got, want):
    """The largest difference of any two arrays, by the largest number there is."""
    largest = max(float(np.abs(each).max()) for each in want.values())
    return max(float(np.abs(got[key] - each).max(initial=0)) for key, each in want.items()) / largest
