"""The position in a photo's EXIF."""

import os
from typing import Any

import numpy as np

from deepibl.errors import DatasetError
from matlab_compat.files import Bounded, StrPath

_GPS_IFD = 0x8825


def photo_position(path: StrPath) -> tuple[float, float] | None:
    """Latitude and longitude in degrees from a photo's EXIF; None without one (0, 0 counts as none).

    Raises DatasetError for a file that is not an image.
    """
    from PIL import Image

    try:
        with Bounded(path) as file, Image.open(file) as photo:
            return exif_position(photo.getexif())
    except Exception as problem:  # Pillow raises a dozen types for damaged files
        raise DatasetError(f"{os.fspath(path)} cannot be read as an image: {problem}") from None


def exif_position(exif: Any) -> tuple[float, float] | None:
    """As `photo_position`, for the EXIF of an image that Pillow has opened."""
    gps = exif.get_ifd(_GPS_IFD)
    latitude = _degrees(gps.get(2), gps.get(1), "S")
    longitude = _degrees(gps.get(4), gps.get(3), "W")
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None
    return latitude, longitude


def _degrees(parts: Any, reference: Any, negative: str) -> float | None:
    """Degrees of EXIF's degrees, minutes and seconds; None where they are missing or invalid."""
    try:
        values = [float(part) for part in parts]
        degrees = sum(value / 60**place for place, value in enumerate(values))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if len(values) not in (1, 2, 3) or not np.isfinite(degrees):
        return None
    sign = reference.decode("ascii", "replace") if isinstance(reference, bytes) else str(reference or "")
    return -degrees if sign.strip("\0 ").upper() == negative else degrees
