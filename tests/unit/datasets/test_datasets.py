"""PlaceDataset: positives, negatives, missing images."""

import logging

import numpy as np
import pytest

from deepibl.datasets.place import PlaceDataset
from deepibl.errors import DatasetError, MissingImageError
from matlab_compat.rng import rng
from tests.small_datasets import names, street


def test_positives_and_nontrivial_positives_follow_the_limits():
    dataset = street()
    assert dataset.positives(0).tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.nontrivial_positives(0).tolist() == [0, 1, 2]  # within 10 m
    assert dataset.nontrivial_neighbours(0).tolist() == [1, 2]  # more than 1 m away
    assert dataset.is_positive(0, [0, 5, 6]).tolist() == [True, True, False]
    assert dataset.is_neighbour(39, [33, 34]).tolist() == [False, True]


@pytest.mark.parametrize("n", [1, 5, 20])
def test_negatives_are_as_many_as_asked_and_no_positives(n):
    dataset = street()
    drawn = dataset.sample_negatives(3, n, rng(1))
    assert len(np.unique(drawn)) == n
    assert not dataset.is_positive(3, drawn).any()


def test_negatives_are_drawn_as_matlab_does():
    dataset, generator, twin = street(), rng(5), rng(5)
    drawn = dataset.sample_negatives(3, 5, generator)
    first = twin.randsample(40, 6)  # round(5.5)
    negatives = np.unique(first[~dataset.is_positive(3, first)])
    while len(negatives) < 5:
        more = twin.randsample(40, 6)
        negatives = np.union1d(negatives, more[~dataset.is_positive(3, more)])
    want = twin.randsample(negatives, 5) if len(negatives) > 5 else negatives
    assert drawn.tolist() == want.tolist()
    assert (generator.state == twin.state).all()


def test_too_few_negatives_give_all_of_them_and_are_told_once(caplog):
    # difference: sampleNegs-small-database
    dataset = street()
    with caplog.at_level(logging.WARNING, "deepibl"):
        for _ in range(3):
            assert dataset.sample_negatives(0, 1000, rng(1)).tolist() == list(range(6, 40))
        assert dataset.sample_non_neighbours(0, 1000, rng(1)).tolist() == list(range(6, 40))
    assert [record.getMessage() for record in caplog.records] == [
        "street: 1000 negatives requested, a query has 34: using all of them"
    ]


def test_enough_negatives_in_a_database_smaller_than_the_draw_are_drawn():
    # difference: sampleNegs-small-database
    dataset = street(images=20)
    drawn = dataset.sample_negatives_at([0, 0], 19, rng(1))  # round(20.9) exceeds the 20 images
    assert len(np.unique(drawn)) == 19


def test_thresholds_do_not_wrap():
    dataset = street(positive_distance=np.uint8(25), nontrivial_distance_squared=np.uint8(100))
    assert dataset.positive_distance_squared == 625
    assert dataset.nontrivial_positives(0).tolist() == street().nontrivial_positives(0).tolist()


def test_lists_that_do_not_fit_together_are_refused():
    with pytest.raises(DatasetError, match="x: the database holds 2 positions for 3 images"):
        PlaceDataset("x", names("d", 3), np.zeros((2, 2)), [], [])


# images


def test_missing_images_are_named_with_root_count_and_advice(tmp_path):
    dataset = street(images=9, database_root=tmp_path, query_root=tmp_path, advice="Ask the authors.")
    for name in dataset.query_names + dataset.database_names[:2]:
        (tmp_path / name).touch()
    dataset.check_images(["q"])
    with pytest.raises(MissingImageError) as caught:
        dataset.check_images()
    text = str(caught.value)
    assert f"street: 7 of 9 database images are missing under {tmp_path}: d002.jpg" in text
    assert "… and 2 more" in text and "Ask the authors." in text


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(
        MissingImageError, match=rf"the folder of its 40 database images does not exist: {tmp_path}/no"
    ):
        street(database_root=tmp_path / "no", query_root=tmp_path).check_images()


def test_images_that_only_exist_as_png_are_pointed_out(tmp_path):
    dataset = street(images=1, queries=0, database_root=tmp_path, query_root=tmp_path)
    (tmp_path / "d000.png").touch()
    with pytest.raises(MissingImageError, match=f"deepibl convert-png {tmp_path}"):
        dataset.check_images()


def test_image_paths_are_below_the_roots():
    dataset = street(database_root="/a/", query_root="/b")
    assert dataset.image_paths("db")[0] == "/a/d000.jpg"
    assert dataset.image_paths("q")[0] == "/b/q000.jpg"
    with pytest.raises(DatasetError, match=r"'db' .* or 'q'"):
        dataset.image_paths("queries")
