"""Decodes JPEG files to the pixels that MatConvNet gets from libjpeg with its defaults.

Pillow's libjpeg-turbo gives the same, bit for bit. At the end of a truncated file libjpeg reads end-of-image
markers, and so fills the image; Pillow refuses such a file, so the markers are appended to its bytes here.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from matlab_compat.errors import ImageReadError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 178_956_970  # Pillow's limit, beyond which it reports a decompression bomb

# The most pixels that a byte of a file can hold: a JPEG needs at least a bit per block of 8 x 8, other
# formats pack as zlib does at best. Images of up to CHECKED_PIXELS are decoded whatever their file's size
# (truncated ones too).
PIXELS_A_BYTE = 2 * 8 * 64
_SCALED = 8
ANY_PIXELS_A_BYTE = 8 * 1040
CHECKED_PIXELS = 1 << 24
_PADDING = b"\xff\xd9" * 0x8000  # end-of-image markers, longer than the longest segment of a JPEG


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file. Raises ImageReadError, which names it, if it cannot be read, is empty, or changes
    while it is read (half of an old image and half of a new one can decode as an image).
    """
    try:
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        plain = os.fspath(path).replace("\\", "/")  # of a name written on Windows
        other = f", nor is there {plain}" if plain != os.fspath(path) and not os.path.exists(plain) else ""
        reason = f"{error.strerror or error}{other}"
        raise ImageReadError(f"{os.fspath(path)}: cannot be opened: {reason}") from error
    if not data:
        raise ImageReadError(f"{os.fspath(path)}: the file is empty")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ImageReadError(f"{os.fspath(path)}: it changed while it was read")
    return data


def is_jpeg(data: bytes) -> bool:
    """Whether these bytes start as a JPEG file does."""
    return data.startswith(b"\xff\xd8")


def decode(data: bytes, name: str) -> torch.Tensor:
    """A JPEG's pixels as libjpeg decodes them: uint8 (3, H, W) RGB, or (1, H, W) for a grey one.

    data: the file's bytes; name: its name in errors. EXIF orientation is ignored; the end of a truncated file
    is filled as libjpeg does (mostly grey).
    Raises ImageReadError for anything else: not a JPEG, CMYK, 12-bit, more than MAX_PIXELS pixels, damaged.
    """
    with naming(name):
        image = opened(data, name)
        if image.mode not in ("L", "RGB"):
            raise ImageReadError(f"{name}: a {image.mode} JPEG; only grey and RGB ones are supported")
        return as_tensor(image)


def opened(data: bytes, name: str, *, whole: bool = False, scaled: bool = False) -> "Image":
    """A Pillow image of mode L, RGB or CMYK whose pixels are not decoded yet; use it within `naming`.

    whole: decoding raises for a file that is cut short, instead of filling its end; zeros at the end, which
    an interrupted copy leaves, count as missing. scaled: the image will be decoded at a fraction of its size,
    and may have _SCALED times as many pixels. Raises ImageReadError.
    """
    if not is_jpeg(data):
        raise ImageReadError(f"{name}: not a JPEG file: it starts with {data[:2].hex(' ')}")
    from PIL.JpegImagePlugin import JpegImageFile

    image = JpegImageFile(io.BytesIO(data.rstrip(b"\0") if whole else data + _PADDING))
    # a progressive one is held whole, whatever the fraction
    most = MAX_PIXELS * (_SCALED if scaled and not image.info.get("progressive") else 1)
    check_size(image.height, image.width, name, len(data), PIXELS_A_BYTE, most)
    return image


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turns what Pillow raises into ImageReadError, which names the file."""
    try:
        yield
    except ImageReadError:
        raise
    except Exception as error:  # Pillow has a dozen types for damaged files
        raise ImageReadError(f"{name}: a damaged JPEG file, or of an unknown kind: {error}") from error


def check_size(
    height: int, width: int, name: str, nbytes: int, tightest: int, most: int = MAX_PIXELS
) -> None:
    """Raises ImageReadError for an image without pixels, with more than `most`, or with more than a file of
    `nbytes` can hold, at `tightest` pixels per byte.
    """
    pixels = height * width
    if not 0 < pixels <= most:
        raise ImageReadError(f"{name}: {width} x {height} pixels; 1 to {most} can be decoded")
    if pixels > max(CHECKED_PIXELS, nbytes * tightest):
        raise ImageReadError(f"{name}: it declares {width} x {height} pixels in {nbytes:,} bytes: damaged")


def as_tensor(image: "Image") -> torch.Tensor:
    """A Pillow image of 8 bits per channel as (C, H, W) uint8."""
    pixels = np.array(image)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)
