"""The training demo in small: a network of random weights learns two districts of a toy city."""

import pytest

from deepibl import demo_training
from deepibl.networks import load_network
from scripts.compare_losses import table


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo_training, "SPLITS", {"train": (24, 12), "val": (20, 10)})
    monkeypatch.setattr(demo_training, "SIZE", (64, 48))
    changes = {"nEpoch": 1, "nNegChoice": 5, "nNegCap": 2, "nTestRankSample": 10}
    monkeypatch.setattr(demo_training, "OPTIONS", {**demo_training.OPTIONS, **changes})


def test_the_demo_trains_prints_the_table_and_leaves_a_network(small, tmp_path):
    said = []
    results = demo_training.run_training_demo(tmp_path, say=said.append)
    assert results.table() in said and results.off_the_shelf is not None
    net = load_network(tmp_path / "toycity.mat")
    assert net.names[-1] == "postL2" and not any("momentum" in layer.fields for layer in net)


def test_the_comparison_is_a_row_before_training_and_one_a_trainer(small, tmp_path):
    city = demo_training.photograph(tmp_path)
    runs = [demo_training.train_in_city(city, "trainContrastive", seed, {"method": "max"}) for seed in (0, 1)]
    rows = table({"trainContrastive": runs}).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["before training", "trainContrastive"]
    assert rows[0].count("Recall@") == 3 and rows[3].count("±") == 3


@pytest.mark.slow
def test_a_shortened_demo_learns_to_find_places_of_the_other_district(monkeypatch, tmp_path):
    monkeypatch.setattr(demo_training, "SPLITS", {"train": (300, 600), "val": (160, 120)})
    city = demo_training.photograph(tmp_path)
    changes = {"nEpoch": 2, "nNegChoice": 10}
    results = demo_training.train_in_city(city, changes=changes)
    losses = results.history.train.loss
    before, after = results.off_the_shelf, results.trained
    print(f"\nRecall@1,2,3,4,5,10 {before[:6].round(3)} -> {after[:6].round(3)}")
    print(f"mean loss of the first and last 50 batches: {sum(losses[:50]) / 50:.3f} {sum(losses[-50:]) / 50:.3f}")
    assert sum(losses[-50:]) < 0.9 * sum(losses[:50])
    assert after[0] > 1.2 * before[0]
