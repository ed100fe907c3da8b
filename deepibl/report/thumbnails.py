"""Small pictures of image files for pages and terminals; what cannot be read is None, never an error."""

import base64
import io
import os

import numpy as np

from matlab_compat.files import Bounded

QUALITY = 62


def small_picture(path: str | os.PathLike[str], side: int) -> np.ndarray | None:
    """The picture in a file, its longer side at most `side` pixels: (h, w, 3) uint8 RGB, or None."""
    from PIL import Image

    try:
        with Bounded(path) as file, Image.open(file) as picture:
            picture.draft("RGB", (2 * side, 2 * side))  # JPEG: decodes a fraction of the pixels
            small = picture.convert("RGB")
            small.thumbnail((side, side))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    return np.asarray(small)


def thumbnail(path: str | os.PathLike[str], side: int = 176) -> str | None:
    """As `small_picture`, as a data URI of a JPEG: a few kilobytes of text to put into a page."""
    small = small_picture(path, side)
    if small is None:
        return None
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
