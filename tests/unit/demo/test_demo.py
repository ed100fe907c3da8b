"""The demo from end to end: on the street photos that ship, and on a generated city."""

import io
import json
import re
import shlex
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import IFD

import deepibl.demo
from deepibl.cli.main import main
from deepibl.datasets import database_places
from deepibl.demo import run_city_demo
from deepibl.demo.run import copy_photos

RECALL = r"^R@1 (\d+\.\d) "


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run of `deepibl demo`, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        main(["demo", "--folder", str(folder)])
    return folder, printed.getvalue()


def test_the_demo_recognises_the_street_far_above_chance(street: tuple[Path, str]) -> None:
    _, said = street
    recall = float(re.search(RECALL, said, re.MULTILINE).group(1))
    chance = float(re.search(r"random answer: (\d+\.\d)", said).group(1))
    assert 20 < chance < 30 and recall > 2.5 * chance
    assert said.count("the best match is") == 2


def test_the_demo_leaves_photos_an_index_and_a_page_with_a_map_and_says_where(
    street: tuple[Path, str],
) -> None:
    folder, said = street
    page = Path(re.search(r"answers: (\S+index\.html)$", said, re.MULTILINE).group(1))
    text = page.read_text(encoding="utf-8")
    assert page.is_relative_to(folder.resolve()) and 'class="map"' in text
    assert text.count("data:image/jpeg;base64,") > 20
    assert (folder / "lund.idx").is_file()
    assert [len(list((folder / part).glob("*.jpg"))) for part in ("database", "queries")] == [15, 14]


def test_the_commands_that_the_demo_prints_give_what_it_printed(
    street: tuple[Path, str], run: Callable[..., tuple[int, str, str]]
) -> None:
    _, said = street
    printed = []
    for line in re.findall(r"^\$ deepibl (.*)$", said, re.MULTILINE):
        code, out, _ = run(*shlex.split(line), "--json")
        printed.append(json.loads(out))
        assert code == 0
    _, out, _ = run(*shlex.split(line))
    assert out.splitlines()[1] in said  # Recall@N as the command prints it
    indexed, localized, evaluated = printed
    assert indexed["images"] == 15
    for answer in localized.values():
        assert answer["places"][0]["name"] in said
    assert f"R@1 {100 * evaluated['recall']['1']:.1f} " in said


def test_the_photos_keep_their_licence_their_position_and_nothing_else_of_their_exif(tmp_path: Path) -> None:
    database, queries = copy_photos(tmp_path)
    photos = sorted([*database.glob("*.jpg"), *queries.glob("*.jpg")], key=lambda photo: photo.name)
    assert [photo.name for photo in photos] == [f"{number:02d}.jpg" for number in range(1, 30)]
    assert sum(photo.stat().st_size for photo in photos) < 2.5e6
    for photo in photos:
        with Image.open(photo) as picture:
            assert list(picture.getexif()) == [IFD.GPSInfo] and picture.size == (640, 480)
    assert not database_places(database).unknown and not database_places(queries).unknown
    package = Path(deepibl.demo.__file__).parent / "lund"
    assert "Copyright (c) 2014, mapillary" in (package / "LICENSE").read_text()
    assert "github.com/mapillary/OpenSfM" in (package / "README.md").read_text()


def test_in_the_city_the_demo_beats_raw_pixels(tmp_path: Path) -> None:
    lines: list[str] = []
    recall = run_city_demo(tmp_path, images=60, seed=3, say=lines.append)
    pixels = float(re.search(r"grey pictures: (\d+\.\d)", "\n".join(lines)).group(1))
    assert 100 * recall > pixels + 10
    assert len(list((tmp_path / "city" / "images").glob("*.jpg"))) == 60


def test_the_demo_refuses_a_city_too_small(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--city", "--images", "3"])
    assert stop.value.code == 2
    assert "40" in capsys.readouterr().err
