"""relja_PCA against the original, and addPCA's arithmetic where no training is needed."""

import numpy as np
import pytest

from matlab_compat.relja_pca import relja_PCA
from tests.golden_data import golden_files, golden_id, read_golden
from tests.tolerances import assert_close

PCA_FILES = golden_files("pca/relja_PCA_*.mat")


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
