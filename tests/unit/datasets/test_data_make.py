"""dbStructs from folders, CSVs and VPR-datasets-downloader's layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.cli.main import main
from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.folder import find_layout, make_dataset, make_dbstruct
from deepibl.errors import DatasetError
from matlab_compat.errors import ArgumentError


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """images/test and images/train as VPR-datasets-downloader writes them."""
    for split in ("test", "train"):
        for i in range(3):
            tail = f"@{35.6:08.5f}@{139.7:010.5f}@pano{i}@{i}@000@@@@20{13 + i}06@@.jpg"
            photo(tmp_path / f"images/{split}/database/@{381418 + 100 * i}.23@3946450.43@54@S{tail}")
        photo(tmp_path / f"images/{split}/queries/@0381420.00@3946451.00@54@S@@@@@@@@@201306@@.jpg")
    return tmp_path


def test_the_layout_of_the_downloader_is_read(layout: Path) -> None:
    dataset = make_dataset(layout)
    assert (dataset.database_size, dataset.query_count, dataset.split) == (3, 1, "test")
    assert dataset.frame == "54N"  # S is the band of Japan, which lies north of the equator
    assert dataset.positives(0).tolist() == [0]
    assert dataset.database_names[0].startswith("database/@381418.23@")
    assert dataset.database_root == dataset.query_root == f"{layout}/images/test/"
    dataset.check_images()


@pytest.mark.parametrize("below", ["", "images", "images/train"])
def test_the_layout_is_found_from_any_folder_above(layout: Path, below: str) -> None:
    found = find_layout(layout / below, "train")
    assert found is not None and found[0] == layout / "images/train/database"
    assert find_layout(layout / "images/train/queries") is None


def test_a_dbstruct_goes_round(layout: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokyo.mat"
    made = make_dbstruct(
        layout, None, file, split="train", positive_distance=30, nontrivial_distance_squared=64
    )
    again = load_dbstruct(file, root=made.database_root)
    assert again.database_names == made.database_names and again.frame == "54N"
    np.testing.assert_array_equal(again.database_positions, made.database_positions)
    assert (again.positive_distance, again.nontrivial_distance_squared, again.split) == (30, 64, "train")
    again.check_images()


def test_csv_and_folder_get_names_below_a_common_root(tmp_path: Path) -> None:
    photo(tmp_path / "a/db/1.jpg")
    photo(tmp_path / "b/2.jpg")
    (tmp_path / "a/db.csv").write_text("name,utm_e,utm_n,zone\ndb/1.jpg,10,20,33N\n")
    (tmp_path / "b/q.csv").write_text("name,utm_e,utm_n,zone\n2.jpg,11,20,33N\n")
    dataset = make_dataset(tmp_path / "a/db.csv", tmp_path / "b/q.csv")
    assert (dataset.database_names, dataset.query_names) == (["a/db/1.jpg"], ["b/2.jpg"])
    assert dataset.database_root == f"{tmp_path}/"
    with pytest.raises(DatasetError, match="outside the root"):
        make_dataset(tmp_path / "a/db.csv", tmp_path / "b/q.csv", root=tmp_path / "b")


def test_photos_without_a_position_are_refused_or_left_out(tmp_path: Path) -> None:
    for name in ("db/@1.0@2.0@.jpg", "db/x.jpg", "q/@1.0@3.0@.jpg"):
        photo(tmp_path / name)
    with pytest.raises(DatasetError, match="no position"):
        make_dataset(tmp_path / "db", tmp_path / "q")
    assert make_dataset(tmp_path / "db", tmp_path / "q", skip_unknown=True).database_size == 1


def test_no_queries_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    photo(tmp_path / "@1.0@2.0@.jpg")
    with pytest.raises(ArgumentError, match="--queries"):
        make_dataset(tmp_path)


def test_the_command_line_makes_a_dbstruct(layout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = layout / "mine.mat"
    with pytest.raises(SystemExit) as stop:
        main(["data", "make", str(layout), "-o", str(output), "--threshold", "40"])
    assert not stop.value.code
    assert "3 database images, 1 query, UTM zone 54N" in capsys.readouterr().out
    assert load_dbstruct(output).positive_distance == 40
    with pytest.raises(SystemExit) as stop:
        main(["data", "make", str(layout), "-o", str(layout / "mine.txt")])
    assert stop.value.code == 1
