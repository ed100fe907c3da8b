"""Sheets of heatmaps: a row a photo and network, every map drawn, files that open."""

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.networks import from_torch
from deepibl.report.sheet import METHODS, heatmap_rows, write_sheet
from matlab_compat.errors import ArgumentError, ImageReadError
from tests.extractors import Extractor, make_photos, simplenn


@pytest.fixture
def photos(tmp_path):
    """Three photos of different sizes, one with a name that typesetting could trip over."""
    names = make_photos(tmp_path)[:2]
    odd = tmp_path / "a $\\frac{1}$ «é».jpg"
    (tmp_path / names[0]).rename(odd)
    return odd, tmp_path / names[1]


def test_a_pair_by_two_networks_has_four_rows_each_against_the_other(photos):
    rows = heatmap_rows(
        [("a", simplenn()), ("b", Extractor())], photos[0], against=photos[1], methods=METHODS
    )
    assert [(row.network, row.photo) for row in rows] == [
        ("a", str(photos[0])),
        ("a", str(photos[1])),
        ("b", str(photos[0])),
        ("b", str(photos[1])),
    ]
    assert all([drawing.method for drawing in row.drawings] == list(METHODS) for row in rows)
    assert rows[0].similarity == pytest.approx(rows[1].similarity)
    for row in rows:
        for drawing in row.drawings:
            assert drawing.picture.shape[1] == row.pixels.shape[1]
            assert len(drawing.picture) > len(row.pixels) or drawing.method == "clusters"  # the scale
    first, second = (row.drawings[-1].parts for row in rows[:2])
    assert first and first == second  # the parts of a pair are those of both


def test_one_photo_has_one_row_without_similarity(photos):
    (row,) = heatmap_rows([("a", simplenn())], photos[0], methods=["gradient", "clusters"])
    assert row.similarity is None
    assert row.drawings[0].values.shape == row.pixels.shape[:2]


def test_the_default_method_is_one_that_the_network_can_do(photos):
    plain = from_torch(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.GELU()))
    relu = from_torch(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
    for networks, method in (([plain], "gradient"), ([relu], "guided"), ([relu, plain], "gradient")):
        (row, *_) = heatmap_rows([("a", net) for net in networks], photos[0])
        assert [drawing.method for drawing in row.drawings] == [method]
    with pytest.raises(ArgumentError, match=r"guided gradients need ReLU layers.*use 'gradient'"):
        heatmap_rows([("a", plain)], photos[0], methods=["guided"])


def test_the_sheet_is_a_png_whatever_the_names(photos, tmp_path):
    rows = heatmap_rows([("net $x_1", simplenn())], photos[0], against=photos[1], methods=["guided"])
    write_sheet(rows, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 500
        assert np.asarray(picture.convert("L")).std() > 10


def test_large_photos_are_scaled_down_and_so_are_their_maps(photos):
    (row,) = heatmap_rows([("a", simplenn())], photos[0], methods=["gradient"], max_pixels=1200)
    assert row.pixels.shape[0] * row.pixels.shape[1] <= 1200
    assert row.drawings[0].values.shape == row.pixels.shape[:2]


def test_settings_of_occlusion_reach_it(photos):
    coarse, fine = (
        heatmap_rows([("a", simplenn())], photos[0], methods=["occlusion"], patch=patch, step=patch)[0]
        for patch in (40, 8)
    )
    assert len(np.unique(coarse.drawings[0].values)) < len(np.unique(fine.drawings[0].values))


@pytest.mark.parametrize("methods", [[], ["gradcam"]])
def test_methods_that_cannot_be_drawn_are_refused(photos, methods):
    with pytest.raises(ArgumentError):
        heatmap_rows([("a", simplenn())], photos[0], methods=methods)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("not a photo")
    with pytest.raises(ImageReadError, match=r"text\.jpg"):
        heatmap_rows([("a", simplenn())], tmp_path / "text.jpg")
