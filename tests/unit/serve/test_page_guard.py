"""Who the page answers, what every response carries, and what is not there."""

import json
import re
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from deepibl.serve.app import create_app
from deepibl.serve.http import headers as page_headers
from tests.page_client import HOST, refused
from tests.page_files import picture, small_finder


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    return small_finder(tmp_path_factory.mktemp("city"))


@pytest.fixture(scope="module")
def client(finder):
    with TestClient(create_app(finder), base_url=HOST) as client:
        yield client


def test_only_known_hosts_and_pages_of_this_site_are_answered(client):
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "[::2]", ""):
        refused(client.get("/api/health", headers={"host": host}), 400, "--allow-host")
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert client.get("/api/health", headers={"host": host}).status_code == 200
    refused(client.get("/api/health", headers={"origin": "http://evil.example"}), 403, "another site")
    refused(client.get("/api/health", headers={"origin": "null"}), 403, "another site")
    assert client.get("/api/health", headers={"origin": "http://127.0.0.1"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/static/page.js", "/api/health", "/nothing", "/api/places/0/thumbnail"]
)
def test_every_response_forbids_the_browser_to_load_from_elsewhere(client, path):
    headers = client.get(path).headers
    assert {name: headers[name] for name in page_headers()} == page_headers()
    assert "http" not in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/localize", 405),
        ("GET", "/docs", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/api/places/abc/thumbnail", 422),
        ("GET", "/api/places/30/thumbnail", 404),
        ("GET", "/api/places/-1/thumbnail", 404),
        ("GET", "/api/places/0/thumbnail?side=9999", 422),
        ("GET", "/api/places/..%2f..%2fetc%2fpasswd/thumbnail", 404),
        ("GET", "/api/map?rows=1&extent=all", 422),
        ("GET", "/api/map", 422),
        ("GET", "/api/map?rows=77", 404),
        ("GET", "/api/map?rows=1&latitude=91&longitude=0", 422),
    ],
)
def test_what_is_not_there_is_refused_in_the_same_form(client, method, path, status):
    refused(client.request(method, path), status, "")


def test_the_map_has_a_numbered_pin_for_each_row(client):
    drawn = client.get("/api/map?rows=3&rows=9&extent=whole&latitude=54.1&longitude=13.48")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.count('circle class="pin"') == 2
    assert 'href="#place-9"' in drawn.text
    assert "outside" in client.get("/api/map?rows=3&rows=29").text  # 2.6 km away


def test_the_api_describes_itself(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/api/localize",
        "/api/heatmap",
        "/api/places/{row}/thumbnail",
        "/api/map",
        "/api/health",
    }
    form = document["paths"]["/api/localize"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["photo"]
    assert form["schema"]["properties"]["top"]["maximum"] == 50
    assert "Problem" in json.dumps(document["paths"]["/api/heatmap"])


def test_the_page_refers_to_nothing_outside(client):
    for path in (
        "/",
        "/static/page.css",
        "/static/page.js",
        "/static/map.js",
        "/static/places.js",
        "/static/ask.js",
    ):
        text = client.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


def test_it_answers_as_a_part_of_another_application(client, finder):
    photo, service = picture(), FastAPI()  # which passes no lifespan events on to what is mounted
    service.mount("/where", create_app(finder, hosts=["city.example"]))
    with TestClient(service, base_url="http://city.example") as mounted:
        answer = mounted.post("/where/api/localize", files={"photo": photo}).json()
        assert mounted.get(answer["places"][0]["thumbnail"]).headers["content-type"] == "image/jpeg"
        page = mounted.get("/where").text
        links = re.findall(r'(?:href|src)="([^"#:]+)"', page)
        assert {mounted.get(urljoin("/where/", link)).status_code for link in links} == {200}
        refused(mounted.get("/where/api/health", headers={"host": "other"}), 400, "hosts=[NAME]")
    alone = client.post("/api/localize", files={"photo": photo}).json()
    assert [place["name"] for place in answer["places"]] == [place["name"] for place in alone["places"]]
