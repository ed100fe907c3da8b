"""deepibl.features.files and feature_partial: bytes, sizes, and what a killed run leaves behind."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from deepibl.errors import FeatureFileError
from deepibl.features.files import read_features, write_features
from deepibl.features.partial import PartialFeatures
from deepibl.runtime.provenance import Provenance
from matlab_compat.errors import ArgumentError

ROWS = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)


def test_bin_is_the_numbers_and_nothing_else(tmp_path):
    write_features(tmp_path / "f.bin", ROWS)
    assert (tmp_path / "f.bin").read_bytes() == ROWS.astype("<f4").tobytes()
    for shape in ({"count": 7}, {"dim": 5}, {"count": 7, "dim": 5}):
        assert np.array_equal(read_features(tmp_path / "f.bin", **shape), ROWS)


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_npy_and_h5_know_their_shape(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    names = [f"straße/{i}.jpg" for i in range(7)]
    write_features(path, ROWS.astype(np.float64), names)
    assert np.array_equal(read_features(path), ROWS) and read_features(path).dtype == np.float32
    with pytest.raises(FeatureFileError, match="7 descriptors, expected 8"):
        read_features(path, count=8)
    with pytest.raises(FeatureFileError, match="5 dimensions, expected 4"):
        read_features(path, dim=4)
    if suffix == ".h5":
        with h5py.File(path) as file:
            assert list(file["names"].asstr()) == names


def test_chosen_rows_are_written_with_their_names(tmp_path):
    write_features(tmp_path / "f.h5", ROWS, list("abcdefg"), rows=[1, 4])
    assert np.array_equal(read_features(tmp_path / "f.h5"), ROWS[[1, 4]])
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(file["names"].asstr()) == ["b", "e"]


def test_mapped_files_equal_read_ones(tmp_path):
    for suffix in (".bin", ".npy"):
        write_features(tmp_path / f"f{suffix}", ROWS)
        mapped = read_features(tmp_path / f"f{suffix}", count=7, mmap=True)
        assert isinstance(mapped, np.memmap) and np.array_equal(mapped, ROWS)


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [
        (136, {"count": 7}, r"7 x \?"),
        (139, {"count": 7}, r"7 x \?"),
        (136, {"dim": 5}, r"\? x 5"),
        (140, {"count": 7, "dim": 4}, "7 x 4"),
        (140, {"count": 6, "dim": 5}, "6 x 5"),
        (140, {"count": 0}, r"0 x \?"),
    ],
)
def test_a_bin_of_another_size_is_refused(tmp_path, size, shape, expected):
    (tmp_path / "f.bin").write_bytes(ROWS.tobytes()[:size])
    with pytest.raises(FeatureFileError, match=rf"f\.bin: {size} bytes, which is not {expected} float32"):
        read_features(tmp_path / "f.bin", **shape)


def test_a_bin_needs_one_of_its_sizes(tmp_path):
    write_features(tmp_path / "f.bin", ROWS)
    with pytest.raises(ArgumentError, match="give count"):
        read_features(tmp_path / "f.bin")


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FeatureFileError, match=r"gone\.bin: no such feature file$"):
        read_features(tmp_path / "gone.bin", dim=5)
    (tmp_path / "gone.bin.part").write_bytes(b"")
    with pytest.raises(FeatureFileError, match="unfinished extraction is beside it"):
        read_features(tmp_path / "gone.bin", dim=5)
    for suffix in (".npy", ".h5"):
        write_features(tmp_path / f"f{suffix}", ROWS)
        whole = (tmp_path / f"f{suffix}").read_bytes()
        (tmp_path / f"f{suffix}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FeatureFileError, match=rf"f\{suffix} is n"):
            read_features(tmp_path / f"f{suffix}")
    np.save(tmp_path / "double.npy", ROWS.astype(np.float64))
    with pytest.raises(FeatureFileError, match=r"float64 \(7, 5\), not float32"):
        read_features(tmp_path / "double.npy")


def test_unknown_suffixes_and_shapes_are_refused_before_writing(tmp_path):
    with pytest.raises(ArgumentError, match=r"written as \.bin, \.npy, \.h5, not '\.npz'"):
        write_features(tmp_path / "f.npz", ROWS)
    with pytest.raises(ArgumentError, match=r"need \(N, D\) and N"):
        write_features(tmp_path / "f.bin", ROWS, ["one"])
    assert os.listdir(tmp_path) == []


# ---- the partial file


def partial(path, network="net", count=7, group_size=3):
    return PartialFeatures(path, Provenance(network), count, group_size)


def write_groups(file, numbers):
    for number in numbers:
        ids = list(file.groups[number])
        file.write(number, ids, ROWS[ids])


def test_groups_written_in_any_order_give_the_whole_file(tmp_path):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [2, 0, 1])
        file.finish(range(7), list("abcdefg"))
    assert (tmp_path / "f.bin").read_bytes() == ROWS.tobytes()
    assert os.listdir(tmp_path) == ["f.bin"]


def test_what_is_done_is_taken_over_with_its_group_size(tmp_path):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [0, 1])
    with partial(tmp_path / "f.bin", group_size=5) as file:
        assert set(file.done) == {0, 1} and file.group_size == 3 and file.dim == 5
        write_groups(file, [2])
        file.finish(range(7), list("abcdefg"))
    assert (tmp_path / "f.bin").read_bytes() == ROWS.tobytes()


@pytest.mark.parametrize("change", [{"network": "other"}, {"count": 8}])
def test_another_extraction_starts_anew(tmp_path, change):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [0, 1])
    with partial(tmp_path / "f.bin", **change) as file:
        assert not file.done
        assert file.part.stat().st_size == 0


@pytest.mark.parametrize("damage", [b"", b"{", b'{"identity": 3}', b"[1, 2]", b"\xff\xfe"])
def test_a_damaged_journal_starts_anew(tmp_path, damage):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [0, 1])
    (tmp_path / "f.bin.part.json").write_bytes(damage)
    with partial(tmp_path / "f.bin") as file:
        assert not file.done


def test_groups_that_the_file_does_not_hold_are_not_believed(tmp_path):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [0, 1])
    os.truncate(tmp_path / "f.bin.part", 6 * 5 * 4 - 1)
    with partial(tmp_path / "f.bin") as file:
        assert set(file.done) == {0}
    (tmp_path / "f.bin.part").unlink()
    with partial(tmp_path / "f.bin") as file:
        assert not file.done


def test_a_group_with_a_missing_image_is_not_done_but_its_rows_are_kept(tmp_path):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [0, 2])
        file.write(1, [3, 5], ROWS[[3, 5]])
        assert set(file.done) == {0, 2}
        file.finish([0, 1, 2, 3, 5, 6], list("abcdefg"))
    assert np.array_equal(read_features(tmp_path / "f.bin", dim=5), ROWS[[0, 1, 2, 3, 5, 6]])
    assert os.listdir(tmp_path) == ["f.bin"]


def test_a_second_process_is_kept_out(tmp_path):
    pytest.importorskip("fcntl")
    code = (
        "import sys; from deepibl.features.partial import PartialFeatures\n"
        "from deepibl.runtime.provenance import Provenance\n"
        "with PartialFeatures(sys.argv[1], Provenance(), 7, 3): pass"
    )
    with partial(tmp_path / "f.bin"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "f.bin"], capture_output=True, text=True
        )
        assert "FeatureFileError" in done.stderr and "another process is writing it" in done.stderr
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "f.bin"], capture_output=True, text=True)
    assert done.returncode == 0


def test_descriptors_of_another_length_are_refused(tmp_path):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [0])
        with pytest.raises(FeatureFileError, match="rows of 5 and of 4 dimensions"):
            file.write(1, [3, 4, 5], ROWS[3:6, :4])


def test_the_journal_is_plain_json(tmp_path):
    with partial(tmp_path / "f.bin") as file:
        write_groups(file, [1])
    journal = json.loads((tmp_path / "f.bin.part.json").read_text())
    assert list(journal["done"]) == ["1"] and journal["dim"] == 5 and journal["made_of"]["network"] == "net"
