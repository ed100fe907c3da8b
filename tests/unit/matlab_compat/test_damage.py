"""Hostile and damaged files that once hung, crashed or raised something that was not ours; one row each.

tests/reliability makes thousands more; these are the ones that found a bug.
"""

import json
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from deepibl.datasets.exif import photo_position
from deepibl.errors import FeatureFileError, IndexFileError
from deepibl.features.files import read_features, stored_names, write_features
from deepibl.images import read_image
from deepibl.networks.io import read_network
from deepibl.networks.torch_files import load_state, read_checkpoint
from deepibl.runtime.files import map_tensors, write_tensors
from deepibl.search.index import PlaceIndex
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, ImageReadError, MatFileError, NetworkFormatError
from matlab_compat.files import damage_as
from matlab_compat.matfile.hdf5 import heap_problem
from matlab_compat.nn.conv import vl_nnconv
from tests.reliability.crafted import CRAFTED

MAKERS = {maker.__name__: maker for makers in CRAFTED.values() for maker in makers}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mat4_sparse_with_a_billion_columns", "1,000,000,000 columns"),
        ("mat73_a_billion_laughs", "again and again"),
        ("mat73_a_megabyte_referred_to_10000_times", "again and again"),
        ("mat73_cell_that_contains_itself_twice", "nested more than 200 deep|again and again"),
        ("mat73_data_in_dev_zero", "in other files, which are not read"),
        ("mat73_data_in_another_file_of_the_machine", "in other files, which are not read"),
        ("mat73_virtual_data_of_10_gb", "in other files, which are not read"),
        ("mat73_link_to_itself_in_another_file", "a link to another file, which is not followed"),
        ("mat73_field_names_that_never_end", "its strings at byte [0-9]+ are invalid"),
        ("mat73_claims_10_gb_in_one_piece", "declares 10,240,000,000 bytes where the file has"),
    ],
)
def test_a_mat_file_that_claims_what_it_cannot_hold_is_refused(
    name: str, message: str, tmp_path: Path
) -> None:
    MAKERS[name](tmp_path / "bad.mat")
    with pytest.raises(MatFileError, match=rf"bad\.mat.*({message})"):
        matfile.load(tmp_path / "bad.mat")


def test_values_that_are_referred_to_twice_are_read_twice(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        value = file.create_dataset("#refs#/a", data=np.full((2, 3), 7.0))
        cell = file.create_dataset("x", (1, 2), h5py.ref_dtype)
        for item, name in ((value, "double"), (cell, "cell")):
            item.attrs["MATLAB_class"] = np.bytes_(name)
        cell[0, 0] = cell[0, 1] = value.ref
    first, second = matfile.load(tmp_path / "a.mat")["x"].ravel()
    np.testing.assert_array_equal(first, np.full((3, 2), 7.0))
    np.testing.assert_array_equal(second, first)


def test_a_large_cell_of_one_shared_empty_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:  # as MATLAB writes cell(120, 120)
        empty = file.create_dataset("#refs#/a", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_class"] = np.bytes_("canonical empty")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        cell = file.create_dataset("x", data=np.full((120, 120), empty.ref), dtype=h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
    found = matfile.load(tmp_path / "a.mat")["x"]
    assert found.shape == (120, 120) and all(item.shape == (0, 0) for item in found.ravel())


def test_a_sparse_matrix_where_a_number_should_be_is_not_made_dense() -> None:
    import scipy.sparse

    tall = scipy.sparse.csc_matrix((2**31 - 1, 1))
    for read in (matfile.scalar, matfile.vector):
        with pytest.raises(MatFileError, match="sparse matrix of shape"):
            read(tall)
    assert matfile.scalar(scipy.sparse.csc_matrix([[3.0]])) == 3


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "name", ["image_jpeg_of_700_bytes_claims_170_megapixels", "image_png_of_200_bytes_claims_170_megapixels"]
)
def test_a_picture_that_claims_more_pixels_than_its_bytes_can_hold_is_refused(
    name: str, tmp_path: Path
) -> None:
    MAKERS[name](tmp_path / "bad.jpg")
    with pytest.raises(ImageReadError, match=r"bad\.jpg: it declares 13300 x 12800 pixels in \d+ bytes"):
        read_image(tmp_path / "bad.jpg")


def test_a_large_picture_of_one_colour_is_read(tmp_path: Path) -> None:
    grey = Image.new("L", (5000, 4000), 77)
    grey.save(tmp_path / "grey.jpg", quality=5, optimize=True)
    assert (tmp_path / "grey.jpg").stat().st_size < 5000 * 4000 / 250  # as tight as a JPEG can be
    assert read_image(tmp_path / "grey.jpg").mean() == pytest.approx(77, abs=20)


def test_a_decompression_bomb_is_not_decoded_for_its_position(tmp_path: Path) -> None:
    MAKERS["image_jpeg_claims_65500_pixels_a_side"](tmp_path / "bad.jpg")
    assert photo_position(tmp_path / "bad.jpg") is None
    with pytest.raises(ImageReadError, match=r"bad\.jpg"):
        read_image(tmp_path / "bad.jpg")


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 50000 + b"]" * 50000,
        b"[]",
        b'{"x": 3}',
        b'{"__metadata__": []}',
        b'{"__metadata__": {"a": 1}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"x": {"dtype": [], "shape": [0], "data_offsets": [0, 0]}}',
        b'{"x": {"dtype": "F99", "shape": [0], "data_offsets": [0, 0]}}',
        b'{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}',
        b'{"x": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}',
        b'{"x": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
    ],
)
def test_a_tensor_file_whose_header_makes_no_sense_is_refused(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=r"not a safetensors file|cannot be in bytes|bytes long"):
        map_tensors(path)
    with pytest.raises(NetworkFormatError, match=r"a\.safetensors"):
        read_network(path)
    with pytest.raises(IndexFileError, match=r"a\.safetensors"):
        PlaceIndex.load(path)


@pytest.mark.parametrize(
    "network",
    [
        '{"cell":[1,1],"items":[' * 50000 + '"x"' + "]}" * 50000,
        "[]",
        "3",
        '{"class": "<U500000000", "shape": [1, 1], "data": ["x"]}',
        '{"class": "object", "shape": [1, 1], "data": ["x"]}',
        '{"class": "float32", "shape": [40000, 40000], "data": [1]}',
        '{"class": "float32", "shape": [1, 1], "data": ["x"]}',
        '{"class": "uint8", "shape": [1, 1], "data": [[1], [2, 3]]}',
        '{"class": "float32", "shape": "1x1", "data": [1]}',
        '{"class": "float32", "shape": [2, 2], "tensor": "lost"}',
        '{"structs": [1, 1], "fields": ["a"], "items": [[]]}',
        '{"cell": [-1, -1], "items": ["x"]}',
        '{"cell": [0, 1e300], "items": []}',
    ],
)
def test_a_network_file_whose_description_makes_no_sense_is_refused(network: str, tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {}, {"format": "deepibl-network/1", "network": network})
    with pytest.raises(NetworkFormatError, match=r"a\.safetensors"):
        read_network(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("npy_")])
@pytest.mark.parametrize("mmap", [False, True])
def test_a_npy_file_that_is_none_is_refused(name: str, mmap: bool, tmp_path: Path) -> None:
    MAKERS[name](tmp_path / "bad.npy")
    with pytest.raises(FeatureFileError, match=r"bad\.npy is not a whole \.npy file"):
        read_features(tmp_path / "bad.npy", mmap=mmap)


def test_an_empty_npy_file_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 4), np.float32))
    assert read_features(tmp_path / "a.npy").shape == (0, 4)


def _features(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, (shape, dtype) in datasets.items():
            file.create_dataset(name, shape, dtype, chunks=(16, 16) if len(shape) == 2 else None)
    return path


@pytest.mark.parametrize("shape", [(2**20, 2**20), ()])
def test_a_hdf5_feature_file_that_claims_terabytes_or_no_rows_is_refused(shape: Any, tmp_path: Path) -> None:
    path = _features(tmp_path / "a.h5", features=(shape, "f4"))
    with pytest.raises(FeatureFileError, match=r"a\.h5.*(declares|is not a data set with rows)"):
        read_features(path)


def test_names_that_are_numbers_are_refused(tmp_path: Path) -> None:
    path = _features(tmp_path / "a.h5", features=((20, 20), "f4"), names=((20, 20), "f4"))
    with pytest.raises(FeatureFileError, match=r"a\.h5 has no list of names"):
        stored_names(path)


def test_names_that_hdf5_would_read_forever_are_refused(tmp_path: Path) -> None:
    MAKERS["h5_names_that_never_end"](tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert "are invalid" in heap_problem(file["names"].id)
    with pytest.raises(FeatureFileError, match=r"a\.h5 has no list of names.*|a\.h5: its strings"):
        stored_names(tmp_path / "a.h5")


@pytest.mark.parametrize("damaged", [False, True])
def test_field_names_in_a_data_set_are_read_unless_damaged(damaged: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("x")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        group["abc"] = np.ones((1, 1))
        group["abc"].attrs["MATLAB_class"] = np.bytes_("double")
        names = file.create_dataset("#refs#/n", (1,), h5py.vlen_dtype(np.dtype("S1")))
        names[0] = np.array([b"a", b"b", b"c"], "S1")
        group.attrs["MATLAB_fields"] = names.ref
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    if damaged:
        content[content.index(b"GCOL") + 16 : content.index(b"GCOL") + 32] = bytes(16)
    path.write_bytes(content)
    if damaged:
        with pytest.raises(MatFileError, match="are invalid"):
            matfile.load(path)
    else:
        assert matfile.load(path)["x"]["abc"] == 1


@pytest.mark.parametrize("count", [1, 3, 20_000])
def test_names_of_any_number_and_length_are_read(count: int, tmp_path: Path) -> None:
    names = ["x" * (i % 70) for i in range(count)]
    write_features(tmp_path / "a.h5", np.ones((count, 2), np.float32), names)
    assert stored_names(tmp_path / "a.h5") == names


def test_a_checkpoint_that_contains_itself_ends(tmp_path: Path) -> None:
    MAKERS["torch_mapping_that_contains_itself"](tmp_path / "a.pth")
    with pytest.raises(NetworkFormatError, match="unknown kind of checkpoint"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_checkpoint_of_the_old_form_is_read_and_one_that_claims_4_gb_of_text_is_refused(
    tmp_path: Path,
) -> None:
    state = {"features.0.weight": torch.arange(6.0).reshape(2, 3), "epoch": 3}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    found = load_state(tmp_path / "a.pth")
    assert found["epoch"] == 3 and torch.equal(found["features.0.weight"], state["features.0.weight"])
    content = (tmp_path / "a.pth").read_bytes()
    text = content.index(b"X\x11\x00\x00\x00features.0.weight")
    (tmp_path / "b.pth").write_bytes(content[: text + 1] + b"\xff\xff\xff\xff" + content[text + 5 :])
    with pytest.raises(NetworkFormatError, match=r"b\.pth cannot be read as a file of tensors") as caught:
        load_state(tmp_path / "b.pth")
    assert not isinstance(caught.value.__cause__, MemoryError)


def test_wrappers_around_a_checkpoint_are_taken_off(tmp_path: Path) -> None:
    torch.save({"model": {"net": {"state_dict": {"features.0.weight": torch.zeros(2)}}}}, tmp_path / "a.pth")
    with pytest.raises(NetworkFormatError, match="torchvision's vgg16"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_network_that_pads_or_strides_by_a_billion_is_refused() -> None:
    x, filters = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 1, 1)
    for name in ("pad", "stride", "dilate"):
        with pytest.raises(ArgumentError, match=rf"{name}.* is .*at most 65536 pixels are allowed"):
            vl_nnconv(x, filters, None, **{name: 10**9})


@pytest.mark.parametrize(
    "error", [KeyError("shape"), RecursionError(), struct.error("x"), json.JSONDecodeError("y", "", 0)]
)
def test_what_libraries_raise_becomes_one_error_that_names_the_file(error: Exception) -> None:
    found = pytest.raises(IndexFileError, match=r"^a\.idx is no index: .+; make one$")
    with found, damage_as(IndexFileError, "a.idx", "is no index", "make one"):
        raise error


def test_errors_of_ours_pass_as_they_are() -> None:
    found = pytest.raises(ImageReadError, match=r"^it is mine$")
    with found, damage_as(IndexFileError, "a.idx", "is no index"):
        raise ImageReadError("it is mine")


def _mat4(path: Path) -> None:
    scipy.io.savemat(path, {"x": "abc"}, format="4")


def _mat5(path: Path) -> None:
    matfile.save(path, {"x": "abc"})


def _mat73(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.array([[97], [98]], np.uint16)
        file["x"].attrs["MATLAB_class"] = np.bytes_("char")


def _objects(path: Path) -> None:
    pytest.importorskip("matio")
    matfile.save_objects(path, {"x": matfile.MatObject("layerVLAD", {"name": "a"})})


@pytest.mark.parametrize(
    ("write", "function"),
    [
        (_mat4, "matlab_compat.matfile.v4.chars"),
        (_mat5, "matlab_compat.matfile.v5.chars"),
        (_mat73, "matlab_compat.matfile.classes.chars"),
        (_objects, "matlab_compat.matfile.objects.checked_shape"),
    ],
)
@pytest.mark.parametrize("bug", [TypeError, AttributeError, ValueError, KeyError])
def test_a_bug_of_ours_is_not_reported_as_damage(
    write: Any, function: str, bug: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise bug("planted")

    write(tmp_path / "good.mat")
    monkeypatch.setattr(function, broken)
    with pytest.raises(bug, match="planted"):
        matfile.load(tmp_path / "good.mat")
