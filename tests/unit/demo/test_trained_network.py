"""What `deepibl demo --train` taught a network (in tests/networks): it carries over to unseen places."""

import hashlib
from pathlib import Path

import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.demo.run import raw_pixel_recall
from deepibl.demo.training import SIZE, TIMES, untrained_network
from deepibl.evaluation.measures import recall_at_n
from deepibl.features.extraction import extract
from deepibl.networks.io import load_network
from deepibl.toycity.city import make_city
from matlab_compat import matfile

TRAINED = Path(__file__).parents[2] / "networks" / "toycity_trained.mat"


@pytest.fixture(scope="module")
def net():
    return load_network(TRAINED)


def test_it_is_the_file_that_its_card_describes() -> None:
    card = (TRAINED.parent / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(TRAINED.read_bytes()).hexdigest() in card


def test_it_is_a_plain_struct_without_what_only_training_needs(net) -> None:
    assert not any("momentum" in layer.fields for layer in net if layer.type == "conv")
    assert matfile.load(TRAINED, ["net"])["net"]["layers"] is not None
    assert net.names[-4:] == ["preL2", "vlad:core", "vlad:intranorm", "postL2"]


@pytest.mark.slow
def test_it_finds_places_of_a_district_it_has_never_seen_better_than_its_own_start(net, tmp_path) -> None:
    city = make_city(tmp_path, images=240, queries=120, seed=1, size=SIZE, split="test", times=TIMES)
    dataset = load_dbstruct(city, root=tmp_path)
    start = untrained_network(dataset)
    found = {}
    for name, each in (("trained", net), ("start", start)):
        queries, database = (extract(each, dataset.image_paths(w), progress=False) for w in ("q", "db"))
        found[name] = recall_at_n(queries, database, dataset).at(1)
    pixels = raw_pixel_recall(dataset)
    print(f"\n240 images, 120 queries: Recall@1 {found}, raw pixels {pixels:.2f}")
    assert found["trained"] > 1.3 * found["start"]
    assert found["trained"] > pixels + 0.05
