"""What may be given as images on the command line, and networks by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.catalog import database_places, evaluation_dataset, query_places, training_datasets
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import ConfigurationError, DatasetError
from deepibl.networks.weights import DEFAULT_NETWORK, find_network, shipped_networks
from deepibl.runtime.paths import LocalPaths
from matlab_compat.errors import ArgumentError
from tests.small_datasets import saved


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


def test_queries_of_a_dbstruct_bring_its_threshold_to_other_images(tmp_path: Path) -> None:
    near = saved(tmp_path, "near", posDistThr=4)
    (tmp_path / "db.csv").write_text("name,utm_east,utm_north\na.jpg,0,0\n")
    assert evaluation_dataset("", tmp_path, tmp_path / "db.csv", near).positive_distance == 4
    with pytest.raises(ArgumentError, match="posDistThr 4 or 25: give --threshold"):
        evaluation_dataset("", tmp_path, saved(tmp_path), near)
    assert evaluation_dataset("", tmp_path, saved(tmp_path), near, 9).positive_distance == 9


@pytest.mark.parametrize(
    "rules",
    [
        {"dbTimeStamp": np.array([[1.0, 2, 3]]), "qTimeStamp": np.ones((1, 1))},
        {"gtHard": np.array([[True], [False], [True]])},
    ],
)
def test_rules_of_a_dbstruct_are_kept_or_it_is_refused(
    tmp_path: Path, rules: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = saved(tmp_path, **rules), saved(tmp_path, "other")
    monkeypatch.chdir(tmp_path)
    assert type(evaluation_dataset("", tmp_path, "mine.mat", file)) is not PlaceDataset
    with pytest.raises(ArgumentError, match=r"mine\.mat has rules of its own: evaluate it whole, as --db"):
        evaluation_dataset("", tmp_path, other, file)


def test_training_sets_in_files_of_one_name_have_two_names(tmp_path: Path) -> None:
    """The name is part of those of the files that keep features."""
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
    files = [saved(tmp_path / folder) for folder in ("train", "val")]
    assert [each.name for each in training_datasets("", tmp_path, *files)] == ["mine_train", "mine_val"]
    assert [each.name for each in training_datasets("", tmp_path, files[0], files[0])] == ["mine", "mine"]


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
