"""Uploads good and bad, and how the page has to answer each; sent over plain sockets."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from deepibl.serve.http import Limits
from tests.page_files import bomb, many_scans, picture

BOUNDARY = "deepibl-load"
LIMIT = Limits().upload_bytes


@dataclass(frozen=True)
class Kind:
    """A kind of upload: its bytes, and the statuses that are right for it (503: the page is busy)."""

    name: str
    data: bytes
    right: tuple[int, ...]


def kinds() -> list[Kind]:
    """One upload of each kind."""
    return [
        Kind("JPEG", picture(size=(640, 480), quality=90), (200,)),
        Kind("JPEG of 12 megapixels", picture(size=(4000, 3000), quality=85), (200,)),
        Kind("PNG", picture("PNG", (480, 360)), (200,)),
        Kind("WebP", picture("WEBP", (640, 480)), (200,)),
        Kind("truncated JPEG", picture(size=(640, 480), quality=95)[:-5000], (422,)),
        Kind("JPEG cut in its header", picture()[:40], (422,)),
        Kind("damaged PNG", picture("PNG")[:300] + bytes(3000), (422,)),
        Kind("bomb PNG", bomb(), (422,)),
        Kind("JPEG of 200 scans", many_scans(200), (413,)),
        Kind("text", b"not a photo at all\n" * 50, (415,)),
        Kind("zeros", bytes(100_000), (415,)),
        Kind("empty", b"", (400,)),
        Kind("oversized", picture() + bytes(LIMIT + 2_000_000), (413,)),
    ]


def post(url: str, data: bytes, timeout: float = 180.0) -> tuple[int, dict[str, object], float]:
    """Sends a photo to /api/localize: status, answer, and seconds to wait (Retry-After, else 0)."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout)
    try:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/api/localize", body, kind)
        response = connection.getresponse()
        answer = json.loads(response.read())
        return response.status, answer, float(response.headers.get("Retry-After", 0))
    finally:
        connection.close()
