"""Comparing what MATLAB wrote with ours: verdicts, hints, the layer at which outputs part."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.cli.main import main
from deepibl.errors import FeatureFileError
from deepibl.features.extraction import extract
from deepibl.migrate.verify import verify_features, verify_layers
from deepibl.networks.io import load_network
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.numeric import maps_to_matlab
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files

WITH_OUTPUTS = [path for path in golden_files("nets/net_*.mat") if "acts" in matfile.who(path)]


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimpleNN, list[str], np.ndarray]:
    """A network's file, the network, photos and their features."""
    folder = tmp_path_factory.mktemp("verify")
    generator = np.random.default_rng(0)
    filters = generator.standard_normal((8, 8, 3, 12)).astype(np.float32)
    conv = {"type": "conv", "name": "conv1", "weights": [filters, np.zeros((1, 12), np.float32)]}
    conv |= {"stride": 8.0, "pad": 0.0}
    norm = {"type": "normalize", "name": "norm1", "param": np.array([[24, 1e-12, 1, 0.5]])}
    meta = {"normalization": {"averageImage": np.full((1, 1, 3), 120, np.float32)}}
    matfile.save(folder / "net.mat", {"layers": [conv, norm], "meta": meta})
    names = [f"{i}.jpg" for i in range(4)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)
    net = load_network(folder / "net.mat")
    return folder, net, names, extract(net, names, root=folder)


def test_the_same_features_are_the_same(setting: tuple) -> None:
    folder, net, names, features = setting
    report = verify_features(net, names, features + 1e-7, root=str(folder))
    assert report.ok and report.verdict == "same" and not report.hints
    assert [image.name for image in report.images] == names
    assert max(image.cosine for image in report.images) < 1e-9
    assert "SAME" in str(report)


def test_small_and_large_differences_are_told_apart(setting: tuple) -> None:
    folder, net, names, features = setting
    noise = np.random.default_rng(1).standard_normal(features.shape).astype(np.float32)
    scale = np.abs(features).mean()
    close = verify_features(net, names, features + 3e-3 * scale * noise, root=str(folder))
    assert close.verdict == "close" and not close.ok and "not MatConvNet's" in close.hints[0]
    different = verify_features(net, names, features + scale * noise, root=str(folder))
    assert different.verdict == "different" and "--layers" in different.hints[0] and len(different.hints) == 1


def test_one_bad_image_makes_the_verdict(setting: tuple) -> None:
    folder, net, names, features = setting
    reference = features.copy()
    reference[2] *= -1
    report = verify_features(net, names, reference, root=str(folder))
    assert report.verdict == "different"
    assert [image.cosine > 1 for image in report.images] == [False, False, True, False]


def test_features_with_nan_are_not_the_same(setting: tuple) -> None:
    folder, net, names, features = setting
    reference = features.copy()
    reference[1, 0] = np.nan
    report = verify_features(net, names, reference, root=str(folder))
    assert report.verdict == "different" and "nan" in str(report)


def test_another_order_of_images_is_recognised(setting: tuple) -> None:
    folder, net, names, features = setting
    report = verify_features(net, names, features[::-1], root=str(folder))
    assert "another order: row 0 of MATLAB's file is our image 3" in report.hints[0]


def test_another_length_is_recognised(setting: tuple) -> None:
    folder, net, names, features = setting
    report = verify_features(net, names, 2 * features, root=str(folder))
    assert report.verdict == "different" and "lengths" in report.hints[0]


def test_what_cannot_be_compared_is_refused(setting: tuple) -> None:
    folder, net, names, features = setting
    with pytest.raises(FeatureFileError, match="3 descriptors in the file, 4 images"):
        verify_features(net, names, features[:3], root=str(folder))
    with pytest.raises(FeatureFileError, match="another network"):
        verify_features(net, names, np.tile(features, 3), root=str(folder))


def test_an_unreadable_image_is_listed_and_the_rest_compared(setting: tuple) -> None:
    folder, net, names, features = setting
    report = verify_features(net, [*names[:3], "gone.jpg"], features, root=str(folder))
    assert report.verdict == "same" and not report.ok
    assert [failure.index for failure in report.failures] == [3]


@pytest.mark.parametrize("path", WITH_OUTPUTS, ids=lambda path: path.stem)
def test_the_original_outputs_of_golden_networks_are_ours(path: Path) -> None:
    net = load_network(path)
    report = verify_layers(net, str(path))
    assert report.ok and len(report.layers) == len(net), str(report)


@pytest.mark.parametrize("path", WITH_OUTPUTS, ids=lambda path: path.stem)
def test_the_layer_at_which_outputs_part_is_named(path: Path) -> None:
    net = load_network(path)
    convolutions = [layer for layer in net if layer.type == "conv"]
    with torch.no_grad():
        next(convolutions[1].parameters()).mul_(1.1)
    report = verify_layers(net, str(path))
    assert report.parts_at is not None
    assert report.parts_at.name == convolutions[1].name
    assert f"they part at layer {net.index(convolutions[1].name) + 1} ({convolutions[1].name})" in str(report)


def test_outputs_of_other_shapes_part_there(setting: tuple, tmp_path: Path) -> None:
    _, net, _, _ = setting
    x = torch.rand(1, 3, 32, 32)
    acts = [maps_to_matlab(each) for each in net.activations(x)[1:]]
    acts[1] = acts[1][:2]
    matfile.save(tmp_path / "o.mat", {"x": maps_to_matlab(x), "acts": acts})
    report = verify_layers(net, str(tmp_path / "o.mat"))
    assert report.parts_at is not None and report.parts_at.relative is None and "shapes" in str(report)


def test_a_file_without_outputs_says_how_matlab_writes_one(setting: tuple, tmp_path: Path) -> None:
    _, net, _, _ = setting
    matfile.save(tmp_path / "o.mat", {"y": 1.0})
    with pytest.raises(MatFileError, match=r"it has y.*vl_simplenn"):
        verify_layers(net, str(tmp_path / "o.mat"))
    matfile.save(tmp_path / "o.mat", {"x": np.zeros((32, 32, 3), np.float32), "acts": [1.0]})
    with pytest.raises(MatFileError, match="1 outputs, the network has 2 layers"):
        verify_layers(net, str(tmp_path / "o.mat"))


def code_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_the_command_line_gives_a_verdict_and_a_code(
    setting: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, net, names, features = setting
    (tmp_path / "list.txt").write_text("\n".join(names))
    features.astype("<f4").tofile(tmp_path / "same.bin")
    (-features).astype("<f4").tofile(tmp_path / "other.bin")
    x = torch.rand(1, 3, 32, 32)
    acts = [maps_to_matlab(each) for each in net.activations(x)]
    matfile.save(tmp_path / "o.mat", {"x": maps_to_matlab(x), "acts": acts})
    model, listed = folder / "net.mat", ["--images", tmp_path / "list.txt", "--root", folder]
    assert (
        code_of("verify", model, "--features", tmp_path / "same.bin", *listed, "--layers", tmp_path / "o.mat")
        == 0
    )
    printed = capsys.readouterr().out
    assert "SAME" in printed and "all 2 outputs are the same" in printed
    assert code_of("verify", model, "--features", tmp_path / "other.bin", *listed, "--json") == 4
    assert json.loads(capsys.readouterr().out)["verdict"] == "different"
    assert code_of("verify", model, "--layers", tmp_path / "o.mat") == 0
    assert code_of("verify", model) == 1
    assert "--features" in capsys.readouterr().err
