"""deepibl.engine.scales: ranges measured once, kept in a file, and part of what descriptors are known by."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.engine.backbone import head_start
from deepibl.engine.scales import Scales, calibrate, identity_of, measure, read_scales
from deepibl.errors import NetworkMismatchError
from deepibl.evaluation.evaluate import evaluate_network
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features
from deepibl.images import read_image
from deepibl.networks.identity import network_id
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import Extractor, make_photos, simplenn
from tests.processor import int8_here
from tests.unit.engine.test_engine import photos as random_photos, simplenn_of


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, list[str]]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder, make_photos(folder)[:12]


def wider(scales: Scales, factor: float = 1.5) -> Scales:
    ranges = tuple((position, low * factor, high * factor) for position, low, high in scales.ranges)
    return Scales(scales.network, ranges, scales.images)


def test_a_range_is_the_lowest_and_highest_value_of_all_images(pictures) -> None:
    folder, names = pictures
    net = simplenn()
    scales = calibrate(net, names, root=folder, progress=False)
    second = [i for i, layer in enumerate(net) if layer.type == "conv"][1]
    seen: list[torch.Tensor] = []
    handle = net[second].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        first = [net.prepare(read_image(folder / name)[None]) for name in names]
        for x in first:
            net(x)
    handle.remove()
    assert scales.by_position == {
        0: (min(float(x.min()) for x in first), max(float(x.max()) for x in first)),
        second: (min(float(x.min()) for x in seen), max(float(x.max()) for x in seen)),
    }
    assert (scales.images, scales.network) == (12, network_id(net))
    assert all(position < head_start(net) for position in scales.by_position)  # no whitening
    assert calibrate(net, names[::-1], root=folder, progress=False) == scales  # no order


def test_a_file_gives_the_same_scales_and_identity(tmp_path: Path) -> None:
    net = simplenn()
    scales = measure(net, [random_photos()])
    scales.save(tmp_path / "s.json")
    again = read_scales(tmp_path / "s.json")
    assert again == scales and again.identity(net) == scales.identity(net)
    assert list(tmp_path.iterdir()) == [tmp_path / "s.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '{"format": "other/1"}',
        '{"format": "deepibl-int8-scales/2", "network": "a", "images": 1, "written_by": "b"}',
        '{"format": "deepibl-int8-scales/2", "network": "a", "images": 1, "written_by": "b", '
        '"ranges": [[0, 1, NaN]]}',
        '{"format": "deepibl-int8-scales/2", "network": "a", "images": 1, "written_by": "b", '
        '"ranges": [[0, 2, 1]]}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_none_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ArgumentError, match=r"s\.json does not hold int8 scales.*deepibl calibrate"):
        read_scales(tmp_path / "s.json")


def test_what_cannot_be_calibrated_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="SimpleNN"):
        measure(Extractor(), [random_photos()])
    with pytest.raises(ArgumentError, match="no images"):
        measure(simplenn(), [])
    with pytest.raises(ArgumentError, match="no convolution"):
        measure(SimpleNN.from_matlab({"layers": [{"type": "relu", "name": "r"}]}), [random_photos()])
    broken = simplenn_of([(3, 16), (16, 16)])
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    with pytest.raises(ArgumentError, match=r"layer 3 .* not finite"):
        measure(broken, [random_photos()])


def test_the_identity_is_that_of_network_and_ranges() -> None:
    net = simplenn()
    scales = measure(net, [random_photos()])
    told = {identity_of(net, None), identity_of(net, scales), identity_of(net, wider(scales))}
    assert len(told) == 3 and identity_of(net, None) == network_id(net)
    with pytest.raises(NetworkMismatchError, match="do not fit"):
        identity_of(simplenn_of([(3, 16)]), scales)


@int8_here
def test_a_partial_file_of_other_scales_is_not_continued(pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 5)
    folder, names = pictures
    net, out = simplenn(), tmp_path / "f.bin"
    scales = calibrate(net, names, root=folder, progress=False)
    settings = {"precision": "int8", "progress": False, "batch_size": 2}
    extract_to_file(net, folder, names, tmp_path / "whole.bin", scales=scales, **settings)
    for other in (scales, wider(scales)):
        (folder / names[7]).rename(folder / "away")
        with pytest.raises(Exception, match="the others are kept"):
            extract_to_file(net, folder, names, out, scales=scales, **settings)
        (folder / "away").rename(folder / names[7])
        extract_to_file(net, folder, names, out, scales=other, **settings)
        same = out.read_bytes() == (tmp_path / "whole.bin").read_bytes()
        assert same == (other is scales)
        whole = extract(net, names, root=folder, scales=other, **settings)
        assert np.array_equal(read_features(out, count=len(names)), whole)


@int8_here
def test_rows_do_not_depend_on_which_images_come_along(pictures) -> None:
    folder, names = pictures
    net = simplenn()
    scales = calibrate(net, names[:3], root=folder, progress=False)
    settings = {"root": folder, "precision": "int8", "scales": scales, "progress": False}
    together = extract(net, names, batch_size=4, **settings)
    alone = np.concatenate([extract(net, [name], batch_size=1, **settings) for name in names])
    assert np.abs(together - alone).max() < 1e-6  # NetVLAD's sums, in float32


@int8_here
def test_kept_descriptors_of_other_scales_are_not_used(run, net, street, tmp_path) -> None:
    from deepibl.datasets.catalog import evaluation_dataset
    from deepibl.networks.io import load_network

    loaded = load_network(net)
    dataset = evaluation_dataset("", None, Path("db/places.csv"), Path("q/places.csv"), 25.0)
    scales = calibrate(loaded, dataset.image_paths("db"), progress=False)
    for number, settings in enumerate(
        [{}, {"scales": scales}, {"scales": wider(scales)}, {"scales": scales}]
    ):
        settings |= {"precision": "int8"} if settings else {}
        evaluate_network(loaded, dataset, features=tmp_path / "kept", progress=False, **settings)
        assert len(list((tmp_path / "kept").glob("*.h5"))) == 2 * min(number + 1, 3)


@int8_here
def test_the_command_line_from_calibration_to_a_place(run, net, street) -> None:
    code, out, _ = run("calibrate", net, "db/00.jpg", "db/01.jpg", "db/02.jpg", "-o", "s.json")
    assert code == 0 and "2 convolutions, measured on 3 images" in out
    int8 = ("--precision", "int8", "--scales", "s.json")
    code, out, err = run("extract", net, "db/00.jpg", "-o", "f.npy", *int8)
    assert (code, np.load("f.npy").shape[0]) == (0, 1)
    assert run("index", net, "--csv", "db/places.csv", "-o", "a.idx", *int8)[0] == 0
    code, out, _ = run("localize", "q/03.jpg", "--index", "a.idx", "--json", "--top", 1, *int8)
    assert (code, next(iter(json.loads(out).values()))["places"][0]["name"]) == (0, "03.jpg")
    code, _, err = run("localize", "q/03.jpg", "--index", "a.idx")
    assert code == 1 and "made by network int8-" in err and "--scales" in err
    code, out, _ = run("evaluate", "--index", "a.idx", "--queries", "q/places.csv", "--json", *int8)
    assert code == 0 and json.loads(out)["network_id"].startswith("int8-")


@int8_here
def test_the_pages_finder_asks_an_int8_index_with_its_scales(run, net, street) -> None:
    from deepibl.networks.io import load_network
    from deepibl.search.index import PlaceIndex
    from deepibl.serve.finder import PlaceFinder

    run("calibrate", net, "db/00.jpg", "db/01.jpg", "-o", "s.json")
    int8 = ("--precision", "int8", "--scales", "s.json")
    run("index", net, "--csv", "db/places.csv", "-o", "a.idx", *int8)
    index, scales = PlaceIndex.load("a.idx"), read_scales("s.json")
    finder = PlaceFinder(load_network(net), index, precision="int8", scales=scales)
    assert "int8" in finder.engine
    assert finder.find(read_image("q/03.jpg"), top=1)[0].name == "03.jpg"
    for how in ({}, {"precision": "int8", "scales": wider(scales)}):
        with pytest.raises(NetworkMismatchError, match="int8-"):
            PlaceFinder(load_network(net), index, **how)


@pytest.mark.parametrize("command", ["extract", "localize"])
def test_the_command_line_says_what_int8_lacks(run, net, street, command: str) -> None:
    run("index", net, "--csv", "db/places.csv", "-o", "a.idx")
    words = [command, *([net] if command == "extract" else ["--index", "a.idx"]), "q/00.jpg"]
    code, _, err = run(*words, "--precision", "int8")
    assert code == 1 and "deepibl calibrate NET" in err and len(err.splitlines()) == 1
    code, _, err = run(*words, "--precision", "int8", "--scales", "missing.json")
    assert code == 1 and "missing.json" in err
