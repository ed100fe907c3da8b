"""The data sets of deepibl.matlab: MATLAB's names and Python's for the same fields and methods."""

import inspect
from typing import Any

import numpy as np
import pytest

from deepibl.datasets.pitts_tokyo import TokyoTimeMachine
from deepibl.datasets.place import PlaceDataset, save_dbstruct
from deepibl.datasets.positions import ClosePosition
from deepibl.errors import DatasetError
from deepibl.evaluation.measures import recall_at_n
from deepibl.matlab import closePosition, dbPitts
from deepibl.matlab.datasets import MATLAB_NAMES, MatlabNames, dbBase, dbSf0, dbTokyoTimeMachine
from matlab_compat.rng import rng
from tests.small_datasets import saved


@pytest.fixture
def paths(tmp_path) -> dict[str, str]:
    saved(tmp_path, "pitts30k_val")
    saved(tmp_path, "mine")
    return {"dsetSpecDir": str(tmp_path), "dsetRootPitts": str(tmp_path)}


class dbMine(dbBase):
    def __init__(self, paths: Any = None) -> None:
        self.name, self.dbPath, self.qPath = "mine", "/db/", "/q/"
        self.dbLoad(paths)


class dbNearest(dbMine):
    """Only the first positive counts; written as for MATLAB."""

    def getPosIDs(self, iQuery: int) -> np.ndarray:
        return super().getPosIDs(iQuery)[:1]

    def nontrivialPosQ(self, iQuery: int) -> np.ndarray:
        return self.getPosIDs(iQuery)


def test_other_parts_are_refused() -> None:
    with pytest.raises(DatasetError, match="train, val, test; got 'all'"):
        dbPitts(False, "all")


def test_a_users_data_set_is_made_as_in_matlab(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"mine\.mat does not exist"):
        dbMine({"dsetSpecDir": str(tmp_path)})
    saved(tmp_path)
    made = dbMine({"dsetSpecDir": str(tmp_path)})
    assert made.image_paths("q") == ["/q/q.jpg"] and made.getPosIDs(0).tolist() == [0, 1]
    with pytest.raises(DatasetError, match="subclass dbBase"):
        dbBase()


def test_both_names_of_the_table_mean_the_same(paths) -> None:
    dataset = dbPitts(False, "val", paths)
    assert isinstance(dataset, dbBase)
    of_other_sets = {"dbTimeStamp", "qTimeStamp", "posIDs", "ignoreIDs"}
    for made, core in ((dataset, PlaceDataset), (dataset.cp, ClosePosition)):
        for matlab, python in MATLAB_NAMES[core].items():
            if inspect.isfunction(getattr(type(made), matlab)):
                assert getattr(type(made), matlab) is getattr(type(made), python)
            elif matlab not in of_other_sets:
                assert repr(getattr(made, matlab)) == repr(getattr(made, python))


def test_fields_are_set_under_either_name(paths) -> None:
    dataset: Any = dbMine(paths)
    dataset.dbPath = "/new/"
    assert dataset.database_root == "/new/" and dataset.image_paths("db")[0] == "/new/a.jpg"
    dataset.query_root = "/other/"
    assert dataset.qPath == "/other/" and "qPath" not in vars(dataset)


def test_a_field_of_the_class_is_a_default(paths) -> None:
    made: Any = type("dbDefault", (dbMine,), {"dbTimeStamp": np.array([1, 2, 3])})(paths)
    assert made.database_times is made.dbTimeStamp and len(made.dbTimeStamp) == 3
    made.dbTimeStamp = None
    assert made.database_times is None


def test_time_stamps_and_lists_are_fields_that_some_classes_go_by(tmp_path) -> None:
    """As in MATLAB, where a class uses the properties that its methods name."""
    paths = {"dsetSpecDir": str(tmp_path)}
    stamps = {"dbTimeStamp": np.array([[1.0, 2, 1]]), "qTimeStamp": np.ones((1, 1))}
    mine = type("dbMine", (dbTokyoTimeMachine,), {"__init__": dbMine.__init__})
    saved(tmp_path, **stamps)
    plain, timed = dbMine(paths), mine(paths)
    assert plain.dbTimeStamp.tolist() == timed.dbTimeStamp.tolist() == [1, 2, 1]
    assert plain.nontrivialPosQ(0).tolist() == [0, 1] and timed.nontrivialPosQ(0).tolist() == [1]
    listed: Any = type("dbListed", (dbSf0,), {"__init__": dbMine.__init__})
    saved(tmp_path, gtHard=np.array([[False], [True], [False]]))
    assert dbMine(paths).posIDs[0].tolist() == [1] and dbMine(paths).getPosIDs(0).tolist() == [0, 1]
    assert listed(paths).getPosIDs(0).tolist() == [1]
    saved(tmp_path, gtHard=np.ones((3, 1), bool), utmDb=None, utmQ=None)
    with pytest.raises(DatasetError, match="lists its matches: derive the class from dbSf0"):
        dbMine(paths)


def test_an_unset_field_is_an_attribute_error(paths) -> None:
    assert not hasattr(dbMine(paths), "dbTimeStamp")


def test_overrides_under_matlabs_names_are_what_the_library_calls(paths) -> None:
    plain: Any = dbMine(paths)
    first: Any = dbNearest(paths)
    assert plain.positives(0).tolist() == [0, 1] and first.positives(0).tolist() == [0]
    assert first.nontrivial_positives(0).tolist() == [0]
    assert sorted(first.sample_negatives(0, 2, rng(1))) == [1, 2]


def test_overrides_under_pythons_names_have_matlabs_names_too(paths) -> None:
    def positives(self: Any, query: int) -> np.ndarray:
        return np.array([9, *dbNearest.getPosIDs(self, query)])

    dataset = type("dbPython", (dbNearest,), {"positives": positives})(paths)
    assert dataset.getPosIDs(0).tolist() == [9, 0] and dataset.nontrivialPosQ(0).tolist() == [9, 0]


def test_the_override_of_a_class_named_before_the_base_counts(paths) -> None:
    class Mixin:
        def getPosIDs(self, iQuery: int) -> np.ndarray:
            return np.array([3])

    dataset: Any = type("dbMixed", (Mixin, dbMine), {})(paths)
    assert dataset.positives(0).tolist() == dataset.getPosIDs(0).tolist() == [3]


def test_a_set_keeps_the_rules_of_its_core_class() -> None:
    timed: Any = type("dbTimed", (dbBase, TokyoTimeMachine), {})
    core: Any = TokyoTimeMachine
    assert timed.nontrivialPosQ is timed.nontrivial_positives is core.nontrivial_positives
    assert timed.isPosQ is core.is_positive


def test_a_users_set_can_be_written_and_read_again(paths, tmp_path) -> None:
    dataset = dbMine(paths)
    save_dbstruct(dataset, tmp_path / "mine.mat")
    assert (dbMine(paths).utmDb == dataset.utmDb).all() and dbMine(paths).posDistThr == 25


def test_evaluation_calls_overrides_under_matlabs_names(paths) -> None:
    class dbReversed(dbMine):
        def nnSearchPostprocess(self, searcher: Any, iQuery: int, nTop: int) -> Any:
            ids, distances = super().nnSearchPostprocess(searcher, iQuery, nTop)
            return ids[::-1], distances[::-1]

    database = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    for kind, recalls in ((dbMine, [1, 1]), (dbReversed, [0, 1])):
        assert recall_at_n(database[:1], database, kind(paths), (1, 3)).recalls.tolist() == recalls


def test_core_objects_have_pythons_names_only() -> None:
    assert not issubclass(PlaceDataset, MatlabNames)


def test_closePosition_has_the_originals_fields() -> None:
    made: Any = closePosition([[0, 0], [3, 4], [50, 50]], 5)
    assert made.getPosIDs([0, 0])[0].tolist() == [0, 1] and made.delta == 6
    assert made.utm.shape == (3, 2) and made.hashSz == made.hashTab.shape and made.posDistSqThr == 25
    assert made.isPos([0, 0], [0, 2]).tolist() == [True, False] and (made.limL == -1).all()
