"""Every golden network, and every real one, goes to .mat and .safetensors and comes back exactly."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.networks.identity import network_id
from deepibl.networks.io import describe_network, load_network, read_mat_network, save_network
from matlab_compat import matfile
from matlab_compat.dagnn.network import DagNN
from matlab_compat.network import network_from_matlab
from tests.golden_data import REAL, golden_files, golden_id
from tests.matlab_same import assert_same

OCTAVE = Path(__file__).parents[1] / "octave"


def variable(path: Path) -> str | None:
    """The variable that holds the network; '' where it lies at the top level; None where there is none."""
    names = matfile.who(path)
    if "net" in names and names["net"].classname == "struct":
        return "net"
    return "" if "layers" in names and "inputs" not in names else None  # names alone are no network


def stored(path: Path, name: str) -> dict[str, Any]:
    return matfile.load(path, [name])[name] if name else matfile.load(path)


GOLDEN_NETS = [
    path
    for path in golden_files("**/*.mat")
    if path.parent.name in ("nets", "v73", "dagnn", "addlayers") and variable(path) is not None
]
REAL_NETS = sorted(REAL.glob("networks/**/*.mat"))
golden_nets = pytest.mark.parametrize("path", GOLDEN_NETS, ids=golden_id)
real_nets = pytest.mark.parametrize("path", REAL_NETS, ids=lambda path: path.stem)


def is_old(struct: dict[str, Any]) -> bool:
    """Whether layers have filters and biases, which come back as weights: the newest form is written."""
    layers = struct["layers"]
    return isinstance(layers, np.ndarray) and any("filters" in layer for layer in matfile.cell_list(layers))


def check_round_trip(path: Path, tmp_path: Path) -> None:
    want = stored(path, variable(path) or "")
    net = network_from_matlab(dict(want))
    for name in ("net.mat", "net.safetensors"):
        save_network(net, tmp_path / name)
        again = load_network(tmp_path / name)
        assert network_id(again) == network_id(net)
        if not is_old(want):
            assert_same(again.to_matlab(), want, name)
    written = matfile.load(tmp_path / "net.mat", ["net"])["net"]
    assert_same(written, net.to_matlab())
    if not is_old(want):
        assert_same(written, want)


@golden_nets
def test_a_golden_network_makes_the_round_trip_exactly(path: Path, tmp_path: Path) -> None:
    check_round_trip(path, tmp_path)


@pytest.mark.real
@real_nets
def test_a_real_network_makes_the_round_trip_exactly(path: Path, tmp_path: Path) -> None:
    check_round_trip(path, tmp_path)


@pytest.mark.octave
@pytest.mark.parametrize(
    "path", [path for path in GOLDEN_NETS if path.parent.name in ("nets", "dagnn")], ids=golden_id
)
def test_octave_finds_the_network_that_it_wrote(path: Path, tmp_path: Path) -> None:
    name = variable(path) or ""
    save_network(read_mat_network(path), tmp_path / "net.mat")
    if is_old(stored(path, name)):
        path, name = tmp_path / "net.mat", "net"  # the old form is not written: only that Octave loads it
    assert "differences: 0" in octave_compares(path, tmp_path / "net.mat", name)


@pytest.mark.octave
def test_octaves_comparison_sees_a_changed_value_name_size_and_class(tmp_path: Path, golden: Path) -> None:
    path = golden / "nets" / "tiny.mat"
    name = variable(path) or ""
    for change in (
        {"name": "other"},
        {"stride": np.array([[2.0, 2.0]])},
        {"pad": np.zeros((1, 4), np.float32)},
        {"extra": "field"},
    ):
        struct = network_from_matlab(stored(path, name)).to_matlab()
        struct["layers"].flat[0] |= change
        matfile.save(tmp_path / "net.mat", {"net": struct})
        assert "differences: 1" in octave_compares(path, tmp_path / "net.mat", name)


def octave_compares(first: Path, second: Path, name: str) -> str:
    call = f"addpath('{OCTAVE}'); compare_mat('{first}', '{second}', '{name}', 'net');"
    command = ["octave-cli", "--no-init-file", "--quiet", "--eval", call]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((image.clip(0, 1) - clean) ** 2)))


@pytest.mark.real
def test_the_real_dagnn_denoises_to_the_known_figure() -> None:
    """Protocol of the inventory: 512 x 384 by Lanczos, noise 25/255 of default_rng(0), the PSNR of images
    clipped to [0, 1]."""
    net = load_network(REAL / "networks/dncnn/DnCNN-epoch-50.mat")
    photo = Image.open(REAL / "images/lund/data/lund/images/15.jpg").convert("L")
    clean = np.asarray(photo.resize((512, 384), Image.Resampling.LANCZOS), dtype=np.float64) / 255
    noisy = clean + np.random.default_rng(0).standard_normal(clean.shape) * 25 / 255
    with torch.no_grad():
        restored = net(torch.from_numpy(noisy).float()[None, None])[0, 0].double().numpy()
    assert isinstance(net, DagNN) and net.result_names == ["prediction"]
    assert round(psnr(noisy, clean), 2) == 20.32
    assert abs(psnr(restored, clean) - 30.49) < 0.01


@pytest.mark.real
def test_info_shows_the_real_dagnn() -> None:
    text = describe_network(REAL / "networks/dncnn/DnCNN-epoch-50.mat", (64, 48))
    assert "DagNN: 50 layers" in text and "result: prediction" in text
    assert "sum49" in text and "64x48x1x1" in text and "identity: " in text
