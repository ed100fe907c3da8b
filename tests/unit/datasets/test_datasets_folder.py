"""Data sets of one's own: folders of photos and CSV files."""

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.folder import dataset_from_places, read_places
from deepibl.datasets.geo import latlon_to_utm
from deepibl.errors import DatasetError


def photo(path, latitude=None, longitude=None):
    exif = Image.Exif()
    if latitude is not None:
        exif.get_ifd(0x8825).update({1: "N", 2: (latitude, 0.0, 0.0), 3: "E", 4: (longitude, 0.0, 0.0)})
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path, exif=exif.tobytes())


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


# folders


def test_a_folder_is_searched_below_and_sorted(tmp_path):
    photo(tmp_path / "b.JPG", 55.6982, 13.1954)
    photo(tmp_path / "a" / "x.png", 55.6983, 13.1954)
    photo(tmp_path / "c.jpeg")
    (tmp_path / "notes.txt").write_text("no photo")
    places = read_places(tmp_path)
    assert places.names == ["a/x.png", "b.JPG", "c.jpeg"]
    assert places.frame == "degrees" and places.unknown == ["c.jpeg"]
    assert np.abs(places.positions[:2] - [[55.6983, 13.1954], [55.6982, 13.1954]]).max() < 1e-5


def test_unreadable_photos_are_reported_and_kept(tmp_path):
    photo(tmp_path / "a.jpg", 55.7, 13.2)
    (tmp_path / "b.jpg").write_bytes(b"")
    places = read_places(tmp_path)
    assert places.names == ["a.jpg", "b.jpg"] and places.unknown == ["b.jpg"]
    assert len(places.problems) == 1 and "b.jpg" in places.problems[0]


def test_names_with_positions_need_no_exif(tmp_path):
    names = ["@0584940.50@4476962.25@17@T@040.43@-079.99@x@@@@@@@@.jpg", "@584900@4476900@.jpg"]
    photo(tmp_path / names[0])
    places = read_places(tmp_path)
    assert places.positions.tolist() == [[584940.5, 4476962.25]] and places.frame == "17N"
    (tmp_path / names[0]).unlink()
    photo(tmp_path / names[1])
    places = read_places(tmp_path)
    assert places.positions.tolist() == [[584900, 4476900]] and places.frame is None


@pytest.mark.parametrize(("band", "zone"), [("T", "17N"), ("N", "17N"), ("M", "17S"), ("H", "17S")])
def test_bands_in_names_become_hemispheres(tmp_path, band, zone):
    photo(tmp_path / f"@500000@4000000@17@{band}@@@.jpg")
    assert read_places(tmp_path).frame == zone


def test_positions_of_another_zone_are_converted(tmp_path):
    positions, _ = latlon_to_utm([48.0, 48.0], [11.999, 12.001], "33N")
    for zone, (east, north) in zip(
        (32, 33), (latlon_to_utm(48.0, 11.999, "32N")[0][0], positions[1]), strict=True
    ):
        photo(tmp_path / f"@{east}@{north}@{zone}@U@@@.jpg")
    places = read_places(tmp_path)
    assert places.frame == "degrees"
    found = places.positions[np.argsort(places.positions[:, 1])]
    assert np.abs(found - [[48.0, 11.999], [48.0, 12.001]]).max() < 1e-7


def test_positions_without_a_zone_beside_degrees_are_refused(tmp_path):
    photo(tmp_path / "@500000@4000000@.jpg")
    photo(tmp_path / "b.jpg", 55.7, 13.2)
    with pytest.raises(
        DatasetError, match=r"UTM positions without a zone in 1 photo, .*@500000@4000000@\.jpg"
    ):
        read_places(tmp_path)


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"has no photos \(looked for \.jpg"):
        read_places(tmp_path)
    with pytest.raises(DatasetError, match="no folder of photos and no CSV file"):
        read_places(tmp_path / "nowhere")


# CSV


@pytest.mark.parametrize(
    "text",
    [
        "name,lat,lon\na.jpg,55.6982,13.1954\nb.jpg,,\n",
        "\ufefffile;longitude;latitude\r\na.jpg;13.1954;55.6982\r\nb.jpg;;\r\n\r\n",
        "Name\tLAT\tLng\tnote\na.jpg\t55.6982\t13.1954\thello\nb.jpg\t\t\t\n",
        "name,utm_e,utm_n,lat,lon\na.jpg,1,2,55.6982,13.1954\nb.jpg,,,,\n",
    ],
    ids=["plain", "BOM and semicolons", "tabs", "degrees first"],
)
def test_csv_with_degrees(tmp_path, text):
    places = read_places(table(tmp_path / "p.csv", text))
    assert places.names == ["a.jpg", "b.jpg"] and places.root == str(tmp_path)
    assert places.frame == "degrees" and places.unknown == ["b.jpg"]
    assert places.positions[0].tolist() == [55.6982, 13.1954]


def test_csv_with_metres_and_a_zone(tmp_path):
    path = table(tmp_path / "p.csv", "name,utm_e,utm_n,zone\na.jpg,500000,6173962,33N\nb.jpg,1,2,33N\n")
    places = read_places(path, root="/photos")
    assert places.root == "/photos" and places.frame == "33N"
    assert places.positions[0].tolist() == [500000, 6173962]
    plain = read_places(table(tmp_path / "q.csv", "name,east,north\na.jpg,1,2\n"))
    assert plain.frame is None and plain.positions.tolist() == [[1, 2]]
    assert read_places(tmp_path / "q.csv", zone="33N").frame == "33N"


def test_every_bad_row_is_named(tmp_path):
    rows = [
        "a.jpg,55.1,13.1",
        "b.jpg,north,13",
        ",55,13",
        "a.jpg,55,13",
        "c.jpg,13.1,551",
        "d.jpg,55",
        "e.jpg,nan,13",
    ]
    with pytest.raises(DatasetError) as caught:
        read_places(table(tmp_path / "p.csv", "name,lat,lon\n" + "\n".join(rows)))
    text = str(caught.value)
    for line in (
        "p.csv: 6 rows are invalid",
        "line 3: 'north' is not a number of degrees",
        "line 4: it has no name",
        "line 5: a.jpg is listed twice",
        "line 6: longitude 551 is out of range: -180 to 180 degrees",
        "line 7: '' is not a number of degrees",
        "line 8: 'nan' is not a number of degrees",
    ):
        assert line in text


def test_one_photo_is_not_a_csv_and_the_reason_for_no_position_is_said(tmp_path):
    photo(tmp_path / "a.jpg", 55.7, 13.2)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:20])
    with pytest.raises(DatasetError, match=r"a\.jpg is one photo: give its folder, or a CSV"):
        read_places(tmp_path / "a.jpg")
    places = read_places(tmp_path)
    with pytest.raises(DatasetError, match=r"1 of 2 query .*\n  cut\.jpg cannot be read as an image"):
        dataset_from_places("mine", places.known(), places)


def test_a_csv_without_rows_says_so_and_one_row_is_not_several(tmp_path):
    with pytest.raises(DatasetError, match=r"p\.csv lists no photos: it has no row"):
        read_places(table(tmp_path / "p.csv", "name,lat,lon\n"))
    with pytest.raises(DatasetError, match="1 row is invalid"):
        read_places(table(tmp_path / "p.csv", "image_name,lat,lon\na.jpg,x,1\n"))


@pytest.mark.parametrize("header", ["", "name,lat", "lat,lon", "a.jpg,55,13"])
def test_a_csv_without_a_header_is_refused(tmp_path, header):
    with pytest.raises(DatasetError, match="the first row must name the columns"):
        read_places(table(tmp_path / "p.csv", f"{header}\na,1,2\n"))


def test_a_bad_zone_is_named_by_row(tmp_path):
    with pytest.raises(DatasetError, match="line 2: '33I' is not a UTM zone"):
        read_places(table(tmp_path / "p.csv", "name,east,north,zone\na,1,2,33I\n"))


# data sets


def test_two_sources_make_a_data_set_in_one_zone(tmp_path):
    table(tmp_path / "db.csv", "name,lat,lon\na.jpg,48,11.9999\nb.jpg,48,11.99\n")
    table(tmp_path / "q.csv", "name,lat,lon\nq.jpg,48,12.00005\n")
    sources = (read_places(tmp_path / file) for file in ("db.csv", "q.csv"))
    dataset = dataset_from_places("mine", *sources, positive_distance=15)
    assert dataset.frame == "32N" and dataset.positive_distance == 15
    assert dataset.positives(0).tolist() == [0]  # 11 m across the zones' border
    assert dataset.image_paths("q") == [str(tmp_path / "q.jpg")]


def test_photos_without_a_position_are_refused_or_left_out(tmp_path):
    places = read_places(table(tmp_path / "p.csv", "name,lat,lon\na.jpg,48,11\nb.jpg,,\n"))
    with pytest.raises(DatasetError, match=r"1 of 2 database photos have no position .*: b\.jpg\."):
        dataset_from_places("mine", places, places)
    assert dataset_from_places("mine", places, places, skip_unknown=True).database_names == ["a.jpg"]


def test_metres_without_a_zone_beside_degrees_are_refused(tmp_path):
    here = read_places(table(tmp_path / "a.csv", "name,lat,lon\na,48,11\n"))
    there = read_places(table(tmp_path / "b.csv", "name,east,north\na,1,2\n"))
    with pytest.raises(DatasetError, match="an unknown UTM zone, degrees cannot be compared: give the zone"):
        dataset_from_places("x", here, there)


def test_a_subset_keeps_order_and_zone(tmp_path):
    places = read_places(table(tmp_path / "a.csv", "name,lat,lon\na,48,11\nb,48,11.1\nc,48,11.2\n"))
    part = places.subset([2, 0])
    assert part.names == ["c", "a"] and part.frame == "degrees"
    assert (part.positions == places.positions[[2, 0]]).all()


CITIES = {
    "cph": (55.676, 12.568),
    "sf": (37.775, -122.419),
    "fiji": (-17.0, 179.99999),
    "pole": (89.999, 60.0),
}


def worldwide(tmp_path, cities=CITIES, north=0.0):
    rows = [f"{name}.jpg,{latitude + north},{longitude}" for name, (latitude, longitude) in cities.items()]
    return read_places(table(tmp_path / f"{north}.csv", "name,lat,lon\n" + "\n".join(rows)))


def test_each_query_finds_the_database_image_of_its_own_city(tmp_path):
    dataset = dataset_from_places("world", worldwide(tmp_path), worldwide(tmp_path, north=0.0001))
    assert dataset.frame == "degrees"
    assert [dataset.positives(query).tolist() for query in range(4)] == [[0], [1], [2], [3]]
    assert dataset.nearest_metres() == pytest.approx(11.1, abs=0.1)
    assert dataset.is_positive(1, [0, 1]).tolist() == [False, True]
    assert dataset.neighbours(2).tolist() == [2] and dataset.nontrivial_positives(2).size == 0


def test_names_with_different_zones_are_compared_on_the_ground(tmp_path):
    for folder, off in (("db", 0), ("q", 11)):
        photo(tmp_path / folder / f"@347071.69@{6172701.32 + off}@33@U@@@@@@@@@@@.jpg")
        photo(tmp_path / folder / f"@551165.93@{4181010.20 + off}@10@S@@@@@@@@@@@.jpg")
    dataset = dataset_from_places("two", *(read_places(tmp_path / folder) for folder in ("db", "q")))
    assert [dataset.positives(query).tolist() for query in (0, 1)] == [[0], [1]]
    assert dataset.nearest_metres() == pytest.approx(11, abs=0.02)


def test_cities_far_apart_are_not_written_as_metres_of_one_plane(tmp_path):
    places = worldwide(tmp_path)
    dataset = dataset_from_places("world", places, places)
    with pytest.raises(DatasetError, match=r"world: a dbStruct has metres of one plane") as caught:
        dataset.save(tmp_path / "world.mat")
    assert all(
        line in str(caught.value) for line in ("  33N: cph.jpg", "  10N: sf.jpg", "  beyond latitudes")
    )
    assert not (tmp_path / "world.mat").exists()
    with pytest.raises(DatasetError, match="is not in or near UTM zone 33N"):
        dataset_from_places("two", places.subset([0, 1]), places.subset([0]), zone="33N")
    assert dataset_from_places("one", places.subset([0]), places.subset([0]), zone="32N").frame == "32N"


@pytest.mark.parametrize("header", ["name,utm_e,utm_n", "name,utm_n,utm_e", "name,utm_e,utm_n,zone"])
def test_degrees_in_the_columns_of_metres_are_refused(tmp_path, header):
    rows = [f"{i}.jpg,{55.7 + i / 1000},13.19" + (",33N" if "zone" in header else "") for i in range(3)]
    places = read_places(table(tmp_path / "p.csv", "\n".join([header, *rows])))
    with pytest.raises(DatasetError, match="mine: positions must be in metres"):
        dataset_from_places("mine", places, places)


@pytest.mark.real
def test_real_photos_make_a_data_set(real):
    places = read_places(real / "images/lund/data/lund/images")
    numbers = np.array([int(name[:2]) for name in places.names])
    assert places.frame == "degrees" and not places.unknown
    even, odd = (places.subset(np.flatnonzero(numbers % 2 == rest)) for rest in (0, 1))
    dataset = dataset_from_places("lund", even, odd)
    positives = [len(dataset.positives(query)) for query in range(dataset.query_count)]
    assert min(positives) > 0
    # the INVENTORY's chance level
    assert np.mean(positives) / dataset.database_size == pytest.approx(0.24, abs=0.02)


def test_hidden_files_are_no_photos(tmp_path):
    for name in ("a.jpg", ".a.jpg.x1y2.jpg", "._a.jpg"):  # what a killed run was writing; macOS's notes
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert read_places(tmp_path).names == ["a.jpg"]
