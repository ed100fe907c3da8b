"""One rule for the photos of an index and for queries: how they are turned and scaled, by every door."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.catalog import database_places
from deepibl.datasets.folder import Places, make_dataset, read_places
from deepibl.datasets.place import save_dbstruct
from deepibl.errors import DatasetError, IndexFileError
from deepibl.evaluation.evaluate import evaluate_index, evaluate_network
from deepibl.images import AS_STORED, OWN_PHOTOS, Reading, kinds
from deepibl.report.html import small_picture
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import add_to_index, build_index, localize
from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError
from tests.extractors import simplenn
from tests.own_photos import heic, save, scene

COUNT = 8


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """db/: photos 100 m apart, each stored by another orientation; asked/: the same ones, stored upright."""
    for i in range(COUNT):
        name = f"@{400000 + 100 * i}@6000000@33@U@{i}@.png"
        save(scene(i), tmp_path / "db" / name, i + 1)
        save(scene(i), tmp_path / "asked" / name)
    return tmp_path


def test_sideways_photos_have_the_descriptors_of_upright_ones(town: Path) -> None:
    net = simplenn()
    index, _ = build_index(net, read_places(town / "db"), town / "a.idx", progress=False)
    upright, _ = build_index(net, read_places(town / "asked"), town / "b.idx", progress=False)
    assert np.abs(index.descriptors - upright.descriptors).max() < 1e-6
    assert PlaceIndex.load(town / "a.idx").reading == OWN_PHOTOS
    stored, _ = build_index(net, read_places(town / "db"), town / "c.idx", upright=False, progress=False)
    assert PlaceIndex.load(town / "c.idx").reading == AS_STORED
    assert np.abs(stored.descriptors - upright.descriptors).max() > 1e-3


@pytest.mark.parametrize("sent", ["db", "asked"])
def test_command_line_page_and_evaluation_answer_alike(town: Path, sent: str) -> None:
    pytest.importorskip("fastapi", reason="needs the extra web: pip install 'deepibl[web]'")
    from deepibl.serve.finder import PlaceFinder
    from deepibl.serve.http import Limits
    from deepibl.serve.photo import decode_photo

    net = simplenn()
    build_index(net, read_places(town / "db"), town / "a.idx", progress=False)
    index = PlaceIndex.load(town / "a.idx")
    photos = sorted(map(str, (town / sent).iterdir()))
    found, _ = localize(net, photos, index, top=3, progress=False)
    finder = PlaceFinder(net, index)
    for photo in photos:
        first = found[photo][0]
        assert first.name == Path(photo).name and first.distance < 1e-6
        pixels = decode_photo(Path(photo).read_bytes(), Limits(), index.reading).pixels
        page = finder.find(pixels, 3)
        assert [match.name for match in page] == [match.name for match in found[photo]]
        assert [match.distance for match in page] == pytest.approx(
            [match.distance for match in found[photo]], abs=1e-5
        )
    assert evaluate_index(net, town / "a.idx", town / sent, progress=False).result.at(1) == 1
    dataset = make_dataset(town / "db", town / sent)
    assert evaluate_network(net, dataset, progress=False).result.at(1) == 1


def test_queries_are_scaled_as_the_index_says(tmp_path: Path) -> None:
    for i in range(4):
        save(scene(i, (400, 300)), tmp_path / "db" / f"{i}.png")
        save(scene(i, (400, 300)).resize((1600, 1200), Image.Resampling.BICUBIC), tmp_path / "q" / f"{i}.png")
    net, places = simplenn(), read_places(tmp_path / "db")
    for option in ({"max_side": 100}, {"resize": 75}):
        index, _ = build_index(net, places, tmp_path / "a.idx", progress=False, **option)
        found, _ = localize(net, [str(tmp_path / "q" / "2.png")], index, progress=False)
        (matches,) = found.values()
        assert matches[0].name == "2.png" and matches[0].distance < 0.02


def test_photos_are_added_as_the_index_has_them_and_others_are_not_merged(town: Path) -> None:
    net, places = simplenn(), read_places(town / "db")
    whole, _ = build_index(net, places, town / "whole.idx", max_side=40, progress=False)
    build_index(net, places.subset(range(5)), town / "a.idx", max_side=40, progress=False)
    more, _, there = add_to_index(net, places, town / "a.idx", progress=False)
    assert (there, more.reading) == (5, Reading(max_side=40, upright=True))
    assert np.abs(more.descriptors - whole.descriptors).max() < 1e-6
    other, _ = build_index(net, places, town / "b.idx", upright=False, progress=False)
    with pytest.raises(IndexFileError, match=r"max_side=40, upright=True.*max_side=None, upright=False"):
        more.merge(other)
    with pytest.raises(ArgumentError, match="has no argument 'upright'"):
        localize(net, [], more, upright=False)


def test_the_images_of_a_dbstruct_are_read_as_the_original_reads_them(town: Path) -> None:
    net, dataset = simplenn(), make_dataset(town / "db", town / "asked")
    assert not dataset.as_stored
    save_dbstruct(dataset, town / "set.mat")
    places = database_places(town / "set.mat", town)
    index, _ = build_index(net, places, town / "a.idx", progress=False)
    assert index.reading == AS_STORED
    own, _ = build_index(net, places, town / "b.idx", upright=True, progress=False)
    assert own.reading == Reading(upright=True)


def test_pictures_on_pages_are_upright(town: Path) -> None:
    shapes = {small_picture(path, 48).shape for path in (town / "db").iterdir()}
    assert shapes == {(36, 48, 3)}


# what is left out


@pytest.fixture
def mixed(town: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """db/ with files that cannot be used beside the photos, where pillow-heif is not installed."""
    monkeypatch.setattr(kinds, "reads_heic", lambda: False)
    db = town / "db"
    for name in ("IMG_1.HEIC", "IMG_2.heic"):
        (db / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    (db / "raw.NEF").write_bytes(b"MM\0*" + bytes(100))
    (db / "notes.txt").write_text("not a photo")
    whole = save(scene(9, (200, 150)), town / "whole.jpg").read_bytes()
    (db / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    save(scene(10), db / "nowhere.jpeg")
    scene(11).save(db / "@400900@6000000@33@U@x@.jfif", "JPEG")
    return town


def test_a_folder_counts_what_it_leaves_out(mixed: Path) -> None:
    places = read_places(mixed / "db")
    assert len(places) == COUNT + 3
    assert dict(places.left_out) == {"HEIC (pip install 'deepibl[heif]')": 2, "NEF (save them as JPEG)": 1}
    assert places.subset([0]).left_out == places.left_out


def test_a_folder_without_a_photo_says_what_it_holds(mixed: Path) -> None:
    only = mixed / "only"
    only.mkdir()
    (only / "a.HEIC").write_bytes(bytes(100))
    with pytest.raises(
        DatasetError, match=r"has no photos.*1 of 1 files were not used: 1 HEIC \(pip install"
    ):
        read_places(only)


def test_index_says_what_was_not_used_and_what_has_no_position(mixed: Path, run, net) -> None:
    code, out, err = run("index", net, "--images", mixed / "db", "-o", mixed / "a.idx", "--json")
    said = json.loads(out)
    assert code == 3 and said["images"] == COUNT + 2
    assert said["left_out"]["HEIC (pip install 'deepibl[heif]')"] == 2 and said["without_position"] == 1
    assert "4 of 14 files were not used: 1 damaged, 2 HEIC (pip install 'deepibl[heif]'), 1 NEF" in err
    assert "1 of 10 photos have no position: nowhere.jpeg\n" in err
    assert "cut.jpg: a damaged JPEG" in err


def test_evaluation_says_what_was_left_out(mixed: Path, run, net, caplog) -> None:
    (mixed / "db" / "cut.jpg").unlink()
    asked = ("evaluate", net, "--db", mixed / "db", "--queries", mixed / "asked")
    code, _, err = run(*asked)
    assert code == 1 and "nowhere.jpeg. Add them to a CSV, or leave them out (--skip-unknown)" in err
    code, _, _ = run(*asked, "--skip-unknown")
    assert code == 0 and "3 of 13 files were not used: 2 HEIC" in caplog.text


def test_heic_photos_are_indexed_and_asked(town: Path) -> None:
    pytest.importorskip("pillow_heif", reason="needs the extra heif: pip install 'deepibl[heif]'")
    (town / "db" / "@401000@6000000@33@U@x@.heic").write_bytes(heic(scene(20)))
    (town / "photo.HEIC").write_bytes(heic(scene(20)))
    net = simplenn()
    index, failures = build_index(net, read_places(town / "db"), town / "a.idx", progress=False)
    found, _ = localize(net, [str(town / "photo.HEIC")], index, progress=False)
    (matches,) = found.values()
    assert not failures and matches[0].name.endswith(".heic") and matches[0].distance < 1e-6


@pytest.mark.parametrize(
    ("given", "reading"),
    [
        ([], OWN_PHOTOS),
        (["--resize", "none"], AS_STORED),
        (["--resize", "50"], Reading(50, upright=True)),
        (["--resize", "max50"], Reading(max_side=50, upright=True)),
    ],
)
def test_resize_on_the_command_line(town: Path, run, net, given: list[str], reading: Reading) -> None:
    code, _, _ = run("index", net, "--images", town / "db", "-o", town / "a.idx", *given)
    assert code == 0 and PlaceIndex.load(town / "a.idx").reading == reading
    code, out, _ = run("index-check", town / "a.idx", "--json")
    assert {name: json.loads(out)[name] for name in ("resize", "max_side", "upright")} == vars(reading)


@pytest.mark.parametrize("wrong", ["0", "max", "max0", "-3", "640x480", "1e3"])
def test_other_values_of_resize_are_refused(town: Path, run, net, wrong: str) -> None:
    code, _, err = run("index", net, "--images", town / "db", "-o", town / "a.idx", f"--resize={wrong}")
    assert code == 1 and "--resize must be pixels of the shorter side" in err


def test_a_csv_of_photos_is_read_as_a_folder(town: Path) -> None:
    names = sorted(path.name for path in (town / "db").iterdir())
    rows = [f"{name},{400000 + 100 * i},6000000,33N" for i, name in enumerate(names)]
    (town / "db" / "places.csv").write_text("name,utm_e,utm_n,zone\n" + "\n".join(rows))
    places = read_places(town / "db" / "places.csv")
    assert isinstance(places, Places) and not places.as_stored and not places.left_out


def test_photos_beyond_pillows_limit_have_a_position_and_a_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of 200 megapixels that phones write."""
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (55.0, 42.0, 0.0), 3: "E", 4: (13.0, 12.0, 0.0)})
    (tmp_path / "db").mkdir()
    scene(size=(800, 600)).save(tmp_path / "db" / "large.jpg", exif=exif)
    for owner, limit in ((Image, "MAX_IMAGE_PIXELS"), (jpeg, "MAX_PIXELS")):
        monkeypatch.setattr(owner, limit, 100_000)
    places = read_places(tmp_path / "db")
    assert not places.unknown and not places.problems
    index, failures = build_index(simplenn(), places, tmp_path / "a.idx", max_side=90, progress=False)
    assert len(index) == 1 and not failures
