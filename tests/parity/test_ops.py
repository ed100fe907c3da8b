"""MatConvNet's blocks equal the original's, forward and backward, in single and in double."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from matlab_compat import nn
from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import maps_to_matlab, maps_to_torch
from tests.golden_data import golden_files, golden_id, read_golden
from tests.parity.nn_cases import described_options, read_case, runner, scalar, words, zero_based
from tests.tolerances import TOL, assert_close, error

FILES = [
    path
    for pattern in ("ops/*.mat", "mid/ops/*.mat", "ops_lrn_exact/*.mat", "mid/ops_lrn_exact/*.mat")
    for path in golden_files(pattern)
    if not path.stem.startswith("loss_")
]
ATTRIBUTE_LOSSES = ("binaryerror", "binarylog", "logistic", "hinge")
LOSSES = [path for path in golden_files("ops/loss_*.mat") if path.stem != "loss_misc"]


def four_dimensional(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.reshape(array.shape + (1,) * (4 - array.ndim), order="F")


def compare(got: Any, want: Any, kind: str) -> None:
    if isinstance(got, list):
        for one, other in zip(got, np.asarray(want).ravel(), strict=True):
            compare(one, other, kind)
        return
    want = four_dimensional(want) if np.ndim(got) == 4 else want
    assert_close(got, want, kind)


SUMS = ("dzdw", "dzdb")


def kind_of(path: Path, name: str, double: bool) -> str:
    if path.stem.startswith("bnorm"):
        return "few samples double" if double else "few samples"
    if double:
        return "double"
    if name == "dzdx_big":
        return "saturated"
    if name in SUMS:
        return "sums"
    return "convolution" if path.stem.startswith("conv_") else "op"


def compare_in_single(got: Any, variables: dict[str, Any], name: str, kind: str) -> None:
    """Against the original in single; where it is also there in double, its own rounding is allowed for."""
    exact = variables.get(f"{name}_f64")
    if exact is None or exact.dtype != np.float64:
        compare(got, variables[name], kind)
        return
    compare(got, exact, kind)
    want = four_dimensional(variables[name]) if np.ndim(got) == 4 else variables[name]
    assert error(got, want) <= TOL[kind] + error(variables[name], exact)


@pytest.mark.parametrize("path", FILES, ids=golden_id)
def test_block_equals_the_original_in_single(path: Path) -> None:
    variables = read_case(path)
    found = runner(path.stem)(variables, torch.float32)
    assert {"y", "y_test", "y_mask"} & found.keys()
    for name, value in found.items():
        compare_in_single(value, variables, name, kind_of(path, name, double=False))


@pytest.mark.parametrize("path", [p for p in FILES if "y_f64" in read_golden(p)], ids=golden_id)
def test_block_equals_the_original_in_double(path: Path) -> None:
    variables = read_case(path)
    found = runner(path.stem)(variables, torch.float64)
    checked = [name for name in found if f"{name}_f64" in variables]
    assert "y" in checked
    for name in checked:
        if variables[f"{name}_f64"].dtype == np.float64:  # instance weights make single of it in MATLAB
            compare(found[name], variables[f"{name}_f64"], kind_of(path, name, double=True))


@pytest.mark.parametrize("path", LOSSES, ids=golden_id)
@pytest.mark.parametrize("double", [False, True])
def test_classification_loss_equals_the_original_in_every_case(path: Path, double: bool) -> None:
    suffix, dtype = ("_f64", torch.float64) if double else ("", torch.float32)
    for case in read_golden(path)["cases"].ravel():
        case = case.ravel()[0] if isinstance(case, np.ndarray) else case
        x, options = maps_to_torch(case.x).to(dtype), words(case.args)
        c = loss_targets(case, options, dtype)
        if case.x.ndim == 3 and "normalise" not in options:
            options += ["normalise", False]  # the original does not divide for one image: the same, N = 1
        y, dzdx = nn.vl_nnloss(x, c, *options), nn.vl_nnloss(x, c, scalar(case.dzdy), *options)
        for got, name in ((y.numpy().reshape(1, 1), "y"), (maps_to_matlab(dzdx), "dzdx")):
            want = getattr(case, name + suffix)
            in_double = double and want.dtype == np.float64 and "instanceWeights" not in options
            compare(got, want, "double" if in_double else "sums")


def loss_targets(case: Any, options: list[Any], dtype: torch.dtype) -> torch.Tensor:
    """Labels (from 0) of the losses over classes, attributes of the others; one image in 3-D cases."""
    if options[options.index("loss") + 1].lower() in ATTRIBUTE_LOSSES:
        return maps_to_torch(np.asarray(case.c, dtype=np.float64)).to(dtype)
    return zero_based(case.c[:, :, None] if case.x.ndim == 3 else case.c)


@pytest.mark.parametrize("path", golden_files("ops/loss_misc.mat"), ids=golden_id)
def test_loss_defaults_and_errors_are_as_the_originals(path: Path) -> None:
    variables = read_golden(path)
    x, c = maps_to_torch(variables["x"]), maps_to_torch(variables["cb"])
    assert_close(nn.vl_nnloss(x, c, "LOSS", "Hinge").numpy().reshape(1, 1), variables["upper"], "op")
    labels = torch.zeros(len(x), dtype=torch.int64)
    assert nn.vl_nnloss(x, labels) == nn.vl_nnloss(x, labels, loss="softmaxlog")
    with pytest.raises(ArgumentError, match="nosuch"):
        nn.vl_nnloss(x, labels, loss="nosuch")
    with pytest.raises(ArgumentError, match="labels"):
        nn.vl_nnloss(x, torch.zeros(len(x), 1, 2, 2, dtype=torch.int64))


def test_no_file_of_these_groups_is_left_out(golden: Path) -> None:
    for folder in ("ops", "mid/ops", "ops_lrn_exact", "mid/ops_lrn_exact"):
        there = set((golden / folder).rglob("*.mat"))
        assert there, folder
        misc = {path for path in there if path.stem == "loss_misc"}
        assert there - set(FILES) - set(LOSSES) - misc == set()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("f(x,[],b,'stride',[2 3],'pad',[1 0 0 2])", ["stride", [2, 3], "pad", [1, 0, 0, 2]]),
        ("vl_nnpool; pool [2 2] stride 2 pad 0 max", ["pool", [2, 2], "stride", [2], "pad", [0]]),
        ("pad=[top bottom left right], stride/dilate=[vert horiz]", []),
    ],
)
def test_options_are_read_from_the_manifests_words(text: str, options: list[Any]) -> None:
    assert described_options(text) == options
