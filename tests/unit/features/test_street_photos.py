"""Real photos through `build_index` and evaluation: a street (Lund) and a corridor, with two networks."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepibl.datasets.folder import Places, read_places
from deepibl.evaluation.evaluate import Evaluation, evaluate_index
from deepibl.networks.io import load_network
from deepibl.search.localization import build_index, localize
from tests.small_network import SMALL_NETWORK
from tests.squeezenet_keras import squeezenet

pytestmark = [pytest.mark.real, pytest.mark.slow]

CHANCE = 0.24  # Recall@1 of a random answer on Lund
LONGER_SIDE_480 = 360  # the shorter side of a 4:3 photo that is 480 pixels wide


@pytest.fixture(scope="module")
def lund(real: Path) -> Places:
    """All 29 photos with the positions in their EXIF, in order; every other one is a query."""
    return read_places(real / "images" / "lund" / "data" / "lund" / "images", zone="33N")


@pytest.fixture(params=["shipped", "squeezenet"])
def net(request: pytest.FixtureRequest, real: Path) -> Any:
    if request.param == "shipped":
        return load_network(SMALL_NETWORK)
    return squeezenet(real, "gem")


def evaluate(net: Any, database: Places, queries: Places, folder: Path, **settings: Any) -> Evaluation:
    """Through an index file and a CSV of queries, as the command line does it."""
    build_index(net, database, folder / "places.idx", **{k: v for k, v in settings.items() if k == "resize"})
    table = folder / "queries.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        degrees = queries.frame == "degrees"
        writer.writerow(["name", *(("lat", "lon") if degrees else ("utm_e", "utm_n")), "zone"])
        for name, (east, north) in zip(queries.names, queries.positions, strict=True):
            writer.writerow([name, east, north, queries.frame])
    threshold = settings.get("threshold", 25.0)
    return evaluate_index(net, folder / "places.idx", table, root=queries.root, threshold=threshold)


def test_the_street_is_recognised_far_above_chance(net: Any, lund: Places, tmp_path: Path) -> None:
    database, queries = lund.subset(range(0, len(lund), 2)), lund.subset(range(1, len(lund), 2))
    assert (len(database), len(queries)) == (15, 14)
    result = evaluate(net, database, queries, tmp_path, resize=LONGER_SIDE_480)
    print(f"\nLund: Recall@1 {result.result.at(1):.2f}, Recall@5 {result.result.at(5):.2f}")
    assert result.result.at(1) > 2 * CHANCE


def corridor(real: Path, part: str) -> Places:
    """The frames of one walk; frame i stands at i metres, so that 'within 5 m' means five frames."""
    folder = real / "images" / "corridor" / "datasets" / "corridor" / part
    names = sorted((file.name for file in folder.glob("*.jpg")), key=lambda name: int(Path(name).stem))
    positions = np.stack([np.arange(len(names)), np.zeros(len(names))], axis=1).astype(float)
    return Places(str(folder), names, positions, "33N")


def test_the_corridor_is_recognised_far_above_chance(net: Any, real: Path, tmp_path: Path) -> None:
    database, queries = corridor(real, "ref"), corridor(real, "query")
    result = evaluate(net, database, queries, tmp_path, threshold=2.5, resize=240)
    print(f"\ncorridor: Recall@1 {result.result.at(1):.2f}, Recall@5 {result.result.at(5):.2f}")
    chance = 5 / len(database)
    assert result.result.at(1) > 5 * chance


def test_a_photo_of_the_index_finds_itself(net: Any, lund: Places, tmp_path: Path) -> None:
    index, failures = build_index(net, lund, tmp_path / "all.idx", resize=240)
    assert failures == []
    photo = str(Path(lund.root) / lund.names[7])
    found, _ = localize(net, [photo], index, top=1)
    assert found[photo][0].name == lund.names[7]
    assert found[photo][0].distance < 1e-4
