"""matlab_compat.images and deepibl.images: every kind of file gives its documented result or an error."""

import io
import struct
import threading
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.images import load_pixels, read_image
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.images import Geometry, crop_and_size, vl_imreadjpeg


@pytest.fixture
def scene():
    """A smooth random picture, (60, 90, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((90, 60), Image.Resampling.BICUBIC))


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def pillow(path):
    """What Pillow shows, (C, H, W)."""
    pixels = np.asarray(Image.open(path))
    return np.atleast_3d(pixels).transpose(2, 0, 1)


# ---- JPEG


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 5}]
)
def test_colour_jpegs_have_the_pixels_of_libjpeg(tmp_path, scene, options):
    path = save(tmp_path / "a.jpg", scene, **options)
    (got,) = vl_imreadjpeg([path])
    assert got.dtype == torch.float32 and np.array_equal(got.numpy(), pillow(path))
    assert torch.equal(read_image(path), got)


def test_grey_jpeg_has_one_channel_here_and_three_equal_ones_for_networks(tmp_path, scene):
    path = save(tmp_path / "a.jpg", scene[:, :, 0])
    (got,) = vl_imreadjpeg([path])
    assert got.shape == (1, 60, 90)
    assert torch.equal(read_image(path), got.expand(3, -1, -1))


def test_exif_orientation_is_ignored(tmp_path, scene):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", scene, exif=exif)
    assert read_image(path).shape == (3, 60, 90)


def test_cmyk_jpeg_is_refused_by_vl_imreadjpeg_and_converted_by_read_image(tmp_path, scene):
    path = tmp_path / "cmyk.jpg"
    Image.fromarray(scene).convert("CMYK").save(path, quality=100)
    with pytest.warns(UserWarning, match=r"cmyk\.jpg: a CMYK JPEG"):
        assert vl_imreadjpeg([path]) == [None]
    assert np.abs(read_image(path).numpy() - scene.transpose(2, 0, 1)).mean() < 4


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.999])
def test_truncated_jpeg_is_padded_whatever_the_thread(tmp_path, scene, progressive, share):
    data = save(tmp_path / "a.jpg", scene, quality=95, progressive=progressive).read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(data[: int(len(data) * share)])
    first = read_image(cut)
    assert first.shape == (3, 60, 90)
    found = []
    threads = [threading.Thread(target=lambda: found.append(read_image(cut))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(torch.equal(image, first) for image in found)
    from PIL import ImageFile

    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_truncated_baseline_jpeg_keeps_its_upper_rows(tmp_path, scene):
    path = save(tmp_path / "a.jpg", scene, quality=95, subsampling=0)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.8)])
    assert torch.equal(read_image(cut)[:, :24], read_image(path)[:, :24])


@pytest.mark.parametrize("keep", [1, 2, 3, 20, 100, 180])
def test_jpeg_that_ends_in_its_header_is_an_error_with_its_name(tmp_path, scene, keep):
    path = tmp_path / "head.jpg"
    path.write_bytes(save(tmp_path / "a.jpg", scene).read_bytes()[:keep])
    with pytest.raises(ImageReadError, match=r"head\.jpg: "):
        read_image(path)


def sof(height, width, components=3, bits=8):
    """A JPEG that is nothing but a frame header."""
    frame = struct.pack(">BHHB", bits, height, width, components) + b"\0" * 3 * components
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda" + b"\0" * 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not an image"),
        (b"\xff\xd8" + b"x" * 100_000, "damaged JPEG"),
        (sof(65500, 65500), "65500 x 65500 pixels; 1 to 178956970 can be decoded"),
        (sof(0, 100), "damaged JPEG"),
        (sof(100, 100, bits=12), "cannot handle 12-bit"),
        (sof(100, 100, components=2), "cannot handle 2-layer"),
        (sof(100, 100), "damaged JPEG"),
    ],
)
def test_what_is_no_image_is_an_error_with_its_name(tmp_path, content, message):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=rf"bad\.jpg: .*{message}"):
        read_image(path)
    with pytest.warns(UserWarning, match=r"bad\.jpg"):
        assert vl_imreadjpeg([path]) == [None]


def test_missing_file_and_folder_are_errors_with_their_names(tmp_path):
    with pytest.raises(ImageReadError, match=r"gone\.jpg: cannot be opened: No such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageReadError, match="cannot be opened"):
        read_image(tmp_path)


# ---- other formats (our extension)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm"])
def test_other_formats_are_read_by_content_not_by_name(tmp_path, scene, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", scene, **options).rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(path).numpy(), scene.transpose(2, 0, 1))
    with pytest.warns(UserWarning, match="not a JPEG file"):
        assert vl_imreadjpeg([path]) == [None]


def test_sixteen_bit_grey_png_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(values).save(path)
    assert load_pixels(path).numpy()[0].tolist() == [[0, 0, 1, 128, 255]]


def test_sixteen_bit_colour_png_is_scaled(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.full((2, 2, 3), [0, 32768, 65535], np.uint16))
    assert load_pixels(path)[:, 0, 0].tolist() == [255, 128, 0]


def test_palette_logical_and_alpha_pngs_look_as_in_a_viewer(tmp_path, scene):
    rgb = Image.fromarray(scene)
    palette = rgb.quantize(16)
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 128, 255]))
    assert np.array_equal(
        read_image(tmp_path / "palette.png").numpy(), np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    )
    logical = scene[:, :, 0] > 128
    Image.fromarray(logical).save(tmp_path / "logical.png")
    assert np.array_equal(load_pixels(tmp_path / "logical.png").numpy()[0], logical * 255)
    alpha = np.dstack([scene, np.zeros_like(scene[:, :, :1])])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    assert np.array_equal(load_pixels(tmp_path / "alpha.png").numpy(), scene.transpose(2, 0, 1))
    Image.merge("LA", rgb.split()[:2]).save(tmp_path / "la.png")
    assert np.array_equal(load_pixels(tmp_path / "la.png").numpy()[0], scene[:, :, 0])


def test_float_pixels_have_no_range_and_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageReadError, match=r"float\.tif: pixels of type F"):
        read_image(tmp_path / "float.tif")


def test_png_bomb_is_refused_before_it_is_decoded(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    with pytest.raises(ImageReadError, match=r"bomb\.png: .*3600000000 pixels"):
        read_image(tmp_path / "bomb.png")


def test_truncated_png_is_an_error_with_its_name(tmp_path, scene):
    buffer = io.BytesIO()
    Image.fromarray(scene).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:-2000])
    with pytest.raises(ImageReadError, match=r"cut\.png: "):
        read_image(tmp_path / "cut.png")


# ---- options


def test_one_bad_file_of_a_list_leaves_the_others_in_place(tmp_path, scene):
    good = save(tmp_path / "good.jpg", scene)
    with pytest.warns(UserWarning, match=r"could not read image .*gone\.jpg"):
        first, bad, last = vl_imreadjpeg([good, tmp_path / "gone.jpg", good], "NumThreads", 3)
    assert bad is None and torch.equal(first, last)


def test_pack_stacks_and_triples_grey_and_names_unreadable_files(tmp_path, scene):
    # difference: imread-pack-unreadable
    colour = save(tmp_path / "colour.jpg", scene)
    grey = save(tmp_path / "grey.jpg", scene[:, :, 0])
    packed = vl_imreadjpeg([colour, grey], "Pack", "Resize", [20, 30], "Verbose")
    assert packed.shape == (2, 3, 20, 30) and torch.equal(packed[1, 0], packed[1, 2])
    with pytest.raises(ImageReadError, match=r"cannot pack 2 images: .*gone\.jpg"):
        vl_imreadjpeg([colour, tmp_path / "gone.jpg"], Pack=True, Resize=[20, 30])
    with pytest.raises(ArgumentError, match="Pack needs Resize"):
        vl_imreadjpeg([colour], "Pack", Resize=20)


def test_scalar_resize_is_the_shorter_side_and_a_pair_crops_the_middle(tmp_path, scene):
    path = save(tmp_path / "a.jpg", scene)
    assert vl_imreadjpeg([path], Resize=20)[0].shape == (3, 20, 30)
    assert read_image(path, resize=20).shape == (3, 20, 30)
    square = read_image(path, resize=(60, 60))
    assert torch.equal(square, read_image(path)[:, :, 15:75])


def test_crop_size_takes_a_share_of_the_sides_around_the_middle(tmp_path, scene):
    path = save(tmp_path / "a.jpg", scene)
    assert crop_and_size(60, 90, None, share=0.5) == Geometry(60, 90, 30, 45, top=15, left=22)
    small = vl_imreadjpeg([path], CropSize=0.5, Resize=[30, 45])[0]
    assert torch.allclose(small, read_image(path)[:, 15:45, 22:67], atol=1e-4)


def test_subtract_average_takes_numbers_or_an_image(tmp_path, scene):
    path = save(tmp_path / "a.jpg", scene)
    plain = vl_imreadjpeg([path], Resize=[20, 30])[0]
    average = torch.rand(3, 20, 30)
    assert torch.equal(vl_imreadjpeg([path], Resize=[20, 30], SubtractAverage=7)[0], plain - 7)
    assert torch.equal(vl_imreadjpeg([path], Resize=[20, 30], SubtractAverage=average)[0], plain - average)
    with pytest.raises(ArgumentError, match="SubtractAverage must be"):
        vl_imreadjpeg([path], Resize=20, SubtractAverage=average)


def test_threads_and_prefetch_change_no_pixel(tmp_path, scene):
    # difference: imread-prefetch
    paths = [save(tmp_path / f"{i}.jpg", np.roll(scene, i, axis=0)) for i in range(6)]
    assert vl_imreadjpeg(paths, "Prefetch") == []
    one, many = vl_imreadjpeg(paths), vl_imreadjpeg(paths, numthreads=4)
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"CropLocation": "random"}, "CropLocation 'random': random changes"),
        ({"Flip": True}, "Flip: random changes"),
        ({"Contrast": 0.2}, "Contrast: random changes"),
        ({"CropSize": [0.5, 1]}, "random crops are not supported"),
        ({"CropSize": 2}, "from 0 to 1|0 to 1"),
        ({"CropAnisotropy": [0.5, 1]}, "random crops are not supported"),
        ({"Resize": 0}, "at least 1 pixel"),
        ({"Resize": [1, 2, 3]}, "shorter side or"),
        ({"Interpolation": "cubic"}, "must be one of box.*'cubic'"),
        ({"Resise": 3}, "did you mean 'Resize'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    # difference: imread-random-crops
    with pytest.raises(ArgumentError, match=message):
        vl_imreadjpeg([], **options)


def test_a_single_name_is_refused_with_the_remedy():
    with pytest.raises(ArgumentError, match=r"give \['a.jpg'\]"):
        vl_imreadjpeg("a.jpg")


@pytest.mark.parametrize("pack", [True, False])
def test_a_grey_image_takes_the_first_of_three_averages(tmp_path, pack):
    Image.new("L", (30, 20), 100).save(tmp_path / "grey.jpg")
    Image.new("RGB", (30, 20), (100, 100, 100)).save(tmp_path / "colour.jpg")
    names, averages = [tmp_path / "grey.jpg", tmp_path / "colour.jpg"], [10, 20, 30]
    grey, colour = vl_imreadjpeg(names, Resize=[20, 30], Pack=pack, SubtractAverage=averages)
    assert grey.shape[0] == (3 if pack else 1) and (grey == 90).all()
    assert colour[:, 0, 0].tolist() == [90, 80, 70]
    image = np.broadcast_to(np.array(averages, np.float32)[:, None, None], (3, 20, 30))
    grey, _ = vl_imreadjpeg(names, Resize=[20, 30], Pack=pack, SubtractAverage=image)
    assert grey[:, 0, 0].tolist() == (
        [90, 80, 70] if pack else [90]
    )  # an image of averages is subtracted after
