"""Latitude, longitude and UTM; positions in EXIF."""

import csv

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from deepibl.datasets.exif import photo_position
from deepibl.datasets.geo import latlon_to_utm, map_link, parse_zone, plain_zone, utm_to_latlon, zone_of
from deepibl.errors import DatasetError

# (latitude, longitude, zone, east, north): the origin of each zone is 500 km west of its central meridian
KNOWN = [
    (0.0, 3.0, "31N", 500000.0, 0.0),
    (0.0, 9.0, "32N", 500000.0, 0.0),
    (43.642567, -79.387139, "17N", 630084.30, 4833438.55),  # CN Tower, Toronto: Wikipedia's UTM example
]


@pytest.mark.parametrize(("latitude", "longitude", "zone", "east", "north"), KNOWN)
def test_known_positions(latitude, longitude, zone, east, north):
    positions, found = latlon_to_utm([latitude], [longitude])
    assert found == zone
    assert np.abs(positions - [[east, north]]).max() < 0.6
    assert utm_to_latlon(*positions[0], zone) == pytest.approx((latitude, longitude), abs=1e-6)


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(55.7, 13.2), (-33.86, 151.21), (40.44, -79.99), (-54.8, -68.3)]
)
def test_there_and_back(latitude, longitude):
    positions, zone = latlon_to_utm(latitude, longitude)
    assert utm_to_latlon(*positions[0], zone) == pytest.approx((latitude, longitude), abs=1e-6)


def test_all_positions_share_one_zone_even_across_its_border():
    latitudes, longitudes = [48.0, 48.0], [11.999, 12.001]  # zones 32 and 33
    assert (zone_of(48.0, 11.999), zone_of(48.0, 12.001)) == ("32N", "33N")
    positions, zone = latlon_to_utm(latitudes, longitudes)
    assert zone == "32N"
    distance = np.linalg.norm(positions[1] - positions[0])
    assert distance == pytest.approx(np.radians(0.002) * 6378137 * np.cos(np.radians(48)), rel=5e-3)


@pytest.mark.parametrize("zone", ["36N", "36S"])
def test_distances_across_the_equator_are_right(zone):
    positions, _ = latlon_to_utm([-0.0005, 0.0005], [33.0, 33.0], zone)
    assert np.linalg.norm(positions[1] - positions[0]) == pytest.approx(110.6, abs=0.2)
    assert utm_to_latlon(*positions[0], zone)[0] == pytest.approx(-0.0005, abs=1e-8)


def test_unknown_positions_stay_unknown():
    positions, zone = latlon_to_utm([np.nan, 55.7], [np.nan, 13.2])
    assert zone == "33N"
    assert np.isnan(positions[0]).all() and np.isfinite(positions[1]).all()
    with pytest.raises(DatasetError, match="no position is known"):
        latlon_to_utm([np.nan], [np.nan])


@pytest.mark.parametrize(("latitude", "longitude"), [(85, 0), (-81, 0), (0, 181)])
def test_degrees_out_of_range_are_refused(latitude, longitude):
    with pytest.raises(DatasetError, match=r"position 1: .* out of range"):
        latlon_to_utm([0, latitude], [0, longitude])


@pytest.mark.parametrize("zone", ["", "33", "N33", "61N", "0S", "33I", "33Y", "133N"])
def test_bad_zones_are_refused(zone):
    with pytest.raises(DatasetError, match="is not a UTM zone"):
        parse_zone(zone)


@pytest.mark.parametrize(
    ("band", "plain"),
    [("33U", "33N"), ("33n", "33N"), ("56 S", "56S"), ("56H", "56S"), ("7C", "7S"), ("7X", "7N")],
)
def test_letters_of_bands_are_hemispheres(band, plain):
    assert plain_zone(band) == plain
    latitude, longitude = utm_to_latlon(500_000.0, 6_000_000.0, plain)
    positions = [latlon_to_utm(latitude, longitude, zone)[0].tolist() for zone in (band, plain)]
    assert positions[0] == positions[1]


def test_map_links_have_the_marker_at_the_position():
    link = map_link(55.6981667, 13.1953889)
    assert "mlat=55.698167" in link and "mlon=13.195389" in link


def photo(path, gps):
    exif = Image.Exif()
    if gps is not None:
        exif.get_ifd(0x8825).update(gps)
    Image.new("RGB", (4, 3)).save(path, exif=exif.tobytes())
    return path


def test_positions_in_exif_are_read_with_their_signs(tmp_path):
    north_east = {1: "N", 2: (55.0, 41.0, 53.4), 3: "E", 4: (13.0, 11.0, 43.4)}
    south_west = {**north_east, 1: "S", 3: "W"}
    want = (55 + 41 / 60 + 53.4 / 3600, 13 + 11 / 60 + 43.4 / 3600)
    assert photo_position(photo(tmp_path / "a.jpg", north_east)) == pytest.approx(want, abs=1e-6)
    found = photo_position(photo(tmp_path / "b.jpg", south_west))
    assert found == pytest.approx((-want[0], -want[1]), abs=1e-6)


@pytest.mark.parametrize(
    "gps",
    [
        None,
        {1: "N", 2: (55.0, 41.0, 53.4)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (IFDRational(0, 0), 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
    ],
    ids=["no EXIF", "no longitude", "zero", "0/0"],
)
def test_photos_without_a_position_have_none(tmp_path, gps):
    assert photo_position(photo(tmp_path / "a.jpg", gps)) is None


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("hello")
    with pytest.raises(DatasetError, match=r"a\.jpg cannot be read as an image: of no known kind$"):
        photo_position(tmp_path / "a.jpg")


@pytest.mark.real
def test_real_photos_stand_where_the_published_table_says(real):
    with open(real / "images" / "lund_gps_utm33N.csv") as file:
        rows = [row for row in csv.DictReader(file) if "lund" in row["file"]]
    assert rows
    found = [photo_position(real / "images/lund" / row["file"].split("/", 1)[1]) for row in rows]
    positions, _ = latlon_to_utm(*zip(*found, strict=True), "33N")
    want = [[float(row["utm_e"]), float(row["utm_n"])] for row in rows]
    assert np.abs(positions - want).max() < 0.02
