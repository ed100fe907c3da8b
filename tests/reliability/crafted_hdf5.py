"""HDF5 files made to hurt: references in circles, links out of the file, data that is not there."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np


def _class(item: h5py.Dataset | h5py.Group, name: str) -> None:
    item.attrs["MATLAB_class"] = np.bytes_(name)


def _cell(file: h5py.File, name: str, targets: list[h5py.Dataset | h5py.Group]) -> h5py.Dataset:
    cell = file.create_dataset(name, (1, len(targets)), h5py.ref_dtype)
    _class(cell, "cell")
    for column, target in enumerate(targets):
        cell[0, column] = target.ref
    return cell


def h5_names_that_never_end(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = np.ones((3, 2), np.float32)
        file.create_dataset("names", data=["a.jpg", "b.jpg", "c.jpg"], dtype=h5py.string_dtype())
    _texts_of_no_length(path)


def mat73_field_names_that_never_end(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("x")
        _class(group, "struct")
        group["a"] = np.ones((1, 1))
        _class(group["a"], "double")
        names = np.empty(1, object)
        names[0] = np.array([b"a"], "S1")
        group.attrs.create("MATLAB_fields", names, dtype=h5py.vlen_dtype(np.dtype("S1")))
    _texts_of_no_length(path)


def _texts_of_no_length(path: Path) -> None:
    """The first text says that it is free space of no length: whoever goes on by its length stays there."""
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + 16
    content[first : first + 2], content[first + 8 : first + 16] = bytes(2), bytes(8)
    path.write_bytes(content)


def mat73_cell_that_contains_itself(path: Path) -> None:
    with h5py.File(path, "w") as file:
        cell = file.create_dataset("x", (1, 1), h5py.ref_dtype)
        _class(cell, "cell")
        cell[0, 0] = cell.ref


def mat73_cell_that_contains_itself_twice(path: Path) -> None:
    with h5py.File(path, "w") as file:
        cell = file.create_dataset("x", (1, 2), h5py.ref_dtype)
        _class(cell, "cell")
        cell[0, 0] = cell[0, 1] = cell.ref


def mat73_a_billion_laughs(path: Path) -> None:
    """Ten references to a cell of ten references to a cell of …: 10^9 values from 20 kB."""
    with h5py.File(path, "w") as file:
        target = file.create_dataset("#refs#/a", data=np.ones((1, 1)))
        _class(target, "double")
        for level in range(9):
            target = _cell(file, f"#refs#/b{level}", [target] * 10)
        _cell(file, "x", [target])


def mat73_a_megabyte_referred_to_10000_times(path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "#refs#/a", data=np.zeros((1, 2**17)), chunks=(1, 2**17), compression="gzip"
        )
        _class(data, "double")
        _cell(file, "x", [data] * 10000)


def mat73_struct_whose_field_is_itself(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("x")
        _class(group, "struct")
        group["again"] = group
        group["twice"] = group


def mat73_groups_nested_3000_deep(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group: h5py.Group = file
        for _ in range(3000):
            group = group.create_group("x")
            _class(group, "struct")


def mat73_claims_10_gb_in_one_piece(path: Path) -> None:
    """A contiguous data set of 10 GB whose space was never written."""
    with h5py.File(path, "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.CONTIGUOUS)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        space = h5py.h5s.create_simple((32000, 40000))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, layout)
        _class(file["x"], "double")


def mat73_claims_10_gb_in_pieces(path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (32000, 40000), "f8", chunks=(100, 100), compression="gzip")
        data[0, 0] = 1
        _class(data, "double")


def mat73_data_in_dev_zero(path: Path) -> None:
    """10 GB of data kept in another file, which never ends."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (32000, 40000), "f8", external=[("/dev/zero", 0, 32000 * 40000 * 8)])
        _class(data, "double")


def mat73_data_in_another_file_of_the_machine(path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (1, 40), "u1", external=[("/etc/passwd", 0, 40)])
        _class(data, "uint8")


def mat73_virtual_data_of_10_gb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((32000, 40000), "f8")
        layout[:, :] = h5py.VirtualSource("missing.h5", "x", (32000, 40000))
        _class(file.create_virtual_dataset("x", layout), "double")


def mat73_links_in_a_circle(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = h5py.SoftLink("/y")
        file["y"] = h5py.SoftLink("/x")


def mat73_link_to_itself_in_another_file(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink(path.name, "/x")


def mat73_a_type_where_a_value_should_be(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.dtype("f8")


def mat73_struct_without_fields_claims_a_billion(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.array([10**5, 10**4], np.uint64)
        _class(file["x"], "struct")
        file["x"].attrs["MATLAB_empty"] = np.int32(1)


def mat73_sparse_of_two_billion_rows(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("x")
        _class(group, "double")
        group.attrs["MATLAB_sparse"] = np.uint64(2**31 - 1)
        group["jc"] = np.zeros(2, np.uint64)


def mat73_class_name_of_a_megabyte(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file["x"] = np.ones((1, 1))
        file["x"].attrs["MATLAB_class"] = "d" * 2**20


def mat73_fields_that_are_numbers(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("x")
        _class(group, "struct")
        group["a"] = np.ones((1, 1))
        _class(group["a"], "double")
        group.attrs["MATLAB_fields"] = np.arange(3)


CRAFTED_HDF5: list[Callable[[Path], object]] = [
    mat73_field_names_that_never_end,
    mat73_cell_that_contains_itself,
    mat73_cell_that_contains_itself_twice,
    mat73_a_billion_laughs,
    mat73_a_megabyte_referred_to_10000_times,
    mat73_struct_whose_field_is_itself,
    mat73_groups_nested_3000_deep,
    mat73_claims_10_gb_in_one_piece,
    mat73_claims_10_gb_in_pieces,
    mat73_data_in_dev_zero,
    mat73_data_in_another_file_of_the_machine,
    mat73_virtual_data_of_10_gb,
    mat73_links_in_a_circle,
    mat73_link_to_itself_in_another_file,
    mat73_a_type_where_a_value_should_be,
    mat73_struct_without_fields_claims_a_billion,
    mat73_sparse_of_two_billion_rows,
    mat73_class_name_of_a_megabyte,
    mat73_fields_that_are_numbers,
]

CRAFTED_H5: list[Callable[[Path], object]] = [h5_names_that_never_end]
