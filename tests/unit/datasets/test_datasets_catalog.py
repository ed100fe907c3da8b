"""Known data sets by name, sets of one's own as in MATLAB, and the published dbStructs."""

import numpy as np
import pytest

from deepibl.datasets.catalog import CATALOG, open_dataset
from deepibl.errors import DatasetError
from tests.small_datasets import saved


def test_known_data_sets_are_opened_by_name(tmp_path):
    saved(tmp_path, "pitts30k_val")
    dataset = open_dataset("pitts30k/val", root=tmp_path, paths=None)
    assert dataset.name == "pitts30k_val"
    assert dataset.database_root == f"{tmp_path}/images/" and dataset.query_root == f"{tmp_path}/queries/"
    assert dataset.frame == "17N" and "Pittsburgh" in dataset.advice
    assert open_dataset("Pitts30k_val", root=tmp_path).name == "pitts30k_val"
    assert (
        open_dataset("pitts30k/val", root="/x", spec=tmp_path / "pitts30k_val.mat").database_root
        == "/x/images/"
    )
    assert open_dataset("pitts30k/val", root="/x", spec=tmp_path).database_size == 3


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DatasetError, match=r"'pitts'; known are pitts30k/train.*tokyo247.*sf0"):
        open_dataset("pitts")


@pytest.mark.parametrize("name", CATALOG)
def test_a_missing_dbstruct_names_the_places_and_how_to_get_it(tmp_path, name):
    with pytest.raises(DatasetError) as caught:
        open_dataset(name, root=tmp_path)
    text = str(caught.value)
    assert (
        f"{tmp_path}/{CATALOG[name].spec}.mat" in text and "Download" in text and CATALOG[name].advice in text
    )


@pytest.mark.real
def test_published_dbstructs_load(real):
    counts = {
        "pitts30k_train": (10000, 7416),
        "pitts30k_val": (10000, 7608),
        "pitts30k_test": (10000, 6816),
        "pitts250k_test": (83952, 8280),
        "tokyo247": (75984, 315),
        "tokyoTM_train": (49104, 7277),
    }
    for name, count in counts.items():
        dataset = open_dataset(name.replace("_", "/"), root="/nowhere", spec=real / "dbstructs")
        assert (dataset.database_size, dataset.query_count) == count
        assert (dataset.positive_distance_squared, dataset.nontrivial_distance_squared) == (625.0, 100.0)
        assert all(len(dataset.positives(query)) for query in range(0, dataset.query_count, 50))


@pytest.mark.real
def test_published_positions_agree_with_the_zone_and_the_names(real):
    from deepibl.datasets.geo import utm_to_latlon

    dataset = open_dataset("tokyoTM/train", root="/nowhere", spec=real / "dbstructs")
    for image in range(0, dataset.database_size, 5000):
        latitude, longitude = (float(part) for part in dataset.database_names[image].split("_")[-4:-2])
        found = utm_to_latlon(*dataset.database_positions[image], dataset.frame)
        assert np.abs(np.array(found) - (latitude, longitude)).max() < 2e-4
