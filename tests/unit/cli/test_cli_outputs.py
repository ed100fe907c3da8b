"""What `localize` takes and writes: folders, lists, standard input; CSV, GeoJSON, GPX, KML and pairs."""

import csv
import io
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from deepibl.datasets.csv_file import read_csv
from deepibl.search import PlaceIndex
from tests.extractors import make_photos


@pytest.fixture
def city(run, net: Path, street: Path) -> Path:
    code, _, err = run("index", net, "--csv", street / "db" / "places.csv", "-o", street / "city.idx")
    assert (code, err) == (0, "")
    return street / "city.idx"


@pytest.fixture
def asked(street: Path) -> list[str]:
    """The queries' names."""
    return list(read_csv(street / "q" / "places.csv", street / "q")[0])


def test_a_folder_a_list_and_standard_input_are_localized_alike(
    run, city: Path, street: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = street / "some"
    folder.mkdir()
    for name in asked:
        (folder / name).write_bytes((street / "q" / name).read_bytes())
    (folder / "notes.txt").write_text("no photo")
    (folder / "raw.nef").write_text("no photo")
    files = [str(folder / name) for name in sorted(asked)]
    (street / "list.txt").write_text("\n".join(files))
    found = {}
    for how in ([folder], ["--list", street / "list.txt"], ["-"]):
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*files, ""])))
        code, out, err = run("localize", *how, "--index", city, "--json")
        found[str(how)] = json.loads(out)
        assert code == 0 and list(found[str(how)]) == files
        assert ("1 of 7 files were not used: 1 NEF" in err) == (how == [folder])
    assert len({json.dumps(each) for each in found.values()}) == 1


def test_extract_takes_a_folder_below_its_root(run, net: Path, street: Path, asked: list[str]) -> None:
    code, out, _ = run("extract", net, "q", "--root", street, "-o", street / "made" / "here" / "f.npy")
    assert code == 0 and out.startswith("30 descriptors") and (street / "made" / "here" / "f.npy").is_file()


@pytest.mark.parametrize("where", ["empty", "nothing"])
def test_a_folder_without_photos_is_said(run, city: Path, street: Path, where: str) -> None:
    (street / "empty").mkdir()
    code, out, err = run("localize", street / where, "--index", city)
    assert out == "" or code == 3
    assert f"{where} has no photos" in err or "cannot be opened" in err


def test_a_name_that_an_index_cannot_hold_does_not_stop_it(run, net: Path, street: Path) -> None:
    some = street / "some"
    some.mkdir()
    photo = (street / "q" / make_photos(street / "q")[0]).read_bytes()
    for name in (b"a.png", b"b\n.png", b"Stra\xdfe.png"):
        (some / os.fsdecode(name)).write_bytes(photo)
    code, out, err = run("index", net, some, "-o", street / "some.idx")
    assert code == 0 and "1 image, " in out
    assert "2 of 3 files were not used: 2 with a line break, or bytes that are not UTF-8, in the name" in err
    (some / "a.png").unlink()
    assert "has no photos" in run("index", net, some, "-o", street / "some.idx")[2]


def test_what_is_not_there_or_a_folder_is_said_at_once(run, net: Path, street: Path) -> None:
    for command in ("index", "extract", "heatmap"):
        assert "no photo or folder 'photso'" in run(command, "photso")[2]
    code, _, err = run("index", net, street / "q", "-o", street)
    assert code == 1 and "is a folder: name the file of the index" in err
    (street / "scales.json").mkdir()
    code, _, err = run("calibrate", net, street / "q", "-o", street / "scales.json")
    assert code == 1 and err.endswith("scales.json: this is a folder, not a file to write\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("localize a.jpg --index a.idx --matcher sift", "--matcher goes with --rerank"),
        ("localize a.jpg --index a.idx --within 5", "--within goes with --near"),
        ("localize a.jpg --index a.idx --near 55,13", "--near goes with --within"),
        ("localize a.jpg --index a.idx --pairs-root .", "--pairs-root goes with --pairs"),
        ("serve --index a.idx --attribution me", "--attribution goes with --tiles"),
        ("demo --images 50", "--images goes with --city"),
        ("evaluate --dataset tokyo247 --threshold 5", "--threshold does nothing with --dataset"),
        ("evaluate --dataset tokyo247 --skip-unknown", "--skip-unknown does nothing with --dataset"),
        ("evaluate --index a.idx --queries . --features f", "--features does nothing with --index"),
        ("evaluate --index a.idx --queries . --resize 64", "--resize does nothing with --index"),
        ("evaluate --db . --queries . --index-root .", "--index-root goes with --index"),
        ("train --dataset pitts30k --training-threshold 5", "--training-threshold does nothing with"),
        ("index torchvision:resnet18 . --weights random", "random weights differ each time"),
        ("index . --root .", "--root is of the names in a CSV or dbStruct"),
        ("evaluate --db . --queries . --root .", "--root is of the names in a CSV or dbStruct"),
        ("evaluate --dataset tokyo247 --table --json", "--table does nothing with --json"),
        ("pca streets --images . --root .", "--root is of the names in a CSV or dbStruct"),
        ("train --train . --val . --root .", "--root is of the names in a CSV or dbStruct"),
        ("train --train . --val . --train-queries . --root .", "--root is of the names in a CSV or dbStruct"),
        ("train --dataset pitts30k --val-queries .", "--val-queries does nothing with --dataset"),
        ("train --dataset pitts30k/test", "unknown data set 'pitts30k/test/train'"),
        ("train --train a.mat --val b.MAT --threshold 25", "--threshold does nothing with dbStruct files"),
        ("train --train a.mat --val . --train-queries .", "a.mat has queries of its own: leave out --"),
        ("train --lr 0.1 --set learningRate=0.2", "--set learningRate: another option gives it"),
        ("train --net vd16 --set netID=vd19", "--set netID: another option gives it another value"),
        ("heatmap a.jpg --patch 20", "--patch and --step go with --method occlusion"),
        ("heatmap a.jpg --method guided --step 5", "--patch and --step go with --method occlusion"),
        ("verify a.mat --layers acts.mat --root .", "--root goes with --features"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(run, command: str, said: str) -> None:
    code, out, err = run(*command.split())
    assert (code, out) == (1, "") and err.startswith(f"deepibl: {said}")


def test_the_files_agree_with_the_answers(run, city: Path, street: Path, asked: list[str]) -> None:
    files = {kind: street / "out" / f"found.{kind}" for kind in ("csv", "geojson", "gpx", "kml", "html")}
    flags = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    photos = [street / "q" / name for name in asked]
    code, out, err = run("localize", *photos, "--index", city, "--json", *flags)
    assert code == 0
    answers = json.loads(out)
    sure = {name: each["estimate"] for name, each in answers.items() if each["estimate"]}
    assert len(sure) == len(answers) == 6 and f"found.gpx: {len(sure)} of 6 photos with a position" in err

    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    assert [row["name"] for row in rows] == list(answers)
    for row in rows:
        at = sure[row["name"]]
        assert [float(row[key]) for key in ("lat", "lon", "utm_e")] == [
            at["latitude"],
            at["longitude"],
            at["east"],
        ]
        assert row["match"] == answers[row["name"]]["places"][0]["name"]
    assert read_csv(files["csv"], street)[1][0][1:3] == (
        sure[rows[0]["name"]]["latitude"],
        sure[rows[0]["name"]]["longitude"],
    )

    features = json.loads(files["geojson"].read_text())["features"]
    assert [f["geometry"]["coordinates"] for f in features] == [
        [at["longitude"], at["latitude"]] for at in sure.values()
    ]
    points = list(ET.parse(files["gpx"]).getroot())
    assert [float(point.get("lat")) for point in points] == pytest.approx(
        [at["latitude"] for at in sure.values()], abs=1e-7
    )
    marks = ET.parse(files["kml"]).getroot().iter("{http://www.opengis.net/kml/2.2}coordinates")
    assert [[float(part) for part in mark.text.split(",")] for mark in marks] == [
        pytest.approx([at["longitude"], at["latitude"]], abs=1e-7) for at in sure.values()
    ]


def test_a_photo_without_a_position_is_in_the_table_and_not_on_the_map(
    run, city: Path, street: Path, asked: list[str]
) -> None:
    away = ["--near", "0,0", "--within", "10"]
    code, _, err = run(
        "localize",
        street / "q" / asked[0],
        "--index",
        city,
        *away,
        "--csv",
        street / "a.csv",
        "--geojson",
        street / "a.geojson",
        "--gpx",
        street / "a.gpx",
    )
    assert code == 0 and "a.gpx: 0 of 1 photo with a position" in err
    assert len((street / "a.csv").read_text().splitlines()) == 2
    assert json.loads((street / "a.geojson").read_text())["features"][0]["geometry"] is None
    assert not list(ET.parse(street / "a.gpx").getroot())


def test_metres_without_a_zone_go_into_a_table_only(run, net: Path, street: Path, asked: list[str]) -> None:
    table = street / "db" / "places.csv"
    table.write_text("\n".join(line.rpartition(",")[0] for line in table.read_text().splitlines()))
    assert run("index", net, "--csv", table, "-o", street / "plane.idx")[0] == 0
    how = ["localize", street / "q" / asked[0], "--index", street / "plane.idx"]
    code, out, err = run(*how, "--gpx", street / "a.gpx")
    assert code == 1 and out == "" and "--gpx needs latitude and longitude" in err and "--csv" in err
    assert run(*how, "--csv", street / "a.csv")[0] == 0
    assert (street / "a.csv").read_text().startswith("name,utm_e,utm_n,zone,")


def test_pairs_are_those_of_the_answers_in_names_below_one_folder(
    run, city: Path, street: Path, asked: list[str]
) -> None:
    photos = [street / "q" / name for name in asked]
    code, out, err = run(
        "localize", *photos, "--index", city, "--top", 2, "--json", "--pairs", street / "pairs.txt"
    )
    answers = json.loads(out)
    assert code == 0 and f"12 pairs of 6 images, names below {street}" in err
    assert (street / "pairs.txt").read_text().splitlines() == [
        f"q/{Path(photo).name} db/{place['name']}"
        for photo, answer in answers.items()
        for place in answer["places"]
    ]
    code, _, err = run(
        "localize", *photos, "--index", city, "--pairs", street / "p", "--pairs-root", street / "q"
    )
    assert code == 1 and "names below one folder" in err


def test_pairs_of_an_index_leave_out_each_image_itself(run, city: Path, street: Path) -> None:
    code, out, _ = run("pairs", city, "--top", 3, "-o", street / "new" / "pairs.txt")
    pairs = [line.split() for line in (street / "new" / "pairs.txt").read_text().splitlines()]
    names = PlaceIndex.load(city).names
    assert code == 0 and "18 pairs of 6 images" in out
    assert [pair[0] for pair in pairs] == [name for name in names for _ in range(3)]
    assert all(a != b and b in names for a, b in pairs)


def test_reranking_reads_the_photos_of_the_index_where_they_are_now(
    run, city: Path, street: Path, asked: list[str]
) -> None:
    (street / "db").rename(street / "moved")
    how = ["localize", street / "q" / asked[0], "--index", city, "--rerank", 4]
    code, _, err = run(*how)
    assert code == 1 and "--root DIR" in err
    code, out, _ = run(*how, "--root", street / "moved", "--json", "--top", 6)
    places = next(iter(json.loads(out).values()))["places"]
    assert code == 0 and [place["rank"] for place in places] == [1, 2, 3, 4, 5, 6]
    assert sum(place["inliers"] is not None for place in places) == 4
    code, out, _ = run(*how, "--root", street / "moved")
    assert "inliers" in out
    code, _, err = run(*how, "--matcher", "surf", "--root", street / "moved")
    assert code == 1 and "sift, lightglue" in err


def test_evaluate_measures_the_answers_ordered_again(run, net: Path, street: Path) -> None:
    sources = ["--db", street / "db" / "places.csv", "--queries", street / "q" / "places.csv"]
    code, out, _ = run("evaluate", net, *sources, "--rerank", 3, "--num-workers", 1)
    assert code == 0 and "R@1 " in out


def test_evaluate_of_an_index_reads_its_photos_where_they_are_now(run, city: Path, street: Path) -> None:
    how = ["evaluate", "--index", city, "--queries", street / "q" / "places.csv", "--rerank", 3, "--json"]
    code, before, _ = run(*how)
    assert code == 0
    (street / "db").rename(street / "moved")
    code, _, err = run(*how)
    assert code == 1 and "--index-root" in err
    code, out, _ = run(*how, "--index-root", street / "moved")
    assert code == 0 and json.loads(out)["recall"] == json.loads(before)["recall"]
    code, _, err = run("evaluate", "--index", city, "--queries", street / "q", "--root", street / "moved")
    assert code == 1 and "--index-root" in err
    code, _, err = run("evaluate", "--db", street / "q", "--queries", street / "q", "--index-root", street)
    assert code == 1 and "goes with --index" in err


def test_make_photos_gives_the_six_that_these_tests_count(tmp_path: Path) -> None:
    assert len(make_photos(tmp_path)) >= 6


def test_names_that_are_not_utf_8_are_shown_in_pages_and_refused_in_pairs(
    run, city: Path, street: Path, asked: list[str], tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"\xff.jpg")
    try:
        odd.write_bytes((street / "q" / asked[0]).read_bytes())
    except OSError:
        pytest.skip("names of this file system are UTF-8")
    code, _, _ = run("localize", odd, "--index", city, "--json", "--html", tmp_path / "answer.html")
    assert code == 0 and "?.jpg" in (tmp_path / "answer.html").read_text(encoding="utf-8")
    code, _, err = run("localize", odd, "--index", city, "--json", "--pairs", tmp_path / "pairs.txt")
    assert code == 1 and "UTF-8 names" in err and not (tmp_path / "pairs.txt").exists()


@pytest.mark.parametrize(
    "command", ["index", "extract a.mat", "pairs a.idx", "report compare a b", "pca a.mat"]
)
def test_no_output_takes_a_photos_name(run, command: str, tmp_path: Path) -> None:
    photo = tmp_path / "a.JPG"
    photo.write_bytes(b"a photo")
    code, out, err = run(*command.split(), "-o", str(photo))
    assert (code, out) == (1, "") and "a.JPG is the name of a photo" in err
    assert photo.read_bytes() == b"a photo"


def test_no_output_replaces_another_or_what_is_read(run, city: Path, street: Path, tmp_path: Path) -> None:
    photo, both = street / "q" / make_photos(street / "q")[0], tmp_path / "found"
    content = photo.read_bytes(), city.read_bytes()
    for command, said in (
        (("localize", photo, "--index", city, "--csv", both, "--gpx", both), f"that of --csv {both}"),
        (("localize", photo, "--index", city, "--pairs", both, "--html", tmp_path / "x/../found"), "--html"),
        (("localize", photo, "--index", city, "--csv", city), "what is read"),
        (("pairs", city, "-o", city), "what is read"),
        (("heatmap", photo, "-o", photo), "what is read"),
    ):
        code, out, err = run(*command)
        assert (code, out) == (1, "") and "would replace" in err and said in err
    code, _, err = run("localize", photo, "--index", city, "--html", tmp_path / "new.png")
    assert code == 1 and "is the name of a photo" in err
    assert (photo.read_bytes(), city.read_bytes()) == content and not both.exists()
    assert run("index-edit", city, "--backend", "hnsw", "-o", city)[0] == 0
    os.mkfifo(tmp_path / "pipe")  # a file in its place would break who reads it; /dev/null is another
    code, _, err = run("pairs", city, "-o", tmp_path / "pipe")
    assert code == 1 and err.endswith("pipe: this is a pipe or device, not a file to write\n")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("flag", ["--html", "--csv", "--pairs"])
def test_a_folder_that_cannot_be_is_said_before_anything_is_computed(
    run, flag: str, city: Path, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run must not end with its answers lost."""
    monkeypatch.setattr("deepibl.search.localization.localize", lambda *_, **__: pytest.fail("computed"))
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "below" / "found.txt"
    code, _, err = run("localize", street / "q" / "00.jpg", "--index", city, flag, out)
    assert (
        code == 1
        and err == f"deepibl: {flag} {out}: {tmp_path / 'file'} is no folder that can be written to\n"
    )
    code, _, err = run("evaluate", "--db", street, "--queries", street, "--report", tmp_path / "file")
    assert code == 1 and f"--report {tmp_path / 'file'}: " in err
