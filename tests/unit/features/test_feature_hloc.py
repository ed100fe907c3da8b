"""hloc's files of global descriptors, there and back; conversion between all kinds of feature files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from deepibl.cli.main import main
from deepibl.errors import FeatureFileError
from deepibl.features.files import convert_features, read_features, read_hloc, write_features, write_hloc
from matlab_compat.errors import ArgumentError

NAMES = ["db/2.jpg", "db/1.jpg", "query/night/3.jpg"]
FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)


def as_hloc_does(path: Path, dtype: str = "float16") -> None:
    """What hloc's extract_features writes, in our own words: a group an image, a data set in it."""
    with h5py.File(path, "a") as file:
        for name, row in zip(NAMES, FEATURES, strict=True):
            file.create_group(name).create_dataset("global_descriptor", data=row.astype(dtype))


def test_what_hloc_wrote_is_read(tmp_path: Path) -> None:
    as_hloc_does(tmp_path / "global.h5")
    names, features = read_hloc(tmp_path / "global.h5")
    assert names == sorted(NAMES) and features.dtype == np.float32
    np.testing.assert_array_equal(features, FEATURES[[1, 0, 2]])
    chosen, rows = read_hloc(tmp_path / "global.h5", [NAMES[2], NAMES[0]])
    assert chosen == [NAMES[2], NAMES[0]]
    np.testing.assert_array_equal(rows, FEATURES[[2, 0]])
    np.testing.assert_array_equal(read_features(tmp_path / "global.h5", dim=4), FEATURES[[1, 0, 2]])


def test_what_we_write_is_what_hloc_looks_for(tmp_path: Path) -> None:
    write_hloc(tmp_path / "global.h5", FEATURES, NAMES)
    with h5py.File(tmp_path / "global.h5", "r") as file:
        for name, row in zip(NAMES, FEATURES, strict=True):
            stored = file[name]["global_descriptor"]
            assert stored.shape == (4,) and stored.dtype == np.float32
            np.testing.assert_array_equal(stored[:], row)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "local.h5", "w") as file:
        file.create_group("a.jpg").create_dataset("keypoints", data=np.zeros((3, 2)))
    with pytest.raises(FeatureFileError, match="local features"):
        read_hloc(tmp_path / "local.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(FeatureFileError, match="not an HDF5 file"):
        read_hloc(tmp_path / "text.h5")
    as_hloc_does(tmp_path / "global.h5")
    with pytest.raises(FeatureFileError, match=r"1 images are not in it, e.g. gone.jpg"):
        read_hloc(tmp_path / "global.h5", ["gone.jpg"])
    with h5py.File(tmp_path / "global.h5", "a") as file:
        file.create_group("more.jpg").create_dataset("global_descriptor", data=np.zeros(7))
    with pytest.raises(FeatureFileError, match="4, 7 dimensions"):
        read_hloc(tmp_path / "global.h5")


@pytest.mark.parametrize("names", [NAMES[:2], ["a", "a", "b"], ["a", "a/global_descriptor", "b"]])
def test_names_that_cannot_be_groups_leave_no_file(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ArgumentError):
        write_hloc(tmp_path / "global.h5", FEATURES, names)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".h5"])
def test_every_kind_goes_to_hloc_and_back(tmp_path: Path, suffix: str) -> None:
    write_features(tmp_path / f"a{suffix}", FEATURES, NAMES if suffix == ".h5" else None)
    names = None if suffix == ".h5" else NAMES
    assert convert_features(tmp_path / f"a{suffix}", tmp_path / "hloc.h5", names=names, hloc=True) == (3, 4)
    convert_features(tmp_path / "hloc.h5", tmp_path / f"b{suffix}", names=NAMES)
    np.testing.assert_array_equal(read_features(tmp_path / f"b{suffix}", count=3), FEATURES)


def test_a_list_chooses_and_orders_the_rows_of_a_file_with_names(tmp_path: Path) -> None:
    write_features(tmp_path / "ours.h5", FEATURES, NAMES)
    convert_features(tmp_path / "ours.h5", tmp_path / "two.npy", names=[NAMES[2], NAMES[1]])
    np.testing.assert_array_equal(np.load(tmp_path / "two.npy"), FEATURES[[2, 1]])
    with pytest.raises(FeatureFileError, match="gone"):
        convert_features(tmp_path / "ours.h5", tmp_path / "x.npy", names=["gone"])


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    write_features(tmp_path / "a.bin", FEATURES)
    with pytest.raises(ArgumentError, match="--list"):
        convert_features(tmp_path / "a.bin", tmp_path / "b.h5", dim=4)
    with pytest.raises(ArgumentError, match=r"\.h5"):
        convert_features(tmp_path / "a.bin", tmp_path / "b.npy", dim=4, hloc=True)
    with pytest.raises(ArgumentError, match="count"):
        convert_features(tmp_path / "a.bin", tmp_path / "b.npy")


def test_the_command_line_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_features(tmp_path / "a.bin", FEATURES)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    arguments = ["data", "features", str(tmp_path / "a.bin"), str(tmp_path / "b.h5"), "--hloc"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--list", str(tmp_path / "names.txt")])
    assert not stop.value.code and "3 descriptors of 4 dimensions" in capsys.readouterr().out
    assert read_hloc(tmp_path / "b.h5")[0] == sorted(NAMES)
