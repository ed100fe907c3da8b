"""Files of which a part cannot be read: that part is named, and the others can be read by their names."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from tests import mat5_bytes as mat5
from tests.mat5_bytes import Builder
from tests.unit.matlab_compat.test_matfile_v73 import put

HINT = r"The others can be read: load\(path, \['a', 'c'\]\)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.mat"


def numbers(make: Builder, name: str, *, packed: bool) -> bytes:
    element = make.matrix(mat5.DOUBLE, (1, 3), make.element(mat5.F8, make.pack("3d", 1, 2, 3)), name)
    return make.packed(element) if packed else element


def check_the_others(path: Path, bad: str, message: str) -> None:
    with pytest.raises(MatFileError, match=rf"x\.mat: variable '{bad}' cannot be read: .*{message}.*{HINT}"):
        matfile.load(path)
    with pytest.raises(MatFileError, match=rf"variable '{bad}' cannot be read"):
        matfile.load(path, [bad])
    assert {name: value.tolist() for name, value in matfile.load(path, ["a", "c"]).items()} == {
        "a": [[1, 2, 3]],
        "c": [[1, 2, 3]],
    }


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_value_between_two_others(packed: bool, path: Path) -> None:
    make = Builder()
    bad = make.matrix(mat5.DOUBLE, (2, 3), make.element(mat5.F8, bytes(8)), "b")
    bad = make.packed(bad) if packed else bad
    make.write(path, numbers(make, "a", packed=packed), bad, numbers(make, "c", packed=packed))
    check_the_others(path, "b", "declares the shape 2x3")
    assert matfile.who(path)["b"] == ("double", (2, 3))


@pytest.mark.parametrize("packed", [False, True])
def test_a_variable_whose_name_cannot_be_read_is_known_by_its_place(packed: bool, path: Path) -> None:
    make = Builder()
    first, last = (numbers(make, name, packed=packed) for name in "ac")
    bad = make.element(14, make.element(mat5.U4, make.pack("II", 99, 0)))
    place = f"the variable at byte {128 + len(first)}"
    make.write(path, first, make.packed(bad) if packed else bad, last)
    check_the_others(path, place, "class number")
    assert matfile.who(path)[place] == ("unreadable", None)


def test_a_file_that_ends_within_a_variable_gives_those_before_it(path: Path) -> None:
    make = Builder()
    parts = [numbers(make, name, packed=True) for name in "acd"]
    make.write(path, *parts[:2], parts[2][:30])
    check_the_others(path, f"the variable at byte {128 + len(parts[0] + parts[1])}", "truncated")


def test_a_version_4_file_that_ends_within_a_variable_gives_those_before_it(path: Path) -> None:
    scipy.io.savemat(path, dict.fromkeys("acd", np.array([[1.0, 2, 3]])), format="4")
    path.write_bytes(path.read_bytes()[:-5])
    check_the_others(path, "the variable at byte 92", "truncated")
    path.write_bytes(path.read_bytes()[:92] + struct.pack("<5i", 9999, 1, 1, 0, 2) + bytes(30))
    check_the_others(path, "the variable at byte 92", "no matrix")


def test_where_nothing_can_be_read_every_door_says_so(path: Path) -> None:
    make = Builder()
    make.write(path, numbers(make, "a", packed=True)[:30])
    for door in (matfile.load, matfile.who):
        with pytest.raises(MatFileError, match=r"x\.mat.*truncated"):
            door(path)


def foreign_data_set(file: h5py.File) -> None:
    file["b"] = 3


def foreign_group(file: h5py.File) -> None:
    file["b/c/d"] = [1.0]


def named_type(file: h5py.File) -> None:
    file["b"] = np.dtype("f8")


def link_to_nothing(file: h5py.File) -> None:
    file["b"] = h5py.SoftLink("/nowhere")


def link_to_another_file(file: h5py.File) -> None:
    file["b"] = h5py.ExternalLink("/etc/passwd", "/x")


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (foreign_data_set, "the HDF5 data at /b lacks MATLAB's attributes"),
        (foreign_group, "the HDF5 data at /b lacks MATLAB's attributes"),
        (named_type, "the HDF5 data at /b lacks MATLAB's attributes"),
        (link_to_nothing, "component not found"),
        (link_to_another_file, "not followed"),
    ],
)
def test_what_others_put_into_a_version_73_file_is_named(add, message: str, path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name in "ac":
            put(file, name, "double", [[1.0], [2], [3]])
        file.attrs["note"] = "made by h5py"
        file["a"].attrs["units"] = "m"
        add(file)
    check_the_others(path, "b", message)
    assert matfile.who(path) == {"a": ("double", (1, 3)), "b": ("unreadable", None), "c": ("double", (1, 3))}


def test_what_others_put_into_a_struct_is_named(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name in "ac":
            put(file, name, "double", [[1.0], [2], [3]])
        group = file.create_group("b/deep")
        for each in (file["b"], group):
            each.attrs["MATLAB_class"] = np.bytes_("struct")
        put(group, "ours", "double", [[1.0]])
        group["note"] = 3
    check_the_others(path, "b", "the HDF5 data at /b/deep/note lacks MATLAB's attributes")


def test_only_a_few_of_many_are_listed(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in "abcdefghi":
            put(file, name, "double", [[1.0]])
        file["note"] = 1
    with pytest.raises(MatFileError, match=r"load\(path, \['a', 'b', 'c', 'd', 'e', …\]\)$"):
        matfile.load(path)


def test_a_file_of_a_header_alone_is_an_empty_struct(path: Path) -> None:
    Builder().write(path)
    assert matfile.load(path) == {} == matfile.who(path)
    with pytest.raises(MatFileError, match=r"no variable 'net'; it holds none"):
        matfile.load(path, ["net"])
    with h5py.File(path, "w", userblock_size=512):
        pass
    assert matfile.load(path) == {}
