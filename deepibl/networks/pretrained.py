"""Downloading one file over HTTP: in pieces that survive a broken connection, never taking a web page for
data.

What has arrived lies in the `.part` file; beside it `.part.json` says of which version of which URL, so that
another version is never glued onto it.
"""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepibl.errors import DownloadError
from deepibl.notes import read_note

Progress = Callable[[int, int | None], None]  # bytes there are, bytes there will be (None: not known)

_BLOCK = 2**20
_BROKEN = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)


def download(
    url: str, part: Path, *, progress: Progress | None = None, timeout: float = 30, attempts: int = 4
) -> Path:
    """Brings `url` to the file `part`, going on where an earlier attempt stopped; returns `part`.

    A broken connection is tried again, `attempts` times in a row without a byte gained. `timeout` in seconds
    is for each answer of the server, not for the whole.

    Raises DownloadError when the server refuses, sends a web page, or stays away; what came so far is kept
    for the next call, except after a web page.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, reason = 0, ""
    while failures < attempts:
        before = _size(part)
        try:
            if _go_on(url, part, progress, timeout):
                _version_file(part).unlink(missing_ok=True)
                return part
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            raise DownloadError(f"{url}: the server answered {error.code} {error.reason}") from error
        except _BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 0 if _size(part) > before else failures + 1
    raise DownloadError(
        f"{url}: {reason}; {_size(part)} bytes are kept in {part} and the same command goes on from there"
    )


def _go_on(url: str, part: Path, progress: Progress | None, timeout: float) -> bool:
    """One connection; True when the file is whole."""
    with _open(url, part, timeout) as response:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            discard(part)
            raise DownloadError(f"{url}: the server sent a web page instead of the file")
        start = _start(response)
        total = _total(response, start)
        _remember_version(part, url, response, total)
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            done = start
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
    return total is None or done == total


def _open(url: str, part: Path, timeout: float) -> Any:
    """The server's answer to a request for what is missing; for all of it when the file is not the same any
    more.
    """
    headers = {"User-Agent": "deepibl"}
    version = _read_version(part)
    have = _size(part) if version.get("url") == url and version.get("validator") else 0
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version["validator"]}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        discard(part)  # we hold at least as many bytes as there are: start again
        return _open(url, part, timeout)


def _start(response: Any) -> int:
    """The offset of the answer's first byte in the file."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    return int(response.headers["Content-Range"].removeprefix("bytes ").split("-")[0])


def _total(response: Any, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return start + int(length) if length is not None else None


def _remember_version(part: Path, url: str, response: Any, total: int | None) -> None:
    """What a later request needs to be sure that it goes on with the same file: a strong ETag, or a date."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    _version_file(part).write_text(json.dumps({"url": url, "validator": validator, "total": total}))


def _read_version(part: Path) -> dict[str, Any]:
    return read_note(_version_file(part))


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    return os.path.getsize(path) if path.exists() else 0


def discard(part: Path) -> None:
    """Removes an unfinished download and what is known of it."""
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
