"""Decoding an uploaded photo: kind by content, read as the index's images and within the same bounds."""

import io
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from deepibl.datasets.exif import image_position
from deepibl.errors import DatasetError
from deepibl.images import Reading
from deepibl.images.kinds import HEIC_ADVICE, is_heic, kinds_read, reads_heic
from deepibl.images.reading import pixels_of
from deepibl.report.heatmap import fit
from deepibl.serve.http import Limits, Refused
from matlab_compat.errors import ImageReadError
from matlab_compat.jpeg import CHECKED_PIXELS, is_jpeg

_MOST_SCANS = 64  # of a progressive JPEG: each decodes all pixels again; cameras and editors write about 10
_START_OF_SCAN = b"\xff\xda"
_SMALLER = "Send a copy of fewer pixels, e.g. 2000 pixels wide, or the photo as the camera wrote it."


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    pixels: (1 or 3, H, W) uint8 or float32, RGB 0–255, for the network. width, height: of the photo as it was
    sent, turned as `pixels`. position: latitude and longitude from its EXIF, or None.
    """

    pixels: Tensor
    width: int
    height: int
    position: tuple[float, float] | None


def decode_photo(data: bytes, limits: Limits, reading: Reading) -> Photo:
    """The photo in an uploaded file, scaled and turned as the index's images (`reading`).

    A photo that still has more than `limits.described_pixels` is scaled down to them. Large JPEGs are decoded
    at a fraction of their size. Raises Refused: 415 for what is not an image of a known kind, 413 for a JPEG
    of too many scans, 422 for a damaged file and for more pixels than `deepibl.images` reads.
    """
    header = _open_header(data)
    width, height = header.size
    if is_jpeg(data) and data.count(_START_OF_SCAN) > _MOST_SCANS:
        found = f"the JPEG has more than {_MOST_SCANS} scans"
        raise Refused(413, found, "Save it again with an image editor.")
    if reading.resize is None and reading.max_side is None and width * height > limits.described_pixels:
        side = int(max(width, height) * math.sqrt(limits.described_pixels / (width * height)))
        reading = replace(reading, max_side=max(1, side))
    try:
        pixels = pixels_of(data, "the photo", reading)
    except ImageReadError as problem:
        raise _unreadable(str(problem), large=width * height > CHECKED_PIXELS) from None
    if (width > height) != (pixels.shape[2] > pixels.shape[1]):  # turned
        width, height = height, width
    if pixels.shape[1] * pixels.shape[2] > limits.described_pixels:
        pixels = fit(pixels.float(), limits.described_pixels)
    position = None
    with suppress(DatasetError):  # an impossible position is none
        position = image_position(header)
    return Photo(pixels, width, height, position)


def _open_header(data: bytes) -> Any:
    """A Pillow image whose header alone was read. Raises Refused."""
    from PIL import Image, UnidentifiedImageError
    from PIL.JpegImagePlugin import JpegImageFile

    if is_heic(data) and not reads_heic():
        raise Refused(415, f"this server reads no HEIC photos ({HEIC_ADVICE})", "Export it as JPEG first.")
    *most, last = kinds_read()
    try:  # Image.open refuses JPEGs of many pixels, which are decoded at a fraction of their size
        if is_jpeg(data):
            return JpegImageFile(io.BytesIO(data))
        return Image.open(io.BytesIO(data), formats=[*most, last])
    except UnidentifiedImageError:
        head = data[:64]
        text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
        found = "holds text" if text else f"starts with the bytes {head[:8].hex(' ')}"
        raise Refused(
            415, f"the file is not a photo: it {found}", f"Send {', '.join(most)} or {last}."
        ) from None
    except Exception as problem:  # Pillow raises a dozen types for damaged files
        large = isinstance(problem, Image.DecompressionBombError)
        raise _unreadable(f"the photo is damaged or too large: {problem}", large) from None


def _unreadable(found: str, large: bool) -> Refused:
    return Refused(422, found, _SMALLER if large else "Open it with a viewer and save it again.")
