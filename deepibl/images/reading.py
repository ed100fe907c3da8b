"""An image file to pixels: RGB, 0–255. A `Reading` says how.

=======================================  ==========================================================
file                                     result
=======================================  ==========================================================
JPEG                                     libjpeg's pixels, bit for bit those of vl_imreadjpeg
JPEG, CMYK                               converted to RGB (vl_imreadjpeg refuses it)
JPEG, truncated                          as stored: what is there, the rest as libjpeg fills it (mostly
                                         grey); turned upright: ImageReadError
JPEG or other with EXIF orientation      as stored, not turned, as the original; or turned upright
PNG, TIFF, WebP, BMP, … (Pillow's)       first frame, as below (vl_imreadjpeg reads JPEG only)
HEIC                                     with the extra `heif`; always upright
16 bits a channel                        the upper 8 bits (a viewer's picture; at most 1 from v / 257)
palette, logical                         the palette's colours; 0 and 255
with an alpha channel                    alpha dropped, not composited
floating point, or 32-bit integers       ImageReadError: their range is not known
no pixels, or more than 178,956,970      ImageReadError (a decompression bomb), before decoding; a JPEG
                                         that is scaled down may have eight times as many, unless
                                         progressive. Pillow warns from half of that on, except for JPEGs
truncated (not JPEG), missing, no image  ImageReadError
=======================================  ==========================================================

The format is found by the file's content, never by its name; every error names the file.

A photo that is scaled down is decoded at 1/2, 1/4 or 1/8 of its size where libjpeg can and at least twice
the wanted size remains, then resampled (Pillow's bicubic filter, antialiased).
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepibl.images.kinds import HEIC_ADVICE, is_heic, reads_heic
from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.files import StrPath
from matlab_compat.images import crop_and_size, resize_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

LONG_SIDE = 640  # pixels; own photos are scaled down to it, see docs/results.md
_ORIENTATION = 0x0112
_TURNS = dict(enumerate((0, 3, 1, 5, 4, 6, 2), start=2))  # orientation to Pillow's Transpose


@dataclass(frozen=True)
class Reading:
    """How a file becomes pixels; the default is the original's.

    resize: pixels of the shorter side, or (height, width), which crops the middle part of that shape, as
    vl_imreadjpeg does; None leaves the size. max_side: pixels of the longer side, to which larger images are
    scaled down. upright: whether to turn images by their EXIF orientation, and to refuse a JPEG that is cut
    short; otherwise they are read as stored, as the original does.
    """

    resize: int | Sequence[int] | None = None
    max_side: int | None = None
    upright: bool = False

    def longest(self, width: int, height: int) -> int | None:
        """The longer side to which an image of this size is scaled down first, in pixels."""
        if self.upright and isinstance(self.resize, int):  # twice what remains: `resize_pixels` does the rest
            return math.ceil(2 * self.resize * max(width, height) / min(width, height))
        return self.max_side


AS_STORED = Reading()
OWN_PHOTOS = Reading(max_side=LONG_SIDE, upright=True)


def read_image(
    path: StrPath,
    resize: int | Sequence[int] | None = None,
    interpolation: str = "bilinear",
    *,
    max_side: int | None = None,
    upright: bool = False,
) -> torch.Tensor:
    """Reads an image file as (3, H, W) float32, RGB 0–255; the module's table lists the kinds of files.

    resize, max_side, upright: see `Reading`. interpolation: of resize: box, bilinear, bicubic, lanczos2 or
    lanczos3. Raises ImageReadError, naming the file.
    """
    pixels = load_pixels(path, Reading(resize, max_side, upright), interpolation)
    return pixels.to(torch.float32).expand(3, -1, -1)


def load_pixels(path: StrPath, reading: Reading = AS_STORED, interpolation: str = "bilinear") -> torch.Tensor:
    """As `read_image`, in the smallest form: (1, H, W) or (3, H, W), uint8 unless `resize` resampled."""
    return pixels_of(jpeg.read_bytes(path), os.fspath(path), reading, interpolation)


def pixels_of(data: bytes, name: str, reading: Reading, interpolation: str = "bilinear") -> torch.Tensor:
    """As `load_pixels`, from a file's bytes. name: of the file, for errors."""
    return _resized(jpeg.as_tensor(open_image(data, name, reading)), reading, interpolation)


def pixels_of_photo(photo: Any, reading: Reading = AS_STORED) -> torch.Tensor:
    """As `load_pixels`, of a file, the bytes of one, a Pillow image, or an array (H, W, 3) or (H, W) uint8.

    Arrays are RGB: turn OpenCV's BGR around, `frame[..., ::-1]`. Raises ArgumentError for other arrays, whose
    order of axes or range is not known, and for anything else, and ImageReadError as `load_pixels`.
    """
    import PIL.Image

    if isinstance(photo, str | os.PathLike):
        return load_pixels(photo, reading)
    if isinstance(photo, bytes | bytearray | memoryview):
        return pixels_of(bytes(photo), "the photo", reading)
    pixels = isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.size
    if pixels and (photo.ndim == 2 or photo.shape[2:] == (3,)):
        photo = PIL.Image.fromarray(np.ascontiguousarray(photo))
    if not isinstance(photo, PIL.Image.Image):
        found = f"{getattr(photo, 'dtype', type(photo).__name__)} {getattr(photo, 'shape', '')}"
        allowed = "a file, its bytes, a Pillow image, or an RGB array (H, W, 3) or (H, W) of uint8"
        raise ArgumentError(f"a photo is {allowed}; got {found.rstrip()}")
    small = _scaled(_eight_bits(photo.copy(), "the photo"), "the photo", reading)  # a copy: drafts change it
    return _resized(jpeg.as_tensor(_turned(small, photo) if reading.upright else small), reading)


def _resized(pixels: torch.Tensor, reading: Reading, interpolation: str = "bilinear") -> torch.Tensor:
    if reading.resize is None:
        return pixels
    side = reading.resize
    target = side if isinstance(side, int) else (int(side[0]), int(side[1]))
    return resize_pixels(pixels, crop_and_size(pixels.shape[1], pixels.shape[2], target), interpolation)


def open_image(data: bytes, name: str, reading: Reading = AS_STORED) -> Image:
    """Returns a Pillow image of mode L or RGB, 8 bits a channel, from a file's bytes; all but `resize` is
    applied.

    Raises ImageReadError, with the file's name.
    """
    if jpeg.is_jpeg(data):
        with jpeg.naming(name):
            scaled = reading.longest(1, 1) is not None
            image = jpeg.opened(data, name, whole=reading.upright, scaled=scaled)
            small = _eight_bits(_scaled(image, name, reading), name)
    else:
        image = _open_other(data, name)
        small = _scaled(_eight_bits(image, name), name, reading)
    return _turned(small, image) if reading.upright else small


def _open_other(data: bytes, name: str) -> Image:
    """A Pillow image, decoded, of a file that is not a JPEG."""
    import PIL.Image

    if is_heic(data) and not reads_heic():
        raise ImageReadError(f"{name}: a HEIC picture, which needs pillow-heif: {HEIC_ADVICE}")
    try:
        image = PIL.Image.open(io.BytesIO(data))
        jpeg.check_size(image.height, image.width, name, len(data), jpeg.ANY_PIXELS_A_BYTE)
        image.load()
        return image
    except ImageReadError:
        raise
    except PIL.UnidentifiedImageError as error:
        found = f"not an image, or of an unknown kind; it starts with {data[:8].hex(' ')}"
        raise ImageReadError(f"{name}: {'a damaged HEIC picture' if is_heic(data) else found}") from error
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise ImageReadError(f"{name}: a damaged image: {error}") from error


def _scaled(image: Image, name: str, reading: Reading) -> Image:
    """The image, decoded, scaled down as `reading` says."""
    from PIL.Image import Resampling

    longest, longer = reading.longest(*image.size), max(image.size)
    if longest is None or longest >= longer:
        image.load()
        return image
    width, height = (max(1, round(side * longest / longer)) for side in image.size)
    drafted = image.draft("", (2 * width, 2 * height))  # libjpeg: decodes a fraction of the pixels
    if image.width * image.height > jpeg.MAX_PIXELS:
        raise ImageReadError(f"{name}: {longest} pixels are too large a side to scale it to")
    box = drafted[1] if drafted else None
    return image.resize((width, height), Resampling.BICUBIC, box, reducing_gap=2.0)


def _turned(image: Image, source: Image) -> Image:
    """The image turned by the EXIF orientation of the file that it was read from; invalid EXIF turns nothing.

    Pillow's exif_transpose rewrites the EXIF too, and raises where a camera has written an odd value.
    """
    from PIL.Image import Transpose

    try:
        orientation = source.getexif().get(_ORIENTATION)
    except Exception:  # Pillow raises a dozen types for damaged EXIF
        return image
    return image.transpose(Transpose(_TURNS[orientation])) if orientation in _TURNS else image


def _eight_bits(image: Image, name: str) -> Image:
    """Any mode of Pillow's as L or RGB."""
    import PIL.Image

    mode = image.mode
    if mode in ("L", "RGB"):
        return image
    if mode == "1":
        return image.convert("L")
    if mode in ("LA", "La"):
        return image.convert("LA").getchannel(0)
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode in ("F", "I"):
        raise ImageReadError(
            f"{name}: pixels of type {mode} (float or 32-bit) have no known range; store 8 or 16 bits"
        )
    if mode in ("P", "PA", "RGBa"):
        image = image.convert("RGBA")  # palette and alpha in any form; the next step drops alpha
    return image.convert("RGB")
