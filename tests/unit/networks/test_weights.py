"""Published networks: the registry, what is accepted and what is refused."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepibl.errors import DownloadError
from deepibl.networks import weights, weights as network_layouts
from deepibl.networks.pretrained import fetch
from deepibl.networks.weights import (
    LAYOUTS,
    REGISTRY,
    Layout,
    Source,
    card,
    default_folder,
    whitened_netvlad_layers,
)
from deepibl.runtime.paths import LocalPaths
from tests.file_server import Server, running_server
from tests.released_layout import SMALL, write_released


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file of the released layout, narrow, and a registry that expects it."""
    monkeypatch.setitem(LAYOUTS, "vgg16-netvlad-white", Layout(whitened_netvlad_layers(**SMALL)))
    (path,) = write_released(tmp_path / "elsewhere", ["struct"], small=True)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.network
def test_a_file_is_fetched_checked_and_its_hash_recorded(
    server: Server, published: bytes, folder: Path
) -> None:
    server.content = published
    path = fetch("sare", folder=folder, base_url=server.url)
    assert path == folder / card("sare").file
    assert path.read_bytes() == published
    recorded = path.with_name(path.name + ".sha256").read_text()
    assert recorded == f"{hashlib.sha256(published).hexdigest()}  {path.name}\n"
    assert left_in(folder) == [path.name, path.name + ".sha256"]


@pytest.mark.network
def test_a_file_that_is_there_is_not_fetched_again(server: Server, published: bytes, folder: Path) -> None:
    server.content = published
    fetch("sare", folder=folder, base_url=server.url)
    asked = server.asked
    fetch("sare", folder=folder, base_url=server.url)
    assert server.asked == asked


@pytest.mark.network
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", "web page"),
        (b"PK\x03\x04 a zip file", "not a .mat file"),
        (b"MATLAB 5.0 MAT-file, cut short" + b" " * 98, "sare"),
        (b"", "not a .mat file"),
    ],
)
def test_what_is_no_network_is_refused_and_leaves_nothing(
    server: Server, folder: Path, content: bytes, message: str
) -> None:
    server.content = content
    with pytest.raises(DownloadError, match=message) as caught:
        fetch("sare", folder=folder, base_url=server.url)
    assert not left_in(folder)
    assert "--from" in str(caught.value)
    assert card("sare").page in str(caught.value)


@pytest.mark.network
def test_another_network_is_refused_by_its_layers(server: Server, published: bytes, folder: Path) -> None:
    server.content = published
    with pytest.raises(
        DownloadError, match=r"another network; layer 1 is 'conv1_1' \(conv 3x3x3x4\) instead of"
    ):
        fetch("vd16", folder=folder, base_url=server.url)
    assert not left_in(folder)


@pytest.mark.network
def test_a_stated_checksum_is_compared(
    server: Server, published: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Source(server.url + "/right", "sha256:" + hashlib.sha256(published).hexdigest(), "its authors")
    wrong = Source(server.url + "/wrong", "md5:0123", "its authors")
    server.content = published
    only(monkeypatch, "sare", wrong)
    with pytest.raises(DownloadError, match=r"md5 is .* but its authors states 0123"):
        fetch("sare", folder=folder)
    assert not left_in(folder)
    only(monkeypatch, "sare", wrong, right)
    assert fetch("sare", folder=folder).read_bytes() == published


def only(monkeypatch: pytest.MonkeyPatch, name: str, *sources: Source) -> None:
    import dataclasses

    monkeypatch.setitem(REGISTRY, name, dataclasses.replace(REGISTRY[name], sources=sources))


def test_a_file_downloaded_by_hand_is_copied_into_place(
    tmp_path: Path, published: bytes, folder: Path
) -> None:
    mine = tmp_path / "download (1).mat"
    mine.write_bytes(published)
    path = fetch("netvlad-pitts30k", folder=folder, from_file=mine)
    assert path.read_bytes() == published == mine.read_bytes()
    assert left_in(folder) == [path.name, path.name + ".sha256"]


def test_a_wrong_file_of_ones_own_is_refused_and_kept(tmp_path: Path, folder: Path) -> None:
    mine = tmp_path / "mine.mat"
    mine.write_bytes(b"<html>")
    with pytest.raises(DownloadError, match=r"mine\.mat: this is a web page"):
        fetch("sare", folder=folder, from_file=mine)
    assert mine.exists()
    assert not left_in(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(DownloadError, match="no file nowhere"):
        fetch("sare", folder=folder, from_file="nowhere.mat")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(DownloadError, match="sare, netvlad-pitts30k, netvlad-tokyotm, vd16"):
        fetch("alexnet")


@pytest.mark.parametrize("weights_card", REGISTRY.values(), ids=REGISTRY)
def test_cards_are_whole(weights_card: weights.Weights) -> None:
    assert weights_card.layout in network_layouts.LAYOUTS
    assert weights_card.sources
    for text in (weights_card.title, weights_card.licence, weights_card.citation):
        assert text
    for url in (weights_card.page, *(source.url for source in weights_card.sources)):
        assert url.startswith("https://")
    for source in weights_card.sources:
        assert bool(source.checksum) == bool(source.stated_by)


def test_every_card_stands_in_the_weights_readme() -> None:
    readme = (Path(weights.__file__).parents[2] / "weights/README.md").read_text()
    for weights_card in REGISTRY.values():
        stated = [source.checksum.split(":")[1] for source in weights_card.sources if source.checksum]
        urls = [source.url for source in weights_card.sources]
        for text in (
            weights_card.name,
            weights_card.file,
            weights_card.page,
            weights_card.licence,
            *stated,
            *urls,
        ):
            assert text in readme, text


def test_networks_go_where_localPaths_says() -> None:
    paths = LocalPaths({"ourCNNs": "/models", "pretrainedCNNs": "/pretrained"})
    assert default_folder(card("sare"), paths) == Path("/models")
    assert default_folder(card("vd16"), paths) == Path("/pretrained")


@pytest.fixture(autouse=True)
def no_real_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test may ask the internet."""
    import urllib.request

    ask = urllib.request.urlopen

    def guarded(request: urllib.request.Request, **options: float) -> object:
        assert request.host.startswith("127.0.0.1")
        return ask(request, **options)

    monkeypatch.setattr(urllib.request, "urlopen", guarded)
    yield
