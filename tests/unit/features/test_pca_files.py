"""addPCA's files: used again only for what they were made of."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepibl.errors import ExtractionError
from deepibl.features import whitening as pca_files
from deepibl.features.files import read_features
from deepibl.features.whitening import training_names
from deepibl.matlab.networks import addPCA
from deepibl.networks.build import add_pooling
from deepibl.networks.identity import network_id
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import rng
from matlab_compat.simplenn.network import SimpleNN
from tests.unit.networks.test_networks import struct

COUNT = 9


def network(seed: int = 0) -> SimpleNN:
    """Five numbers an image."""
    net = SimpleNN.from_matlab(struct(seed))
    net.meta |= {"sessionID": "abc", "epoch": np.array([[3.0]])}
    net = add_pooling(net.with_layers([net["conv1"]]), "avg")
    net.meta |= {"sessionID": "abc", "epoch": np.array([[3.0]])}
    return net


@pytest.fixture
def data(tmp_path: Path) -> SimpleNamespace:
    random = np.random.RandomState(0)
    names = [f"{i}.png" for i in range(COUNT)]
    (tmp_path / "images").mkdir()
    for name in names:
        colours = random.randint(0, 255, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((24, 18)).save(tmp_path / "images" / name)
    return SimpleNamespace(
        name="set", database_root=f"{tmp_path}/images/", database_names=names, database_size=COUNT
    )


@pytest.fixture
def whiten(tmp_path: Path, data: SimpleNamespace) -> Callable[..., SimpleNN]:
    def run(net: SimpleNN | None = None, **options: Any) -> SimpleNN:
        settings = {"pcaDim": 3, "useGPU": False, "paths": {"outPrefix": f"{tmp_path}/out/x_"}} | options
        return addPCA(net or network(), data, **settings)

    return run


@pytest.fixture
def stem(tmp_path: Path) -> str:
    return f"{tmp_path}/out/x_abc_ep000003"


def test_files_have_the_originals_names_and_content(whiten: Callable[..., SimpleNN], stem: str) -> None:
    net = whiten()
    assert net.names[-2:] == ["WPCA", "finalL2"]
    assert net.meta["sessionID"] == "abc_WPCA"
    assert read_features(f"{stem}_traindescs_for_pca.bin", dim=5).shape == (COUNT, 5)
    stored = matfile.load(f"{stem}_pca.mat")
    assert [stored[name].shape for name in ("U", "lams", "mu", "Utmu")] == [(5, 3), (3, 1), (5, 1), (3, 1)]


def test_options_are_taken_in_matlabs_style(data: SimpleNamespace, tmp_path: Path) -> None:
    paths = {"outPrefix": f"{tmp_path}/out/x_"}
    net = addPCA(network(), data, "PCADIM", 2, "doWhite", False, "useGPU", False, paths=paths)
    assert net.names[-2:] == ["PCA", "finalL2"]
    assert len(net["PCA"].bias) == 2
    with pytest.raises(ArgumentError, match="pcaDim"):
        addPCA(network(), data, pcaDimm=2, paths=paths)


def test_a_second_call_reads_the_pca_and_no_image(
    whiten: Callable[..., SimpleNN], data: SimpleNamespace
) -> None:
    first = whiten()
    for name in data.database_names:
        Path(data.database_root, name).unlink()
    assert network_id(whiten()) == network_id(first)
    assert len(whiten(pcaDim=2)["WPCA"].bias) == 2


def test_more_components_are_made_of_the_kept_descriptors(
    whiten: Callable[..., SimpleNN], data: SimpleNamespace
) -> None:
    whiten(pcaDim=2)
    for name in data.database_names:
        Path(data.database_root, name).unlink()
    assert len(whiten(pcaDim=4)["WPCA"].bias) == 4


def test_files_of_another_network_are_made_again(whiten: Callable[..., SimpleNN], stem: str) -> None:
    # difference: addpca-cache
    whiten()
    before = Path(f"{stem}_traindescs_for_pca.bin").read_bytes()
    again = whiten(network(seed=1))
    assert Path(f"{stem}_traindescs_for_pca.bin").read_bytes() != before
    Path(f"{stem}_traindescs_for_pca.bin").unlink()
    Path(f"{stem}_pca.mat").unlink()
    assert network_id(whiten(network(seed=1))) == network_id(again)


def test_files_of_other_images_are_made_again(
    whiten: Callable[..., SimpleNN], data: SimpleNamespace, stem: str
) -> None:
    whiten()
    data.database_names = data.database_names[1:]
    whiten()
    assert len(read_features(f"{stem}_traindescs_for_pca.bin", dim=5)) == COUNT - 1


@pytest.mark.parametrize("ending", ["_pca.mat", "_traindescs_for_pca.bin"])
def test_damaged_files_are_made_again(whiten: Callable[..., SimpleNN], stem: str, ending: str) -> None:
    want = network_id(whiten())
    Path(f"{stem}_pca.mat").unlink()
    Path(stem + ending).write_bytes(b"nothing")
    assert network_id(whiten()) == want


def test_images_beyond_the_cap_are_drawn_as_matlab_draws_them() -> None:
    names = [f"{i}" for i in range(50)]
    assert training_names(names, 50) == names
    assert training_names(names, 20) == [names[i] for i in rng(43).randsample(50, 20)]


def test_a_network_without_session_is_refused(whiten: Callable[..., SimpleNN]) -> None:
    net = network()
    del net.meta["sessionID"]
    with pytest.raises(ArgumentError, match="no sessionID and epoch"):
        whiten(net)


def test_the_cap_counts_for_what_can_be_determined(whiten: Callable[..., SimpleNN]) -> None:
    with pytest.raises(ArgumentError, match="3 training images determine at most 2"):
        whiten(nTrainCap=3)


def test_after_a_kill_right_behind_the_descriptors_they_are_not_taken_for_another_networks(
    whiten: Callable[..., SimpleNN], stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = network_id(whiten())
    for path in Path(stem).parent.iterdir():
        path.unlink()
    extract = pca_files.extract_to_file

    def killed(*args: Any, **settings: Any) -> None:
        extract(*args, **settings)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pca_files, "extract_to_file", killed)
        whiten(network(seed=1))
    assert Path(f"{stem}_traindescs_for_pca.new.bin").exists()
    assert network_id(whiten()) == want


def test_descriptors_that_cannot_be_computed_again_are_not_removed(
    whiten: Callable[..., SimpleNN], data: SimpleNamespace, stem: str
) -> None:
    whiten()
    before = Path(f"{stem}_traindescs_for_pca.bin").read_bytes()
    Path(data.database_root, data.database_names[0]).write_bytes(b"damaged")
    with pytest.raises(ExtractionError, match=r"0\.png: not an image"):
        whiten()
    assert Path(f"{stem}_traindescs_for_pca.bin").read_bytes() == before
