"""Thumbnails are small, and a file that cannot be read is None rather than an error."""

import base64
import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from deepibl.report.html import small_picture, thumbnail


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_any_kind_of_picture_becomes_small_rgb(tmp_path, mode):
    suffix = ".jpg" if mode == "CMYK" else ".png"
    Image.new(mode, (640, 400), 3).save(tmp_path / f"a{suffix}")
    found = small_picture(tmp_path / f"a{suffix}", 64)
    assert found.shape == (40, 64, 3)
    assert found.dtype == np.uint8


def test_a_thumbnail_is_a_jpeg_of_a_few_kilobytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (768, 1024, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    text = thumbnail(tmp_path / "a.jpg")
    head, data = text.rstrip('"').split(",")
    assert head == 'width="176" height="132" src="data:image/jpeg;base64'
    assert len(text) < 25_000
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert max(picture.size) == 176


def test_what_cannot_be_read_is_none(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    for name in ("text.jpg", "empty.jpg", "missing.jpg", "."):
        assert thumbnail(tmp_path / name) is None
        assert small_picture(tmp_path / name, 32) is None


def test_a_file_that_declares_a_large_size_takes_no_memory(tmp_path):
    Image.new("RGB", (20, 20), 3).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    at = content.index(b"IDAT")
    (tmp_path / "a.png").write_bytes(content[: at - 4] + (2**30).to_bytes(4, "big") + content[at:])
    tracemalloc.start()
    try:
        small_picture(tmp_path / "a.png", 32)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_decompression_bomb_is_not_unpacked(tmp_path, monkeypatch):
    Image.new("L", (300, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert small_picture(tmp_path / "bomb.png", 32) is None
