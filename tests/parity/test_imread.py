"""Pixels against MatConvNet's own vl_imreadjpeg: decoding, sizes, crops and every interpolation."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from deepibl.images import read_image
from matlab_compat.errors import ImageReadError
from matlab_compat.images import crop_and_size, edge_weights, vl_imreadjpeg
from tests.golden_data import GOLDEN, golden_files, golden_id, read_golden
from tests.tolerances import assert_close

JPG = GOLDEN / "imread" / "jpg"
RESIZED = [path for path in golden_files("imread/resize_*.mat") if "interpolation" in read_golden(path)]
EXACT_METHODS = [path for path in RESIZED if not path.stem.endswith("_bicubic")]
BICUBIC = [path for path in RESIZED if path.stem.endswith("_bicubic")]


def channels_first(image: np.ndarray) -> np.ndarray:
    """MATLAB's H x W (x 3) as (C, H, W)."""
    return np.atleast_3d(image).transpose(2, 0, 1)


def size_option(value: np.ndarray) -> Any:
    sides = value.ravel().tolist()
    return sides[0] if len(sides) == 1 else sides


def cases(path: Path) -> list[tuple[Any, np.ndarray]]:
    """The (Resize, output) pairs of a fixture."""
    fixture = read_golden(path)
    return [
        (size_option(size), channels_first(image))
        for size, image in zip(fixture["sizes"].ravel(), fixture["out"].ravel(), strict=True)
    ]


def test_the_fixtures_are_there():
    assert EXACT_METHODS and BICUBIC


def test_decoding_is_bit_exact():
    fixture = read_golden(GOLDEN / "imread" / "plain.mat")
    for name, image in fixture.items():
        (got,) = vl_imreadjpeg([JPG / f"{name}.jpg"])
        assert_close(got, channels_first(image), "exact")
        assert_close(read_image(JPG / f"{name}.jpg"), got.expand(3, -1, -1), "exact")


def test_default_resize_of_every_file():
    fixture = read_golden(GOLDEN / "imread" / "resize_default.mat")
    sizes = fixture.pop("sizes").ravel()
    for name, images in fixture.items():
        for size, image in zip(sizes, images.ravel(), strict=True):
            (got,) = vl_imreadjpeg([JPG / f"{name}.jpg"], Resize=size_option(size))
            assert_close(got, channels_first(image), "pixels")


@pytest.mark.parametrize("path", EXACT_METHODS, ids=golden_id)
def test_resize_by_every_method_but_bicubic(path):
    fixture = read_golden(path)
    for size, image in cases(path):
        options = {"Resize": size, "Interpolation": str(fixture["interpolation"][0])}
        (got,) = vl_imreadjpeg([JPG / str(fixture["image"][0])], **options)
        lanczos = options["Interpolation"].startswith("lanczos")
        assert_close(got, image, "lanczos pixels" if lanczos else "pixels")


@pytest.mark.parametrize("path", BICUBIC, ids=golden_id)
def test_bicubic_differs_only_on_lines_where_the_original_stops_at_a_zero_weight(path):
    # difference: imread-bicubic-stray-lines
    file = JPG / str(read_golden(path)["image"][0])
    (plain,) = vl_imreadjpeg([file])
    _, height, width = plain.shape
    for size, image in cases(path):
        (got,) = vl_imreadjpeg([file], Resize=size, Interpolation="bicubic")
        g = crop_and_size(height, width, int(size) if np.isscalar(size) else tuple(map(int, size)))
        rows = ~has_inner_zero(edge_weights(g.height, height, g.crop_height, g.top, "bicubic"))
        columns = ~has_inner_zero(edge_weights(g.width, width, g.crop_width, g.left, "bicubic"))
        assert_close(got[:, rows][:, :, columns], image[:, rows][:, :, columns], "pixels")


def has_inner_zero(weights: csr_matrix) -> np.ndarray:
    """The lines with a tap that is zero but for rounding (|distance| = 1) between taps that are not."""
    lines = weights.toarray()
    return np.array([(np.diff(np.flatnonzero(np.abs(line) > 1e-5)) > 1).any() for line in lines])


def test_other_options():
    fixture = read_golden(GOLDEN / "imread" / "options.mat")
    file = JPG / "c420_odd.jpg"
    height, width = fixture["stretch"].shape[:2]
    stretch = vl_imreadjpeg([file], "Resize", [height, width], "CropAnisotropy", 0)
    assert_close(stretch[0], channels_first(fixture["stretch"]), "pixels")
    height, width = fixture["cropsize05"].shape[:2]
    half = vl_imreadjpeg([file], Resize=[height, width], CropSize=0.5)
    assert_close(half[0], channels_first(fixture["cropsize05"]), "pixels")
    height, width = fixture["pack"].shape[:2]
    files = [file, JPG / "c444.jpg", JPG / "grey.jpg"]
    packed = vl_imreadjpeg(files, "Resize", [height, width], "Pack")
    assert_close(packed, fixture["pack"].transpose(3, 2, 0, 1), "pixels")
    average = vl_imreadjpeg([file], SubtractAverage=np.array([10, 20, 30], np.float32))
    assert_close(average[0], channels_first(fixture["subavg"]), "pixels")


def test_bad_files_are_read_or_refused_as_by_the_original():
    fixture = read_golden(GOLDEN / "imread" / "bad_files.mat")
    for name in sorted({match[1] for key in fixture if (match := re.fullmatch(r"(\w+)_size", key))}):
        path = JPG / (name.removesuffix("_png") + (".png" if name.endswith("_png") else ".jpg"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (got,) = vl_imreadjpeg([path])
        if fixture[f"{name}_size"].prod() == 0:
            assert got is None and path.name in str(caught[0].message)
        else:
            assert_close(got, channels_first(fixture[f"{name}_im"]), "exact")
            assert_close(read_image(path), got, "exact")


def test_what_the_original_refuses_read_image_reads_where_it_can():
    # difference: read-image-other-formats
    assert read_image(JPG / "cmyk.jpg").shape[0] == 3
    assert torch.equal(read_image(JPG / "notjpeg.jpg"), read_image(JPG / "apng.png"))
    with pytest.raises(ImageReadError, match="missing"):
        read_image(JPG / "missing.jpg")
