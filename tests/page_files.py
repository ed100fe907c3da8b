"""Photos good and bad, as bytes, and a small index with its network, for the tests of the page."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deepibl.datasets.folder import Places
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import build_index
from deepibl.serve.finder import PlaceFinder
from tests.extractors import make_photos, simplenn


def small_finder(folder: Path, net: Any = None) -> PlaceFinder:
    """30 photos 100 m apart in `folder`, their index, and its network (default: of 12 dimensions)."""
    names = make_photos(folder)
    positions = np.array([[400_000.0 + 100 * i, 6_000_000.0] for i in range(len(names))])
    net = simplenn() if net is None else net
    build_index(net, Places(str(folder), names, positions, "33N"), folder / "city.idx", progress=False)
    return PlaceFinder(net, PlaceIndex.load(folder / "city.idx"))


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), **settings: object) -> bytes:
    """A photo of coarse noise as a file's bytes; settings: what Pillow's `save` takes."""
    coarse = np.random.default_rng(size[0]).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, kind, **settings)
    return buffer.getvalue()


def with_exif(orientation: int, latitude: float, longitude: float) -> bytes:
    """A JPEG of 64 x 48 pixels, left half black, with an orientation and a position in its EXIF."""
    pixels = np.full((48, 64, 3), 255, np.uint8)
    pixels[:, :32] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8825).update({1: "N", 2: _degrees(latitude), 3: "E", 4: _degrees(longitude)})
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that declares this many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there `count` times more."""
    data = picture(progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def _degrees(value: float) -> tuple[float, float, float]:
    whole = int(value)
    minutes = int((value - whole) * 60)
    return float(whole), float(minutes), round((value - whole - minutes / 60) * 3600, 6)
