"""Positions in photos: EXIF as devices write it, XMP."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from deepibl.datasets.exif import photo_position
from deepibl.datasets.folder import read_places
from deepibl.errors import DatasetError

AT = (-12.51, -77.05)  # 12 30 36 S, 77 3 0 W
ZERO = IFDRational(0, 0)
GOOD = {1: "S", 2: (12.0, 30.0, 36.0), 3: "W", 4: (77.0, 3.0, 0.0)}


def photo(path: Path, gps: dict[int, Any], xmp: str = "", signed: bool = False) -> Path:
    """A photo with GPS tags. signed: of the type SRATIONAL, which Pillow writes only when it is told to."""
    if signed:
        tags = ImageFileDirectory_v2()
        tags.update(gps)
        tags.tagtype |= {2: 10, 4: 10}
        entry = b"\x01\0\x25\x88\x04\0\x01\0\0\0\x1a\0\0\0" + bytes(4)  # the GPS tags are at 26
        data = b"Exif\0\0II*\0\x08\0\0\0" + entry + tags.tobytes(26)
    else:
        exif = Image.Exif()
        exif.get_ifd(0x8825).update(gps)
        data = exif.tobytes()
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", xmp)
    Image.new("RGB", (4, 3)).save(path, exif=data, xmp=xmp.encode(), pnginfo=chunks)
    return path


@pytest.mark.parametrize(
    ("gps", "signed"),
    [
        (GOOD, False),
        ({**GOOD, 2: (12.0, 30.6, ZERO), 4: (77.0, 3.0, ZERO)}, False),
        ({**GOOD, 2: (12.0, 30.6), 4: (77.0, 3.0)}, False),
        ({**GOOD, 2: (12.51,), 4: (77.05,)}, False),
        ({**GOOD, 2: (12.51, ZERO, ZERO), 4: (77.05, ZERO, ZERO)}, False),
        ({**GOOD, 1: "s", 3: "West"}, False),
        ({2: (-12.0, 30.0, 36.0), 4: (-77.0, 3.0, 0.0)}, True),
        ({**GOOD, 2: (-12.0, 30.0, 36.0), 4: (-77.0, 3.0, 0.0)}, True),
        ({**GOOD, 2: (-12.0, -30.0, -36.0), 4: (-77.0, -3.0, 0.0)}, True),
    ],
)
def test_positions_are_read_as_devices_write_them(tmp_path: Path, gps: dict[int, Any], signed: bool) -> None:
    assert photo_position(photo(tmp_path / "a.jpg", gps, signed=signed)) == pytest.approx(AT, abs=1e-6)


@pytest.mark.parametrize(
    ("gps", "signed"),
    [
        ({**GOOD, 2: (91.0, 27.0, 0.0)}, False),
        ({**GOOD, 4: (181.0, 0.0, 0.0)}, False),
        ({**GOOD, 2: (4294967284.0, 30.0, 0.0)}, False),
        ({**GOOD, 2: (12.0, ZERO, ZERO)}, False),
        ({**GOOD, 1: "N", 2: (-12.0, 30.0, 36.0)}, True),
        ({**GOOD, 1: "E"}, False),
        ({**GOOD, 2: (12.0, 75.0, 0.0)}, False),
    ],
)
def test_an_impossible_position_does_not_end_a_folder(
    tmp_path: Path, gps: dict[int, Any], signed: bool
) -> None:
    photo(tmp_path / "a.jpg", GOOD)
    photo(tmp_path / "b.jpg", gps, signed=signed)
    photo(tmp_path / "c.jpg", GOOD)
    places = read_places(tmp_path)
    assert places.names == ["a.jpg", "b.jpg", "c.jpg"] and places.unknown == ["b.jpg"]
    assert len(places.problems) == 1 and places.problems[0].startswith("b.jpg: its position is left out: ")
    with pytest.raises(DatasetError, match=r"b\.jpg: its position is left out"):
        photo_position(tmp_path / "b.jpg")


def test_a_photo_without_a_fix_has_no_position_and_no_problem(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", GOOD)
    photo(tmp_path / "b.jpg", {**GOOD, 2: (ZERO, ZERO, ZERO), 4: (ZERO, ZERO, ZERO)})
    places = read_places(tmp_path)
    assert places.unknown == ["b.jpg"] and places.problems == []


XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {}>{}</rdf:Description></x:xmpmeta>'


@pytest.mark.parametrize(
    "xmp",
    [
        XMP.format('exif:GPSLatitude="12,30.6S" exif:GPSLongitude="77,3.0W"', ""),
        XMP.format("exif:GPSLatitude='12,30,36S' exif:GPSLongitude = '77,3,0W'", ""),
        XMP.format(
            "", "<exif:GPSLatitude>12,30.6S</exif:GPSLatitude><exif:GPSLongitude>77,3W</exif:GPSLongitude>"
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_xmp_counts_where_the_exif_has_no_position(tmp_path: Path, xmp: str, suffix: str) -> None:
    assert photo_position(photo(tmp_path / f"a{suffix}", {}, xmp)) == pytest.approx(AT, abs=1e-6)
    other = {**GOOD, 1: "N", 3: "E"}
    found = photo_position(photo(tmp_path / f"b{suffix}", other, xmp))
    assert found == pytest.approx((-AT[0], -AT[1]), abs=1e-6)


def test_damaged_exif_is_reported_with_the_photo(tmp_path: Path) -> None:
    data = photo(tmp_path / "a.jpg", GOOD).read_bytes()
    start = data.index(b"Exif\0\0") + 6
    (tmp_path / "a.jpg").write_bytes(data[: start + 4] + b"\xff\xff\xff\x7f" + data[start + 8 :])
    places = read_places(tmp_path)
    assert places.unknown == ["a.jpg"]


@pytest.mark.parametrize("name", ["@nan@4480000@17@T@@.jpg", "@500000@inf@17@T@@.jpg"])
def test_a_name_without_finite_metres_gives_no_position(tmp_path: Path, name: str) -> None:
    photo(tmp_path / name, {})
    photo(tmp_path / "@500000@4480000@17@T@@.jpg", {})
    places = read_places(tmp_path)
    assert places.unknown == [name] and places.frame == "17N"


def test_a_name_with_an_impossible_zone_is_reported(tmp_path: Path) -> None:
    photo(tmp_path / "@500000@4480000@77@T@@.jpg", {})
    photo(tmp_path / "@500001@4480000@17@S@@.jpg", {})
    places = read_places(tmp_path)
    assert np.isfinite(places.positions).all(axis=1).tolist() == [False, True] and places.frame == "17N"
    assert len(places.problems) == 1 and "'77T' is not a UTM zone" in places.problems[0]
