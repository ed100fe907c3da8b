"""Data sets whose positives are listed."""

import numpy as np
import pytest
import scipy.sparse

from deepibl.datasets.catalog import evaluation_dataset, load_dbstruct
from deepibl.datasets.place import ListedPositives, save_dbstruct
from deepibl.errors import DatasetError
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import rng
from tests.golden_data import REAL
from tests.small_datasets import names, saved


def test_listed_positives_decide_instead_of_positions(tmp_path):
    lists = np.empty((1, 1), dtype=object)
    lists[0, 0] = np.array([[3.0], [1.0]])  # 1-based
    dataset = load_dbstruct(saved(tmp_path, "sf0", **{"posIDs": lists}))
    assert isinstance(dataset, ListedPositives)
    assert dataset.positives(0).tolist() == dataset.nontrivial_positives(0).tolist() == [2, 0]
    assert dataset.is_positive(0, [0, 1, 2]).tolist() == [True, False, True]
    assert dataset.sample_negatives(0, 1, rng(0)).tolist() == [1]
    save_dbstruct(dataset, tmp_path / "again.mat")
    assert load_dbstruct(tmp_path / "again.mat").positives(0).tolist() == [2, 0]


def test_listed_ids_that_no_image_has_are_refused():
    for wrong in ([3], [-1]):
        with pytest.raises(DatasetError, match=r"query 0 \(q000.jpg\) lists an id outside 0 … 2"):
            ListedPositives(
                "x", names("d", 3), np.zeros((3, 2)), names("q", 1), np.zeros((1, 2)), positive_ids=[wrong]
            )


@pytest.mark.parametrize("ids", [[True, True, True], [1.5], [np.nan]])
def test_ids_of_a_file_that_are_none_are_refused(tmp_path, ids):
    """A mask would be read as image 1, three times over."""
    cell = np.empty((1, 1), object)
    cell[0, 0] = np.array([ids])
    with pytest.raises(
        DatasetError, match=r"posIDs: expected whole numbers from 1 \(find of a mask\), found 1x"
    ):
        load_dbstruct(saved(tmp_path, posIDs=cell))


NO_POSITIONS = dict.fromkeys(("utmDb", "utmQ", "posDistThr", "nonTrivPosDistSqThr"))
HARD, SOFT = np.array([[False], [True], [False]]), np.array([[True], [True], [False]])


@pytest.mark.parametrize(
    "form", [np.asarray, scipy.sparse.csc_matrix, lambda truth: truth.astype(np.float64)]
)
def test_matrices_of_ground_truth_become_lists(tmp_path, form):
    path = saved(tmp_path, "robot", gtHard=form(HARD), gtSoft=form(SOFT), **NO_POSITIONS)
    dataset = load_dbstruct(path)
    assert isinstance(dataset, ListedPositives) and dataset.extra == {}
    assert dataset.positives(0).tolist() == [1] and dataset.ignored_ids[0].tolist() == [0]
    assert dataset.is_positive(0, [0, 1, 2]).tolist() == [False, True, False]
    save_dbstruct(dataset, tmp_path / "again.mat")
    again = load_dbstruct(tmp_path / "again.mat")
    assert again.positives(0).tolist() == [1] and again.ignored_ids[0].tolist() == [0]


def test_ignored_images_are_neither_right_nor_wrong_nor_negatives(tmp_path):
    dataset = load_dbstruct(saved(tmp_path, gtHard=HARD, gtSoft=SOFT, **NO_POSITIONS))
    asked = []

    def nearest(query, count):
        asked.append(count)
        return np.arange(count), np.arange(count) / 10

    ids, distances = dataset.rank_matches(nearest, 0, 2)
    assert ids.tolist() == [1, 2] and distances.tolist() == [0.1, 0.2] and asked == [dataset.search_depth(2)]
    assert dataset.sample_negatives(0, 1, rng(0)).tolist() == [2]


@pytest.mark.parametrize("name", ["gtHard", "gtSoft"])
def test_one_matrix_alone_gives_the_positives(tmp_path, name):
    dataset = load_dbstruct(saved(tmp_path, **{name: SOFT}, **NO_POSITIONS))
    assert dataset.positives(0).tolist() == [0, 1] and dataset.ignored_ids is None
    assert dataset.search_depth(5) == 5


def test_an_empty_matrix_is_none_and_listed_ids_come_first(tmp_path):
    assert load_dbstruct(saved(tmp_path, gtHard=np.zeros((0, 0)))).positives(0).tolist() == [0, 1]
    lists = np.empty((1, 1), dtype=object)
    lists[0, 0] = np.array([[3.0]])
    dataset = load_dbstruct(saved(tmp_path, posIDs=lists, gtHard=HARD))
    assert dataset.positives(0).tolist() == [2] and np.array_equal(dataset.extra["gtHard"], HARD)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (HARD.T, r"gtHard must be 3 x 1 \(database images x queries\).*transposed"),
        (np.ones((2, 1)), r"gtHard must be 3 x 1 .*found \(2, 1\)"),
        (np.array([[0.0], [0.5], [1.0]]), "gtHard must be logical"),
        (np.array([[0.0], [np.nan], [1.0]]), "gtHard must be logical"),
        ("yes", "gtHard must be a logical matrix, found 1x3 char"),
    ],
)
def test_a_matrix_that_is_no_ground_truth_is_refused(tmp_path, truth, message):
    with pytest.raises(DatasetError, match=message):
        load_dbstruct(saved(tmp_path, gtHard=truth, **NO_POSITIONS))


@pytest.mark.real
def test_the_matrices_of_another_projects_dbstruct_are_read():
    file = REAL.parent / "cases" / "files_08_dbstruct_with_gt_matrix" / "robotcar_val.mat"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    dataset = load_dbstruct(file)
    assert [len(dataset.positives(query)) for query in range(5)] == [4, 6, 123, 2, 3]
    assert [len(dataset.ignored_ids[query]) for query in range(5)] == [64, 81, 44, 30, 28]


def test_a_dbstruct_of_matches_alone_is_evaluated_as_both_sources(tmp_path):
    path = saved(tmp_path, gtHard=HARD, gtSoft=SOFT, **NO_POSITIONS)
    whole = evaluation_dataset("", tmp_path, path, path)
    assert isinstance(whole, ListedPositives)
    assert whole.positives(0).tolist() == load_dbstruct(path).positives(0).tolist()
    for how in ((25.0, "", False), (None, "", True)):
        with pytest.raises(ArgumentError, match="has rules of its own: leave out --threshold and --skip-unk"):
            evaluation_dataset("", tmp_path, path, path, *how)
