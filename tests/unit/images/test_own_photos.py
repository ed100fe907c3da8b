"""Own photos: turned upright, scaled down, and refused where they are cut short; kinds of files."""

import builtins

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.images import LONG_SIDE, OWN_PHOTOS, kinds, load_pixels, read_image
from deepibl.images.kinds import KINDS, count_reasons, left_out, unused
from matlab_compat import jpeg
from matlab_compat.errors import ImageReadError
from matlab_compat.images import vl_imreadjpeg
from tests.own_photos import heic, save, scene, viewed


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_a_viewer_shows(tmp_path, suffix, orientation):
    path = save(scene(), tmp_path / f"a.{suffix}", orientation)
    upright = load_pixels(path, OWN_PHOTOS).numpy()
    assert np.array_equal(upright, viewed(path))
    assert upright.shape == (3, 72, 96)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_out_of_range_turns_nothing(tmp_path, orientation):
    path = save(scene(), tmp_path / "a.jpg", orientation)
    assert torch.equal(load_pixels(path, OWN_PHOTOS), load_pixels(path))


def test_damaged_exif_turns_nothing(tmp_path):
    scene().save(tmp_path / "a.jpg", exif=b"Exif\0\0" + b"\xee" * 40)
    assert load_pixels(tmp_path / "a.jpg", OWN_PHOTOS).shape == (3, 72, 96)


def test_as_stored_is_the_default_and_the_originals(tmp_path):
    # difference: own-photos-upright-and-scaled
    path = save(scene(), tmp_path / "a.jpg", 6)
    assert read_image(path).shape == (3, 96, 72)
    assert torch.equal(read_image(path), vl_imreadjpeg([path])[0])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_large_photos_are_scaled_to_the_long_side_and_small_ones_stay(tmp_path, mode, suffix):
    if (mode, suffix) == ("CMYK", "png"):
        pytest.skip("PNG has no CMYK")
    picture = scene(size=(1200, 900)).convert(mode)
    path = save(picture, tmp_path / f"a.{suffix}", 6, **({"quality": 95} if suffix == "jpg" else {}))
    small = read_image(path, max_side=120, upright=True)
    assert small.shape == (3, 90, 120)
    fair = picture.convert("RGB").resize((120, 90), Image.Resampling.BICUBIC)
    assert np.abs(small.numpy() - np.asarray(fair).transpose(2, 0, 1)).mean() < 2
    assert read_image(path, max_side=5000, upright=True).shape == (3, 900, 1200)


def test_the_size_of_the_same_photo_does_not_matter(tmp_path):
    large = scene(size=(4000, 3000))
    found = []
    for side in (4000, 2000, 640):
        path = save(
            large.resize((side, side * 3 // 4), Image.Resampling.LANCZOS),
            tmp_path / f"{side}.jpg",
            quality=95,
        )
        found.append(load_pixels(path, OWN_PHOTOS).float())
    assert {tuple(each.shape) for each in found} == {(3, 480, LONG_SIDE)}
    assert all((each - found[-1]).abs().mean() < 1 for each in found)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_shorter_side_is_the_originals_of_the_upright_photo(tmp_path, orientation):
    path = save(scene(size=(400, 300)), tmp_path / "a.png", orientation)
    want = read_image(save(scene(size=(400, 300)), tmp_path / "b.png"), 200)
    assert (read_image(path, 200, upright=True) - want).abs().max() < 1e-3
    square = read_image(path, (100, 100), upright=True)
    assert torch.equal(square, read_image(tmp_path / "b.png", (100, 100)))


def test_jpegs_too_large_to_be_held_are_decoded_scaled_and_other_kinds_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jpeg, "MAX_PIXELS", 400 * 300)
    path = save(scene(size=(800, 600)), tmp_path / "a.jpg")
    assert read_image(path, max_side=100).shape == (3, 75, 100)
    with pytest.raises(ImageReadError, match="800 x 600 pixels; 1 to 120000 can be decoded"):
        read_image(path)
    with pytest.raises(ImageReadError, match="too large a side"):
        read_image(path, max_side=790)
    progressive = save(scene(size=(800, 600)), tmp_path / "b.jpg", progressive=True)
    with pytest.raises(ImageReadError, match="can be decoded"):
        read_image(progressive, max_side=100)
    with pytest.raises(ImageReadError, match="can be decoded"):
        read_image(save(scene(size=(3000, 3000)), tmp_path / "c.jpg"), max_side=100)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_jpeg_cut_short_is_damaged_for_own_photos_alone(tmp_path, progressive, share, zeros):
    data = save(scene(size=(400, 300)), tmp_path / "a.jpg", progressive=progressive).read_bytes()
    cut = tmp_path / "cut.jpg"
    keep = int(len(data) * share)
    cut.write_bytes(data[:keep] + bytes(len(data) - keep if zeros else 0))
    for side in (None, 100):
        with pytest.raises(ImageReadError, match=r"cut\.jpg: a damaged JPEG"):
            read_image(cut, max_side=side, upright=True)
    assert read_image(cut).shape == (3, 300, 400)
    assert torch.equal(read_image(cut), vl_imreadjpeg([cut])[0])


def test_what_follows_a_whole_jpeg_does_not_matter(tmp_path):
    """Phones append videos and depth maps."""
    data = save(scene(), tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data + b"\0\0\0\x18ftypmp42" + bytes(1000))
    assert torch.equal(
        load_pixels(tmp_path / "b.jpg", OWN_PHOTOS), load_pixels(tmp_path / "a.jpg", OWN_PHOTOS)
    )


# kinds


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "gif", "avif", "JPG", "bmp"])
def test_kinds_are_read_whatever_their_suffix(tmp_path, suffix):
    formats = {"jfif": "JPEG", "jpe": "JPEG", "JPG": "JPEG"}
    path = tmp_path / f"a.{suffix}"
    scene().save(path, formats.get(suffix, suffix.upper()))
    assert left_out(path) is None
    assert load_pixels(path, OWN_PHOTOS).shape == (3, 72, 96)


def test_heic_is_read_upright(tmp_path):
    pytest.importorskip("pillow_heif", reason="needs the extra heif: pip install 'deepibl[heif]'")
    (tmp_path / "a.heic").write_bytes(heic(scene()))
    pixels = read_image(tmp_path / "a.heic")
    assert left_out("a.HEIC") is None
    assert np.abs(pixels.numpy() - np.asarray(scene()).transpose(2, 0, 1)).mean() < 8
    (tmp_path / "b.heic").write_bytes(heic(scene())[:200])
    with pytest.raises(ImageReadError, match=r"b\.heic: a damaged"):
        read_image(tmp_path / "b.heic")


@pytest.fixture
def without_heif(monkeypatch):
    """As where pillow-heif is not installed."""
    load = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "pillow_heif":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    kinds.reads_heic.cache_clear()
    yield
    kinds.reads_heic.cache_clear()


def test_heic_without_its_extra_is_refused_with_what_to_install(tmp_path, without_heif):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(ImageReadError, match=r"a\.jpg: a HEIC picture.*pip install 'deepibl\[heif\]'"):
        read_image(tmp_path / "a.jpg")
    assert left_out("IMG_1.HEIC") == "HEIC (pip install 'deepibl[heif]')"
    assert "HEIF" not in kinds.kinds_read()


def test_files_that_look_like_photos_are_told_from_others():
    assert [left_out(name) for name in ("a.txt", "b", ".mp4", "c.mov")] == [""] * 4
    assert left_out("a.CR2") == "CR2 (save them as JPEG)"
    assert all(
        suffix == suffix.lower() and suffix.startswith(".") for each in KINDS.values() for suffix in each
    )


def test_what_was_not_used_is_counted_by_kind():
    reasons = [
        "a.heic: a HEIC picture, which needs pillow-heif: pip install 'deepibl[heif]'",
        "b.jpg: a damaged JPEG file, or of an unknown kind: image file is truncated",
        "c.jpg: cannot be opened: No such file or directory",
        "d.jpg: an image of 9 x 9 pixels takes about 9.0 GB of memory, and 1.0 GB are free",
        "e.jpg: the network cannot take an image of 1 x 1 pixels: …",
    ]
    assert unused(5, count_reasons(reasons)) == (
        "5 of 10 files were not used: 1 HEIC (pip install 'deepibl[heif]'), 1 damaged, 1 missing, "
        "1 too large for the memory, 1 that the network cannot take"
    )
    assert unused(10, {}) == ""
