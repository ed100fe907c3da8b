"""Nearest neighbours: equal to a search of everything in float64, whatever the blocks."""

import numpy as np
import pytest

from deepibl.errors import FeatureFileError
from deepibl.search.exact import Searcher, nearest
from matlab_compat.errors import ArgumentError
from matlab_compat.faiss_library import load_faiss
from matlab_compat.yael import doubtful_difference, yael_nn


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def naive(queries, database, k):
    """All differences in float64, rounded to float32, stably sorted."""
    squared = ((queries[:, None].astype(np.float64) - database[None]) ** 2).sum(-1).astype(np.float32)
    ids = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(squared, ids, 1)


@pytest.fixture
def random():
    return np.random.default_rng(11)


@pytest.mark.parametrize("dimensions", [2, 64, 1500])
@pytest.mark.parametrize("queries", [1, 19, 20, 70])
def test_nearest_equals_a_naive_search(random, dimensions, queries):
    database = unit(random.normal(size=(300, dimensions)))
    asked = unit(random.normal(size=(queries, dimensions)))
    ids, distances = nearest(asked, database, 40)
    want_ids, want = naive(asked, database, 40)
    assert (ids == want_ids).all()
    assert np.abs(distances - want).max() < 2e-6


def test_ids_do_not_depend_on_the_block(random):
    database = unit(random.normal(size=(2000, 256)))  # random directions: distances crowd around 2
    asked = unit(random.normal(size=(50, 256)))
    whole, _ = nearest(asked, database, 100)
    for block in (1, 7, 20, 49):
        assert (nearest(asked, database, 100, block=block)[0] == whole).all()


def test_equal_distances_come_lowest_id_first(random):
    database = unit(random.normal(size=(90, 8)))
    copies = random.permutation(np.repeat(np.arange(9), 10))
    ids, distances = nearest(database[:5], database[copies], 30)
    assert (ids == naive(database[:5], database[copies], 30)[0]).all()
    for row, distance in zip(ids, distances, strict=True):
        same = np.diff(distance) == 0
        assert same.any()
        assert (np.diff(row)[same] > 0).all()


@pytest.mark.parametrize("k", [1, 5, 30])
def test_more_copies_than_candidates_still_give_the_lowest_ids(random, k):
    database = np.repeat(unit(random.normal(size=(1, 16))), 400, axis=0)
    ids, _ = nearest(unit(random.normal(size=(3, 16))), database, k)
    assert (ids == np.arange(k)).all()


def test_near_ties_are_told_apart_in_float64():
    query = np.zeros((1, 4096), np.float32)
    query[0, 0] = 1
    database = np.repeat(query, 3, axis=0)
    for row, second in enumerate(
        [3e-4, 2e-4, 1e-4]
    ):  # squared distances of 1e-8 to 9e-8: below float32's error
        database[row, 1] = second
    ids, distances = nearest(query, database, 3)
    assert ids.tolist() == [[2, 1, 0]]
    assert np.allclose(distances, [[1e-8, 4e-8, 9e-8]], rtol=1e-5)


def test_an_image_is_at_distance_zero_from_itself(random):
    database = unit(random.normal(size=(100, 1024)))
    ids, distances = nearest(database, database, 1)
    assert (ids.ravel() == np.arange(100)).all()
    assert (distances == 0).all()


def test_vectors_of_any_length_are_ranked_by_distance(random):
    database = (random.normal(size=(400, 300)) * random.uniform(1, 500, (400, 1))).astype(np.float32)
    asked = (random.normal(size=(25, 300)) * 100).astype(np.float32)
    assert (nearest(asked, database, 50)[0] == naive(asked, database, 50)[0]).all()


@pytest.mark.parametrize("kind", ["normal", "positive", "crowded"])
@pytest.mark.parametrize("dimensions", [8, 512, 4096])
def test_errors_of_the_matrix_product_stay_below_what_is_allowed_for(random, kind, dimensions):
    faiss = load_faiss()
    rows = random.normal(size=(150, dimensions))
    rows = unit({"normal": rows, "positive": np.abs(rows) + 1, "crowded": rows[:1] + 0.01 * rows}[kind])
    for count in (3, 40):
        found, ids = faiss.knn(rows[:count], rows, 150)
        exact = ((rows[ids].astype(np.float64) - rows[:count, None]) ** 2).sum(-1)
        assert np.abs(found - exact).max() < doubtful_difference(dimensions, 1.0) / 2


def test_a_memory_mapped_database_is_searched(random, tmp_path):
    database = unit(random.normal(size=(200, 32)))
    database.tofile(tmp_path / "db.bin")
    mapped = np.memmap(tmp_path / "db.bin", dtype=np.float32, mode="r", shape=(200, 32))
    asked = unit(random.normal(size=(9, 32)))
    ids, distances = nearest(asked, mapped, 10)
    assert (ids == nearest(asked, database, 10)[0]).all()
    assert (distances == nearest(asked, database, 10)[1]).all()


def test_k_is_limited_to_the_database_and_empty_inputs_are_no_error():
    assert nearest(np.eye(2), np.eye(2), 9)[0].shape == (2, 2)
    assert nearest(np.zeros((0, 2)), np.eye(2), 1)[0].shape == (0, 1)
    assert nearest(np.eye(2), np.zeros((0, 2)), 3)[0].shape == (2, 0)


def test_a_checked_database_is_asked_many_times(random):
    database = unit(random.normal(size=(50, 8)))
    searcher = Searcher(database)
    for row in range(5):
        assert searcher(database[row : row + 1], 3)[0][0, 0] == row


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad):
    features = np.eye(4, dtype=np.float32)
    features[2, 1] = bad
    with pytest.raises(
        FeatureFileError, match="1 of 4 rows of database hold NaN or infinity, the first is row 2"
    ):
        nearest(np.eye(4), features, 1)
    with pytest.raises(FeatureFileError, match="rows of queries"):
        nearest(features, np.eye(4), 1)


def test_descriptors_that_do_not_fit_are_refused():
    with pytest.raises(FeatureFileError, match="3 dimensions, the database 4"):
        nearest(np.eye(3), np.eye(4), 1)
    with pytest.raises(FeatureFileError, match=r"matrix \(N, D\)"):
        nearest(np.zeros(3), np.eye(3), 1)
    with pytest.raises(ArgumentError, match="at least 1"):
        nearest(np.eye(3), np.eye(3), 0)


def test_yael_nn_refuses_what_the_original_refuses():
    with pytest.raises(ArgumentError, match="distype"):
        yael_nn(np.eye(3), np.eye(3), 1, 1)
    with pytest.raises(ArgumentError, match="k must be 1 to 3"):
        yael_nn(np.eye(3), np.eye(3), 4)
    with pytest.raises(ArgumentError, match="dimensions"):
        yael_nn(np.eye(3), np.eye(4), 1)
