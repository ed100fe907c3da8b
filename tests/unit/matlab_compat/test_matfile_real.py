"""Files that MATLAB wrote: networks, data sets, class objects of all kinds, and two damaged on purpose."""

import importlib.util
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from tests.golden_data import REAL
from tests.matlab_same import assert_same

pytestmark = pytest.mark.real
DAMAGED = {
    "test_corrupted_mcos_object_metadata": "table of its class objects is invalid",
    "test_corrupted_subsystem": "stored in version 5",
}
FILES = sorted(path for path in REAL.rglob("*.mat") if path.stem not in DAMAGED)
PLAIN = (
    np.ndarray,
    str,
    dict,
    matfile.StructArray,
    matfile.MatObject,
    matfile.FunctionHandle,
    matfile.CharMatrix,
)
MORE_IN_MATIO = {
    *("test_dynamic_v7", "test_dynamic_v73"),  # what else describes a dynamic property
    *("Chandrachapa_net", "airtonchagas_net"),  # defaults beside what saveobj returned
    "sigma=25_Bnorm",  # the version of a gpuArray's form
}
OBJECTS = REAL / "mcos" / "matio_tests"


def every(value: Any, visit: Callable[[Any], None], seen: set[int]) -> None:
    """Visits a value and all in it, each object once."""
    visit(value)
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: list[Any] = []
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, matfile.MatObject):
        inside = list(value.properties.values())
    elif isinstance(value, matfile.StructArray):
        inside = value.items
    elif isinstance(value, np.ndarray) and value.dtype == object:
        inside = matfile.cell_list(value)
    for item in inside:
        every(item, visit, seen)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_loads_to_plain_values(path: Path) -> None:
    listed = matfile.who(path)
    loaded = matfile.load(path)
    assert list(loaded) == list(listed)
    assert loaded

    def check(value: Any) -> None:
        assert isinstance(value, PLAIN) or value is None, type(value)
        if isinstance(value, np.ndarray):
            assert value.ndim >= 2
            assert not (value.dtype == np.uint32 and value.size and value.flat[0] == 0xDD000000), (
                "raw reference"
            )

    for name in loaded.keys() - {"handletype"}:  # a COM object: opaque
        every(loaded[name], check, set())


@pytest.mark.parametrize("stem", DAMAGED)
def test_damaged_objects_are_errors_not_warnings(stem: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MatFileError, match=DAMAGED[stem]):
            matfile.load(next(OBJECTS.glob(f"{stem}.mat")))


@pytest.mark.parametrize("subject", ["user_defined", "tables", "maps", "dynamic", "type_systems"])
def test_v7_and_v73_hold_the_same_objects(subject: str) -> None:
    v7 = matfile.load(OBJECTS / f"test_{subject}_v7.mat")
    v73 = matfile.load(OBJECTS / f"test_{subject}_v73.mat")
    assert sorted(v7) == sorted(v73)
    for name in v7.keys() - {"handletype", "javatype"}:
        assert_same(v73[name], v7[name], name)


def test_user_defined_objects_have_their_values_and_defaults() -> None:
    found = matfile.load(OBJECTS / "test_user_defined_v7.mat")
    assert found["obj_with_vals"].classname == "TestClasses.BasicClass"
    assert matfile.scalar(found["obj_with_vals"].properties["a"]) == 10
    assert found["obj_with_default_val"].properties["a"] == "Default String"
    assert found["obj_array"].shape == (2, 2)
    assert [matfile.scalar(o.properties["a"]) for o in matfile.cell_list(found["obj_array"])] == [1, 3, 2, 4]
    assert found["obj_handle_1"] is found["obj_handle_2"]
    nested = found["obj_with_nested_props"].properties
    assert isinstance(nested["a"], matfile.MatObject)
    assert isinstance(nested["c"]["InnerProp"], matfile.MatObject)


def test_a_dynamic_property_is_a_property() -> None:
    found = matfile.load(OBJECTS / "test_dynamic_v73.mat")["obj"]
    assert list(found.properties) == ["Name", "DynamicData"]
    assert matfile.scalar(found.properties["DynamicData"]) == 42


def test_objects_of_other_type_systems_stay_opaque() -> None:
    found = matfile.load(OBJECTS / "test_type_systems_v7.mat")
    assert found["javatype"].classname == "java.lang.String"
    assert found["handletype"].classname == "COM.Excel_Application"


@pytest.mark.skipif(importlib.util.find_spec("matio") is None, reason="needs mat-io, which needs Python 3.11")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_matio_finds_the_same_arrays(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import matio

        want = matio.load_from_mat(path, raw_data=True)
    found = matfile.load(path)
    assert sorted(found) == sorted(name for name in want if not name.startswith("__"))
    for name, value in found.items():
        ours, theirs = _sums(value), _sums(want[name])
        assert not ours - theirs, name
        if path.stem not in MORE_IN_MATIO:
            assert ours == theirs, name


def _sums(value: Any) -> Counter[tuple[str, tuple[int, ...], float]]:
    """How often each class, shape and sum of a floating point array occurs in a value, ours or mat-io's."""
    found: Counter[tuple[str, tuple[int, ...], float]] = Counter()
    seen: set[int] = set()

    def walk(item: Any) -> None:
        if id(item) in seen and not isinstance(item, np.ndarray):
            return
        seen.add(id(item))
        if isinstance(item, np.ndarray) and item.dtype.kind == "f":
            found[item.dtype.name, item.shape, float(np.nansum(item))] += 1
        elif isinstance(item, np.ndarray) and item.dtype.names:
            for element in item.ravel():
                for name in item.dtype.names:
                    walk(element[name])
        elif isinstance(item, np.ndarray) and item.dtype == object:
            for element in item.ravel():
                walk(element)
        elif isinstance(item, dict):
            for element in item.values():
                walk(element)
        elif isinstance(item, matfile.StructArray):
            for element in item:
                walk(element)
        elif hasattr(item, "properties") and isinstance(item.properties, dict | np.ndarray):
            walk(item.properties)

    walk(value)
    return found


def test_a_saved_gpu_array_is_the_plain_array() -> None:
    path = REAL / "networks" / "dncnn" / "sigma=25_Bnorm.mat"
    layers = matfile.cell_list(matfile.load(path, ["net"])["net"]["layers"])
    classes = layers[-1]["class"]
    assert (classes.dtype, classes.shape) == (np.float32, (40, 40))


def test_saveobj_structs_are_unwrapped_in_matlabs_own_networks() -> None:
    for path in sorted((REAL / "mcos" / "seriesnetwork").glob("*.mat")):
        net = matfile.load(path)["net"]
        assert net.classname == "SeriesNetwork"
        convolutions = [
            layer
            for layer in matfile.cell_list(net.properties["Layers"])
            if "Convolution2D" in layer.classname
        ]
        assert convolutions
        assert all("NumFilters" in layer.properties for layer in convolutions)


@pytest.mark.parametrize("version", ["v7", "v73"])
def test_the_netvlad_like_network_has_its_class_layers(version: str) -> None:
    path = REAL / "mcos" / "synthetic_matio_written" / f"netvlad_like_{version}.mat"
    vlad, norm = matfile.cell_list(matfile.load(path)["net"]["layers"])[-2:]
    assert (vlad.classname, norm.classname) == ("layerVLAD", "layerWholeL2Normalize")
    assert len(matfile.cell_list(vlad.properties["weights"])) == 2


def test_thresholds_are_doubles_as_in_matlab_although_kept_as_uint8() -> None:
    for path in sorted((REAL / "dbstructs").glob("*.mat")):
        db = matfile.load(path)["dbStruct"]
        assert db["posDistThr"].dtype == np.float64
        assert matfile.scalar(db["posDistThr"]) ** 2 == matfile.scalar(db["posDistSqThr"]) == 625
        assert len(matfile.image_names(db["dbImageFns"])) == matfile.scalar(db["numImages"])
        assert db["utmDb"].shape == (2, matfile.scalar(db["numImages"]))


def test_cluster_centres_are_single_and_of_their_shape() -> None:
    shapes = [matfile.load(path)["clsts"].shape for path in sorted((REAL / "initdata").glob("*.mat"))]
    assert shapes == [(256, 64), (512, 64)]
