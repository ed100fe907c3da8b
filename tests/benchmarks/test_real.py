"""The benchmarks on files that a user gives: networks, photos, descriptors, other people's code."""

import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import beside, extraction, scale
from benchmarks.measure import Settings
from deepibl.networks import save_network
from matlab_compat import matfile
from tests.extractors import make_photos

HLOC = """
    import torch
    from scipy.io import loadmat
    from benchmarks.baseline import Port
    from deepibl.networks import load_network

    class NetVLAD:  # with the weights from where hloc's class looks for them
        def __init__(self, conf):
            path = torch.hub.get_dir() + "/netvlad/VGG16-NetVLAD-Pitts30K.mat"
            struct = loadmat(path, struct_as_record=False, squeeze_me=True)["net"]
            assert conf == {"whiten": True} and struct.layers[30].weights[0].shape == (12, 5)
            self.mean = torch.tensor(struct.meta.normalization.averageImage[0, 0]).view(1, 3, 1, 1)
            self.port = Port(load_network(path)).eval()
            assert torch.equal(self.mean, self.port.mean.to(self.mean))

        def eval(self):
            return self

        def __call__(self, data):
            return {"global_descriptor": self.port(255 * data["image"])}
"""


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    """A narrow network in a file, and photos."""
    photos = tmp_path / "photos"
    photos.mkdir()
    make_photos(photos)
    save_network(extraction.network(Settings(smoke=True)), tmp_path / "net.mat")
    return Settings(smoke=True, network=tmp_path / "net.mat", images=photos)


def test_the_network_and_the_photos_given_are_measured(given: Settings) -> None:
    net = extraction.network(given)
    wanted = extraction.network(Settings(smoke=True))
    assert net.names == wanted.names and torch.equal(net[0].weight, wanted[0].weight)
    pictures = extraction.photos(given, 3)
    assert pictures.shape == (3, 3, *extraction.image_size(given))
    assert not torch.equal(pictures, extraction.photos(Settings(smoke=True), 3))


def test_a_backbone_gets_the_pooling_of_its_clusters(given: Settings, tmp_path: Path) -> None:
    whole = extraction.network(given)
    save_network(whole.with_layers(list(whole)[: whole.index("conv5_3") + 1]), tmp_path / "backbone.mat")
    centres = np.random.default_rng(0).random((12, 5), np.float32)
    matfile.save(tmp_path / "clusters.mat", {"clsts": centres})
    files = {"network": tmp_path / "backbone.mat", "clusters": tmp_path / "clusters.mat"}
    built = extraction.network(Settings(smoke=True, images=given.images, **files))
    assert np.allclose(built["vlad:core"].offset.detach().flatten(1).numpy(), -centres.T)
    assert built.names == [name for name in whole.names if name not in ("WPCA", "finalL2")]


def test_extraction_is_compared_with_the_class_of_a_checkout(
    given: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkout" / "hloc" / "extractors"
    folder.mkdir(parents=True)
    (folder / "netvlad.py").write_text(textwrap.dedent(HLOC))
    monkeypatch.setattr(beside, "in_a_process", lambda function, *arguments: function(*arguments))
    try:
        (table,) = beside.tables(beside.Given(**asdict(given), hloc=tmp_path / "checkout"))
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "hloc"]:
            del sys.modules[name]
    ours = [f"deepibl {each}" for each in ("fp32", "bf16", "int8") if beside.available(each)]
    assert [row[0] for row in table.rows] == ["hloc", *ours]
    assert float(table.rows[1][-1]) < 1e-8


def test_a_folder_without_the_code_is_refused(given: Settings, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no folder ibl"):
        beside.module(tmp_path, "ibl.models")


def test_backends_are_compared_on_a_file_of_descriptors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(0).standard_normal((800, 32)).astype(np.float32)
    np.save(tmp_path / "real.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    scale.main(
        [
            "--real",
            str(tmp_path / "real.npy"),
            "--images",
            "300",
            "600",
            "--milvus",
            "60",
            "--codes",
            "16",
            "8",
        ]
    )
    page = capsys.readouterr().out
    assert page.count("### Bytes") == 2
    for backend in ("exact, float32 | 600", "ivfpq, 16 bytes | 300", "hnsw, 8 bits | 600"):
        assert f"| {backend} |" in page
    assert "ivfpq, 8 bytes" in page and "ivfpq, 64 bytes" not in page


def test_precisions_that_the_processor_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside.onednn, "instructions", lambda precision: "AVX2" * (precision == "fp32"))
    for _, ways, _ in beside.TABLES.values():
        kept = [way for way in ways if beside.available(way)]
        assert kept[0] == next(iter(ways)) and len(kept) >= 2
        assert not any("bf16" in way or "int8" in way for way in kept)
