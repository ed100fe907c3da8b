"""The position in a photo: its EXIF, or its XMP where the EXIF has none."""

import math
import os
import re
from collections.abc import Mapping
from typing import Any

from deepibl.datasets.degrees import AXES, parse_degrees, signed_degrees
from deepibl.errors import DatasetError
from matlab_compat.files import Bounded, StrPath
from matlab_compat.jpeg import is_jpeg

_GPS_IFD = 0x8825
_TAGS = {"latitude": (2, 1), "longitude": (4, 3)}  # of the numbers, and of the letter
_XMP = rb"\bexif:GPS%s\s*(?:=\s*[\"']|>)\s*([^\"'<]+?)\s*[\"'<]"


def photo_position(path: StrPath) -> tuple[float, float] | None:
    """Latitude and longitude in degrees of a photo; None without a position (0, 0 counts as none).

    Raises DatasetError for a file that is not an image, and for a position that is impossible.
    """
    from PIL import Image, UnidentifiedImageError
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with Bounded(path) as file:
            # Image.open warns of large JPEGs and refuses larger ones, of which nothing is decoded here
            return image_position(JpegImageFile(file) if is_jpeg(file.peek(2)) else Image.open(file))
    except DatasetError as problem:
        raise DatasetError(f"{os.fspath(path)}: {problem}") from None
    except UnidentifiedImageError:  # whose text names the open file
        raise DatasetError(f"{os.fspath(path)} cannot be read as an image: of no known kind") from None
    except Exception as problem:  # Pillow raises a dozen types for damaged files
        raise DatasetError(f"{os.fspath(path)} cannot be read as an image: {problem}") from None


def image_position(photo: Any) -> tuple[float, float] | None:
    """As `photo_position`, for an image that Pillow has opened. Raises DatasetError alone."""
    try:
        gps = photo.getexif().get_ifd(_GPS_IFD)
    except Exception as problem:  # as above
        raise DatasetError(f"its EXIF cannot be read: {problem}") from None
    xmp = photo.info.get("xmp", b"")
    try:
        given = [_in_exif(gps, axis) for axis in AXES]
        if not all(given):
            given = [_in_xmp(xmp if isinstance(xmp, bytes) else b"", axis) for axis in AXES]
        found = [signed_degrees(*each, axis) for each, axis in zip(given, AXES, strict=True) if each]
    except (ArithmeticError, TypeError, ValueError) as problem:
        raise DatasetError(f"its position is left out: {problem}") from None
    return (found[0], found[1]) if len(found) == 2 and any(found) else None


def _in_exif(gps: Mapping[int, Any], axis: str) -> tuple[list[float], str] | None:
    """The numbers and the letter of an axis; None where there are none, or 0/0 (no fix)."""
    given = [gps.get(tag) for tag in _TAGS[axis]]
    numbers, letter = (v.decode("ascii", "replace") if isinstance(v, bytes) else v for v in given)
    letter = str(letter or "")
    if isinstance(numbers, str):
        parts, own = parse_degrees(numbers.strip("\0 "))
        return parts, own or letter
    values: Any = numbers if isinstance(numbers, tuple | list) else [numbers]
    parts = [] if numbers is None else [_number(value) for value in values]
    return (parts, letter) if parts and not math.isnan(parts[0]) else None


def _number(value: Any) -> float:
    """A number of EXIF; 0/0 is NaN, which Pillow before 12.3 divides."""
    try:
        return float(value)
    except ZeroDivisionError:
        return math.nan


def _in_xmp(xmp: bytes, axis: str) -> tuple[list[float], str] | None:
    """As `_in_exif`, of XMP's 55,42.3N (or 55,42,18N) in an attribute or an element."""
    found = re.search(_XMP % axis.title().encode(), xmp)
    text = found[1].decode("utf-8", "replace") if found else ""
    return parse_degrees(text.replace(",", " ") if text[-1:].isalpha() else text) if text else None
