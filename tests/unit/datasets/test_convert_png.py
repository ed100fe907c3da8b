"""deepibl.datasets.png_to_jpeg: what a viewer shows, JPEG for PNG, and nothing lost on the way."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deepibl.datasets.png_to_jpeg as module
from deepibl.datasets.png_to_jpeg import convert_png
from deepibl.errors import MissingImageError
from deepibl.matlab.networks import convertPngtoJPG


@pytest.fixture
def scene():
    """A smooth picture, (48, 64, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC))


def test_every_png_below_the_folder_gets_a_jpeg_beside_it(tmp_path, scene):
    names = ["a.png", "sub/b.PNG", "sub/deeper/c.d.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene).save(tmp_path / name, "PNG")
    (tmp_path / "notes.txt").write_text("no image")
    report = module.convert_folder(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in report.converted] == [
        "a.jpg",
        "sub/b.jpg",
        "sub/deeper/c.d.jpg",
    ]
    assert all((tmp_path / name).exists() for name in names)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file() and p.suffix == ".jpg") == [
        "a.jpg",
        "b.jpg",
        "c.d.jpg",
    ]


def test_quality_is_100_and_chroma_is_halved(tmp_path, scene):
    convert_png(save(tmp_path, scene), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert all(value == 1 for table in image.quantization.values() for value in table)
        assert image.layer[0][1:3] == (2, 2) and image.layer[1][1:3] == (1, 1)
        grey = np.abs(
            np.asarray(image.convert("L")).astype(int) - np.asarray(Image.fromarray(scene).convert("L"))
        )
    assert grey.max() <= 3


def save(folder, pixels, mode=None):
    path = folder / "a.png"
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path)
    return path


def converted(folder, image):
    convert_png(save(folder, image), folder / "a.jpg")
    return np.asarray(Image.open(folder / "a.jpg")).astype(int)


def test_alpha_is_dropped_not_composited(tmp_path, scene):
    # difference: png-viewer-pixels
    plain = converted(tmp_path, scene)
    transparent = np.dstack([scene, np.zeros((48, 64), np.uint8)])
    assert np.array_equal(converted(tmp_path, transparent), plain)


def test_grey_sixteen_bit_logical_and_grey_alpha_stay_grey(tmp_path, scene):
    grey = scene[:, :, 0]
    plain = converted(tmp_path, grey)
    assert plain.ndim == 2 and np.abs(plain - grey).max() <= 2
    assert np.array_equal(converted(tmp_path, grey.astype(np.uint16) * 257), plain)
    alpha = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(scene[:, :, 1])])
    assert np.array_equal(converted(tmp_path, alpha), plain)
    logical = np.kron(np.eye(2), np.ones((8, 8))) > 0
    assert np.abs(converted(tmp_path, logical) - logical * 255).max() <= 2


def test_palette_gives_its_colours(tmp_path, scene):
    palette = Image.fromarray(scene).quantize(8)
    assert np.array_equal(
        converted(tmp_path, palette), converted(tmp_path, np.asarray(palette.convert("RGB")))
    )


def test_unreadable_pngs_are_listed_at_the_end_and_the_rest_goes_on(tmp_path, scene, capsys):
    # difference: png-failures-reported
    Image.fromarray(scene).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    Image.fromarray(scene).save(tmp_path / "d.png")
    report = convertPngtoJPG(tmp_path)
    assert [path.name for path in report.converted] == ["a.jpg", "d.jpg"]
    assert [Path(failure.name).name for failure in report.failures] == ["b.png", "c.png"]
    printed = capsys.readouterr().out
    assert "2 converted, 0 skipped, 2 failed" in printed and "b.png: the file is empty" in printed


def test_a_jpeg_that_cannot_be_written_is_reported_and_nothing_half_written_stays(
    tmp_path, scene, monkeypatch
):
    Image.fromarray(scene).save(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_bytes(b"old")
    monkeypatch.setattr(
        Image.Image, "save", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    report = module.convert_folder(tmp_path)
    assert "a.jpg: cannot be written: No space left" in str(report.failures[0])
    assert (tmp_path / "a.jpg").read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["a.jpg", "a.png"]


def test_a_second_run_can_skip_what_is_done(tmp_path, scene):
    Image.fromarray(scene).save(tmp_path / "a.png")
    module.convert_folder(tmp_path)
    assert [path.name for path in module.convert_folder(tmp_path, overwrite=False).skipped] == ["a.jpg"]
    os.utime(tmp_path / "a.jpg", (0, 0))
    assert [path.name for path in module.convert_folder(tmp_path, overwrite=False).converted] == ["a.jpg"]


def test_a_link_to_a_folder_above_ends(tmp_path, scene):
    (tmp_path / "sub").mkdir()
    Image.fromarray(scene).save(tmp_path / "sub" / "a.png")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    assert len(list(module.find_pngs(tmp_path))) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(MissingImageError, match="gone: no such folder"):
        module.convert_folder(tmp_path / "gone")


def test_a_disk_that_fills_up_in_the_middle_of_a_jpeg_leaves_none(tmp_path, scene):
    resource = pytest.importorskip("resource", reason="limits on file sizes are Unix's")
    Image.fromarray(scene).save(tmp_path / "a.png")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # writes end there, as on a full disk
    try:
        report = module.convert_folder(tmp_path, num_threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not report.converted and "cannot be written" in str(report.failures[0])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_nothing_is_written_where_a_link_leads_out_of_the_folder(tmp_path, scene):
    inside, outside = tmp_path / "set", tmp_path / "elsewhere"
    for folder in (inside / "sub", outside):
        folder.mkdir(parents=True)
        Image.fromarray(scene).save(folder / "a.png")
    (inside / "link").symlink_to(outside)
    (inside / "again").symlink_to(inside / "sub")
    report = module.convert_folder(inside)
    assert [path.relative_to(inside).name for path in report.converted] == ["a.jpg"]
    assert len(report.failures) == 1 and "a link points to it from" in str(report.failures[0])
    assert [path.name for path in outside.iterdir()] == ["a.png"]
