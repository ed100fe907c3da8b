"""The network that ships and was trained by `deepibl demo --train`: its card, and what it learned."""

import hashlib
import re
from pathlib import Path

import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.demo.run import SIZE, TIMES, raw_pixel_recall, untrained_network
from deepibl.evaluation.measures import recall_at_n
from deepibl.features.extraction import extract
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network
from deepibl.networks.weights import find_network, shipped_networks
from deepibl.toycity.city import make_city
from matlab_compat import matfile

NAME = "toycity_trained"
CARD = (
    (Path(__file__).parents[3] / "weights" / "README.md").read_text(encoding="utf-8").split(f"## {NAME}")[1]
)


@pytest.fixture(scope="module")
def net():
    return load_network(NAME)


def test_it_is_found_by_name_and_small() -> None:
    assert NAME in shipped_networks()
    assert find_network(NAME).stat().st_size < 2 * 2**20


def test_its_card_names_its_sha256_identity_licence_and_command(net) -> None:
    digest = hashlib.sha256(find_network(NAME).read_bytes()).hexdigest()
    for said in (digest, network_id(net), "MIT", "deepibl demo --train"):
        assert said in CARD, said


def test_it_is_a_plain_struct_without_what_only_training_needs(net) -> None:
    assert not any("momentum" in layer.fields for layer in net if layer.type == "conv")
    assert matfile.load(find_network(NAME), ["net"])["net"]["layers"] is not None
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
    claimed = float(re.search(r"trained (0\.\d+), random start", CARD).group(1))
    assert found["trained"] > claimed - 0.05
    assert found["trained"] > 1.3 * found["start"]
    assert found["trained"] > pixels + 0.05
