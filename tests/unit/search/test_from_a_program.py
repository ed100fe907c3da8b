"""Localizing from a program: what calls take, what they refuse before they compute, and images in memory."""

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.datasets import Places, dataset_from_places
from deepibl.errors import DatasetError
from deepibl.features.extraction import extract, extract_to_file
from deepibl.images import OWN_PHOTOS, Reading, load_pixels, pixels_of_photo
from deepibl.search import PlaceIndex, build_index, localize
from matlab_compat.errors import ArgumentError, ImageReadError
from tests.extractors import simplenn
from tests.page_files import picture, small_finder, with_exif


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return tmp_path_factory.mktemp("city")


@pytest.fixture(scope="module")
def finder(city):
    return small_finder(city)


def paths(city, count=3):
    return [str(city / f"{i:02d}.jpg") for i in range(count)]


# ---- names


@pytest.mark.parametrize("kind", [iter, tuple, np.array, lambda names: list(map(Path, names))])
def test_photos_are_any_iterable_of_names(finder, city, kind):
    names = paths(city)
    want, _ = localize(finder.net, names, finder.index)
    found, failures = localize(finder.net, kind(names), finder.index)
    assert list(map(str, found)) == names and list(found.values()) == list(want.values()) and not failures
    assert np.array_equal(extract(finder.net, kind(names)), extract(finder.net, names))


def test_one_name_in_place_of_a_list_is_refused(finder, city):
    for one in (paths(city)[0], Path(paths(city)[0])):
        with pytest.raises(ArgumentError, match=r"must be a list of names; give \['.*00.jpg'\]"):
            localize(finder.net, one, finder.index)


def test_images_in_memory_are_refused_where_names_are_wanted_and_it_says_what_takes_them(finder, tmp_path):
    with pytest.raises(ArgumentError, match=r"not ndarray; deepibl.serve.PlaceFinder"):
        localize(finder.net, [np.zeros((8, 8, 3), np.uint8)], finder.index)
    with pytest.raises(ArgumentError, match="not Image; deepibl"):
        extract_to_file(finder.net, "", [Image.new("RGB", (8, 8))], tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"top": 0}, "top must be an integer of at least 1, not 0"),
        ({"top": 2.0}, "not 2.0"),
        ({"top": "3"}, "not '3'"),
        ({"near": (54.1, 13.5)}, "near and within go together"),
        ({"near": np.zeros((2, 2)), "within": 5}, r"one a query \(3, 2\); got \(2, 2\)"),
        ({"near": (100.0, 13.5), "within": 5}, "within 90 and 180 degrees"),
    ],
)
def test_an_invalid_question_is_refused_before_anything_is_computed(finder, city, question, said):
    net = simplenn()
    net.register_forward_pre_hook(lambda *_: pytest.fail("computed"))
    with pytest.raises(ArgumentError, match=said):
        localize(net, paths(city), finder.index, **question)


def test_each_photo_keeps_its_own_position_where_another_cannot_be_read(finder, city):
    near = finder.index.positions[[0, 1, 2]]
    photos = [paths(city)[0], str(city / "missing.jpg"), paths(city)[2]]
    found, failures = localize(finder.net, photos, finder.index, near=near, within=50)
    assert [[match.name for match in answer] for answer in found.values()] == [["00.jpg"], ["02.jpg"]]
    assert [failure.index for failure in failures] == [1]


# ---- places


def test_places_take_plain_lists_and_paths(finder, city, tmp_path):
    names, positions = paths(city), [[54.1, 13.5], [54.2, 13.5], [54.3, 13.5]]
    given = Places(city, list(map(Path, names)), positions, "degrees")
    assert (given.root, given.names, given.positions.dtype) == (str(city), names, np.float64)
    index, _ = build_index(finder.net, given, tmp_path / "a.idx")
    assert index.positions.tolist() == positions
    assert given.subset([2]).names == names[2:]


@pytest.mark.parametrize(
    ("positions", "frame", "said"),
    [
        ([[1.0, 2.0]], "33N", "holds 1 positions for 3 images"),
        (np.zeros((3, 3)), "33N", r"shape \(N, 2\); found \(3, 3\)"),
        (np.zeros((3, 2)), "wgs84", "'wgs84' is not a UTM zone"),
    ],
)
def test_places_that_do_not_fit_together_are_refused(city, positions, frame, said):
    with pytest.raises(DatasetError, match=said):
        Places(str(city), paths(city), positions, frame)


def test_a_data_set_has_every_image_of_its_places(city):
    places = Places(str(city), paths(city), [[500_000 + i, 6e6] for i in range(3)], "33N")
    made = dataset_from_places("x", places, places)
    assert (made.database_size, made.query_count) == (3, 3)


def test_indexes_are_compared_as_objects_and_survive_copies(finder, city):
    index = finder.index
    assert index in [replace(index), index] and index != replace(index) and {index: 1}[index] == 1
    rows = extract(finder.net, paths(city))
    for other in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert other.search(rows) == index.search(rows)


# ---- images in memory


@pytest.mark.parametrize(
    "kind",
    [
        str,
        Path,
        lambda path: Path(path).read_bytes(),
        Image.open,
        lambda path: np.asarray(Image.open(path)),
        lambda path: np.asarray(Image.open(path))[..., ::-1].copy()[..., ::-1],  # OpenCV's, turned around
        lambda path: load_pixels(path),
        lambda path: load_pixels(path).float(),
    ],
)
def test_a_photo_in_memory_is_answered_as_its_file(finder, city, kind):
    photo = paths(city)[1]
    want = localize(finder.net, [photo], finder.index)[0][photo]
    assert finder.find(kind(photo)) == want


@pytest.mark.parametrize("reading", [OWN_PHOTOS, Reading(max_side=40), Reading(resize=30), Reading()])
def test_pixels_in_memory_are_scaled_and_turned_as_those_of_a_file(reading, tmp_path):
    with Image.open(io.BytesIO(with_exif(6, 1.0, 2.0))) as image:
        image.save(tmp_path / "a.png", exif=image.getexif())
    want = load_pixels(tmp_path / "a.png", reading)
    with Image.open(tmp_path / "a.png") as image:
        assert torch.equal(pixels_of_photo(image, reading), want)
        assert image.size == (64, 48)
        image.load()
        assert torch.equal(pixels_of_photo(image, reading), want)


def test_grey_and_transparent_images_are_read_as_files_are():
    grey = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    assert torch.equal(pixels_of_photo(grey)[0], torch.from_numpy(grey))
    clear = Image.merge("RGBA", [Image.fromarray(grey)] * 3 + [Image.new("L", (64, 48), 7)])
    assert torch.equal(pixels_of_photo(clear), torch.from_numpy(grey).expand(3, -1, -1))


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((48, 64, 3), np.float32),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((3, 48, 64), np.uint8),
        np.zeros((1, 48, 64, 3), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        torch.zeros(48, 64, 3),
        torch.zeros(1, 3, 48, 64),
        None,
    ],
)
def test_arrays_of_an_unknown_range_or_order_are_refused(finder, photo):
    with pytest.raises(ArgumentError, match=r"an RGB array \(H, W, 3\) or \(H, W\) of uint8; got "):
        finder.find(photo)


def test_values_up_to_1_are_doubted(finder):
    with pytest.warns(UserWarning, match="they must be 0–255"):
        finder.describe(torch.rand(3, 48, 64))
    finder.describe(torch.zeros(3, 48, 64))


def test_bytes_that_are_no_photo_are_refused(finder):
    with pytest.raises(ImageReadError, match="the photo: not an image"):
        finder.find(b"no image")


def test_threads_may_share_a_finder(finder):
    photos = [picture(size=(64 + 8 * i, 48)) for i in range(8)]
    want = [finder.find(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(finder.find, photos * 4)) == want * 4
    assert isinstance(finder.index, PlaceIndex)
