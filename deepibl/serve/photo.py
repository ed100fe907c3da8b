"""Decoding an uploaded photo: kind by content, size checked first, read as the index's images."""

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

_MOST_SCANS = 64  # of a progressive JPEG: each decodes all pixels again; cameras and editors write about 10
_START_OF_SCAN = b"\xff\xda"


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    pixels: (1 or 3, H, W) uint8 or float32, RGB 0–255, for the network. width, height: of the photo as it was
    sent, turned as `pixels`. position: latitude and longitude in degrees from its EXIF, None where it has
    none.
    """

    pixels: Tensor
    width: int
    height: int
    position: tuple[float, float] | None


def decode_photo(data: bytes, limits: Limits, reading: Reading) -> Photo:
    """The photo in an uploaded file, scaled and turned as the index's images (`reading`).

    A photo that still has more than `limits.described_pixels` is scaled down to them.
    Raises Refused: 415 for what is not an image of a known kind, 413 for too many pixels, found before any is
    decoded, 422 for a damaged file.
    """
    header = _open_header(data)
    width, height = header.size
    if width * height > limits.photo_pixels:
        most = limits.photo_pixels // 1_000_000
        raise Refused(
            413,
            f"the photo has {width} x {height} pixels; at most {most} million are decoded",
            "Send a smaller one, e.g. 2000 pixels wide.",
        )
    if header.format == "JPEG" and data.count(_START_OF_SCAN) > _MOST_SCANS:
        raise Refused(
            413, f"the JPEG has more than {_MOST_SCANS} scans", "Save it again with an image editor."
        )
    if reading.resize is None and reading.max_side is None and width * height > limits.described_pixels:
        side = int(max(width, height) * math.sqrt(limits.described_pixels / (width * height)))
        reading = replace(reading, max_side=max(1, side))
    try:
        pixels = pixels_of(data, "the photo", reading)
    except ImageReadError as problem:
        raise Refused(422, str(problem), "Open it with a viewer and save it again.") from None
    if (width > height) != (pixels.shape[2] > pixels.shape[1]):  # turned
        width, height = height, width
    if pixels.shape[1] * pixels.shape[2] > limits.described_pixels:
        pixels = fit(pixels.float(), limits.described_pixels)
    position = None
    with suppress(DatasetError):  # an impossible position is none
        position = image_position(header)
    return Photo(pixels, width, height, position)


def _open_header(data: bytes) -> Any:
    """A Pillow image whose header alone was read. Raises Refused.

    `Image.open` is not used: it raises for too many pixels by itself, before `decode_photo` can say how many.
    """
    from PIL import Image

    if is_heic(data) and not reads_heic():
        raise Refused(
            415, f"this server does not read HEIC pictures ({HEIC_ADVICE})", "Export it as JPEG first."
        )
    Image.init()
    for kind in kinds_read():
        plugin, accepts = Image.OPEN[kind]
        if accepts is not None and accepts(data[:64]) is True and (kind == "HEIF") == is_heic(data):
            try:
                return plugin(io.BytesIO(data), "")
            except Exception as problem:  # Pillow raises a dozen types for damaged files
                found = f"the file starts as {kind} and is damaged: {problem}"
                raise Refused(422, found, "Open it with a viewer and save it again.") from None
    *most, last = kinds_read()
    raise Refused(415, f"the file is not a photo: it {_start(data)}", f"Send {', '.join(most)} or {last}.")


def _start(data: bytes) -> str:
    head = data[:64]
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "holds text"
    return f"starts with the bytes {head[:8].hex(' ')}"
