"""The network that ships on real streets: recall within the intervals of docs/results.md."""

from pathlib import Path

import pytest

from benchmarks.city import LUND_SIDE, data_sets
from deepibl.evaluation import evaluate_network
from deepibl.networks import find_network, load_network

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "resize", "first", "fifth"),
    [("cambridge", None, (0.68, 0.81), 0.87), ("lund", LUND_SIDE, (0.8, 1.0), 0.99)],
)
def test_the_shipped_network_finds_as_many_as_the_docs_say(
    name: str, resize: int | None, first: tuple[float, float], fifth: float, real: Path
) -> None:
    net = load_network(find_network())
    found = evaluate_network(net, data_sets(real)[name], resize=resize, max_side=None)
    print(f"\n{name}: Recall@1 {found.result.at(1):.3f}, Recall@5 {found.result.at(5):.3f}")
    assert first[0] <= found.result.at(1) <= first[1] and found.result.at(5) >= fifth
