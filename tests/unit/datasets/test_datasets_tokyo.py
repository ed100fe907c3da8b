"""Tokyo Time Machine, Tokyo 24/7 and the tiny set: their rules."""

import numpy as np
import pytest

from deepibl.datasets.catalog import evaluation_dataset, load_dbstruct
from deepibl.datasets.pitts_tokyo import Tokyo247, TokyoTimeMachine, tiny_tokyo
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import DatasetError
from matlab_compat.errors import ArgumentError
from tests.small_datasets import names, saved


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_time_stamps_may_be_rows_or_columns(tmp_path, shape):
    # difference: TokyoTM-column-timestamps
    stamps = np.array([201301, 201402, 201301]).reshape(shape)
    utm = np.array([[0.0, 3, 6], [0, 0, 0]])
    path = saved(tmp_path, **{"utmDb": utm, "dbTimeStamp": stamps, "qTimeStamp": np.array([[201301]])})
    dataset = load_dbstruct(path)
    assert isinstance(dataset, TokyoTimeMachine)
    assert dataset.nontrivial_positives(0).tolist() == [1]
    assert dataset.nontrivial_neighbours(0).tolist() == [1]
    evaluated = evaluation_dataset("", None, path, threshold=4)
    assert isinstance(evaluated, TokyoTimeMachine) and evaluated.positive_distance == 4
    with pytest.raises(ArgumentError, match="rules of its own"):
        evaluation_dataset("", None, path, skip_unknown=True)


def test_time_stamps_of_another_number_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="one time stamp for each of 3 database images; found 2"):
        load_dbstruct(saved(tmp_path, **{"dbTimeStamp": np.zeros((1, 2)), "qTimeStamp": np.zeros((1, 1))}))
    stamp = {"qTimeStamp": np.zeros((1, 1))}
    with pytest.raises(DatasetError, match="one time stamp for each of 3 database images; found none"):
        load_dbstruct(saved(tmp_path, **stamp))
    with pytest.raises(DatasetError, match="mine has qTimeStamp beside a list of matches"):
        load_dbstruct(saved(tmp_path, **stamp, gtHard=np.ones((3, 1), bool)))


def test_answers_of_the_querys_own_time_are_left_out():
    dataset = TokyoTimeMachine(
        "t", names("d", 4), np.zeros((4, 2)), ["q"], [[0, 0]], database_times=[1, 2, 1, 2], query_times=[1]
    )
    asked = []

    def searcher(query, k):
        asked.append((query, k))
        return np.array([2, 3, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])

    ids, distances = dataset.rank_matches(searcher, 0, 1)
    assert (ids.tolist(), distances.tolist(), asked) == ([3], [0.2], [(0, 10)])


def test_tokyo247_keeps_the_first_of_each_panorama_and_reports_by_light():
    dataset = Tokyo247("tokyo247", names("d", 36), np.zeros((36, 2)), names("q", 6), np.zeros((6, 2)))
    ranked = np.array([25, 3, 24, 0, 35, 14])
    ids, distances = dataset.rank_matches(lambda q, k: (ranked, ranked / 10), 0, 2)
    assert ids.tolist() == [25, 3] and distances.tolist() == [2.5, 0.3]
    assert dataset.search_depth(5) == 60
    assert dataset.query_resize == 640
    groups = {light: queries.tolist() for light, queries in dataset.query_groups().items()}
    assert groups == {"day": [0, 3], "sunset": [1, 4], "night": [2, 5]}


def places_of(sizes):
    """A data set with a place of that many images every kilometre."""
    utm = np.repeat([[1000.0 * i, 0.0] for i in range(len(sizes))], sizes, axis=0)
    return PlaceDataset("whole", names("d", len(utm)), utm, [], [], split="train")


def test_the_tiny_set_passes_over_places_of_13_to_23_images():
    # difference: dbTiny-short-places
    tiny = tiny_tokyo(places_of([15, 30, 24, 12]), "tiny")
    assert (tiny.database_size, tiny.query_count, tiny.name) == (120, 60, "tiny")
    assert set(tiny.database_positions[:, 0]) <= {1000.0, 2000.0}
    first = int(tiny.database_names[0][1:4])
    assert (
        tiny.query_names[:6] == names("d", 99)[first - 12 : first - 6]
    )  # six of a place, then its second dozen
    assert tiny.nontrivial_positives(0).tolist() == [
        i for i in range(120) if tiny.database_positions[i, 0] == tiny.query_positions[0, 0]
    ]  # images at the very spot count as well


def test_a_set_without_large_places_gives_no_tiny_set():
    # difference: dbTiny-short-places
    with pytest.raises(DatasetError, match="too few places with 24 images"):
        tiny_tokyo(places_of([15, 23]), "tiny")


def test_tokyo247_has_two_protocols(tmp_path):
    # difference: tokyo247-protocol
    saved(tmp_path, "tokyo247")
    saved(tmp_path, "pitts30k_test")
    opened = {
        name: evaluation_dataset("tokyo247", tmp_path, None, None, 25, name)
        for name in ("", "deepibl", "netvlad")
    }
    assert [dataset.query_resize for dataset in opened.values()] == [640, 640, None]
    assert opened["netvlad"].search_depth(3) == 36 and Tokyo247.query_resize == 640
    for dataset, protocol, says in (
        ("tokyo247", "sare", "deepibl, netvlad; got 'sare'"),
        ("pitts30k/test", "netvlad", "of tokyo247"),
        ("", "netvlad", "goes with"),
    ):
        sources = (None, None) if dataset else (tmp_path, tmp_path)
        with pytest.raises(ArgumentError, match=says):
            evaluation_dataset(dataset, tmp_path, *sources, 25, protocol)
