"""deepibl index, localize, index-check and index-edit, with every backend, run in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.geo import utm_to_latlon
from deepibl.features.files import stored_names
from deepibl.search.index import PlaceIndex

CSV = ("--csv", "db/places.csv")


def names(out: str) -> list[list[str]]:
    return [[match["name"] for match in answer["places"]] for answer in json.loads(out).values()]


@pytest.mark.parametrize("backend", ["exact", "ivfpq", "hnsw", "milvus"])
def test_every_backend_finds_the_same_place(run, net, street, backend: str) -> None:
    if backend == "milvus":
        pytest.importorskip("pymilvus", reason="needs the extra milvus: pip install 'deepibl[milvus]'")
    where = "city.db" if backend == "milvus" else "city.idx"
    code, out, _ = run("index", net, *CSV, "-o", where, "--backend", backend, "--json")
    said = json.loads(out)
    assert (code, said["images"], said["backend"], said["failures"]) == (0, 6, backend, 0)
    code, out, _ = run("localize", "q/03.jpg", "q/01.jpg", "--index", where, "--json", "--top", 1)
    assert (code, names(out)) == (0, [["03.jpg"], ["01.jpg"]])
    code, out, _ = run("index-check", where, "--json")
    assert (code, json.loads(out)["images"]) == (0, 6)
    assert not list(Path().glob("*.features.bin"))


def test_images_are_added_to_the_index_that_is_there(run, net, street) -> None:
    lines = Path("db/places.csv").read_text().splitlines(keepends=True)
    Path("db/some.csv").write_text("".join(lines[:4]))
    run("index", net, "--csv", "db/some.csv", "-o", "city.idx", "--half", "--backend", "hnsw")
    code, out, _ = run("index", net, *CSV, "-o", "city.idx", "--add")
    assert code == 0 and "6 images" in out and "3 of those given were there already" in out
    index = PlaceIndex.load("city.idx")
    assert (index.backend, str(index.descriptors.dtype), len(index)) == ("hnsw", "float16", 6)
    before = Path("city.idx").read_bytes()
    code, out, _ = run("index", net, *CSV, "-o", "city.idx", "--add", "--json")
    assert json.loads(out)["there_already"] == 6 and Path("city.idx").read_bytes() == before


def test_adding_with_options_that_an_index_keeps_says_what_it_has(run, net, street) -> None:
    run("index", net, *CSV, "-o", "a.idx", "--backend", "hnsw", "--threshold", 40)
    before = Path("a.idx").read_bytes()
    code, out, err = run("index", net, *CSV, "-o", "a.idx", "--add", "--backend", "exact", "--half")
    assert (code, out) == (1, "") and Path("a.idx").read_bytes() == before
    for part in (
        "a.idx",
        "backend (hnsw)",
        "(40 m)",
        "leave out --backend and --half",
        "index-edit --backend",
    ):
        assert part in err


def test_one_image_is_not_called_images(run, net, street) -> None:
    lines = Path("db/places.csv").read_text().splitlines(keepends=True)
    Path("db/one.csv").write_text("".join(lines[:2]))
    assert "one.idx: 1 image, " in run("index", net, "--csv", "db/one.csv", "-o", "one.idx")[1]
    Path("gone.txt").write_text("00.jpg\n")
    run("index", net, *CSV, "-o", "six.idx")
    assert "six.idx: 5 images, " in run("index-edit", "six.idx", "--delete", "gone.txt")[1]
    code, out, _ = run("evaluate", net, "--index", "one.idx", "--queries", "db/one.csv", "--root", "db")
    assert code == 0 and "1 database image, 1 query, " in out


@pytest.mark.parametrize("degrees", [False, True])
def test_a_position_narrows_the_search(run, net, street, degrees: bool) -> None:
    run("index", net, *CSV, "-o", "city.idx")
    near = "400300,6000000,33N"
    if degrees:
        near = ",".join(f"{angle:.6f}" for angle in utm_to_latlon(400300, 6000000, "33N"))
    asked = ["localize", "q/00.jpg", "--index", "city.idx", "--near", near, "--within", 160, "--json"]
    code, out, _ = run(*asked)
    assert code == 0 and sorted(names(out)[0]) == ["02.jpg", "03.jpg", "04.jpg"]  # every 100 m


def test_a_position_with_no_image_around_it_is_said(run, net, street) -> None:
    run("index", net, *CSV, "-o", "city.idx")
    asked = ["localize", "q/00.jpg", "--index", "city.idx", "--near", "-33.87,151.2", "--within", 500]
    code, out, err = run(*asked)
    assert code == 0 and "no image of the index is in range" in out
    assert "no image of the index is within 500 m of -33.87, 151.2; the nearest is 16," in err
    code, out, err = run(*asked, "--json")
    said = json.loads(out)["q/00.jpg"]
    assert (said["verdict"], said["places"]) == ("no confident match", []) and "the nearest is" in err


def test_an_index_is_edited_without_a_network(run, net, street) -> None:
    run("index", net, *CSV, "-o", "a.idx")
    Path("gone.txt").write_text("00.jpg\n05.jpg\n")
    code, out, _ = run("index-edit", "a.idx", "--delete", "gone.txt", "--backend", "ivfpq", "-o", "b.idx")
    assert code == 0 and "4 images, backend ivfpq" in out
    code, out, _ = run("index-edit", "b.idx", "--merge", "a.idx", "--json")
    assert (code, json.loads(out)) == (0, {"index": "b.idx", "images": 6, "backend": "ivfpq"})
    code, out, _ = run("index-check", "b.idx", "--recall", 6)
    assert code == 0 and "recall_of_top_10" in out and "images:           6" in out


def test_damage_is_found_and_has_its_exit_code(run, net, street) -> None:
    run("index", net, *CSV, "-o", "a.idx")
    content = bytearray(Path("a.idx").read_bytes())
    where = content.find(PlaceIndex.load("a.idx").descriptors.tobytes())
    content[where] ^= 1
    Path("a.idx").write_bytes(content)
    code, out, err = run("index-check", "a.idx")
    assert (code, out) == (4, "") and "its descriptors are damaged" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("index", "net.mat", *CSV, "--backend", "abacus"), "must be one of exact, ivfpq, hnsw, milvus"),
        (("index", "net.mat", *CSV, "--backend", "milvus", "-o", "a.idx"), "FOLDER.db"),
        (("index", "net.mat", *CSV, "--backend", "hnsw", "-o", "a.db"), "FOLDER.db"),
        (("index", "net.mat", *CSV, "--add", "--half", "-o", "a.idx"), "leave out --half"),
        (("index", "net.mat", *CSV, "--add", "--threshold", 25, "-o", "a.idx"), "leave out --threshold"),
        (("index", "net.mat", *CSV, "--add", "-o", "none.idx"), "none.idx"),
        (("localize", "q/00.jpg", "--index", "a.idx", "--within", "5"), "goes with --near"),
        (("localize", "q/00.jpg", "--index", "a.idx", "--near", "here", "--within", "5"), "EAST,NORTH"),
        (
            ("localize", "q/00.jpg", "--index", "a.idx", "--near", "95,13", "--within", "5"),
            "within 90 and 180",
        ),
        (("localize", "q/00.jpg", "--index", "a.idx", "--near", "400300,6000000", "--within", "5"), "33N"),
        (("index-edit", "a.idx"), "nothing to change"),
        (("index-edit", "a.idx", "--backend", "abacus"), "its backend exact, ivfpq or hnsw"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(run, net, street, arguments, said: str) -> None:
    run("index", net, *CSV, "-o", "a.idx")
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert said in err and "Traceback" not in err


def test_a_photo_with_an_impossible_position_is_named_and_indexed(run, net, street) -> None:
    for number, degrees in ((0, 47), (1, 97), (2, 48)):
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({1: "N", 2: (degrees, 0, 0), 3: "E", 4: (8, 0, 0)})
        with Image.open(f"db/0{number}.jpg") as photo:
            photo.load()
        photo.save(f"db/0{number}.jpg", exif=exif.tobytes())
    code, out, err = run("index", net, "--images", "db", "-o", "a.idx", "--json")
    problem = "01.jpg: its position is left out: latitude 97 0 0 N is out of range: -90 to 90 degrees"
    assert (code, json.loads(out)["positions_left_out"]) == (0, [problem]) and problem in err
    index = PlaceIndex.load("a.idx")
    assert [index.names[i] for i in range(3)] == ["00.jpg", "01.jpg", "02.jpg"]
    assert np.isfinite(index.positions[:3, 0]).tolist() == [True, False, True]


def test_lists_may_come_from_windows(run, net, street) -> None:
    Path("db/süd").mkdir()
    for name in ("00", "01"):
        Path(f"db/{name}.jpg").rename(f"db/süd/{name}.jpg")
    Path("list.txt").write_bytes("süd\\01.jpg\r\n02.jpg\r\n/süd/00.jpg\r\n".encode("cp1252"))
    code, _, _ = run("extract", net, "--list", "list.txt", "--root", "db", "-o", "a.h5")
    assert code == 0 and stored_names("a.h5") == ["süd/01.jpg", "02.jpg", "süd/00.jpg"]
    rows = "".join(f"{name};8,5;7,5\r\n" for name in ("süd\\00.jpg", "süd\\01.jpg", "02.jpg"))
    Path("db/windows.csv").write_bytes(f"sep=;\r\nname;lat;lon\r\n{rows}".encode("utf-16"))
    assert run("index", net, "--csv", "db/windows.csv", "-o", "a.idx")[0] == 0
    Path("gone.txt").write_text("süd\\00.jpg\n02.jpg\n", encoding="utf-8-sig")
    assert run("index-edit", "a.idx", "--delete", "gone.txt")[0] == 0
    assert PlaceIndex.load("a.idx").names == ["süd/01.jpg"]
