"""Oxford, Paris and Holidays from small sets of the same layout; mean average precision."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.retrieval import RetrievalDataset, crop_queries, holidays, shrink_images, vgg_buildings
from deepibl.errors import DatasetError, MissingImageError
from deepibl.matlab.datasets import dbHolidays, dbVGG
from matlab_compat.errors import ArgumentError
from matlab_compat.relja import average_precision, relja_retrievalMAP


def picture(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.arange(size[0] * size[1]).reshape(size[1], size[0]) % 256
    Image.fromarray(np.stack([ramp, ramp // 2, ramp * 0], -1).astype(np.uint8)).save(path, quality=95)


@pytest.fixture
def oxford(tmp_path):
    for name in ("all_souls_000013", "all_souls_000026", "christ_church_000179"):
        picture(tmp_path / "images" / f"{name}.jpg")
    truth = tmp_path / "groundtruth"
    truth.mkdir()
    (truth / "all_souls_1_query.txt").write_text("oxc1_all_souls_000013 5.5 4 20.4 18.5\n")
    (truth / "all_souls_1_good.txt").write_text("all_souls_000026\n")
    (truth / "all_souls_1_ok.txt").write_text("")
    (truth / "all_souls_1_junk.txt").write_text("christ_church_000179\n")
    return tmp_path


@pytest.fixture
def paris(tmp_path):
    for place, number in (("defense", 1), ("defense", 2), ("eiffel", 1), ("eiffel", 2)):
        picture(tmp_path / "images" / place / f"paris_{place}_{number:06d}.jpg")
    (tmp_path / "corrupt.txt").write_text("eiffel/paris_eiffel_000002.jpg\n")
    truth = tmp_path / "groundtruth"
    truth.mkdir()
    (truth / "defense_1_query.txt").write_text("paris_defense_000002 1 1 40 30\n")
    (truth / "defense_1_good.txt").write_text("paris_defense_000001\n")
    (truth / "defense_1_ok.txt").write_text("paris_eiffel_000002\n")
    (truth / "defense_1_junk.txt").write_text("")
    return tmp_path


@pytest.fixture
def holiday(tmp_path):
    for name in ("100000", "100001", "100002", "100100", "100101"):
        picture(tmp_path / "jpg" / f"{name}.jpg")
    return tmp_path


def test_oxford_reads_queries_and_lists(oxford):
    dataset = vgg_buildings(oxford, complete=False)
    assert (dataset.database_size, dataset.query_count, dataset.query_labels) == (3, 1, ["all_souls_1"])
    assert dataset.query_names == ["all_souls_000013.jpg"] and dataset.query_ids.tolist() == [0]
    assert [ids.tolist() for ids in (*dataset.positive_ids, *dataset.ignored_ids)] == [[1], [2]]
    assert dataset.regions.tolist() == [[5.5, 4, 20.4, 18.5]]


def test_paris_leaves_corrupt_images_out_but_counts_them_as_positives(paris):
    dataset = vgg_buildings(paris, "paris", complete=False)
    assert dataset.database_names == [
        "defense/paris_defense_000001.jpg",
        "defense/paris_defense_000002.jpg",
        "eiffel/paris_eiffel_000001.jpg",
    ]
    assert dataset.positive_ids[0].tolist() == [0, -1]
    assert dataset.query_names == ["defense/paris_defense_000002.jpg"]


def test_queries_are_cut_to_their_region(oxford):
    dataset = crop_queries(vgg_buildings(oxford, complete=False), 4)
    assert dataset.query_root == f"{oxford}/images_crop_4/" and dataset.database_root == f"{oxford}/images/"
    with (
        Image.open(dataset.query_root + dataset.query_names[0]) as crop,
        Image.open(oxford / "images/all_souls_000013.jpg") as whole,
    ):
        # region 3.5 2 22.4 20.5, rounded away from zero: columns 4 … 22, rows 2 … 21, counted from 1
        assert crop.size == (19, 20)
        difference = np.asarray(crop, int) - np.asarray(whole, int)[1:21, 3:22]
    assert np.abs(difference).mean() < 12  # JPEG


def test_regions_end_at_the_image(paris):
    dataset = crop_queries(vgg_buildings(paris, "paris", complete=False), 100)
    with Image.open(dataset.query_root + dataset.query_names[0]) as crop:
        assert crop.size == (40, 30)


def test_crops_that_exist_are_kept(oxford):
    dataset = vgg_buildings(oxford, complete=False)
    picture(oxford / "images_crop_0" / dataset.query_names[0], (3, 3))
    with Image.open(crop_queries(dataset, 0).query_root + dataset.query_names[0]) as crop:
        assert crop.size == (3, 3)


def test_holidays_queries_end_in_00_and_find_what_follows(holiday):
    dataset = holidays(holiday, complete=False)
    assert dataset.query_names == ["100000.jpg", "100100.jpg"] and dataset.query_ids.tolist() == [0, 3]
    assert [ids.tolist() for ids in dataset.positive_ids] == [[1, 2], [4]]
    assert [ids.tolist() for ids in dataset.ignored_ids] == [[0], [3]]


def test_large_images_are_shrunk_and_small_ones_copied(holiday):
    picture(holiday / "jpg" / "100101.jpg", (80, 60))
    told = []
    dataset = shrink_images(holidays(holiday, complete=False), 40 * 30, lambda i, n: told.append((i, n)))
    assert dataset.database_root == dataset.query_root == f"{holiday}/jpg_1024x768/"
    with Image.open(dataset.database_root + "100101.jpg") as image:
        assert image.size == (40, 30)
    assert (holiday / "jpg_1024x768/100000.jpg").read_bytes() == (holiday / "jpg/100000.jpg").read_bytes()
    assert told == [(i, 5) for i in range(1, 6)]


def test_incomplete_sets_are_refused_with_what_they_should_hold(oxford, holiday):
    with pytest.raises(DatasetError, match="ox5k should have 5063 images and 55 queries; found 3 and 1"):
        dbVGG(paths={"dsetRootOxford": str(oxford)})
    with pytest.raises(DatasetError, match="holidays should have 1491 images and 500 queries; found 5 and 2"):
        dbHolidays(paths={"dsetRootHolidays": str(holiday)})


def test_missing_folders_and_images_are_named(oxford, tmp_path):
    with pytest.raises(MissingImageError, match=r"ox5k: the folder .*images does not exist.*Oxford"):
        vgg_buildings(tmp_path / "nowhere")
    with pytest.raises(MissingImageError, match=r"holidays: the folder .*jpg_rotated.* does not exist"):
        holidays(tmp_path, rotated=True)
    with pytest.raises(DatasetError, match="must be 'ox5k' or 'paris'"):
        vgg_buildings(oxford, "rome")
    (oxford / "groundtruth/all_souls_1_junk.txt").unlink()
    with pytest.raises(DatasetError, match=r"all_souls_1_junk\.txt cannot be read: No such file"):
        vgg_buildings(oxford, complete=False)


def test_a_query_whose_image_is_missing_is_named(oxford):
    (oxford / "images/all_souls_000013.jpg").unlink()
    with pytest.raises(DatasetError, match="images of these queries are missing: all_souls_1"):
        vgg_buildings(oxford, complete=False)


def test_average_precision_is_the_area_by_trapezoids():
    assert average_precision(np.array([0, 1, 2]), [0, 1]) == 1.0
    # found at rank 2 of 2: precision goes 0, 1/2 while recall goes 0, 1
    assert average_precision(np.array([5, 7]), [7]) == pytest.approx(0.25)
    assert average_precision(np.array([9, 7]), [7], [9]) == 1.0
    assert average_precision(np.array([7]), [7, -1]) == pytest.approx(0.5)
    assert average_precision(np.array([], dtype=int), [1]) == 0.0
    assert np.isnan(average_precision(np.array([1]), []))


def test_mean_average_precision_refuses_other_searchers():
    db = SimpleNamespace(**{"numQueries": 1, "posIDs": [[0]], "ignoreIDs": [[]]})
    with pytest.raises(ArgumentError, match="a function of ids, or a dict"):
        relja_retrievalMAP(db, [1, 2])


@pytest.mark.parametrize("name", ["../out.jpg", "/out.jpg", "sub/../../out.jpg"])
def test_names_that_lead_out_of_the_folder_are_not_written_to(name, tmp_path):
    image = tmp_path / "jpg" / name
    if name.startswith("/"):
        image, name = tmp_path / "out.jpg", f"{tmp_path}/out.jpg"
    (tmp_path / "jpg" / "sub").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(image)
    folder = f"{tmp_path}/jpg/"
    bad = RetrievalDataset(
        "holidays", folder, folder, [name], [name], [np.array([0])], [np.array([0])], np.array([0])
    )
    with pytest.raises(DatasetError, match=r"points outside .*jpg_1024x768: nothing is written"):
        shrink_images(bad, pixels=100)
    assert not (tmp_path / "jpg_1024x768").exists()
