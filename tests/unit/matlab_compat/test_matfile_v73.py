"""MAT 7.3 files: MATLAB's layout built with h5py, everything mat-io writes, and damage."""

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from tests.matlab_same import assert_same
from tests.unit.matlab_compat.test_matfile import VALUES

HAS_MATIO = importlib.util.find_spec("matio") is not None
MATIO_CANNOT = {"complex_single"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.mat"


@pytest.fixture
def root(path: Path) -> Iterator[h5py.File]:
    with h5py.File(path, "w", userblock_size=512) as file:
        yield file


def put(group: Any, name: str, classname: str, data: Any, **attributes: Any) -> Any:
    """A dataset with MATLAB's attributes."""
    node = group.create_dataset(name, data=data)
    node.attrs["MATLAB_class"] = np.bytes_(classname)
    for key, value in attributes.items():
        node.attrs[f"MATLAB_{key}"] = value
    return node


def fields(*names: str) -> np.ndarray:
    """A list of texts as MATLAB_fields keeps it."""
    listed = np.empty(len(names), dtype=h5py.special_dtype(vlen=np.dtype("S1")))
    for i, name in enumerate(names):
        listed[i] = np.array([letter.encode() for letter in name], "S1")
    return listed


def load(root: h5py.File, path: Path) -> dict[str, Any]:
    root.close()
    return matfile.load(path)


@pytest.mark.skipif(not HAS_MATIO, reason="needs mat-io, which needs Python 3.11")
@pytest.mark.parametrize("name", sorted(VALUES.keys() - MATIO_CANNOT))
def test_what_matio_writes_is_read(name: str, path: Path) -> None:
    matfile.save_objects(path, {name: VALUES[name]}, version="v7.3")
    assert_same(matfile.load(path), {name: VALUES[name]})


@pytest.mark.skipif(not HAS_MATIO, reason="needs mat-io, which needs Python 3.11")
@pytest.mark.parametrize("name", MATIO_CANNOT)
def test_what_matio_would_change_is_refused(name: str, path: Path) -> None:
    with pytest.raises(MatFileError, match="Complex type"):
        matfile.save_objects(path, {name: VALUES[name]}, version="v7.3")


def test_arrays_are_transposed_and_keep_their_class(root: h5py.File, path: Path) -> None:
    stored = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    put(root, "x", "single", stored)
    put(root, "b", "logical", np.array([[1, 0]], np.uint8), int_decode=np.int32(1))
    put(root, "c", "char", np.array([[ord("Z")], [ord("ü")], [ord("東")]], np.uint16), int_decode=np.int32(2))
    found = load(root, path)
    assert_same(found["x"], stored.transpose(2, 1, 0))
    assert found["x"][1, 0, 0] == stored[0, 0, 1]
    assert_same(found["b"], np.array([[True], [False]]))
    assert found["c"] == "Zü東"


def test_complex_numbers_are_pairs(root: h5py.File, path: Path) -> None:
    pair = np.array([[(1.0, 2.0)]], dtype=[("real", "f4"), ("imag", "f4")])
    put(root, "x", "single", pair)
    assert_same(load(root, path)["x"], np.array([[1 + 2j]], np.complex64))


@pytest.mark.parametrize(
    ("classname", "shape", "want"),
    [
        ("double", (0, 0), np.zeros((0, 0))),
        ("uint8", (0, 3), np.zeros((0, 3), np.uint8)),
        ("logical", (1, 0), np.zeros((1, 0), bool)),
        ("cell", (0, 1), np.empty((0, 1), object)),
        ("char", (0, 0), ""),
        ("canonical empty", (0, 0), np.zeros((0, 0))),
        ("struct", (1, 1), {}),
        ("function_handle", (0, 0), matfile.FunctionHandle("")),
    ],
)
def test_empty_values_hold_their_shape(
    classname: str, shape: tuple[int, int], want: Any, root: h5py.File, path: Path
) -> None:
    put(root, "x", classname, np.array(shape, np.uint64), empty=np.uint8(1))
    assert_same(load(root, path)["x"], want)
    assert matfile.who(path)["x"] == (classname, shape)


def test_an_empty_struct_array_keeps_its_fields(root: h5py.File, path: Path) -> None:
    put(root, "x", "struct", np.array([0, 1], np.uint64), empty=np.uint8(1), fields=fields("b", "a"))
    assert_same(load(root, path)["x"], matfile.StructArray((0, 1), ("b", "a"), []))


def test_struct_fields_come_in_matlabs_order(root: h5py.File, path: Path) -> None:
    group = root.create_group("x")
    group.attrs["MATLAB_class"] = np.bytes_("struct")
    group.attrs["MATLAB_fields"] = fields("zeta", "alpha")
    put(group, "alpha", "double", [[1.0]])
    put(group, "zeta", "double", [[2.0]])
    assert list(load(root, path)["x"]) == ["zeta", "alpha"]


def test_struct_arrays_are_columns_of_references(root: h5py.File, path: Path) -> None:
    refs = root.create_group("#refs#")
    items = [put(refs, f"r{i}", "double", [[float(i)]]).ref for i in range(3)]
    group = root.create_group("x")
    group.attrs["MATLAB_class"] = np.bytes_("struct")
    group.create_dataset("id", data=np.array([[r] for r in items], dtype=h5py.ref_dtype))
    found = load(root, path)["x"]
    want = matfile.StructArray((1, 3), ("id",), [{"id": np.full((1, 1), float(i))} for i in range(3)])
    assert_same(found, want)
    assert matfile.who(path)["x"] == ("struct", (1, 3))


def test_a_field_that_is_a_cell_is_no_struct_array(root: h5py.File, path: Path) -> None:
    one = put(root.create_group("#refs#"), "a", "double", [[1.0]]).ref
    group = root.create_group("x")
    group.attrs["MATLAB_class"] = np.bytes_("struct")
    put(group, "c", "cell", np.array([[one], [one]], dtype=h5py.ref_dtype))
    found = load(root, path)["x"]
    assert isinstance(found, dict)
    assert found["c"].shape == (1, 2)


def test_sparse_matrices_of_zeros_and_numbers(root: h5py.File, path: Path) -> None:
    for name, parts in {"x": {"jc": [0, 0, 1], "ir": [1], "data": [5.0]}, "z": {"jc": [0, 0]}}.items():
        group = root.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("double")
        group.attrs["MATLAB_sparse"] = np.uint64(3)
        for part, data in parts.items():
            group[part] = np.array(data, np.float64 if part == "data" else np.uint64)
    found = load(root, path)
    assert found["x"].toarray().tolist() == [[0, 0], [0, 5], [0, 0]]
    assert found["z"].shape == (3, 1)
    assert matfile.who(path)["x"] == ("sparse", (3, 2))


def test_a_function_handle_keeps_its_text(root: h5py.File, path: Path) -> None:
    group = root.create_group("x")
    group.attrs["MATLAB_class"] = np.bytes_("function_handle")
    inner = group.create_group("function_handle")
    inner.attrs["MATLAB_class"] = np.bytes_("struct")
    put(inner, "function", "char", np.array([[ord(c)] for c in "@(x)x+1"], np.uint16))
    assert load(root, path)["x"] == matfile.FunctionHandle("@(x)x+1")


def test_only_what_is_asked_for_is_read(root: h5py.File, path: Path) -> None:
    put(root, "good", "double", [[1.0]])
    put(root, "bad", "unheard-of", [[1.0]])
    root.close()
    assert matfile.load(path, ["good"])["good"] == 1
    with pytest.raises(MatFileError, match="unheard-of"):
        matfile.load(path)


def test_references_in_a_circle_are_an_error(root: h5py.File, path: Path) -> None:
    cell = root.create_dataset("x", (2, 1), dtype=h5py.ref_dtype)
    cell.attrs["MATLAB_class"] = np.bytes_("cell")
    cell[...] = np.array([[cell.ref], [cell.ref]], dtype=h5py.ref_dtype)
    with pytest.raises(MatFileError, match="nested"):
        load(root, path)


def test_a_reference_to_nothing_is_an_error(root: h5py.File, path: Path) -> None:
    cell = root.create_dataset("x", (1, 1), dtype=h5py.ref_dtype)
    cell.attrs["MATLAB_class"] = np.bytes_("cell")
    with pytest.raises(MatFileError, match=r"a\.mat"):
        load(root, path)


def test_an_object_without_its_properties_is_an_error(root: h5py.File, path: Path) -> None:
    put(root, "x", "layerVLAD", np.array([[0xDD000000, 2, 1, 1, 1, 1]], np.uint32), object_decode=np.int32(3))
    with pytest.raises(MatFileError, match="not the subsystem"):
        load(root, path)
    assert matfile.who(path)["x"] == ("layerVLAD", (1, 1))


@pytest.mark.parametrize("classname", ["double", "cell", "char"])
def test_a_huge_claim_is_refused_at_once(classname: str, root: h5py.File, path: Path) -> None:
    dtype = h5py.ref_dtype if classname == "cell" else np.uint16 if classname == "char" else np.float64
    node = root.create_dataset("x", (2**20, 2**20), dtype=dtype, chunks=(2**10, 2**10))
    node.attrs["MATLAB_class"] = np.bytes_(classname)
    start = time.monotonic()
    with pytest.raises(MatFileError, match=r"declares [0-9,]+ bytes where the file has 0"):
        load(root, path)
    assert time.monotonic() - start < 2


def test_truncated_files_are_errors(root: h5py.File, path: Path) -> None:
    put(root, "x", "double", np.random.default_rng(0).standard_normal((50, 50)))
    root.close()
    whole = path.read_bytes()
    for length in [*range(0, 700, 50), *range(700, len(whole), 997)]:
        path.write_bytes(whole[:length])
        with pytest.raises(MatFileError, match=r"a\.mat"):
            matfile.load(path)


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 3)])
@pytest.mark.parametrize("decode", [2, 3])
def test_an_empty_array_of_objects_keeps_its_class(
    decode: int, shape: tuple[int, int], root: h5py.File, path: Path
) -> None:
    put(root, "x", "Shape", np.array(shape, np.uint64), empty=np.uint8(1), object_decode=np.int32(decode))
    found = load(root, path)["x"]
    assert (found.classname, found.properties, found.shape) == ("Shape", {}, shape)
    assert matfile.who(path)["x"] == ("Shape", shape)


def test_an_array_of_objects_of_the_old_kind_has_its_shape(root: h5py.File, path: Path) -> None:
    refs = root.create_group("#refs#")
    items = [put(refs, f"r{i}", "double", [[float(i)]]).ref for i in range(3)]
    group = root.create_group("x")
    group.attrs["MATLAB_class"], group.attrs["MATLAB_object_decode"] = np.bytes_("Old"), np.int32(2)
    group.create_dataset("n", data=np.array([[r] for r in items], dtype=h5py.ref_dtype))
    found = load(root, path)["x"]
    assert (found.shape, [item.classname for item in found.flat]) == ((1, 3), ["Old"] * 3)
    assert [float(item.properties["n"][0, 0]) for item in found.flat] == [0, 1, 2]


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 3), (1, 4)])
def test_struct_arrays_without_fields_alone_and_nested(
    shape: tuple[int, int], root: h5py.File, path: Path
) -> None:
    want = matfile.StructArray(shape, (), [{}] * (shape[0] * shape[1]))
    put(root, "x", "struct", np.array(shape, np.uint64), empty=np.uint8(1))
    inner = put(root.create_group("#refs#"), "a", "struct", np.array(shape, np.uint64), empty=np.uint8(1))
    put(root, "c", "cell", np.array([[inner.ref]], dtype=h5py.ref_dtype))
    found = load(root, path)
    assert_same(found["x"], want)
    assert_same(found["c"][0, 0], want)


def test_char_matrices_beyond_16_bits_and_with_nul(root: h5py.File, path: Path) -> None:
    rows = [np.frombuffer(row.encode("utf-16-le"), np.uint16) for row in ("a𝔸b", "𝔸\0d")]
    put(root, "x", "char", np.stack(rows).T)
    put(root, "cube", "char", np.arange(8, dtype=np.uint16).reshape(2, 2, 2))
    put(root, "none", "char", np.array([0, 3], np.uint64), empty=np.uint8(1))
    found = load(root, path)
    assert found["x"] == ["a𝔸b", "𝔸\0d"]
    assert found["cube"].view(np.uint32).tolist() == np.arange(8).reshape(2, 2, 2).T.tolist()
    assert (found["none"].dtype.kind, found["none"].shape) == ("U", (0, 3))


def test_a_sparse_logical(root: h5py.File, path: Path) -> None:
    group = root.create_group("x")
    group.attrs["MATLAB_class"], group.attrs["MATLAB_sparse"] = np.bytes_("logical"), np.uint64(2)
    for part, dtype in {"jc": np.uint64, "ir": np.uint64, "data": np.uint8}.items():
        group[part] = np.array({"jc": [0, 1, 2], "ir": [0, 1], "data": [1, 1]}[part], dtype)
    found = load(root, path)["x"]
    assert (found.dtype, found.toarray().tolist()) == (np.bool_, [[True, False], [False, True]])


def test_hdf5_that_is_not_matlabs_is_told_apart(root: h5py.File, path: Path) -> None:
    root["x"] = np.zeros(3)
    with pytest.raises(MatFileError, match="lacks MATLAB's attributes"):
        load(root, path)


def test_class_names_of_variable_length_are_read(root: h5py.File, path: Path) -> None:
    root["x"] = np.array([[2.0]])
    root["x"].attrs["MATLAB_class"] = "double"
    assert load(root, path)["x"] == 2
