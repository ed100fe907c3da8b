"""The command line, run in this process on small generated photos and a network built here."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.cli.main import main
from matlab_compat import matfile

Run = Callable[..., tuple[int, str, str]]
PLACES = 6


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A network of one convolution, pooling and normalization, as MatConvNet stores it."""
    generator = np.random.default_rng(1)
    filters = generator.standard_normal((8, 8, 3, 12)).astype(np.float32)
    conv = {"type": "conv", "name": "conv1", "weights": [filters, np.zeros((1, 12), np.float32)]}
    conv |= {"stride": 8.0, "pad": 0.0, "dilate": 1.0}
    pool = {"type": "pool", "name": "pool1", "method": "max", "pool": [2.0, 2.0], "stride": 2.0, "pad": 0.0}
    meta = {"normalization": {"averageImage": np.full((1, 1, 3), 120, np.float32)}}
    path = tmp_path / "net.mat"
    matfile.save(path, {"layers": [_filled(conv), _filled(pool)], "meta": meta})
    return path


def _filled(layer: dict) -> dict:
    return {key: np.array([value]) if key == "pool" else value for key, value in layer.items()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Database and query photos of PLACES places, 100 m apart, with a CSV each."""
    generator = np.random.default_rng(2)
    for kind in ("db", "q"):
        folder = tmp_path / kind
        folder.mkdir()
    lines: dict[str, list[str]] = {"db": ["name,utm_e,utm_n,zone"], "q": ["name,utm_e,utm_n,zone"]}
    for place in range(PLACES):
        picture = generator.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for kind, shift in (("db", 0), ("q", 5)):
            noisy = np.clip(picture + generator.normal(0, 5, picture.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / kind / f"{kind}{place}.jpg", quality=95)
            lines[kind].append(f"{kind}{place}.jpg,{400000 + 100 * place + shift},6000000,33N")
    for kind, rows in lines.items():
        (tmp_path / kind / "places.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def city(run: Run, net: Path, photos: Path) -> Path:
    """An index of the database photos."""
    code, out, err = run("index", net, "--csv", photos / "db" / "places.csv", "-o", photos / "city.idx")
    assert (code, err) == (0, "")
    assert f"{PLACES} images" in out
    return photos / "city.idx"


def test_info_prints_the_layer_table_meta_and_identity(run: Run, net: Path) -> None:
    code, out, _ = run("info", net, "--input-size", "48x64")
    assert code == 0
    for expected in ("conv1", "pool1", "rf size", "48x64", "meta.normalization.averageImage", "identity: "):
        assert expected in out


def test_info_as_json_can_be_parsed(run: Run, net: Path) -> None:
    content = json.loads(run("info", net, "--json")[1])
    assert content["name"] == ["conv1", "pool1"]
    assert len(content["network_id"]) == 64


def test_convert_writes_a_network_that_computes_the_same(run: Run, net: Path, tmp_path: Path) -> None:
    code, out, _ = run("convert", net, tmp_path / "copy.safetensors", "--check")
    assert code == 0
    assert "largest difference 0 " in out
    identity = json.loads(run("info", net, "--json")[1])["network_id"]
    assert json.loads(run("info", tmp_path / "copy.safetensors", "--json")[1])["network_id"] == identity


def test_convert_refuses_a_suffix_it_does_not_know(run: Run, net: Path, tmp_path: Path) -> None:
    code, _, err = run("convert", net, tmp_path / "copy.xyz")
    assert code == 1
    assert ".xyz" in err


def test_extract_writes_one_row_an_image_in_the_order_given(run: Run, net: Path, photos: Path) -> None:
    names = ["db3.jpg", "db0.jpg", "db3.jpg"]
    (photos / "list.txt").write_text("\n".join(names))
    out = photos / "f.npy"
    code, text, _ = run("extract", net, "--list", photos / "list.txt", "--root", photos / "db", "-o", out)
    assert code == 0
    assert "3 descriptors" in text
    features = np.load(out)
    assert features.shape[0] == 3
    np.testing.assert_array_equal(features[0], features[2])
    assert np.abs(features[0] - features[1]).max() > 0


def test_extract_lists_what_could_not_be_read_and_names_the_rows(run: Run, net: Path, photos: Path) -> None:
    bad = photos / "db" / "bad.jpg"
    bad.write_text("no image")
    good = photos / "db" / "db1.jpg"
    code, _, err = run("extract", net, bad, good, "-o", photos / "f.npy")
    assert code == 3
    assert "bad.jpg" in err
    assert np.load(photos / "f.npy").shape[0] == 1
    assert (photos / "f.npy.names.txt").read_text() == f"{good}\n"


def test_extract_of_unreadable_images_says_why_and_leaves_the_older_file(
    run: Run, net: Path, photos: Path
) -> None:
    gone, good, out = photos / "gone.jpg", photos / "db" / "db1.jpg", photos / "f.bin"
    assert run("extract", net, gone, good, "-o", out)[0] == 3
    before = out.read_bytes(), (photos / "f.bin.names.txt").read_text()
    code, text, err = run("extract", net, gone, photos / "nor.jpg", "-o", out)
    assert code == 1 and text == ""
    assert "none of the 2 images could be used" in err and "gone.jpg" in err and "nor.jpg" in err
    assert (out.read_bytes(), (photos / "f.bin.names.txt").read_text()) == before
    assert run("extract", net, good, "-o", out)[0] == 0
    assert not (photos / "f.bin.names.txt").exists()


def test_index_of_unreadable_images_says_why_and_leaves_the_older_index(
    run: Run, net: Path, city: Path, tmp_path: Path
) -> None:
    (tmp_path / "gone.csv").write_text("name,lat,lon\nx/gone.jpg,1,2\nx/nor.jpg,1,2\n")
    before = city.read_bytes()
    for more in ([], ["--add"]):
        code, text, err = run("index", net, "--csv", tmp_path / "gone.csv", "-o", city, *more)
        assert code == 1 and text == ""
        assert "gone.jpg" in err and "nor.jpg" in err and "No such file" in err
        assert city.read_bytes() == before
        assert not [path for path in city.parent.iterdir() if path.name.startswith(f"{city.name}.")]


def test_localize_finds_the_place_of_each_photo(run: Run, city: Path, photos: Path) -> None:
    asked = [photos / "q" / f"q{i}.jpg" for i in range(PLACES)]
    code, out, _ = run("localize", *asked, "--index", city, "--json", "--top", 2)
    assert code == 0
    found = json.loads(out)
    assert [found[str(photo)]["places"][0]["name"] for photo in asked] == [
        f"db{i}.jpg" for i in range(PLACES)
    ]
    first = found[str(asked[0])]["places"][0]
    assert (first["east"], first["north"]) == (400000, 6000000)
    assert "openstreetmap" in first["map_link"]


def test_localize_prints_distance_position_and_map_link(run: Run, city: Path, photos: Path) -> None:
    _, out, _ = run("localize", photos / "q" / "q2.jpg", "--index", city)
    assert "400200.0 E 6000000.0 N 33N  db2.jpg" in out
    assert "https://www.openstreetmap.org/" in out


def test_localize_writes_a_page_with_the_pictures_in_it(run: Run, city: Path, photos: Path) -> None:
    page = photos / "out.html"
    code, _, _ = run("localize", photos / "q" / "q2.jpg", "--index", city, "--html", page, "--top", 3)
    assert code == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 4  # the photo and three matches
    assert "db2.jpg" in text
    assert 'src="http' not in text


def test_localize_goes_on_after_a_photo_that_cannot_be_read(run: Run, city: Path, photos: Path) -> None:
    bad = photos / "bad.jpg"
    bad.write_text("no image")
    code, out, err = run("localize", bad, photos / "q" / "q1.jpg", "--index", city)
    assert code == 3
    assert "db1.jpg" in out
    assert "bad.jpg" in err


def test_localize_refuses_another_network(run: Run, city: Path, photos: Path, golden: Path) -> None:
    other = golden / "nets" / "tiny.mat"
    code, _, err = run("localize", photos / "q" / "q1.jpg", "--index", city, "--net", other)
    assert code == 1
    assert "another" in err or "network" in err


def test_evaluate_own_photos_prints_recalls_with_intervals_or_matlabs_lines(
    run: Run, net: Path, photos: Path
) -> None:
    sources = ["--db", photos / "db" / "places.csv", "--queries", photos / "q" / "places.csv"]
    code, out, _ = run("evaluate", net, *sources)
    assert code == 0
    assert out.splitlines()[1:] == [
        "R@1 100.0 (61.0–100.0)  R@5 100.0 (61.0–100.0)  in percent, 95 % intervals by Wilson"
    ]  # R@10 of six images says nothing
    table = run("evaluate", net, *sources, "--table")[1].split("\n")[1:6]
    assert table == [f"{n:03d} 1.0000" for n in range(1, 6)]
    # no image of another place lies within 4 m, nor the right one, 5 m away
    strict = json.loads(run("evaluate", net, *sources, "--threshold", 4, "--json")[1])
    assert strict["recall"]["1"] == 0


def test_evaluate_a_dbstruct_by_its_own_threshold(run: Run, net: Path, city: Path, photos: Path) -> None:
    mat = photos / "mine.mat"
    made = photos / "db" / "places.csv", "--queries", photos / "q" / "places.csv", "--threshold", 4, "-o", mat
    assert run("data", "make", *made)[0] == 0
    for sources in (
        [net, "--db", mat],
        [net, "--db", mat, "--queries", mat],
        ["--index", city, "--queries", mat],
    ):
        for more, recall in (([], 0), (["--threshold", 6], 1)):
            code, out, _ = run("evaluate", *sources, "--root", photos, "--json", *more)
            assert code == 0 and json.loads(out)["recall"]["1"] == recall


def test_an_index_is_not_evaluated_by_a_dbstruct_with_rules_of_its_own(
    run: Run, net: Path, city: Path, photos: Path
) -> None:
    """The time stamps that would leave out answers, with which the figures are others, did nothing."""
    made = photos / "db" / "places.csv", "--queries", photos / "q" / "places.csv", "-o", photos / "m.mat"
    assert run("data", "make", *made)[0] == 0
    fields = matfile.load(photos / "m.mat", ["dbStruct"])["dbStruct"]
    stamps = {name: np.ones((1, PLACES)) for name in ("dbTimeStamp", "qTimeStamp")}
    matfile.save(photos / "m.mat", {"dbStruct": {**fields, **stamps}})
    code, out, _ = run("evaluate", net, "--db", photos / "m.mat", "--root", photos, "--json")
    assert code == 0 and json.loads(out)["recall"]["1"] == 0
    code, out, err = run("evaluate", "--index", city, "--queries", photos / "m.mat", "--root", photos)
    assert (code, out) == (1, "") and "evaluate it whole, as --db without --queries" in err


def test_evaluate_with_an_index_equals_evaluate_with_its_images(
    run: Run, net: Path, city: Path, photos: Path
) -> None:
    queries = photos / "q" / "places.csv"
    one = json.loads(run("evaluate", "--index", city, "--queries", queries, "--json")[1])
    sources = ["--db", photos / "db" / "places.csv", "--queries", queries]
    other = json.loads(run("evaluate", net, *sources, "--json")[1])
    assert one["recall"] == other["recall"]


def test_evaluate_keeps_descriptors_and_uses_them_again(run: Run, net: Path, photos: Path) -> None:
    sources = ["--db", photos / "db" / "places.csv", "--queries", photos / "q" / "places.csv"]
    first = run("evaluate", net, *sources, "--features", photos / "kept")
    files = sorted((photos / "kept").iterdir())
    assert len(files) == 2
    times = [file.stat().st_mtime_ns for file in files]
    assert run("evaluate", net, *sources, "--features", photos / "kept") == first
    assert [file.stat().st_mtime_ns for file in files] == times


def test_evaluate_leaves_out_photos_that_cannot_be_read_and_lists_them(
    run: Run, net: Path, photos: Path
) -> None:
    (photos / "q" / "q4.jpg").unlink()
    (photos / "db" / "db1.jpg").write_text("no image")
    sources = ["--db", photos / "db" / "places.csv", "--queries", photos / "q" / "places.csv"]
    kept = ["--features", photos / "kept"]
    for code, out, err in [run("evaluate", net, *sources, *more) for more in ([], kept, kept)]:
        assert code == 3 and "5 database images, 5 queries" in out
        assert "R@1 80.0" in out  # q1 has no database image now
        assert "2 images could not be read" in err and "q4.jpg" in err and "db1.jpg" in err
    assert run("index", net, "--csv", photos / "db" / "places.csv", "-o", photos / "city.idx")[0] == 3
    found = run("evaluate", "--index", photos / "city.idx", "--queries", photos / "q" / "places.csv")
    assert found[0] == 3 and "R@1 80.0" in found[1] and "q4.jpg" in found[2]
    for photo in (photos / "q").glob("*.jpg"):
        photo.write_text("no image")
    code, _, err = run("evaluate", net, *sources)
    assert code == 1 and "q0.jpg" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["info", "nothing.mat"], "nothing.mat"),
        (["index", "net.mat"], "exactly one of"),
        (["extract", "net.mat"], "no images given"),
        (["evaluate", "net.mat", "--dataset", "atlantis/test"], "atlantis"),
        (["evaluate", "net.mat"], "--dataset"),
        (["evaluate", "--dataset", "pitts30k/test", "--root", "."], "pitts30k_test.mat"),
        (["localize", "x.jpg", "--index", "nothing.idx"], "nothing.idx"),
        (["info", "net.mat", "--input-size", "big"], "HEIGHTxWIDTH"),
        (["extract", "net.mat", "x.jpg", "--device", "abacus"], "abacus"),
        (["fetch", "nothing"], "netvlad-pitts30k"),
        (["fetch", "sare", "--from", "nothing.mat"], "nothing.mat"),
        (["convert-png", "nowhere"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(
    run: Run, net: Path, arguments: list[str], expected: str
) -> None:
    code, out, err = run(*arguments)
    assert code == 1
    assert out == ""
    assert err.startswith("deepibl: ")
    assert expected in err


def test_convert_png_reports_and_keeps_what_is_there(run: Run, tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    code, out, err = run("convert-png", tmp_path)
    assert code == 3
    assert "1 converted" in out
    assert "b.png" in err
    assert "1 there already" in run("convert-png", tmp_path)[1]


def test_extract_says_on_standard_error_which_engine_computes(
    photos: Path, net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = next((photos / "db").glob("*.jpg"))
    with pytest.raises(SystemExit):
        main(["extract", str(net), str(photo), "-o", str(tmp_path / "f.bin"), "--engine", "torch"])
    assert "engine: torch (requested)" in capfd.readouterr().err


def test_the_engine_is_told_during_a_command_and_not_afterwards(
    net: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("deepibl.features")
    before = list(log.handlers)
    with pytest.raises(SystemExit):
        main(["extract", str(net), str(photos / "db" / "db1.jpg"), "-o", str(photos / "f.npy")])
    assert "engine: " in capsys.readouterr().err
    assert log.handlers == before


def test_help_lists_the_pages_prints_one_and_suggests_a_name(run) -> None:
    status, listed, _ = run("help")
    assert status == 0 and "deepibl help scale" in listed and "changelog" not in listed
    status, page, _ = run("help", "scale")
    assert status == 0 and page.startswith("# Scale") and "<!--" not in page
    status, _, errors = run("help", "scal")
    assert status == 1 and "did you mean 'scale'" in errors
