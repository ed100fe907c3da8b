"""Verify names the cause of a difference, from the data, with the figures behind it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from deepibl.errors import FeatureFileError
from deepibl.features.extraction import extract
from deepibl.migrate.causes import on_a_cpu
from deepibl.migrate.verify import read_reference, verify_features
from deepibl.networks.build import append_pca
from matlab_compat import matfile
from matlab_compat.matfile.values import MatObject
from matlab_compat.nn.normalise import approximate_power, vl_nnnormalize
from matlab_compat.numeric import maps_to_torch
from matlab_compat.relja import relja_PCA
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import REAL, read_golden

Setting = tuple[Path, SimpleNN, list[str], np.ndarray]
SIZES = [(96, 64), (64, 96), (64, 64), (96, 96), (80, 64), (64, 80)]


def network() -> SimpleNN:
    """Filters of colour and place, L2 at each pixel, the mean over the image, L2."""
    generator = np.random.default_rng(3)
    filters = generator.standard_normal((8, 8, 3, 12)).astype(np.float32)
    conv = {
        "type": "conv",
        "name": "conv1",
        "weights": [filters, 100 * generator.standard_normal((1, 12)).astype(np.float32)],
    }
    conv |= {"stride": 8.0, "pad": 0.0}
    norm = {"type": "normalize", "name": "norm1", "param": np.array([[24, 1e-12, 1, 0.5]])}
    pool = MatObject("layerTotalAvgPool", {"name": "pool", "type": "custom"})
    last = {"type": "normalize", "name": "norm2", "param": np.array([[24, 1e-12, 1, 0.5]])}
    mean = np.array([110, 120, 140], np.float32).reshape(1, 1, 3)
    meta = {"normalization": {"averageImage": mean}}
    return SimpleNN.from_matlab({"layers": [conv, norm, pool, last], "meta": meta})


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A folder of photos of one size, the network, their names and our features."""
    folder = tmp_path_factory.mktemp("causes")
    generator = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(6)]
    for name in names:
        coarse = generator.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(folder / name)
    net = network()
    return folder, net, names, extract(net, names, root=folder)


def reference(setting: Setting, change: Callable[[SimpleNN, Tensor], Tensor]) -> np.ndarray:
    """MATLAB's features when its images are prepared by `change`."""
    folder, net, names, _ = setting
    rows = []
    with torch.inference_mode():
        for name in names:
            pixels = torch.tensor(np.asarray(Image.open(folder / name).convert("RGB"))).permute(2, 0, 1)
            rows.append(net(change(net, pixels[None].float())).flatten().numpy())
    return np.stack(rows)


MEAN = torch.tensor([110.0, 120, 140])[:, None, None]
PREPARATIONS = {
    "images are BGR": lambda net, x: net.prepare(x.flip(1)),
    "subtracted the mean in the order BGR": lambda net, x: x - MEAN.flip(0),
    "images and mean are BGR": lambda net, x: net.prepare(x).flip(1),
    "did not subtract the mean": lambda net, x: x,
    "0 … 1 instead of 0 … 255": lambda net, x: net.prepare(x / 255),
    "0 … 1 and no mean": lambda net, x: x / 255,
    "mirrored": lambda net, x: net.prepare(x.flip(3)),
    "upside down": lambda net, x: net.prepare(x.flip(2)),
    "transposed": lambda net, x: net.prepare(x.mT),
    "clockwise": lambda net, x: net.prepare(x.rot90(-1, (2, 3))),
    "anticlockwise": lambda net, x: net.prepare(x.rot90(1, (2, 3))),
    "180 degrees": lambda net, x: net.prepare(x.flip(2, 3)),
}


@pytest.mark.parametrize("words", PREPARATIONS)
def test_what_matlab_did_to_its_images_is_named(setting: Setting, words: str) -> None:
    folder, net, names, _ = setting
    report = verify_features(net, names, reference(setting, PREPARATIONS[words]), root=str(folder))
    assert report.verdict == "different" and not report.ok
    assert words in report.hints[0] and "largest relative difference is" in report.hints[0]


def test_another_size_is_named_with_the_option(tmp_path: Path) -> None:
    net = network()
    coarse = np.random.default_rng(1).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((800, 600), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    small = extract(net, ["a.png"], root=tmp_path, resize=320)
    full = extract(net, ["a.png"], root=tmp_path)
    assert "give --resize 320" in verify_features(net, ["a.png"], small, root=str(tmp_path)).hints[0]
    hints = verify_features(net, ["a.png"], full, root=str(tmp_path), resize=320).hints
    assert "not scaled: leave out --resize" in hints[0]


FILES = {
    "float64": lambda rows: rows.astype("<f8").view("<f4"),
    "transposed": lambda rows: np.ascontiguousarray(rows.T).reshape(rows.shape),
    "another order: row 0 of MATLAB's file is our image 5": lambda rows: rows[::-1],
    "other lengths (2 to 2)": lambda rows: 2 * rows,
}


@pytest.mark.parametrize("words", FILES)
def test_how_matlab_wrote_its_file_is_named(setting: Setting, words: str) -> None:
    folder, net, names, features = setting
    if words == "float64":
        with pytest.raises(FeatureFileError, match=r"24 dimensions, .*: the file holds float64"):
            verify_features(net, names, FILES[words](features), root=str(folder))
        return
    report = verify_features(net, names, FILES[words](features), root=str(folder))
    assert report.verdict == "different" and words in report.hints[0], report.hints


@pytest.mark.parametrize("dim", [12, 6])
def test_whitening_on_one_side_is_named(setting: Setting, dim: int) -> None:
    folder, _, names, features = setting
    samples = np.random.default_rng(4).standard_normal((60, 12)).astype(np.float32)
    samples = samples * np.linspace(3, 0.2, 12, dtype=np.float32) + np.float32(1)
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    white = append_pca(setting[1], relja_PCA(samples, dim), dim=dim, whiten=True)
    if dim == 12:
        hints = verify_features(white, names, features, root=str(folder)).hints
        assert "MATLAB's descriptors are not whitened" in hints[0]
    else:
        with pytest.raises(FeatureFileError, match=r"12 dimensions, this network's 6: .*are not whitened"):
            verify_features(white, names, features, root=str(folder))


def test_a_mat_file_of_features_is_read_either_way(setting: Setting, tmp_path: Path) -> None:
    _, _, names, features = setting
    for matrix in (features, features.T):
        matfile.save(tmp_path / "f.mat", {"feats": matrix, "note": "of Monday"})
        np.testing.assert_array_equal(read_reference(tmp_path / "f.mat", len(names)), features)
    matfile.save(tmp_path / "f.mat", {"a": features, "b": features})
    with pytest.raises(FeatureFileError, match="2 of its variables"):
        read_reference(tmp_path / "f.mat", len(names))


def test_matlab_on_a_cpu_has_a_verdict_of_its_own(setting: Setting) -> None:
    folder, net, names, features = setting
    images = [torch.tensor(np.asarray(Image.open(folder / name))).permute(2, 0, 1) for name in names]
    cpu = on_a_cpu(net, images).astype(np.float32)
    assert np.abs(cpu - features).max() > 1e-4
    report = verify_features(net, names, cpu, root=str(folder))
    assert report.verdict == "same as on a CPU" and report.ok and "approximate power" in report.hints[0]


@pytest.mark.real
@pytest.mark.parametrize("name", ["l2", "l2_relu", "l2_small", "lrn_alexnet", "lrn_default", "lrn_n1"])
def test_the_approximate_power_is_matconvnets(name: str) -> None:
    path = REAL.parent / "golden" / "ops_lrn_fast" / f"{name}.mat"
    if not path.exists():
        pytest.skip(f"needs {path}: what MatConvNet computed on a CPU")
    case = read_golden(path)
    x, wanted = (maps_to_torch(case[name]) for name in ("x", "y"))
    with approximate_power():
        found = vl_nnnormalize(x, case["param"].ravel())
    scale = wanted.abs().max()
    assert (found - wanted).abs().max() <= 1e-6 * scale
    if name != "lrn_n1":
        assert (vl_nnnormalize(x, case["param"].ravel()) - wanted).abs().max() > 1e-5 * scale
