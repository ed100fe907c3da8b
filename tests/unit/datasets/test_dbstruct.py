"""dbStruct files there and back."""

import numpy as np
import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.dbstruct import python_names, read_dbstruct
from deepibl.datasets.pitts_tokyo import TokyoTimeMachine
from deepibl.datasets.place import PlaceDataset, save_dbstruct
from deepibl.errors import DatasetError
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from tests.small_datasets import saved, street


def test_a_dbstruct_is_read_with_small_integer_types(tmp_path):
    dataset = load_dbstruct(saved(tmp_path), root="/images")
    assert (dataset.name, dataset.database_size, dataset.query_count) == ("mine", 3, 1)
    assert dataset.positive_distance_squared == 625.0
    assert dataset.positives(0).tolist() == [0, 1]
    assert dataset.query_positions.tolist() == [[3.0, 4.0]]
    assert dataset.database_root == dataset.query_root == "/images"


def test_unknown_fields_are_kept():
    # difference: dbStruct-unknown-fields
    assert street(extra={"note": "x"}).extra == {"note": "x"}


def test_unknown_fields_of_a_file_are_no_error(tmp_path):
    # difference: dbStruct-unknown-fields
    assert load_dbstruct(saved(tmp_path, note="by hand")).extra == {"note": "by hand"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"posDistThr": None}, "lacks posDistThr"),
        ({"utmDb": None, "qImageFns": None}, "lacks qImageFns, utmDb"),
        ({"utmDb": np.zeros((3, 2))}, r"utmDb must be 2 x 3 .* transposed"),
        ({"utmDb": np.zeros((2, 4))}, "utmDb holds 4 positions for 3 images"),
        ({"dbImageFns": np.zeros((1, 3))}, "dbStruct.dbImageFns: expected a cell"),
        ({"posDistThr": np.zeros((1, 2))}, "dbStruct.posDistThr: expected one number"),
    ],
)
def test_dbstructs_that_make_no_sense_are_refused_by_field(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=rf"mine\.mat: .*{message}"):
        load_dbstruct(saved(tmp_path, **changes))


def test_a_file_without_a_dbstruct_is_refused(tmp_path):
    matfile.save(tmp_path / "x.mat", {"net": {"layers": 1.0}})
    with pytest.raises(MatFileError, match="dbStruct"):
        load_dbstruct(tmp_path / "x.mat")


def test_a_written_dbstruct_reads_back_the_same(tmp_path):
    dataset = street(split="val", frame="17N", positive_distance=30)
    save_dbstruct(dataset, tmp_path / "street.mat")
    again = load_dbstruct(tmp_path / "street.mat")
    assert (again.split, again.frame) == ("val", "17N")
    assert again.database_names == dataset.database_names and again.query_names == dataset.query_names
    assert (
        again.positive_distance == 30
        and again.nontrivial_distance_squared == dataset.nontrivial_distance_squared
    )
    assert (again.database_positions == dataset.database_positions).all() and (
        again.query_positions == dataset.query_positions
    ).all()


@pytest.mark.octave
def test_octave_loads_a_written_dbstruct(tmp_path):
    import subprocess

    timed = TokyoTimeMachine(
        "t", ["a.jpg"], [[1, 2]], ["q.jpg"], [[3, 4]], database_times=[7], query_times=[8]
    )
    save_dbstruct(timed, tmp_path / "t.mat")
    code = (
        "load('t.mat', 'dbStruct'); d= dbStruct; assert(iscellstr(d.dbImageFns)); assert(d.utmQ, [3; 4]);"
        "assert(class(d.posDistThr), 'double'); assert(size(d.dbTimeStamp), [1 1]); disp(d.dbImageFns{1});"
    )
    done = subprocess.run(["octave-cli", "--eval", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "a.jpg", done.stderr


def test_every_field_that_the_reader_gives_is_an_argument(tmp_path):
    PlaceDataset("x", **python_names(read_dbstruct(saved(tmp_path))))
