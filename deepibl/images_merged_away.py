"""Reading one image for a network: any format, always RGB 0–255.

=======================================  ==========================================================
file                                     result
=======================================  ==========================================================
JPEG, also progressive                   libjpeg's pixels, bit for bit those of vl_imreadjpeg
JPEG, grey                               the channel three times
JPEG, CMYK                               converted to RGB (vl_imreadjpeg refuses it)
JPEG, truncated                          what is there; the rest as libjpeg fills it (mostly grey)
JPEG or other with EXIF orientation      as stored, not turned: the original ignores it too
PNG, TIFF, WebP, BMP, … (Pillow's)       first frame, as below (vl_imreadjpeg reads JPEG only)
16 bits a channel                        the upper 8 bits (a viewer's picture; at most 1 from v / 257)
palette, logical                         the palette's colours; 0 and 255
with an alpha channel                    alpha dropped, not composited
floating point, or 32-bit integers       ImageReadError: their range is not known
truncated, but no JPEG                   ImageReadError
no pixels, or more than 178,956,970      ImageReadError (a decompression bomb), before decoding;
                                         Pillow warns from half of that on, but for JPEGs
zero bytes, no image, missing            ImageReadError
=======================================  ==========================================================

The format is found by the file's content, never by its name; every error names the file.
"""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from matlab_compat import jpeg
from matlab_compat.errors import ImageReadError
from matlab_compat.images import crop_and_size, resize_pixels

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image(
    path: str | os.PathLike[str], resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """An image file as (3, H, W) float32, RGB 0–255; see the module's table for what each kind of file gives.

    resize: pixels of the shorter side, or (height, width), which crops the middle part of that shape, as
    vl_imreadjpeg does; None leaves the size. interpolation: box, bilinear, bicubic, lanczos2 or lanczos3.
    Raises ImageReadError, naming the file.
    """
    pixels = load_pixels(path, resize, interpolation)
    return pixels.to(torch.float32).expand(3, -1, -1)


def load_pixels(
    path: str | os.PathLike[str], resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """As `read_image`, in the smallest form: (1, H, W) or (3, H, W), uint8 where nothing was resampled.

    Bytes are a quarter of float32 to keep in memory and to send to a GPU.
    """
    return scaled_pixels(open_image(jpeg.read_bytes(path), os.fspath(path)), resize, interpolation)


def scaled_pixels(
    image: "Image", resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """A Pillow image of mode L or RGB as `load_pixels` gives a file."""
    pixels = jpeg.as_tensor(image)
    if resize is None:
        return pixels
    target = resize if isinstance(resize, int) else (int(resize[0]), int(resize[1]))
    return resize_pixels(pixels, crop_and_size(pixels.shape[1], pixels.shape[2], target), interpolation)


def open_image(data: bytes, name: str) -> "Image":
    """A Pillow image of mode L or RGB, 8 bits a channel, from a file's bytes; the module's table says how.

    name: what errors call the file. Raises ImageReadError.
    """
    if jpeg.is_jpeg(data):
        return _eight_bits(jpeg.decode_any_colour(data, name), name)
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            jpeg.check_size(image.height, image.width, name, len(data), jpeg.ANY_PIXELS_A_BYTE)
            image.load()
            return _eight_bits(image, name)
    except ImageReadError:
        raise
    except PIL.UnidentifiedImageError as error:
        start = data[:8].hex(" ")
        raise ImageReadError(
            f"{name}: not an image, or of a kind not known; it starts with {start}"
        ) from error
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise ImageReadError(f"{name}: a damaged image: {error}") from error


def _eight_bits(image: "Image", name: str) -> "Image":
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
