"""The page's API: what it answers, each limit, each error; the upload never becomes a file."""

import io
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from torch import nn

from deepibl.errors import NetworkMismatchError
from deepibl.images.kinds import kinds_read
from deepibl.networks import from_torch, network_id
from deepibl.search.localization import localize
from deepibl.serve.app import create_app
from deepibl.serve.finder import PlaceFinder
from tests.extractors import Extractor
from tests.page_client import HOST, client_with, refused, send
from tests.page_files import bomb, many_scans, picture, small_finder, with_exif


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return tmp_path_factory.mktemp("city")


@pytest.fixture(scope="module")
def finder(city):
    return small_finder(city)


@pytest.fixture(scope="module")
def client(finder):
    with TestClient(create_app(finder, index_name="city.idx"), base_url=HOST) as client:
        yield client


def test_an_answer_equals_that_of_the_command_line(client, finder, city):
    photo = city / "04.jpg"
    answer = send(client, photo.read_bytes(), top=3).json()
    expected, _ = localize(finder.net, [str(photo)], finder.index, top=3, progress=False)
    assert [place["name"] for place in answer["places"]] == [match.name for match in expected[str(photo)]]
    for place, match in zip(answer["places"], expected[str(photo)], strict=True):
        assert place["distance"] == pytest.approx(match.distance, abs=1e-5)
        assert place["cosine"] == pytest.approx(1 - match.distance / 2, abs=1e-5)
        assert (place["latitude"], place["map_link"]) == (match.latitude, match.map_link)
        assert finder.index.names[place["row"]] == place["name"]
    assert answer["places"][0]["name"] == "04.jpg"


def test_the_page_offers_the_heatmaps_that_its_network_can_draw(finder):
    net = from_torch(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()))
    index = replace(finder.index, network_id=network_id(net))
    assert PlaceFinder(net, index).methods == ("gradient",)
    assert finder.methods[-2:] == ("guided", "gradient")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_kind_of_photo_is_answered_whatever_its_name(client, kind):
    answer = send(client, picture(kind)).json()
    assert len(answer["places"]) == 5
    assert (answer["photo"]["width"], answer["photo"]["height"]) == (64, 48)


def test_a_photo_with_a_position_gets_the_distance_of_each_place(client):
    place = send(client, picture(), top=1).json()["places"][0]
    assert place["metres_from_photo"] is None
    own = with_exif(1, place["latitude"], place["longitude"])
    answer = send(client, own, top=30).json()
    there = next(found for found in answer["places"] if found["row"] == place["row"])
    assert there["metres_from_photo"] == pytest.approx(0, abs=1)
    assert max(found["metres_from_photo"] for found in answer["places"]) > 1000


def test_only_places_near_a_position_are_searched_when_asked(client):
    all_of_them = send(client, picture(), top=30).json()["places"]
    centre = all_of_them[4]
    where = {"latitude": centre["latitude"], "longitude": centre["longitude"]}
    near = send(client, picture(), top=30, within=150, **where).json()["places"]
    expected = [place["row"] for place in all_of_them if abs(place["east"] - centre["east"]) <= 150]
    assert [place["row"] for place in near] == expected
    assert 2 <= len(near) <= 3  # they stand 100 m apart
    own = with_exif(1, centre["latitude"], centre["longitude"])
    found = send(client, own, top=30, within=50).json()["places"]
    assert [place["row"] for place in found] == [centre["row"]]
    nowhere = send(client, picture(), within=10, latitude=10, longitude=10)
    refused(nowhere, 404, "no image of the index is within 10 m of 10, 10; the nearest is")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"within": "5"}, "latitude and longitude"),
        ({"within": "-1"}, "within"),
        ({"within": "nan"}, "within"),
        ({"within": "5", "latitude": "91", "longitude": "0"}, "latitude"),
    ],
)
def test_an_invalid_position_is_refused(client, fields, said):
    refused(send(client, picture(), **fields), 422, said)


@pytest.mark.parametrize(
    ("photo", "status", "said"),
    [
        (b"just some text, not a photo", 415, "holds text"),
        (b"8BPS\0\1" + bytes(40), 415, "38 42 50 53"),
        (b"\0\0\0\x18ftypheic" + bytes(40), 415, "HEI"),
        (b"", 400, "empty"),
        (bomb(), 422, "3600000000 pixels"),
        (many_scans(70), 413, "scans"),
        (picture()[:30], 422, "damaged"),
        (picture("PNG")[:200], 422, "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20), 422, "damaged"),
        (picture(size=(1, 1)), 422, "1 x 1"),
    ],
    ids=["text", "psd", "heic", "empty", "bomb", "scans", "cut JPEG", "cut PNG", "cut WebP", "one pixel"],
)
def test_a_file_that_is_no_usable_photo_gets_one_clear_error(client, photo, status, said):
    refused(send(client, photo), status, said)


@pytest.mark.parametrize("size", [(60_000, 60_000), (9_000, 9_000)])
def test_who_sends_a_file_of_far_too_many_pixels_is_told_to_send_fewer(client, size):
    assert "fewer pixels" in refused(send(client, bomb(*size)), 422, "pixels")["what_to_do"]


def test_a_model_that_gives_descriptors_itself_answers(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    finder = small_finder(tmp_path, from_torch(model))
    photo = (tmp_path / "04.jpg").read_bytes()
    with client_with(finder) as client:
        place = send(client, photo, top=1).json()["places"][0]
        assert place["name"] == "04.jpg" and finder.methods == ("guided", "gradient")
        for method in finder.methods:
            answer = send(client, photo, "heatmap", row=place["row"], method=method)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("image/")


def test_a_jpeg_that_ends_early_is_damaged(client):
    refused(send(client, picture(size=(200, 150), quality=95)[:-900]), 422, "truncated")


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF", "AVIF"])
def test_the_page_takes_what_the_command_line_takes(client, kind):
    if kind not in kinds_read():
        pytest.skip(f"this Pillow reads no {kind}")
    assert send(client, picture(kind, (90, 70))).status_code == 200
    assert f".{kind.lower()}" in client.get("/api/health").json()["accept"]


@pytest.mark.parametrize(
    "field", [{"top": "0"}, {"top": "51"}, {"top": "many"}, {"top": "-1"}, {"top": "9" * 30}]
)
def test_settings_out_of_range_are_named(client, field):
    refused(send(client, picture(), **field), 422, "top: Input should be")


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, 415, "application/json"),
        ({"content": b"abc", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
        ({"data": {"photo": "text"}, "files": {"other": b"x"}}, 400, "no file named"),
        ({"files": [("photo", b"a"), ("photo", b"b")]}, 400, "Too many files"),
        ({"files": {"photo": b"x"}, "data": {"top": "1" * 5000}}, 400, "1KB"),
        ({"files": {"photo": b"x"}, "data": {str(i): "1" for i in range(20)}}, 400, "Too many fields"),
    ],
    ids=["json", "no boundary", "no photo", "two photos", "long field", "many fields"],
)
def test_a_request_that_is_no_photo_form_says_what_to_send(client, request_, status, said):
    refused(client.post("/api/localize", **request_), status, said)


@pytest.mark.parametrize("announced", [True, False])
def test_more_bytes_than_allowed_are_refused_while_they_come(finder, announced):
    with client_with(finder, upload_bytes=50_000) as client:
        assert send(client, picture()).status_code == 200
        if announced:
            response = send(client, bytes(200_000))
        else:
            head = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
            kind = {"content-type": "multipart/form-data; boundary=b"}
            content = (part for part in [head, *[bytes(10_000)] * 20])
            response = client.post("/api/localize", content=content, headers=kind)
        refused(response, 413, "0.05 MB")
        refused(send(client, bytes(55_000)), 413, "0.05 MB")  # within the envelope's room
        assert send(client, picture()).status_code == 200


def test_an_upload_never_becomes_a_file(finder, monkeypatch, tmp_path):
    def no_file(*arguments, **settings):
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", no_file)
    large = picture("PNG", (1600, 1200), compress_level=0)
    assert len(large) > 5_000_000
    with client_with(finder) as client:
        assert send(client, large).status_code == 200


def test_large_photos_are_scaled_down_before_the_network_sees_them(finder):
    with client_with(finder, described_pixels=2000) as client:
        photo = send(client, picture(size=(640, 480))).json()["photo"]
    assert (photo["width"], photo["height"]) == (640, 480)
    assert photo["described_width"] * photo["described_height"] <= 2000


def test_when_all_places_are_taken_the_next_gets_retry_after(finder):
    entered, go_on = threading.Event(), threading.Event()

    def slowly(*question):
        entered.set()
        assert go_on.wait(20)
        return find(*question)

    find = finder.find
    with (
        client_with(finder, waiting=2) as client,
        ThreadPoolExecutor(2) as pool,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(finder, "find", slowly)
        inside = [pool.submit(send, client, picture()) for _ in range(2)]
        assert entered.wait(20)
        ends = time.monotonic() + 20
        while client.get("/api/health").json()["inside"] < 2:
            assert time.monotonic() < ends
        response = send(client, picture())
        body = refused(response, 503, "busy")
        assert int(response.headers["retry-after"]) >= 1
        assert response.headers["retry-after"] in body["what_to_do"]
        go_on.set()
        assert [done.result().status_code for done in inside] == [200, 200]
        assert send(client, picture()).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(finder, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(finder, "find", lambda *question: go_on.wait(20) and [])
    with client_with(finder, patience_seconds=0.1) as client:
        refused(send(client, picture()), 503, "too long")
        go_on.set()


def test_an_unexpected_error_is_answered_without_its_details(finder, monkeypatch, caplog):
    def fails(*question):
        raise KeyError("a secret")

    app = create_app(finder)
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
        with monkeypatch.context() as patch:
            patch.setattr(finder, "find", fails)
            response = send(client, picture())
        refused(response, 500, "failed on this request")
        assert "secret" not in response.text
        assert "a secret" in caplog.text
        assert send(client, picture()).status_code == 200


@pytest.mark.parametrize("method", ["guided", "gradient", "cells"])
def test_a_heatmap_is_a_png_of_both_pictures_beside_one_another(client, city, method):
    response = send(client, picture(size=(60, 50)), "heatmap", row=1, method=method)
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as drawn, Image.open(city / "01.jpg") as place:
        assert drawn.height > 50  # the scale is below
        there = round(place.width * drawn.height / (place.height + drawn.height - 50))
        assert drawn.width == pytest.approx(60 + there, abs=15)
        colours = np.asarray(drawn.convert("RGB"))
        assert min(half.std() for half in (colours[:40, :50], colours[:40, -50:])) > 5


def test_heatmaps_of_large_photos_are_bounded(finder):
    with client_with(finder, heat_pixels=3000) as client:
        response = send(client, picture(size=(640, 480)), "heatmap", row=0)
    with Image.open(io.BytesIO(response.content)) as drawn:
        assert drawn.width * drawn.height <= 3 * 3000  # both, and the scale


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "row: Field required"),
        ({"row": "30"}, "less than 30"),
        ({"row": "0", "method": "occlusion"}, "guided"),
    ],
)
def test_a_heatmap_that_cannot_be_drawn_is_refused(client, fields, said):
    refused(send(client, picture(), "heatmap", **fields), 422, said)


def test_a_network_without_netvlad_offers_no_cells(city):
    net = Extractor()
    net.body[2] = net.body[3]
    finder = PlaceFinder.__new__(PlaceFinder)
    finder.net = net
    assert finder.methods == ("guided", "gradient")


def test_another_network_is_refused(finder):
    other = Extractor()
    other.network_id = lambda: "ab" * 32
    with pytest.raises(NetworkMismatchError):
        PlaceFinder(other, finder.index)
