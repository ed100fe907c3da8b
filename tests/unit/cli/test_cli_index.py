"""deepibl index, localize, index-check and index-edit, with every backend, run in this process."""

import json
from pathlib import Path

import pytest

from deepibl.datasets.geo import utm_to_latlon
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
        (("index", "net.mat", *CSV, "--add", "--half"), "leave these options out"),
        (("index", "net.mat", *CSV, "--add", "-o", "none.idx"), "none.idx"),
        (("localize", "q/00.jpg", "--index", "a.idx", "--within", "5"), "go together"),
        (("localize", "q/00.jpg", "--index", "a.idx", "--near", "here"), "EAST,NORTH,ZONE"),
        (
            ("localize", "q/00.jpg", "--index", "a.idx", "--near", "95,13", "--within", "5"),
            "within 90 and 180",
        ),
        (("localize", "q/00.jpg", "--index", "a.idx", "--near", "400300,6000000", "--within", "5"), "33N"),
        (("index-edit", "a.idx"), "nothing to change"),
        (("index-edit", "a.idx", "--backend", "abacus"), "must be one of ivfpq, hnsw"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(run, net, street, arguments, said: str) -> None:
    run("index", net, *CSV, "-o", "a.idx")
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert said in err and "Traceback" not in err
