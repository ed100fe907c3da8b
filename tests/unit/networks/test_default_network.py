"""The network that ships: where no network is named, this one is taken; its card."""

import hashlib
from pathlib import Path

import pytest

from deepibl.networks import DEFAULT_NETWORK, find_network, load_network, network_id
from deepibl.networks.weights import shipped_networks
from matlab_compat import matfile

WEIGHTS = Path(__file__).parents[3] / "weights"


def test_it_alone_ships_and_is_small_enough_for_the_repository() -> None:
    assert shipped_networks() == [DEFAULT_NETWORK]
    assert find_network() == find_network(DEFAULT_NETWORK)
    assert find_network().stat().st_size <= 16 * 2**20


def test_it_is_a_plain_struct_of_layers_that_makes_unit_descriptors() -> None:
    assert matfile.load(find_network(), ["net"])["net"]["layers"] is not None
    net = load_network(find_network())
    assert net.names[-1] in ("finalL2", "postL2")
    assert not any("momentum" in layer.fields for layer in net if layer.type == "conv")


@pytest.mark.parametrize("what", ["file", "sha256", "identity", "made by", "licence"])
def test_its_card_says_what_it_is(what: str) -> None:
    card = (WEIGHTS / "README.md").read_text(encoding="utf-8").split(f"## {DEFAULT_NETWORK} ")[1]
    row = next(line for line in card.splitlines() if line.startswith(f"| {what} |"))
    known = {
        "file": lambda: find_network().name,
        "sha256": lambda: hashlib.sha256(find_network().read_bytes()).hexdigest(),
        "identity": lambda: network_id(load_network(find_network())),
    }
    assert known.get(what, str)() in row
