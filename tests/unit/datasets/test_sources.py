"""What may be given as images on the command line, and networks by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.catalog import database_places, evaluation_dataset, query_places
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import ConfigurationError, DatasetError
from deepibl.networks.weights import DEFAULT_NETWORK, find_network, shipped_networks
from deepibl.runtime.paths import LocalPaths
from matlab_compat.errors import ArgumentError


@pytest.fixture
def dbstruct(tmp_path: Path) -> Path:
    positions = np.array([[0.0, 0.0], [100.0, 0.0]])
    dataset = PlaceDataset("tiny", ["a.jpg", "b.jpg"], positions, ["q.jpg"], positions[:1] + 3)
    dataset.save(tmp_path / "tiny.mat")
    return tmp_path / "tiny.mat"


def test_a_dbstruct_gives_its_database_or_its_queries(dbstruct: Path) -> None:
    database, queries = database_places(dbstruct, "/photos"), query_places(dbstruct, "/photos")
    assert (database.root, database.names) == ("/photos", ["a.jpg", "b.jpg"])
    assert queries.names == ["q.jpg"]
    np.testing.assert_array_equal(queries.positions, [[3, 3]])


def test_a_folder_of_utm_names_is_a_source(tmp_path: Path) -> None:
    for east in (400000, 400050):
        Image.new("RGB", (8, 8)).save(tmp_path / f"@{east}@6000000@33@N@.jpg")
    places = database_places(tmp_path)
    assert places.frame == "33N"
    np.testing.assert_array_equal(places.positions[:, 0], [400000, 400050])


def test_database_and_queries_make_a_data_set_with_the_threshold_asked_for(dbstruct: Path) -> None:
    for threshold, right in ((4, False), (5, True)):  # the query is sqrt(18) m from the first image
        dataset = evaluation_dataset("", "/photos", dbstruct, dbstruct, threshold)
        assert dataset.positive_distance == threshold
        assert bool(dataset.is_positive(0, 0)) is right


def test_a_dbstruct_is_evaluated_with_its_own_threshold(tmp_path: Path) -> None:
    """posDistThr of the file, which MATLAB uses: with 25 m in its place the recall would be another."""
    positions = np.array([[0.0, 0.0], [100.0, 0.0]])
    made = PlaceDataset(
        "tiny", ["a.jpg", "b.jpg"], positions, ["q.jpg"], positions[:1] + 9, positive_distance=10
    )
    made.save(file := tmp_path / "tiny.mat")
    for queries in (None, file):
        dataset = evaluation_dataset("", "/photos", file, queries)
        assert dataset.positive_distance == 10 and not dataset.is_positive(0, 0)
        assert evaluation_dataset("", "/photos", file, queries, 25).is_positive(0, 0)
    (tmp_path / "q.csv").write_text("name,utm_east,utm_north\nq.jpg,9,9\n")
    assert evaluation_dataset("", tmp_path, file, tmp_path / "q.csv").positive_distance == 10
    assert evaluation_dataset("", tmp_path, tmp_path / "q.csv", tmp_path / "q.csv").positive_distance == 25


@pytest.mark.parametrize(
    ("name", "db", "queries"),
    [("", None, None), ("", "x", None), ("pitts30k/test", "x", "y"), ("", None, "y")],
)
def test_half_a_source_or_two_are_refused(name: str, db: str | None, queries: str | None) -> None:
    with pytest.raises(ArgumentError, match="give --dataset NAME"):
        evaluation_dataset(name, None, db, queries, 25)


def test_a_known_data_set_without_its_files_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"pitts30k_test\.mat"):
        evaluation_dataset("pitts30k/test", tmp_path, None, None, 25)


def test_networks_are_found_by_path_by_name_and_where_fetch_puts_them(tmp_path: Path) -> None:
    own = tmp_path / "own.mat"
    own.touch()
    assert find_network(own) == own
    for name in shipped_networks():
        assert find_network(name).stem == name
    assert find_network() == find_network(DEFAULT_NETWORK)
    fetched = tmp_path / "imagenet-vgg-verydeep-16.mat"
    fetched.touch()
    paths = LocalPaths({"pretrainedCNNs": str(tmp_path)})
    assert find_network("vd16", paths) == fetched
    with pytest.raises(ConfigurationError, match=DEFAULT_NETWORK):
        find_network("nothing", paths)
