"""Asking the page's application in this process, and checking how it refuses."""

from fastapi.testclient import TestClient

from deepibl.serve.app import create_app
from deepibl.serve.http import Limits

HOST = "http://127.0.0.1"


def client_with(finder, **limits):
    return TestClient(create_app(finder, limits=Limits(**limits)), base_url=HOST)


def send(client, photo, question="localize", **fields):
    return client.post(f"/api/{question}", files={"photo": ("a.jpg", photo)}, data=fields)


def refused(response, status, said):
    """The error's text, after checking its form."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "what_to_do"}
    assert said in body["error"] + body["what_to_do"]
    assert body["what_to_do"].endswith(".")
    return body
