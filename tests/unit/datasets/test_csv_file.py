"""CSV files as spreadsheets, exiftool and other programs write them."""

from pathlib import Path

import pytest

from deepibl.datasets.csv_file import Fix, read_csv
from deepibl.datasets.folder import read_places
from deepibl.errors import DatasetError

AT = (47.0625, 8.3125)


def read(folder: Path, text: str, encoding: str = "utf-8") -> list[tuple[str, Fix | None]]:
    (folder / "p.csv").write_bytes(text.encode(encoding))
    return list(zip(*read_csv(folder / "p.csv", folder), strict=True))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        "name;lat;lon\r\nx.jpg;47,0625;8,3125\r\n",
        'name,lat,lon\nx.jpg,"47,0625","8,3125"\n',
        "name\tlat\tlon\nx.jpg\t47,0625\t8,3125\n",
        "name|lat|lon\nx.jpg|47.0625|8.3125\n",
        "sep=;\nname;lat;lon\nx.jpg;47.0625;8.3125\n",
        '"sep=,"\r\nname,lat,lon\r\nx.jpg,47.0625,8.3125\r\n',
        "sep=\t\nname\tlat\tlon\nx.jpg\t47.0625\t8.3125\n",
        '"name","remark; of; the; day","lat","lon"\n"x.jpg","a; b; c",47.0625,8.3125\n',
        'name;"a, b, c";lat;lon\nx.jpg;"d, e, f, g";47.0625;8.3125\n',
        '"name" , "lat", "lon"\n"x.jpg" , "47.0625", "8.3125"\n',
        "Name,Latitude (deg),Longitude [deg]\nx.jpg,47.0625,8.3125\n",
        "\n\nname,lat,lon\rx.jpg,47.0625,8.3125\r",
        "name,lat,lon\nx.jpg,47.0625,8.3125,,\n",
        'title,name,lat,lon\n"two\nlines",x.jpg,47.0625,8.3125\n',
        "SourceFile,GPSLatitude,GPSLongitude\n./x.jpg,47.0625,8.3125\n",
        'SourceFile,GPSLatitude,GPSLongitude\nx.jpg,"47 deg 3\' 45.00"" N","8 deg 18\' 45.00"" E"\n',
        "name,lat,lon\nx.jpg,47°3'45\"N,E 8° 18.75'\n",
    ],
)
def test_every_program_s_csv_gives_the_same_position(tmp_path: Path, text: str, encoding: str) -> None:
    [(name, fix)] = read(tmp_path, text, encoding)
    assert name == "x.jpg" and fix is not None
    assert fix.kind == "degrees" and (fix.first, fix.second) == pytest.approx(AT, abs=1e-12)


def test_letters_of_exiftool_count_once_and_composite_tags_first(tmp_path: Path) -> None:
    head = "SourceFile,EXIF:GPSLatitude,EXIF:GPSLatitudeRef,EXIF:GPSLongitude,EXIF:GPSLongitudeRef"
    assert read(tmp_path, f"{head}\nx.jpg,33.5,S,70.25,West\n")[0][1] == Fix("degrees", -33.5, -70.25)
    assert read(tmp_path, f"{head}\nx.jpg,-33.5,S,-70.25,W\n")[0][1] == Fix("degrees", -33.5, -70.25)
    assert read(tmp_path, f"{head}\nx.jpg,33.5 S,South,70.25 W,West\n")[0][1] == Fix("degrees", -33.5, -70.25)
    assert read(tmp_path, f"{head}\nx.jpg,-,-,-,-\n") == [("x.jpg", None)]
    text = "SourceFile,EXIF:GPSLatitude,EXIF:GPSLongitude,Composite:GPSLatitude,Composite:GPSLongitude\n"
    assert read(tmp_path, f"{text}x.jpg,33.5,70.25,-33.5,-70.25\n")[0][1] == Fix("degrees", -33.5, -70.25)
    for row, message in {
        "x.jpg,33.5 N,S,70.25,W": "lat is '33.5 N', its letter in another column 'S'",
        "x.jpg,-33.5,N,70.25,W": "latitude -33.5 N has signs that contradict each other",
        "x.jpg,33.5,W,70.25,S": "latitude 33.5 W has another letter than N and S",
    }.items():
        with pytest.raises(DatasetError, match=message):
            read(tmp_path, f"{head}\n{row}\n")


@pytest.mark.parametrize(
    ("cell", "metres"),
    [
        ("630084,30", 630084.3),
        ("630084,300", 630084.3),
        ("0,084", 0.084),
        ("-12,5", -12.5),
        ("630.084", 630.084),
        ("6.3e5", 630000),
    ],
)
def test_metres_have_decimal_points_or_commas(tmp_path: Path, cell: str, metres: float) -> None:
    assert read(tmp_path, f"name;east;north\nx.jpg;{cell};0\n")[0][1] == Fix("metres", metres, 0)


@pytest.mark.parametrize(
    "rows", ["630,084;0", "630,084.30;0", "630.084,30;0", "630.084;0,5", "0;1.234\ny.jpg;1,5;0"]
)
def test_marks_of_thousands_are_refused(tmp_path: Path, rows: str) -> None:
    with pytest.raises(DatasetError, match=r"line 2: .* has a decimal mark or one of thousands"):
        read(tmp_path, f"name;east;north\nx.jpg;{rows}\n")


@pytest.mark.parametrize("cell", ["4.833.438", "4,833,438", "4 833 438", "630'084.3"])
def test_several_marks_are_not_a_number(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DatasetError, match=r"line 2: .* is not a number of metres"):
        read(tmp_path, f"name;east;north\nx.jpg;{cell};0\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,lat,lon\nx.jpg,47,0625,8,3125\n", "line 2: it has cells beyond the last column"),
        ('name,lat,lon\n"x.jpg,47.0,8.3\ny.jpg,47.0,8.3\n', "a quote is opened and not closed"),
        ("name,lat,lon\nx.jpg,91,8\n", "line 2: latitude 91 is out of range"),
        ("sep=;\nname;lat;lon\nx.jpg;47;181\n", "line 3: longitude 181 is out of range"),
        ('name,lat,lon,note\nx.jpg,47,8,"a\nb"\ny.jpg,1.2.3,8,\n', "line 4: .* is not a number of degrees"),
        ("name,east,north\nx.jpg,1.2.3,8\n", "line 2: .* is not a number of metres"),
        ("name,east,north\nx.jpg,1_0,8\n", "line 2: .* is not a number of metres"),
        ("name,east,north\nx.jpg,inf,8\n", "line 2: .* is not a number of metres"),
        ("sep=;\nname,lat,lon\nx.jpg,1,2\n", "the first row must name the columns"),
    ],
)
def test_what_has_no_certain_reading_is_refused_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=rf"p\.csv: [\s\S]*{message}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("zone", "plain"),
    [
        ("31U", "31N"),
        ("31 u", "31N"),
        ("31P", "31N"),
        ("31N", "31N"),
        ("31M", "31S"),
        ("31C", "31S"),
        ("31S", "31S"),
    ],
)
def test_zones_with_the_letter_of_a_band_are_understood(tmp_path: Path, zone: str, plain: str) -> None:
    text = f"name,east,north,zone\nx.jpg,500000,9000000,{zone}\n"
    assert read(tmp_path, text)[0][1] == Fix("metres", 500000, 9000000, plain)


def test_zone_s_where_band_s_is_possible_is_refused(tmp_path: Path) -> None:
    head = "name,east,north,zone\nx.jpg,551000,4180000,"
    with pytest.raises(DatasetError, match="line 2: zone 10S may be band S, in the north, or the southern"):
        read(tmp_path, f"{head}10S\n")
    assert read(tmp_path, f"{head}10F\n")[0][1] == Fix("metres", 551000, 4180000, "10S")


def test_zones_given_by_the_caller_may_have_a_band(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,utm_e,utm_n\nx.jpg,447806,5212232\n")
    assert read_places(tmp_path / "p.csv", zone="32T").frame == "32N"


def test_names_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    for name in ("day/x.jpg", "grüße.jpg"):
        (tmp_path / name).touch()
    rows = "day\\x.jpg;47,1;8,3\n/grüße.jpg;47,1;8,3\n"
    for encoding in ("utf-8", "cp1252", "cp850"):
        found = read(tmp_path, f"name;lat;lon\n{rows}", encoding)
        assert [name for name, _ in found] == ["day/x.jpg", "grüße.jpg"]
    unknown = f"name;lat;lon\n{rows}brücke.jpg;47,1;8,3\n"
    with pytest.raises(DatasetError, match=r"line 4: .*brücke.* is not UTF-8"):
        read(tmp_path, unknown, "cp1252")
    with pytest.raises(DatasetError, match=r"line 3: day/x\.jpg is listed twice"):
        read(tmp_path, "name,lat,lon\nday/x.jpg,1,2\nday\\x.jpg,1,2\n")
