"""What counts in the end: places are found as well under every engine and precision."""

from pathlib import Path

import pytest

import deepibl.network_layers  # noqa: F401  # registers NetVLAD's layers
from deepibl.datasets import load_dbstruct
from deepibl.engine import onednn
from deepibl.evaluation import recall_at_n
from deepibl.features import extract
from deepibl.toycity import make_city
from matlab_compat.simplenn import SimpleNN
from scripts.make_released_layout import released_network

pytestmark = pytest.mark.slow
NS = (1, 5, 10)


@pytest.fixture(scope="module")
def recalls(tmp_path_factory: pytest.TempPathFactory):
    """Recall at NS, as numbers of queries, by engine and precision, with a narrow random network."""
    folder: Path = tmp_path_factory.mktemp("city")
    city = make_city(folder / "city", images=60, seed=1)
    dataset = load_dbstruct(city, root=city.parent)
    net = SimpleNN.from_matlab(released_network(small=True))

    def measure(engine: str, precision: str) -> list[int]:
        settings = {"engine": engine, "precision": precision, "resize": 96, "progress": False}
        q, db = (extract(net, dataset.image_paths(which), **settings) for which in ("q", "db"))
        result = recall_at_n(q, db, dataset, NS)
        return [int(found) for found in result.found.sum(axis=0)]

    return measure


@pytest.mark.parametrize(("engine", "precision"), [("fused", "fp32"), ("fused", "bf16"), ("torch", "bf16")])
def test_recall_on_the_toy_city_is_unchanged_within_one_query(recalls, engine: str, precision: str) -> None:
    if engine == "fused" and (onednn.available() or not onednn.instructions(precision)):
        pytest.skip(f"no fused {precision} on this processor")
    want, got = recalls("torch", "fp32"), recalls(engine, precision)
    assert max(want) > 0
    assert all(abs(a - b) <= (1 if precision == "bf16" else 0) for a, b in zip(want, got, strict=True))
