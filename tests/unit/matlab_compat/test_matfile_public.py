"""Files of public repositories: read in full, kept by saving, or refused with the reason."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.networks.io import load_network
from matlab_compat import matfile
from matlab_compat.errors import MatFileError, NetworkFormatError
from tests.golden_data import REAL
from tests.matlab_same import assert_same

pytestmark = pytest.mark.real
CASES = REAL.parent / "cases"


def case(folder: str, name: str) -> Path:
    path = CASES / folder / name
    if not path.exists():
        pytest.skip(f"needs ../shared/cases/{folder}")
    return path


def test_sparse_logicals_of_matlab() -> None:
    loaded = matfile.load(case("files_01_sparse_logical", "v6_sparse.mat"))
    assert (loaded["sparse_logical"].toarray() == np.eye(5, dtype=bool)).all()
    assert len(loaded) == 6
    gt = matfile.load(case("reports_06_sparse_logical", "gt.mat"))["gt"].toarray()
    assert gt.astype(int).tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("files_04_save_changes_chars", "null.mat"),
        ("files_04_save_changes_chars", "openmodelica_v4.mat"),
        ("files_04_save_changes_chars", "char3d.mat"),
        ("files_07_fieldless_struct_array_not_saved", "test_basic_v7.mat"),
    ],
)
def test_what_is_loaded_is_what_is_saved(folder: str, name: str, tmp_path: Path) -> None:
    loaded = matfile.load(case(folder, name))
    kept = {}
    for variable, value in loaded.items():
        try:
            matfile.save(tmp_path / "one.mat", {variable: value})
            kept[variable] = value
        except MatFileError as error:
            assert str(error).startswith(variable)
            assert "function handle" in str(error) or "object of class" in str(error)
    assert kept
    matfile.save(tmp_path / "a.mat", kept)
    again = matfile.load(tmp_path / "a.mat")
    assert_same(again, kept)
    before, after = matfile.who(case(folder, name)), matfile.who(tmp_path / "a.mat")
    changed = {n: (before[n], after[n]) for n in kept if before[n] != after[n]}
    assert all(b.classname == "string" or b.shape == (1, 0) for b, _ in changed.values()), changed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "cell_of_layers.mat",
            r"net is a 1x39 cell; a network is a struct with a field layers \(this cell looks like one: "
            r"net = struct\('layers', \{net\}\)\)",
        ),
        ("seriesnetwork.mat", r"is a SeriesNetwork \(Deep Learning Toolbox\), not a MatConvNet network"),
        ("nntool_network.mat", "net is a network object of the Neural Network Toolbox"),
        ("pnn_layers_cell.mat", r"layer \d is a 9x9x7x48 single, not a struct: not a MatConvNet network"),
    ],
)
def test_what_is_no_network_is_said_in_matlabs_words(name: str, message: str) -> None:
    with pytest.raises(NetworkFormatError, match=message):
        load_network(case("files_06_misleading_messages", name))


def test_a_data_set_that_h5py_added_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(case("files_06_misleading_messages", "array_v73.mat").read_bytes())
    names = list(matfile.who(path))
    with h5py.File(path, "a") as file:
        file["note"] = 3
    with pytest.raises(MatFileError, match=r"variable 'note' cannot be read.*load\(path, \["):
        matfile.load(path)
    assert list(matfile.load(path, names)) == names


def test_a_dbstruct_with_a_sparse_logical_loads() -> None:
    dataset = load_dbstruct(case("reports_06_sparse_logical", "dbstruct_with_gt.mat"))
    assert dataset.extra["gt"].dtype == bool
