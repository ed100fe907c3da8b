"""Map tiles: in their places, only where they are wanted, and allowed by the content policy then alone."""

import re

import numpy as np
import pytest
from fastapi.testclient import TestClient

from deepibl.datasets.geo import DEGREES, map_metres
from deepibl.serve.app import create_app
from deepibl.serve.tiles import Tiles
from matlab_compat.errors import ArgumentError
from tests.page_client import HOST
from tests.page_files import small_finder

URL = "https://tiles.example:8443/{z}/{x}/{y}.png"
MAP = "/api/map?rows=3&rows=9&extent="


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    return small_finder(tmp_path_factory.mktemp("city"))


def test_tiles_are_below_the_map_with_their_credit_and_their_server_in_the_policy(finder):
    with TestClient(create_app(finder, tiles=Tiles(URL, "© somebody")), base_url=HOST) as client:
        drawn = client.get(MAP + "near")
        policy = drawn.headers["content-security-policy"]
        assert "img-src 'self' blob: https://tiles.example:8443;" in policy
        assert policy.count("http") == 1
        assert drawn.headers["referrer-policy"] == "strict-origin-when-cross-origin"
        assert client.get("/api/health").json()["attribution"] == "© somebody"
    images = re.findall(
        r'<image href="https://tiles.example:8443/(\d+)/(\d+)/(\d+).png" x="(.*?)" y="(.*?)" '
        r'width="(.*?)" height="(.*?)"',
        drawn.text,
    )
    assert 4 <= len(images) <= 24
    x, y, width, height = np.array(images, float)[:, 3:].T
    assert (width > 350).all() and (width < 750).all()
    assert np.allclose(width, height, rtol=0.02)
    assert x.min() <= 0 and (x + width).max() >= 900 and y.min() <= 0  # nothing of the map is bare
    assert drawn.text.index("<image") < drawn.text.index('class="database"')


def test_without_tiles_nothing_of_them_is_there(finder):
    with TestClient(create_app(finder), base_url=HOST) as client:
        assert "<image" not in client.get(MAP + "whole").text
        assert client.get("/api/health").json()["attribution"] == ""


@pytest.mark.parametrize("centre", [(52.5189, 13.4003), (-33.86, 151.2), (60.0, 179.9995), (0.0005, -0.0005)])
def test_a_tile_covers_the_places_that_are_in_it(centre):
    """By the usual formula of Web Mercator, written out for one place of the map."""
    there = np.array([centre[0] + 0.0004, centre[1] - 0.0007])
    east, north = map_metres(there, centre, DEGREES)
    found = list(Tiles(URL).below(np.array(centre), (-200, -150, 200, 150), 900 / 400))
    zoom = int(found[0][0].split("/")[3])
    x = int((there[1] + 180) / 360 * 2**zoom)
    y = int((1 - np.log(np.tan(np.pi / 4 + np.radians(there[0]) / 2)) / np.pi) / 2 * 2**zoom)
    (frame,) = (frame for url, frame in found if url.endswith(f"/{zoom}/{x}/{y}.png"))
    west, south, right, top = frame
    assert west <= east <= right and south <= north <= top
    assert len({url for url, _ in found}) == len(found)


def test_maps_of_continents_have_no_tiles():
    assert not list(Tiles(URL).below(np.array([50.0, 10.0]), (-3e5, -1e5, 3e5, 1e5), 0.001))


@pytest.mark.parametrize(
    "url",
    [
        "https://a/{z}/{x}.png",
        "ftp://a/{z}/{x}/{y}",
        "/{z}/{x}/{y}",
        "https://a b/{z}/{x}/{y}",
        "https://a;script-src *;/{z}/{x}/{y}",
        "https://{z}/{x}/{y}",
        "https://a/{z}/{x}/{y}\n",
        'https://a/{z}/{x}/{y}"',
    ],
)
def test_what_is_no_address_of_tiles_is_refused(url):
    with pytest.raises(ArgumentError, match="--tiles"):
        Tiles(url)
