"""Conversion between all kinds of feature files."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.cli.main import main
from deepibl.errors import FeatureFileError
from deepibl.features.files import convert_features, read_features, stored_names, write_features
from matlab_compat.errors import ArgumentError

NAMES = ["db/2.jpg", "db/1.jpg", "query/night/3.jpg"]
FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".h5"])
def test_every_kind_goes_to_h5_and_back(tmp_path: Path, suffix: str) -> None:
    write_features(tmp_path / f"a{suffix}", FEATURES, NAMES if suffix == ".h5" else None)
    names = None if suffix == ".h5" else NAMES
    assert convert_features(tmp_path / f"a{suffix}", tmp_path / "all.h5", names=names) == (3, 4)
    convert_features(tmp_path / "all.h5", tmp_path / f"b{suffix}", names=NAMES)
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
    with pytest.raises(ArgumentError, match="count"):
        convert_features(tmp_path / "a.bin", tmp_path / "b.npy")


def test_the_command_line_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_features(tmp_path / "a.bin", FEATURES)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    arguments = ["data", "features", str(tmp_path / "a.bin"), str(tmp_path / "b.h5")]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--list", str(tmp_path / "names.txt")])
    assert not stop.value.code and "3 descriptors of 4 dimensions" in capsys.readouterr().out
    assert stored_names(tmp_path / "b.h5") == NAMES
