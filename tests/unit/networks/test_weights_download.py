"""Downloads from a server on this machine: resumed, broken, replaced in between, a web page instead."""

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


def test_broken_connections_are_taken_up_where_they_broke(server: Server, part: Path) -> None:
    server.break_after = [1000, 5000, 70000]
    download(server.url, part)
    assert part.read_bytes() == server.content
    assert server.asked == [None, "bytes=1000-", "bytes=6000-", "bytes=76000-"]


def test_a_download_goes_on_in_the_next_run(server: Server, part: Path) -> None:
    server.break_after = [3000, 0, 0]
    with pytest.raises(DownloadError, match="3000 bytes are kept"):
        download(server.url, part, attempts=2)
    server.asked.clear()
    server.break_after = []
    download(server.url, part)
    assert part.read_bytes() == server.content
    assert server.asked == ["bytes=3000-"]


def test_a_file_that_was_replaced_meanwhile_is_fetched_from_its_beginning(server: Server, part: Path) -> None:
    server.break_after = [3000, 0, 0]
    with pytest.raises(DownloadError):
        download(server.url, part, attempts=2)
    server.content, server.etag, server.break_after = b"another" * 1000, '"two"', []
    download(server.url, part)
    assert part.read_bytes() == server.content


def test_a_part_of_another_url_is_not_continued(server: Server, part: Path) -> None:
    server.break_after = [3000, 0, 0]
    with pytest.raises(DownloadError):
        download(server.url + "/one", part, attempts=2)
    server.asked.clear()
    download(server.url + "/two", part)
    assert part.read_bytes() == server.content
    assert server.asked == [None]


@pytest.mark.parametrize("etag", ['"one"', ""])
def test_a_server_without_ranges_or_versions_sends_it_all_again(
    server: Server, part: Path, etag: str
) -> None:
    server.takes_ranges, server.etag, server.break_after = False, etag, [1000]
    download(server.url, part)
    assert part.read_bytes() == server.content


def test_a_file_that_became_shorter_is_fetched_from_its_beginning(server: Server, part: Path) -> None:
    server.break_after = [3000, 0, 0]
    with pytest.raises(DownloadError):
        download(server.url, part, attempts=2)
    server.content, server.break_after = b"short", []
    download(server.url, part)
    assert part.read_bytes() == b"short"


def test_a_web_page_is_refused_and_leaves_nothing(server: Server, part: Path) -> None:
    server.content, server.kind = b"<html>quota exceeded</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="web page"):
        download(server.url, part)
    assert not list(part.parent.iterdir())


def test_a_refusal_is_not_tried_again(server: Server, part: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="404"):
        download(server.url, part)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_named(part: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/net\.mat: .*refused"):
        download("http://127.0.0.1:9/net.mat", part, attempts=2)
