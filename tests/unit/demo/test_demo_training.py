"""The training demo in small: a network of random weights learns two districts of a toy city."""

import pytest

from deepibl.demo import training as demo_training
from deepibl.networks.io import load_network


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo_training, "SPLITS", {"train": (24, 12), "val": (20, 10)})
    monkeypatch.setattr(demo_training, "SIZE", (64, 48))
    changes = {"epochs": 1, "negatives_per_query": 5, "negatives_cap": 2, "rank_loss_sample_size": 10}
    monkeypatch.setattr(demo_training, "OPTIONS", {**demo_training.OPTIONS, **changes})


def test_the_demo_trains_prints_the_table_and_leaves_a_network(small, tmp_path):
    said = []
    results = demo_training.run_training_demo(tmp_path, say=said.append)
    assert results.table() in said and results.off_the_shelf is not None
    net = load_network(tmp_path / "toycity.mat")
    assert net.names[-1] == "postL2" and not any("momentum" in layer.fields for layer in net)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_demo_in_short_learns_to_tell_places_apart(tmp_path):
    """Recall in another district needs more steps, those of the whole demo (docs/results.md)."""
    city = demo_training.photograph(tmp_path, splits={"train": (120, 240), "val": (40, 12)}, workers=1)
    easy = {"negatives_per_query": 5, "epochs": 6}  # negatives at random, not the hardest of 20
    results = demo_training.train_in_city(city, changes=easy)
    losses = results.history.train.loss
    first, last = sum(losses[:20]) / 20, sum(losses[-20:]) / 20
    print(f"\nmean loss of the first 20 batches {first:.2f}, of the last 20 {last:.2f}")
    assert last < 0.85 * first
