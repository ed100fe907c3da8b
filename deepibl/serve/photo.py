"""Decoding an uploaded photo: format by content, size checked first, turned upright, at the index's scale."""

import io
import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deepibl.datasets.exif import image_position
from deepibl.errors import DatasetError
from deepibl.images import open_image, scaled_pixels
from deepibl.report.heatmap import fit
from deepibl.serve.http import Limits, Refused
from matlab_compat.errors import ImageReadError

KINDS = ("JPEG", "PNG", "WebP")
_SHRINK_FROM = 16_000_000  # pixels; larger photos are reduced by a whole factor first, to save memory
_MOST_SCANS = 64  # of a progressive JPEG: each decodes all pixels again; cameras and editors write about 10
_START_OF_SCAN = b"\xff\xda"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    pixels: (1 or 3, H, W) uint8 or float32, RGB 0–255, for the network. width, height: of the photo as it was
    sent, turned upright. position: latitude and longitude in degrees from its EXIF, None where it has none.
    """

    pixels: Tensor
    width: int
    height: int
    position: tuple[float, float] | None


def decode_photo(data: bytes, limits: Limits, resize: int | None = None) -> Photo:
    """The photo in an uploaded file.

    It is turned upright by its EXIF orientation (unlike files on disk, which are taken as stored), scaled to
    `resize` pixels of the shorter side as the index's images were, and down to `limits.described_pixels`.
    Raises Refused: 415 for what is neither JPEG, PNG nor WebP by its content, 413 for too many pixels, found
    before any is decoded, 422 for a damaged file.
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
    try:
        image: Any = open_image(data, "the photo")
    except ImageReadError as problem:
        raise Refused(422, str(problem), "Open it with a viewer and save it again.") from None
    orientation, position = _exif(image)
    factor = math.ceil(math.sqrt(width * height / _SHRINK_FROM))
    image = _upright(image.reduce(factor) if factor > 1 else image, orientation)
    if orientation > 4:
        width, height = height, width
    pixels = scaled_pixels(image, resize)
    if pixels.shape[1] * pixels.shape[2] > limits.described_pixels:
        pixels = fit(pixels.float(), limits.described_pixels)
    return Photo(pixels, width, height, position)


def _open_header(data: bytes) -> Any:
    """A Pillow image whose header alone was read. Raises Refused."""
    plugin = _plugin(data)
    try:
        return plugin(io.BytesIO(data))
    except Exception as problem:  # Pillow raises a dozen types for damaged files
        found = f"the file starts as {plugin.format} and is damaged: {problem}"
        raise Refused(422, found, "Open it with a viewer and save it again.") from None


def _plugin(data: bytes) -> Any:
    """Pillow's class for the format that these bytes begin. Raises Refused.

    `Image.open` is not used: it raises for too many pixels by itself, before `decode_photo` can say how many.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        raise Refused(415, "the file is a HEIC or AVIF picture", "Export it as JPEG first.")
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    raise Refused(415, f"the file is not a photo: it {_start(data)}", f"Send {kinds}.")


def _start(data: bytes) -> str:
    head = data[:64]
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "holds text"
    return f"starts with the bytes {head[:8].hex(' ')}"


def _exif(image: Any) -> tuple[int, tuple[float, float] | None]:
    """Orientation (1 to 8) and position; 1 and None where the EXIF is missing or invalid."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a photo with damaged EXIF is answered, too
        return 1, None
    try:
        position = image_position(image)
    except DatasetError:  # an impossible position is none
        position = None
    return (orientation if orientation in range(1, 9) else 1), position


def _upright(image: Any, orientation: int) -> Any:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
