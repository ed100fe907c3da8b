"""Files of a toy city: JPEGs that say how they were made, with GPS in EXIF; tables of names and positions."""

import csv
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deepibl.geo import utm_to_latlon
from deepibl.toycity.places import Shot
from matlab_compat.files import atomic_output

VERSION = 1  # of the pictures: raise it when the same seed would give others
STALE = 600.0  # seconds after which a part of a killed run is removed


def photo_note(shot: Shot, seed: int, zone: str | None) -> str:
    """What is written into a photo's JPEG comment: all that decides its bytes."""
    view = shot.view
    return (
        f"deepibl toy city {VERSION}, OpenCV {cv2.__version__}, seed {seed}, {shot.name}, "
        f"{view.size[0]}x{view.size[1]}, {shot.time} {shot.date}, "
        f"utm {view.position[0]:.3f} {view.position[1]:.3f}, "
        f"heading {view.heading:.3f}, gps {zone or 'none'}"
    )


def is_right(path: Path, note: str) -> bool:
    """Whether the file is a whole JPEG with that note in it."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return data.endswith(b"\xff\xd9") and _segment(0xFE, note.encode()) in data[:4096]


def write_photo(path: Path, picture: np.ndarray, note: str, quality: int, exif: bytes | None) -> None:
    """Writes (rows, cols, 3) uint8 RGB as a JPEG, under a temporary name first."""
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    data = encoded.tobytes()
    head = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2  # behind the JFIF segment
    extra = (_segment(0xE1, b"Exif\0\0" + exif) if exif else b"") + _segment(0xFE, note.encode())
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data[:head] + extra + data[head:])
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def gps_exif(shot: Shot, zone: str) -> bytes:
    """EXIF (TIFF) with the latitude, longitude and direction of a photo."""
    latitude, longitude = utm_to_latlon(*shot.view.position, zone)
    tags = [
        (1, 2, b"N\0" if latitude >= 0 else b"S\0"),
        (2, 5, _sexagesimal(latitude)),
        (3, 2, b"E\0" if longitude >= 0 else b"W\0"),
        (4, 5, _sexagesimal(longitude)),
        (16, 2, b"T\0"),
        (17, 5, struct.pack(">II", round(shot.view.heading * 100) % 36000, 100)),
    ]
    first = 8 + 2 + 12 + 4  # header and a directory whose one entry points to the GPS directory
    values, entries = b"", b""
    after = first + 2 + 12 * len(tags) + 4
    for tag, kind, value in tags:
        count = len(value) if kind == 2 else len(value) // 8
        if len(value) <= 4:
            entries += struct.pack(">HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            entries += struct.pack(">HHII", tag, kind, count, after + len(values))
            values += value
    main = struct.pack(">HHHIII", 1, 0x8825, 4, 1, first, 0)
    return (
        b"MM\0*" + struct.pack(">I", 8) + main + struct.pack(">H", len(tags)) + entries + b"\0" * 4 + values
    )


def _sexagesimal(degrees: float) -> bytes:
    """Degrees, minutes and ten-thousandths of seconds as three fractions."""
    total = round(abs(degrees) * 3600 * 10000)
    minutes, seconds = divmod(total, 60 * 10000)
    return struct.pack(">IIIIII", minutes // 60, 1, minutes % 60, 1, seconds, 10000)


def write_table(path: Path, shots: Sequence[Shot], zone: str) -> None:
    """A CSV of photos: name, UTM position and zone, degrees, time of day, date, heading."""
    with atomic_output(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "utm_east", "utm_north", "zone", "lat", "lon", "time", "date", "heading"))
        for shot in shots:
            east, north = shot.view.position
            latitude, longitude = utm_to_latlon(east, north, zone)
            writer.writerow(
                (
                    shot.name,
                    f"{east:.3f}",
                    f"{north:.3f}",
                    zone,
                    f"{latitude:.8f}",
                    f"{longitude:.8f}",
                    shot.time,
                    shot.date,
                    f"{shot.view.heading:.2f}",
                )
            )


def remove_stale_parts(folder: Path) -> None:
    """Removes what a killed run left behind; parts of a run that may still be going on stay."""
    limit = time.time() - STALE
    for part in folder.glob(".*.part"):
        if part.stat().st_mtime < limit:
            part.unlink(missing_ok=True)
