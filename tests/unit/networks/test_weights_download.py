"""Downloads from a server on this machine: whole, broken, a web page instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepibl.errors import DownloadError
from deepibl.networks.pretrained import download
from tests.file_server import Server, running_server

pytestmark = pytest.mark.network


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "net.mat.part"


def test_a_file_arrives_whole_with_progress(server: Server, part: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(server.url, part, progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == server.content
    assert seen[-1] == (len(server.content), len(server.content))
    assert [path.name for path in part.parent.iterdir()] == [part.name]


def test_a_broken_connection_is_an_error(server: Server, part: Path) -> None:
    server.break_after = [1000]
    with pytest.raises(DownloadError, match=r"1000 of \d+ bytes|ended|read"):
        download(server.url, part)


def test_a_web_page_is_refused(server: Server, part: Path) -> None:
    server.content, server.kind = b"<html>quota exceeded</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="web page"):
        download(server.url, part)


def test_a_refusal_is_not_tried_again(server: Server, part: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="404"):
        download(server.url, part)
    assert server.asked == 1


def test_a_server_that_is_not_there_is_named(part: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/net\.mat: .*refused"):
        download("http://127.0.0.1:9/net.mat", part)
