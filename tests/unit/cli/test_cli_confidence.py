"""Verdict, confidence and position by every door: the command line, JSON, HTML, and the page's API."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepibl.networks.io import load_network
from deepibl.search.index import PlaceIndex
from deepibl.serve.finder import PlaceFinder
from tests.page_client import client_with, send
from tests.small_network import SMALL_NETWORK

NET = str(SMALL_NETWORK)
INDEX = ("index", NET, "--csv", "walk/db.csv", "-o", "walk.idx")


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A walk along a coloured wall: 90 photos, one each 6 m, and 60 queries between them; a grey card."""
    wall = np.random.default_rng(0).integers(0, 256, (6, 160, 3)).astype(np.uint8)
    picture = Image.fromarray(wall).resize((160 * 16, 96), Image.Resampling.BICUBIC)
    folder = tmp_path / "walk"
    folder.mkdir()
    for name, count, step, shift in (("db", 90, 24, 0), ("q", 60, 36, 5)):
        rows = ["name,utm_e,utm_n,zone"]
        for i in range(count):
            at = shift + step * i  # 4 pixels a metre
            picture.crop((at, 0, at + 128, 96)).save(folder / f"{name}{i}.png")
            rows.append(f"{name}{i}.png,{400000 + at / 4},6000000,33N")
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    Image.new("RGB", (128, 96), (128, 128, 128)).save(folder / "grey.png")
    return folder


def test_every_door_says_the_same(run: Any, walk: Path) -> None:
    code, out, _ = run(*INDEX)
    assert code == 0 and "confidence of a match within 25 m: fitted on 90 images of the index" in out
    photos = [walk / "q20.png", walk / "grey.png"]
    said = json.loads(run("localize", *photos, "--index", "walk.idx", "--json")[1])
    sure, grey = (said[str(photo)] for photo in photos)
    assert (sure["verdict"], sure["within_metres"]) == ("confident", 25)
    assert sure["confidence"] == sure["places"][0]["confidence"] > 0.9
    assert abs(sure["estimate"]["east"] - (400000 + (5 + 36 * 20) / 4)) < 10
    assert sure["estimate"]["images"] >= 2 and 0 < sure["estimate"]["spread"] < 25
    assert (grey["verdict"], grey["estimate"]) == ("no confident match", None)
    assert grey["confidence"] < 0.5 and len(grey["places"]) == 5
    text = run("localize", *photos, "--index", "walk.idx", "--html", "out.html")[1]
    page = Path("out.html").read_text()
    for answer in (sure, grey):
        line = f"{answer['verdict']} (probability {answer['confidence']:.2f} of being within 25 m)"
        assert line in text and line in page
    finder = PlaceFinder(load_network(NET), PlaceIndex.load("walk.idx"))
    with client_with(finder) as client:
        for photo, answer in zip(photos, (sure, grey), strict=True):
            shown = send(client, photo.read_bytes()).json()
            assert (shown["verdict"], shown["within_metres"]) == (answer["verdict"], 25)
            assert shown["confidence"] == pytest.approx(answer["confidence"], abs=1e-4)
            assert [place["confidence"] for place in shown["places"]] == pytest.approx(
                [place["confidence"] for place in answer["places"]], abs=1e-4
            )
            assert (shown["estimate"] is None) == (answer["estimate"] is None)


def test_queries_of_known_places_fit_the_confidence_of_a_new_and_of_an_old_index(
    run: Any, walk: Path
) -> None:
    code, out, _ = run(*INDEX, "--confidence-from", "walk/q.csv", "--threshold", 15)
    assert code == 0 and "within 15 m: fitted on 60 query photos" in out
    run(*INDEX)
    code, out, _ = run(*INDEX, "--add", "--confidence-from", "walk/q.csv", "--json")
    assert code == 0 and "within 25 m: fitted on 60 query photos" in json.loads(out)["confidence"]
    assert "60 query photos" in run("index-check", "walk.idx")[1]
    code, _, err = run(*INDEX, "--add", "--threshold", 15)
    assert code == 1 and "threshold" in err


def test_an_index_of_few_photos_says_that_it_cannot_know(run: Any, walk: Path) -> None:
    few = (walk / "db.csv").read_text().splitlines()[:11]
    (walk / "db.csv").write_text("\n".join(few))
    code, out, _ = run(*INDEX)
    reason = "it takes 50 images of the index with positions; there are 10"
    assert code == 0 and f"confidence unknown: {reason}. Queries" in out
    out = run("localize", walk / "q1.png", "--index", "walk.idx")[1]
    assert out.startswith(f"{walk / 'q1.png'}: confidence unknown ({reason})\n")
    said = json.loads(run("localize", walk / "q1.png", "--index", "walk.idx", "--json")[1])
    assert said[str(walk / "q1.png")]["confidence"] is None


@pytest.mark.parametrize(
    ("rows", "there", "advice"),
    [(["400000,6000000"], "is 1", True), ([","], "are 0", False), (["400000,6000000"] * 2, "are 2", True)],
    ids=["one photo", "one without a position", "two photos"],
)
def test_the_smallest_indexes_count_their_photos_with_positions(
    run: Any, walk: Path, rows: list[str], there: str, advice: bool
) -> None:
    listed = [f"db{i}.png,{row},{'33N' if row[1:] else ''}" for i, row in enumerate(rows)]
    (walk / "db.csv").write_text("\n".join(["name,utm_e,utm_n,zone", *listed]) + "\n")
    reason = f"it takes 50 images of the index with positions; there {there}"
    code, out, _ = run(*INDEX)
    assert code == 0 and out.splitlines()[1].startswith(f"confidence unknown: {reason}")
    assert ("--confidence-from" in out) == advice
    said = json.loads(run("localize", walk / "q0.png", "--index", "walk.idx", "--json")[1])
    answer = said[str(walk / "q0.png")]
    assert (answer["verdict"], answer["reason"]) == ("confidence unknown", reason)
    assert len(answer["places"]) == len(rows) and (answer["estimate"] is not None) == advice
    assert reason in run("index-check", "walk.idx")[1]
    pairs = len(rows) * (len(rows) - 1)
    assert run("pairs", "walk.idx")[1].startswith(f"pairs.txt: {pairs} pairs of {len(rows)} image")
    with client_with(PlaceFinder(load_network(NET), PlaceIndex.load("walk.idx"))) as client:
        shown = send(client, (walk / "q0.png").read_bytes()).json()
        assert (shown["reason"], len(shown["places"])) == (reason, len(rows))
        assert client.get("/api/map?rows=0&extent=whole").status_code == (200 if advice else 404)


def test_photos_without_a_position_cannot_fit_confidences(run: Any, walk: Path) -> None:
    run(*INDEX)
    for rows, found in (
        ("grey.png,,,", "the queries' are in metres, or unknown, the index's on the globe"),
        ("q0.png,400000,6000000,", "the queries' are in metres, or unknown, the index's on the globe"),
    ):
        (walk / "q.csv").write_text(f"name,utm_e,utm_n,zone\n{rows}\n")
        code, _, err = run(*INDEX, "--confidence-from", walk / "q.csv")
        assert code == 1 and found in err
