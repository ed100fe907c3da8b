"""Data sets whose positives are listed."""

import numpy as np
import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.place import ListedPositives, save_dbstruct
from deepibl.errors import DatasetError
from matlab_compat.rng import rng
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


def test_lists_may_stand_in_a_text_file_and_positions_be_left_out(tmp_path):
    optional = ("utmDb", "utmQ", "posDistThr", "nonTrivPosDistSqThr")
    path = saved(tmp_path, "sf0", **dict.fromkeys(optional))
    (tmp_path / "sf0_positives.txt").write_text("# query, positives\nq.jpg\tc.jpg\ta.jpg\n")
    dataset = load_dbstruct(path)
    assert dataset.positives(0).tolist() == [2, 0]
    assert np.isnan(dataset.database_positions).all()


def test_a_text_file_with_unknown_names_is_refused_by_line(tmp_path):
    path = saved(tmp_path, "sf0")
    (tmp_path / "sf0_positives.txt").write_text("\nno.jpg\ta.jpg\nq.jpg\tx.jpg\n")
    with pytest.raises(DatasetError) as caught:
        load_dbstruct(path)
    assert "line 2: no.jpg is not a query" in str(caught.value)
    assert "line 3: x.jpg is not a database image" in str(caught.value)


def test_listed_ids_that_no_image_has_are_refused():
    for wrong in ([3], [-1]):
        with pytest.raises(DatasetError, match=r"query 0 \(q000.jpg\) lists an id outside 0 … 2"):
            ListedPositives(
                "x", names("d", 3), np.zeros((3, 2)), names("q", 1), np.zeros((1, 2)), positive_ids=[wrong]
            )
