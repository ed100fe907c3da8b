"""relja_PCA against the original, and addPCA's arithmetic where no training is needed."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepibl.features.files import read_features
from deepibl.matlab.networks import addPCA
from deepibl.networks.build import add_pca, append_pca
from matlab_compat import matfile
from matlab_compat.relja import PCA, relja_PCA
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files, golden_id, read_golden
from tests.tolerances import TOL, assert_close

PCA_FILES = golden_files("pca/relja_PCA_*.mat")
DUAL = golden_files("train/addPCA_dual*.mat")
PRIMAL = golden_files("train/addPCA_primal_*.mat")


def well_defined(lams: np.ndarray) -> np.ndarray:
    """Components whose direction the data determines: some variance, and not a neighbour's."""
    lams = lams.ravel()
    apart = np.abs(np.diff(lams)) > 1e-3 * lams[:-1]
    alone = np.concatenate([[True], apart]) & np.concatenate([apart, [True]])
    return alone & (lams > 1e-5 * lams[0])


def same_signs(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """`got` with the sign of each column turned as in `want`."""
    return got * np.sign((got * want).sum(axis=0))


@pytest.fixture(params=PCA_FILES, ids=golden_id)
def case(request: pytest.FixtureRequest) -> dict:
    return read_golden(request.param)


def run(case: dict):
    args = [np.asarray(arg).item() for arg in case["args"].ravel()]
    return relja_PCA(np.ascontiguousarray(case["x"].T), *args)


def test_there_are_pca_cases():
    assert PCA_FILES


def test_variances_and_mean_equal_the_originals(case):
    got = run(case)
    assert_close(got.lams, case["lams"].ravel(), "pca")
    assert_close(got.mu, case["mu"].ravel(), "op")


def test_components_equal_the_originals_up_to_sign(case):
    got, sure = run(case), well_defined(case["lams"])
    assert sure.any()
    assert_close(same_signs(got.U, case["U"])[:, sure], case["U"][:, sure], "pca")


def test_projected_mean_equals_the_originals_up_to_sign(case):
    got, sure = run(case), well_defined(case["lams"])
    signs = np.sign((got.U * case["U"]).sum(axis=0))
    assert_close((got.Utmu * signs)[sure], case["Utmu"].ravel()[sure], "pca")


def test_components_are_of_the_originals_class(case):
    assert run(case).U.dtype == np.dtype(str(case["class_U"].item()))


def run_last_layers(net: SimpleNN, features: np.ndarray) -> np.ndarray:
    """What the PCA layers of a network make of features (N, D)."""
    first = len(net) - 2
    with torch.no_grad():
        return net(torch.from_numpy(features)[:, :, None, None], start=first).flatten(1).numpy()


def base_network(case: dict, name: str) -> SimpleNN:
    """The fixture's network without its PCA layers."""
    net = SimpleNN.from_matlab(case[name])
    return net.with_layers(list(net)[:-2])


@pytest.mark.parametrize("path", DUAL, ids=golden_id)
@pytest.mark.parametrize(
    ("name", "features", "whiten"), [("net_white", "wpca", True), ("net_nowhite", "pca", False)]
)
def test_pca_layers_give_the_originals_features(path, name, features, whiten, golden):
    case = matfile.load(path)
    want = case[f"val_q_{features}"].T
    raw = np.fromfile(golden / "train/bins_extra/val_q.bin", dtype=np.float32).reshape(len(want), -1)
    net = add_pca(base_network(case, name), case["X"].T.copy(), dim=want.shape[1], whiten=whiten)
    got = run_last_layers(net, raw)
    assert_close(same_signs(got, want), want, "pca")


@pytest.mark.parametrize("path", DUAL, ids=golden_id)
@pytest.mark.parametrize(("name", "whiten"), [("net_white", True), ("net_nowhite", False)])
def test_pca_layers_are_described_as_the_originals(path, name, whiten):
    case = matfile.load(path)
    want = SimpleNN.from_matlab(case[name])
    stored = case["pca"]
    pca = PCA(stored["U"], stored["lams"].ravel(), stored["mu"].ravel(), stored["Utmu"].ravel())
    got = append_pca(base_network(case, name), pca, dim=len(want[-2].bias), whiten=whiten)
    assert got.names == want.names
    for have, expected in zip(list(got)[-2:], list(want)[-2:], strict=True):
        assert have.classname == expected.classname
        assert {k: np.ravel(v).tolist() for k, v in have.fields.items()} == {
            k: np.ravel(v).tolist() for k, v in expected.fields.items() if k != "class__"
        }
        for weight, its in zip(have.weights_to_matlab(), expected.weights_to_matlab(), strict=True):
            assert weight.dtype == its.dtype
            assert_close(weight, its, "op")


@pytest.mark.parametrize("path", DUAL, ids=golden_id)
def test_session_names_end_as_the_originals(path):
    case = matfile.load(path)
    for whiten, name in ((True, "white"), (False, "nowhite")):
        want = matfile.text(case[f"sessionID_{name}"])
        base = base_network(case, f"net_{name}")
        base.meta["sessionID"] = want.removesuffix("_WPCA").removesuffix("_PCA")
        assert add_pca(base, case["X"].T.copy(), dim=2, whiten=whiten).meta["sessionID"] == want


@pytest.mark.parametrize("path", PRIMAL, ids=golden_id)
def test_whitening_with_few_dimensions_works_in_single_precision(path):
    # difference: addpca-single
    case = matfile.load(path)
    want = case["feat_if_single"].T
    net = add_pca(SimpleNN(), case["X"].T.copy(), dim=want.shape[1])
    assert net["WPCA"].weight.dtype == torch.float32
    got = run_last_layers(net, case["feat_before"].T.copy())
    # one image: signs are those of the components
    signs = np.sign((net["WPCA"].weights_to_matlab()[0] * case["w"]).sum(axis=(0, 1, 2)))
    assert_close(got * signs, want, "pca")


class TrainingSet(SimpleNamespace):
    """The golden training set's database images."""

    @classmethod
    def of(cls, golden: Path) -> "TrainingSet":
        (listed,) = golden_files("train/datasets/*train.mat")
        names = matfile.image_names(matfile.load(listed)["dbStruct"]["dbImageFns"])
        root = f"{golden}/train/data/{listed.stem}/images/"
        return cls(name=listed.stem, database_root=root, database_names=names, database_size=len(names))


@pytest.mark.parametrize("path", DUAL, ids=golden_id)
def test_addPCA_computes_the_originals_descriptors(path, golden, tmp_path):
    case = matfile.load(path)
    base, data = base_network(case, "net_white"), TrainingSet.of(golden)
    base.meta |= {"sessionID": "s", "epoch": np.ones((1, 1))}
    addPCA(base, data, pcaDim=5, nTrainCap=len(data.database_names), paths={"outPrefix": f"{tmp_path}/"})
    got = read_features(tmp_path / "s_ep000001_traindescs_for_pca.bin", count=len(data.database_names))
    chosen = matfile.cell_list(case["draws"])[0]["y"].ravel().astype(int) - 1
    assert np.abs(got[chosen] - case["X"].T).max() <= TOL["features"]  # of unit norm: absolute


@pytest.mark.parametrize("path", DUAL, ids=golden_id)
def test_addPCA_takes_the_originals_files(path, golden, tmp_path):
    case = matfile.load(path)
    want, data = case["val_q_wpca"].T, TrainingSet.of(golden)
    name = matfile.text(case["descFile"])
    shutil.copy(golden / "train/bins_extra" / name, tmp_path)
    raw = np.fromfile(golden / "train/bins_extra/val_q.bin", dtype=np.float32).reshape(len(want), -1)
    base = base_network(case, "net_white")
    session = matfile.text(case["sessionID_white"]).removesuffix("_WPCA")
    prefix = name.partition(session)[0]
    epoch = name.partition("_ep")[2].partition("_")[0]
    base.meta |= {"sessionID": session, "epoch": np.array([[float(epoch)]])}
    settings = {"nTrainCap": case["X"].shape[1], "paths": {"outPrefix": f"{tmp_path}/{prefix}"}}
    white = addPCA(base, data, "pcaDim", want.shape[1], **settings)
    assert_close(same_signs(run_last_layers(white, raw), want), want, "pca")
    # a second call takes the .mat file, for fewer dimensions too
    (tmp_path / name).unlink()
    want = case["val_q_pca"].T
    plain = addPCA(base, data, pcaDim=want.shape[1], doWhite=False, **settings)
    assert_close(same_signs(run_last_layers(plain, raw), want), want, "pca")
    assert not (tmp_path / name).exists()
