"""Photos as phones write them, for tests: textured, sideways by EXIF, of any kind that Pillow writes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Transpose

ORIENTATION = 0x0112
# what a camera that was held otherwise stores of an upright picture, by orientation
STORED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def scene(seed: int = 0, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture of coarse noise; size: width and height."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def sideways(picture: Image.Image, orientation: int) -> tuple[Image.Image, Image.Exif]:
    """The picture as it is stored with this orientation, and its EXIF."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return (picture.transpose(STORED[orientation]) if orientation in STORED else picture), exif


def save(picture: Image.Image, path: Path, orientation: int = 1, **options: Any) -> Path:
    """Writes a picture, stored sideways if `orientation` says so; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored, exif = sideways(picture, orientation)
    stored.save(path, exif=exif, **options)
    return path


def heic(picture: Image.Image) -> bytes:
    """The picture as a HEIC file. Needs pillow-heif."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=90)
    return buffer.getvalue()


def viewed(path: Path) -> np.ndarray:
    """(3, H, W) uint8 as a viewer shows a file."""
    with Image.open(path) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).transpose(2, 0, 1)
