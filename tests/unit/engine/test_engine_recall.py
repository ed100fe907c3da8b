"""What counts in the end: places are found as well under every engine and precision."""

from pathlib import Path

import numpy as np
import pytest

import deepibl.networks.build  # noqa: F401  # registers NetVLAD's layers
from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.folder import dataset_from_places, read_places
from deepibl.datasets.place import PlaceDataset
from deepibl.engine import onednn
from deepibl.engine.scales import calibrate
from deepibl.evaluation.measures import recall_at_n
from deepibl.features.extraction import extract
from deepibl.networks.io import load_network
from deepibl.toycity.city import make_city
from matlab_compat.simplenn.network import SimpleNN
from tests.processor import int8_here
from tests.released_layout import released_network
from tests.small_network import SMALL_NETWORK
from tests.unit.features.test_street_photos import corridor

pytestmark = pytest.mark.slow
NS = (1, 5, 10)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PlaceDataset:
    city = make_city(tmp_path_factory.mktemp("city") / "city", images=60, seed=1)
    return load_dbstruct(city, root=city.parent)


@pytest.fixture(scope="module")
def recalls(dataset: PlaceDataset):
    """Recall at NS, as numbers of queries, by engine and precision, with a narrow random network."""
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


def found_by_int8(dataset: PlaceDataset, **settings: int) -> tuple[list[int], list[int]]:
    """Queries found at NS by the small network, in fp32 and in int8, calibrated on the database.

    Prints them, bf16's too, and the cosine distances of the database's descriptors.
    """
    net = load_network(SMALL_NETWORK)
    scales = calibrate(net, dataset.image_paths("db"), progress=False, **settings)
    found, exact = {}, np.zeros(0)
    for precision in ("fp32", "bf16", "int8"):
        how = {"precision": precision, "scales": scales if precision == "int8" else None}
        q, db = (
            extract(net, dataset.image_paths(which), progress=False, **settings, **how)
            for which in ("q", "db")
        )
        found[precision] = recall_at_n(q, db, dataset, NS).found.sum(axis=0).tolist()
        exact = db if precision == "fp32" else exact
        distance = 1 - (db.astype(float) * exact).sum(axis=1)  # of unit vectors
        print(
            f"\n{precision}: {found[precision]} of {dataset.query_count} queries at {NS}; "
            f"cosine distance {distance.mean():.0e}, at most {distance.max():.0e}",
            end="",
        )
    return found["fp32"], found["int8"]


@int8_here
def test_int8_finds_as_much_of_the_toy_city_within_one_query(dataset: PlaceDataset) -> None:
    want, got = found_by_int8(dataset)
    assert want[0] > dataset.query_count / 2
    assert all(abs(a - b) <= 1 for a, b in zip(want, got, strict=True))


@int8_here
@pytest.mark.real
def test_int8_finds_as_much_of_a_real_street_within_one_query(real: Path) -> None:
    lund = read_places(real / "images" / "lund" / "data" / "lund" / "images", zone="33N")
    database, queries = lund.subset(range(0, len(lund), 2)), lund.subset(range(1, len(lund), 2))
    want, got = found_by_int8(
        dataset_from_places("lund", database, queries, positive_distance=25.0), resize=360
    )
    assert want[0] > 10 and all(abs(a - b) <= 1 for a, b in zip(want, got, strict=True))


@int8_here
@pytest.mark.real
def test_int8_finds_nearly_as_much_of_a_real_corridor(real: Path) -> None:
    dataset = dataset_from_places(
        "corridor", corridor(real, "ref"), corridor(real, "query"), positive_distance=2.5
    )
    want, got = found_by_int8(dataset, resize=240)
    assert want[0] > 50 and all(abs(a - b) <= 5 for a, b in zip(want, got, strict=True))
