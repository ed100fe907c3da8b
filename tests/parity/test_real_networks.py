"""Networks that MATLAB wrote (../shared/real/networks): they load, run, come back, and do what they were
made for.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from matlab_compat import matfile
from matlab_compat.errors import NetworkFormatError
from matlab_compat.simplenn.display import describe
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import REAL
from tests.matlab_same import assert_same
from tests.tolerances import assert_close

pytestmark = pytest.mark.real


def content(name: str) -> dict[str, Any]:
    """What `matfile` gives for the file: the variable net, or all (old files)."""
    path = REAL / "networks" / name
    names = matfile.who(path)
    return matfile.load(path, ["net"])["net"] if "net" in names else matfile.load(path)


SIMPLENN = {
    "dncnn/sigma=25.mat": 1,
    "dncnn/DnCNN3.mat": 1,
    "dncnn/sigma=25_Bnorm.mat": 1,
    "dcfnet/DCFNet-net-7-125-2.mat": 3,
    "charscnn/charscnn.mat": 1,
}


@pytest.mark.parametrize(("name", "channels"), SIMPLENN.items(), ids=SIMPLENN)
def test_real_networks_load_run_and_describe_themselves(name: str, channels: int) -> None:
    net = SimpleNN.from_matlab(content(name))
    x = torch.rand(2, channels, 48, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = net(x)
    info, text = describe(net, (48, 40), 2)
    assert torch.isfinite(y).all()
    assert [y.shape[2], y.shape[3], y.shape[1]] == info["dataSize"][:3, -1].tolist()
    assert all(layer in text for layer in net.names)


@pytest.mark.parametrize("name", [name for name in SIMPLENN if not name.startswith("charscnn")])
def test_real_networks_come_back_as_matlab_wrote_them(name: str, tmp_path: Path) -> None:
    want = content(name)
    written = SimpleNN.from_matlab(want).to_matlab()
    assert_same(written, want)
    matfile.save(tmp_path / "net.mat", {"net": written})
    assert_same(matfile.load(tmp_path / "net.mat")["net"], want)


def test_an_old_network_keeps_its_weights_and_everything_it_says() -> None:
    old = content("charscnn/charscnn.mat")
    written = SimpleNN.from_matlab(old).to_matlab()
    assert list(written) == list(old) and written["imageMean"] is old["imageMean"]
    for before, after in zip(*(matfile.cell_list(net["layers"]) for net in (old, written)), strict=True):
        assert set(before) - {"filters", "biases"} <= set(after)
        if "filters" in before:
            arrays = matfile.cell_list(after["weights"])
            np.testing.assert_array_equal(arrays[0], before["filters"])
            np.testing.assert_array_equal(arrays[1], before["biases"])


def test_a_gpu_array_nested_in_a_layer_is_a_plain_array() -> None:
    layer = SimpleNN.from_matlab(content("dncnn/sigma=25_Bnorm.mat"))[-1]
    assert layer.type == "loss" and isinstance(layer.fields["class"], np.ndarray)


def test_a_dagnn_is_refused_by_name() -> None:
    with pytest.raises(NetworkFormatError, match="DagNN"):
        SimpleNN.from_matlab(content("dncnn/DnCNN-epoch-50.mat"))


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((image.clip(0, 1) - clean) ** 2)))


# Protocol of the inventory's figures, found by trying: grey by Pillow, 512 x 384 by Lanczos, noise of
# numpy.random.default_rng(0), the network sees the noise unclipped, PSNR is of images clipped to [0, 1].
DENOISED = {"sigma=25": 30.45, "DnCNN3": 30.22, "sigma=25_Bnorm": 30.45}


@pytest.mark.parametrize(("name", "decibels"), DENOISED.items(), ids=DENOISED)
def test_denoising_reaches_the_known_figures(name: str, decibels: float) -> None:
    photo = Image.open(REAL / "images/lund/data/lund/images/15.jpg").convert("L")
    clean = np.asarray(photo.resize((512, 384), Image.Resampling.LANCZOS), dtype=np.float64) / 255
    noisy = clean + np.random.default_rng(0).standard_normal(clean.shape) * 25 / 255
    net = SimpleNN.from_matlab(content(f"dncnn/{name}.mat"))
    x = torch.from_numpy(noisy).float()[None, None]
    with torch.no_grad():
        restored = (x - net(x))[0, 0].double().numpy()
    assert round(psnr(noisy, clean), 2) == 20.32
    assert abs(psnr(restored, clean) - decibels) < 0.01


def test_batch_normalisation_and_the_network_with_it_merged_give_the_same() -> None:
    merged = SimpleNN.from_matlab(content("dncnn/sigma=25.mat"))
    net = SimpleNN.from_matlab(content("dncnn/sigma=25_Bnorm.mat"))
    assert "bnorm" in net.types and "bnorm" not in merged.types
    x = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(net(x), merged(x), "net")
