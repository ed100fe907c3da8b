"""deepibl.features: order and batches, and images that cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

import deepibl
from deepibl.errors import ExtractionError
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features, side_files
from deepibl.images import read_image
from deepibl.matlab.networks import computeRepresentation
from matlab_compat.errors import ArgumentError
from tests.extractors import Extractor, one_by_one, simplenn


@pytest.mark.parametrize("make", [Extractor, simplenn])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 100])
def test_a_descriptor_depends_on_its_image_alone_and_order_is_kept(photos, make, batch_size):
    # difference: serial-mixed-sizes
    folder, names = photos
    net = make()
    want = one_by_one(net, folder, names)
    got = extract(net, names, root=folder, batch_size=batch_size)
    assert got.dtype == np.float32 and np.abs(got - want).max() < 2e-6
    shuffled = np.random.default_rng(1).permutation(30)
    again = extract(net, [names[i] for i in shuffled], root=folder, batch_size=batch_size)
    assert np.abs(again - want[shuffled]).max() < 2e-6


def test_mixed_sizes_are_batched_not_taken_one_by_one(photos):
    folder, names = photos
    net = Extractor()
    extract(net, names, root=folder, batch_size=10)
    assert sorted(shape[0] for shape in net.batches) == [10, 10, 10]


def test_batches_depend_on_the_images_alone_not_on_threads(photos):
    folder, names = photos
    runs = [extract(simplenn(), names, root=folder, batch_size=4, num_threads=n).tobytes() for n in (1, 2, 8)]
    assert len(set(runs)) == 1


def test_resize_brings_the_shorter_side_to_that_many_pixels(photos):
    folder, names = photos
    net = Extractor()
    extract(net, names[:3], root=folder, resize=20)
    assert {shape[2:] for shape in net.batches} == {(20, 27), (27, 20), (20, 20)}
    with torch.inference_mode():
        want = net(net.prepare(read_image(folder / names[1], resize=20)[None])).flatten().numpy()
    assert np.abs(extract(net, names[1:2], root=folder, resize=20)[0] - want).max() < 1e-6


# ---- images that cannot be used


@pytest.fixture
def with_bad(photos, tmp_path):
    """A folder with six good photos, one missing, one empty and one that is no image."""
    folder, names = photos
    for name in names[:6]:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    return tmp_path, [names[0], "gone.jpg", names[1], "empty.jpg", *names[2:6], "text.jpg"]


GOOD = [0, 2, 4, 5, 6, 7]


def test_all_failures_are_listed_at_the_end_not_the_first_alone(with_bad):
    # difference: unreadable-named
    folder, names = with_bad
    with pytest.raises(ExtractionError) as caught:
        extract(Extractor(), names, root=folder)
    message = str(caught.value)
    assert "3 of 9 images could not be used" in message
    assert all(
        part in message
        for part in ("gone.jpg: cannot be opened", "empty.jpg: the file is empty", "text.jpg: not an image")
    )
    assert [failure.index for failure in caught.value.failures] == [1, 3, 8]


def test_skip_returns_the_rest_with_its_ids(with_bad):
    folder, names = with_bad
    features, kept, failures = extract(Extractor(), names, root=folder, on_error="skip")
    assert kept.tolist() == GOOD and [failure.index for failure in failures] == [1, 3, 8]
    assert np.abs(features - one_by_one(Extractor(), folder, [names[i] for i in GOOD])).max() < 2e-6


def test_skip_with_nothing_left_gives_no_rows(tmp_path):
    features, kept, failures = extract(Extractor(), ["a", "b"], root=tmp_path, on_error="skip")
    assert features.shape == (0, 0) and len(kept) == 0 and len(failures) == 2
    with pytest.raises(ExtractionError, match=r"(?s)2 of 2 images.*a: .*b: "):
        extract(Extractor(), ["a", "b"], root=tmp_path)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".h5"])
@pytest.mark.parametrize("on_error", ["skip", "raise"])
def test_a_file_without_any_row_is_an_error_and_an_older_one_stays(photos, tmp_path, suffix, on_error):
    folder, names = photos
    out = tmp_path / f"f{suffix}"
    extract_to_file(Extractor(), folder, names[:2], out)
    for side in side_files(out):
        side.write_text("of the older one")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    message = r"(?s)none of the 2 images.*nothing is written.*a: .*b: "
    with pytest.raises(ExtractionError, match=message) as caught:
        extract_to_file(Extractor(), tmp_path, ["a", "b"], out, on_error=on_error)
    assert [failure.name for failure in caught.value.failures] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".h5"])
def test_what_is_beside_an_older_file_goes_with_it(photos, tmp_path, suffix):
    folder, names = photos
    out = tmp_path / f"f{suffix}"
    note, rows = side_files(out)
    note.write_text("made before the file that it is about")
    extract_to_file(Extractor(), folder, names[:2], out)
    assert note.exists()  # there was no older file that it could be about
    rows.write_text("names of the older one")
    extract_to_file(Extractor(), folder, names[2:5], out)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_an_image_that_the_network_cannot_take_is_a_failure_too(photos, tmp_path):
    folder, names = photos
    Image.new("RGB", (3, 3)).save(tmp_path / "tiny.png")
    paths = [folder / names[0], tmp_path / "tiny.png", folder / names[1]]
    _, kept, failures = extract(Extractor(), paths, on_error="skip")
    assert kept.tolist() == [0, 2]
    assert "tiny.png: the network cannot take an image of 3 x 3 pixels" in str(failures[0])


def test_numbers_that_are_not_finite_are_failures(photos):
    folder, names = photos
    net = Extractor()
    net.prepare = lambda images: images * float("inf")
    with pytest.raises(ExtractionError, match="the network's output is not finite"):
        extract(net, names[:2], root=folder)


def test_a_network_without_pooling_asks_for_one_size(photos):
    folder, names = photos
    net = Extractor()
    net.body = net.body[:2]
    assert extract(net, names[0:1], root=folder).shape[0] == 1
    with pytest.raises(ExtractionError, match=r"give resize=\(height, width\)"):
        extract(net, names[:3], root=folder)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        ([], {}, "the list of names is empty"),
        ("a.jpg", {}, r"give \['a.jpg'\]"),
        (["a.jpg"], {"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
        (
            ["a.jpg"],
            {"precision": "fp16"},
            r"one of fp32, bf16, int8 \(tf32 and fp16 with engine 'cuda'\); got 'fp16'",
        ),
        (["a.jpg"], {"on_error": "ignore"}, "on_error must be one of raise, skip; got 'ignore'"),
    ],
)
def test_settings_out_of_range_are_refused(images, settings, message):
    with pytest.raises(ArgumentError, match=message):
        extract(Extractor(), images, **settings)


def test_a_file_with_skipped_images_has_the_kept_rows(with_bad, tmp_path):
    folder, names = with_bad
    out = tmp_path / "f.npy"
    report = extract_to_file(Extractor(), folder, names, out, on_error="skip")
    assert report.kept.tolist() == GOOD and len(report.failures) == 3
    assert np.array_equal(read_features(out), extract(Extractor(), [names[i] for i in GOOD], root=folder))


# ---- the façade


def test_computeRepresentation_takes_what_vl_imreadjpeg_gives_and_says_what_not(photos):
    # difference: usegpu-fallback
    folder, names = photos
    net = simplenn()
    image = read_image(folder / names[0])
    got = computeRepresentation(net, image, "useGPU", False)
    assert got.shape == (1, 12) and np.abs(got - extract(net, names[:1], root=folder)).max() < 1e-6
    with pytest.warns(UserWarning, match="uint8"):
        assert np.array_equal(computeRepresentation(net, image.to(torch.uint8).numpy()), got)
    for wrong in (image.double(), image[0], image[:2]):
        with pytest.raises(ArgumentError, match="im must be"):
            computeRepresentation(net, wrong)


def test_the_names_are_at_the_top_level():
    assert deepibl.extract is extract
    assert deepibl.computeRepresentation is computeRepresentation
