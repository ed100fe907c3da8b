"""The parts of the page by themselves: photos, places, the worker, addresses."""

import functools
import io
import os
import re
import threading
import time

import anyio
import numpy as np
import pytest
import torch
from fastapi import Request
from PIL import Image

from deepibl.errors import PageError
from deepibl.images import AS_STORED, OWN_PHOTOS, Reading, load_pixels
from deepibl.search.index import PlaceIndex
from deepibl.serve.http import Limits, Refused, read_upload
from deepibl.serve.photo import decode_photo
from deepibl.serve.places import Places
from deepibl.serve.server import address_of, allowed_hosts, is_loopback, listen
from deepibl.serve.service import Desk
from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError, ImageReadError
from tests.page_files import bomb, picture, with_exif


@pytest.mark.parametrize("resize", [None, 40])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_has_the_pixels_that_its_file_has(tmp_path, kind, resize):
    data = picture(kind, (90, 70))
    (tmp_path / "a").write_bytes(data)
    photo = decode_photo(data, Limits(), Reading(resize))
    assert torch.equal(photo.pixels, load_pixels(tmp_path / "a", Reading(resize)))
    assert (photo.width, photo.height) == (90, 70)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation):
    photo = decode_photo(with_exif(orientation, 10.5, 20.25), Limits(), OWN_PHOTOS)
    expected = Image.open(io.BytesIO(with_exif(orientation, 10.5, 20.25)))
    from PIL import ImageOps

    upright = np.asarray(ImageOps.exif_transpose(expected))
    assert np.array_equal(photo.pixels.permute(1, 2, 0).numpy(), upright)
    assert (photo.width, photo.height) == (upright.shape[1], upright.shape[0])
    assert photo.position == pytest.approx((10.5, 20.25), abs=1e-6)


def test_invalid_exif_costs_no_answer():
    photo = decode_photo(picture(exif=b"Exif\0\0" + b"\xee" * 40), Limits(), OWN_PHOTOS)
    assert photo.position is None
    assert (photo.width, photo.height) == (64, 48)


def test_very_large_photos_are_reduced_and_keep_their_shape():
    photo = decode_photo(picture(size=(6000, 4000)), Limits(described_pixels=60_000), AS_STORED)
    assert (photo.width, photo.height) == (6000, 4000)
    height, width = photo.pixels.shape[1:]
    assert height * width <= 60_000
    assert width / height == pytest.approx(1.5, abs=0.02)


def large_jpeg(width, height, **settings):
    """A JPEG of few bytes that has this many pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "gray").save(buffer, "JPEG", **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("reading", [OWN_PHOTOS, AS_STORED])
def test_a_jpeg_of_more_than_64_megapixels_is_decoded_at_a_fraction_of_its_size(reading, monkeypatch):
    loaded = []
    decode = jpeg.as_tensor
    monkeypatch.setattr(jpeg, "as_tensor", lambda image: loaded.append(image.size) or decode(image))
    photo = decode_photo(large_jpeg(12_000, 9_000), Limits(), reading)
    assert (photo.width, photo.height) == (12_000, 9_000)
    assert max(photo.pixels.shape[1:]) <= 1183
    assert loaded and max(loaded[0]) <= 1183


def test_what_the_command_line_refuses_for_its_pixels_the_page_refuses_in_its_words(tmp_path):
    data = bomb(14_000, 13_000)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(Refused) as found:
        decode_photo(data, Limits(), OWN_PHOTOS)
    with pytest.raises(ImageReadError) as said:
        load_pixels(tmp_path / "a.png", OWN_PHOTOS)
    assert found.value.status == 422
    for problem in (found.value, said.value):
        assert "exceeds limit of 178956970 pixels" in str(problem)


@pytest.mark.parametrize("name", ["upload_bytes", "waiting", "patience_seconds"])
def test_limits_of_nothing_are_refused(name):
    with pytest.raises(ArgumentError, match=name):
        Limits(**{name: 0})


def _places(root, names):
    count = len(names)
    positions = np.full((count, 2), np.nan)
    return Places(PlaceIndex(np.eye(count, 4, dtype=np.float32), names, positions, "id"), root)


@pytest.fixture
def outside(tmp_path):
    """A root with one image, and images outside of it that names lead to."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    for path in (root / "sub/in.jpg", tmp_path / "secret.jpg", tmp_path / "root-secret.jpg"):
        Image.new("RGB", (40, 30)).save(path)
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "folder").symlink_to(tmp_path)
    (root / "inner.jpg").symlink_to(root / "sub/in.jpg")
    os.mkfifo(root / "pipe.jpg")
    return root


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "../root-secret.jpg",
        "link.jpg",
        "folder/secret.jpg",
        "ABSOLUTE",
        "pipe.jpg",
        "sub",
        "gone.jpg",
        "",
    ],
)
def test_names_that_lead_out_of_the_root_are_not_opened(outside, name):
    name = name.replace("ABSOLUTE", str(outside.parent / "secret.jpg"))
    with pytest.raises(Refused) as found:
        _places(outside, [name]).thumbnail(0, 100)
    assert found.value.status == 404
    assert "secret" not in str(found.value)


def test_names_within_the_root_are_opened_over_links_too(outside):
    places = _places(outside, ["sub/in.jpg", "inner.jpg"])
    for row in (0, 1):
        with Image.open(io.BytesIO(places.thumbnail(row, 32))) as small:
            assert (small.format, small.size) == ("JPEG", (32, 24))


def test_a_thumbnail_is_read_once(outside):
    places = _places(outside, ["sub/in.jpg"])
    first = places.thumbnail(0, 32)
    Image.new("RGB", (40, 30), "red").save(outside / "sub/in.jpg")
    assert places.thumbnail(0, 32) is first


def test_places_without_positions_have_no_map(outside):
    with pytest.raises(Refused, match="no position"):
        _places(outside, ["sub/in.jpg"]).map([0], "near")


def test_a_map_near_by_shows_every_image_there_is_near_by(outside):
    count = 50_000
    positions = np.stack([400_000.0 + 10 * np.arange(count), np.full(count, 6e6)], 1)
    index = PlaceIndex(np.ones((count, 1), np.float32), ["a"] * count, positions, "id", frame="33N")
    drawn = Places(index, outside).map([25_000], "near")
    shown = re.search(r'class="database" d="([^"]*)"', drawn).group(1).count("M")
    assert shown == 33  # 10 m apart in a frame 336 m wide
    assert len(Places(index, outside).map([25_000], "whole")) < 100_000


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("example.org", False),
    ],
)
def test_an_address_that_others_reach_needs_their_name_for_it(host, loopback):
    assert is_loopback(host) == loopback
    if loopback:
        assert "127.0.0.1" in allowed_hosts(host, [])
    else:
        with pytest.raises(ArgumentError, match="--allow-host"):
            allowed_hosts(host, [])
    assert {"camera.local", "[fe80::1]"} <= set(allowed_hosts(host, ["camera.local", "fe80::1"]))


@pytest.mark.parametrize("name", ["*", "*.example.org", "a/b", ""])
def test_wildcards_are_no_names(name):
    with pytest.raises(ArgumentError, match="--allow-host"):
        allowed_hosts("0.0.0.0", [name])


def test_a_port_that_is_taken_is_named():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert address_of(first) == f"http://127.0.0.1:{port}/"
        assert address_of(first, ["camera.local", "b"]) == f"http://camera.local:{port}/"
        with pytest.raises(PageError, match=str(port)):
            listen("127.0.0.1", port)


def _request(receive):
    headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"transfer-encoding", b"chunked")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


GIVEN_UP = [("upload_seconds", 0.001, "did not arrive within"), ("stall_seconds", 20, "no byte of the photo")]


@pytest.mark.parametrize(("limit", "pause", "said"), GIVEN_UP)
def test_a_photo_that_does_not_arrive_is_given_up(limit, pause, said):
    async def slowly():
        await anyio.sleep(pause)
        return {"type": "http.request", "body": b"\r\n", "more_body": True}

    with pytest.raises(Refused) as found:
        anyio.run(read_upload, _request(slowly), Limits(**{limit: 0.05}))
    assert found.value.status == 408 and said in found.value.error and "0.05 seconds" in found.value.error


def in_the_desk(test):
    """Runs a test with a desk whose thread computes; returns what the test returns."""

    async def run():
        desk = Desk(None, None, Limits(patience_seconds=20))
        async with desk.computing():
            return await test(desk)

    return anyio.run(run)


async def stays():
    await anyio.sleep(60)


def test_one_photo_is_computed_at_a_time_in_the_order_of_the_requests():
    inside, seen = [], []

    def compute(number):
        inside.append(number)
        time.sleep(0.02)
        seen.append(list(inside))
        inside.remove(number)
        return number

    async def ask(desk):
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(desk.answer, _request(stays), functools.partial(compute, number))

    in_the_desk(ask)
    assert seen == [[0], [1], [2], [3], [4]]


def test_when_the_client_has_left_its_photo_is_not_computed():
    called, go_on = [], threading.Event()

    async def gone():
        return {"type": "http.disconnect"}

    async def ask(desk):
        async with anyio.create_task_group() as group:
            group.start_soon(desk.answer, _request(stays), lambda: go_on.wait(20))
            await anyio.sleep(0)
            with pytest.raises(Refused) as found:
                await desk.answer(_request(gone), lambda: called.append(1))
            go_on.set()
        return found.value.status

    assert in_the_desk(ask) == 499
    assert called == []


@pytest.mark.parametrize("problem", [MemoryError(), torch.OutOfMemoryError()])
def test_a_lack_of_memory_is_a_refusal_and_the_next_photo_is_computed(problem):
    def too_much():
        raise problem

    async def ask(desk):
        for call in (lambda: desk.answer(_request(stays), too_much), lambda: desk.in_thread(too_much)):
            with pytest.raises(Refused) as found:
                await call()
            assert found.value.status == 503
        return await desk.answer(_request(stays), lambda: "the next")

    assert in_the_desk(ask) == "the next"


def test_a_page_that_closes_refuses_what_waits():
    go_on, refused = threading.Event(), []

    async def waits(desk):
        with pytest.raises(Refused, match="closing") as found:
            await desk.answer(_request(stays), lambda: 1)
        refused.append(found.value.status)

    async def ask():
        desk = Desk(None, None, Limits(patience_seconds=20))
        async with anyio.create_task_group() as group, desk.computing():
            group.start_soon(desk.answer, _request(stays), lambda: go_on.wait(20))
            await anyio.sleep(0.05)
            group.start_soon(waits, desk)
            await anyio.sleep(0.05)
            threading.Timer(0.1, go_on.set).start()

    anyio.run(ask)
    assert refused == [503]
