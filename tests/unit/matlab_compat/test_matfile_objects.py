"""Class objects as MATLAB stores them: unwrapped, shared, circular; what is written is read again."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.matfile.classes import OBJECT_MARK
from matlab_compat.matfile.io import opened
from matlab_compat.matfile.objects import Subsystem
from tests.matlab_same import assert_same
from tests.unit.matlab_compat.matfile_objects.make import content

FILES = sorted((Path(__file__).parent / "matfile_objects").glob("*.mat"))
needs_matio = pytest.mark.skipif(
    importlib.util.find_spec("matio") is None, reason="needs mat-io, which needs Python 3.11"
)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def loaded(request: pytest.FixtureRequest) -> dict[str, Any]:
    return matfile.load(request.param)


def test_there_is_a_file_of_each_version() -> None:
    assert [path.stem for path in FILES] == ["objects_v7", "objects_v73"]


def test_a_network_with_class_layers_is_read(loaded: dict[str, Any]) -> None:
    assert_same(loaded["net"], _plain(content()["net"]))


def _plain(value: Any) -> Any:
    """What is loaded after saving a value: numbers as arrays, lists as cells."""
    if isinstance(value, matfile.MatObject):
        return matfile.MatObject(value.classname, _plain(value.properties))
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        cell = np.empty((1, len(value)), dtype=object)
        for i, item in enumerate(value):
            cell[0, i] = _plain(item)
        return cell
    if isinstance(value, int):
        return np.array([[value if isinstance(value, bool) else float(value)]])
    return value


def test_what_saveobj_returned_is_unwrapped(loaded: dict[str, Any]) -> None:
    vlad = loaded["net"]["layers"][0, 1]
    assert vlad.classname == "layerVLAD"
    assert list(vlad.properties) == ["type", "name", "K", "weights"]


def test_two_references_to_one_object_give_one_object(loaded: dict[str, Any]) -> None:
    layers = loaded["net"]["layers"]
    assert layers[0, 2] is layers[0, 3]


def test_objects_that_refer_to_each_other_are_read(loaded: dict[str, Any]) -> None:
    first = loaded["first"]
    second = first.properties["other"]
    assert second.properties["label"] == "second"
    assert second.properties["other"] is first
    assert first.classname == "pkg.Node"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_who_names_the_class(path: Path) -> None:
    assert matfile.who(path)["first"] == ("pkg.Node", (1, 1))


def test_the_objects_are_not_touched_where_a_plain_variable_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the subsystem was read")

    monkeypatch.setattr(Subsystem, "__init__", fail)
    for path in FILES:
        assert_same(matfile.load(path, ["plain"])["plain"], np.array([[1.0, 2.0]]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_empty_array_of_objects_keeps_its_class_and_shape(path: Path) -> None:
    with opened(path) as file:
        subsystem = file.subsystem  # type: ignore[attr-defined]
        number = next(i for i in range(1, 9) if subsystem._classname(i) == "pkg.Node")
        words = np.array([[OBJECT_MARK], [2], [0], [3], [number]], np.uint32)
        found = subsystem.resolve(words)
    assert (found.classname, found.properties, found.shape) == ("pkg.Node", {}, (0, 3))


def words_of(strings: np.ndarray) -> np.ndarray:
    """A string array as MATLAB keeps it: version, dimensions, lengths, text of four UTF-16 units a word."""
    flat = [str(each).encode("utf-16-le") for each in strings.ravel(order="F")]
    text = b"".join(flat)
    lengths = [len(each) // 2 for each in flat]
    packed = np.frombuffer(text + bytes(-len(text) % 8), np.uint64)
    return np.array([[1, strings.ndim, *strings.shape, *lengths, *packed]], np.uint64)


@needs_matio
@pytest.mark.parametrize("version", ["v7", "v7.3"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 1), (0, 0), (0, 2), (2, 1, 2)])
def test_who_gives_the_size_of_a_string_array(shape: tuple[int, ...], version: str, tmp_path: Path) -> None:
    strings = np.array([f"s{i}𝔸" for i in range(math.prod(shape))], dtype=object).reshape(shape)
    held = matfile.MatObject("string", {"any": words_of(strings)})
    matfile.save_objects(tmp_path / "a.mat", {"x": held, "y": 1}, version=version)
    assert matfile.who(tmp_path / "a.mat")["x"] == ("string", shape)
    found = matfile.load(tmp_path / "a.mat")["x"]
    assert found == strings[0, 0] if shape == (1, 1) else (found == strings).all()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reading_objects_needs_no_matio_and_no_pandas(path: Path) -> None:
    code = (
        "import sys; from matlab_compat import matfile; matfile.load(sys.argv[1]);"
        "assert not {'matio', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


@needs_matio
@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_objects_are_written_as_they_are_read(version: str, tmp_path: Path) -> None:
    net = content()["net"]
    matfile.save_objects(tmp_path / "a.mat", {"net": net}, version=version, saveobj_classes=["layerVLAD"])
    assert_same(matfile.load(tmp_path / "a.mat")["net"], _plain(net))


@needs_matio
@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_a_long_chain_of_objects_is_read(version: str, tmp_path: Path) -> None:
    chain = matfile.MatObject("Node", {"depth": 0})
    for depth in range(1, 60):
        chain = matfile.MatObject("Node", {"depth": depth, "next": chain})
    matfile.save_objects(tmp_path / "a.mat", {"x": chain}, version=version)
    found = matfile.load(tmp_path / "a.mat")["x"]
    for depth in range(59, 0, -1):
        assert matfile.scalar(found.properties["depth"]) == depth
        found = found.properties["next"]


@needs_matio
def test_a_saveobj_that_returned_no_struct_stays_in_any(tmp_path: Path) -> None:
    import matio.utils.matclass as matclass

    odd = matclass.MatlabOpaque({"any": np.array([[1.0, 2.0]])}, "Odd")
    from matio import save_to_mat

    save_to_mat(tmp_path / "a.mat", {"x": odd}, version="v7", saveobj_classes=["Odd"])
    assert_same(matfile.load(tmp_path / "a.mat")["x"].properties, {"any": np.array([[1.0, 2.0]])})


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MatFileError, match=r"version must be one of v7, v7\.3; got 'v6'"):
        matfile.save_objects(tmp_path / "a.mat", {}, version="v6")


def test_without_matio_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matio", None)
    with pytest.raises(MatFileError, match="pip install mat-io"):
        matfile.save_objects(tmp_path / "a.mat", {"x": 1})
