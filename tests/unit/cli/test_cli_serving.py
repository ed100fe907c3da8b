"""`deepibl serve` as a command: it answers, it ends, and what it cannot do is one line."""

import os
import signal
import sys
import urllib.request

import pytest

import deepibl.serve.app
from deepibl.cli.main import main
from deepibl.networks.io import load_network, save_network
from tests.extractors import simplenn
from tests.page_files import picture, small_finder
from tests.page_server import serving
from tests.reliability.uploads import post


def run(capsys, *arguments, command="serve"):
    with pytest.raises(SystemExit) as stop:
        main([command, *map(str, arguments)])
    return stop.value.code, capsys.readouterr().err


def test_an_address_that_others_reach_needs_a_second_word(capsys, tmp_path):
    code, err = run(capsys, "--index", tmp_path / "city.idx", "--host", "0.0.0.0")
    assert code == 1
    assert "--allow-host" in err
    assert err.count("\n") == 1


def test_an_index_that_is_not_there_is_named(capsys, tmp_path):
    code, err = run(capsys, "--index", tmp_path / "city.idx")
    assert (code, "city.idx" in err, err.count("\n")) == (1, True, 1)


@pytest.mark.parametrize("where", ["city.db", "http://127.0.0.1:1/city"])
@pytest.mark.parametrize("command", [["serve"], ["evaluate", "--queries", "asked.csv"]])
def test_an_index_in_a_database_is_refused_with_advice(capsys, command, where):
    code, err = run(capsys, *command[1:], "--index", where, command=command[0])
    assert (code, err.count("\n")) == (1, 1)
    assert f"{where} is a database" in err and "-o FILE.idx" in err


def test_without_the_extra_it_says_what_to_install(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(deepibl, "serve", deepibl.serve, raising=False)  # put back, as the modules are
    for name in [name for name in sys.modules if name.startswith("deepibl.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, err = run(capsys, "--index", tmp_path / "city.idx")
    assert code == 1
    assert "pip install 'deepibl[web]'" in err


@pytest.mark.network
@pytest.mark.slow
def test_it_answers_as_its_options_say_and_ends_when_it_is_interrupted(tmp_path):
    net = simplenn()
    save_network(net, tmp_path / "net.mat")
    small_finder(tmp_path, load_network(tmp_path / "net.mat"))
    moved = tmp_path / "moved"
    moved.mkdir()
    for photo in tmp_path.glob("*.jpg"):
        photo.rename(moved / photo.name)
    options = {
        "--net": tmp_path / "net.mat",
        "--waiting": 3,
        "--max-upload": 0.5,
        "--max-pixels": 2000,
        "--root": moved,
    }
    with serving(tmp_path / "city.idx", [str(word) for pair in options.items() for word in pair]) as served:
        health = served.get("/api/health")
        assert (health["images"], health["places"], health["index"]) == (30, 3, "city.idx")
        assert health["upload_bytes"] == 500_000
        status, answer, _ = post(served.url, picture(size=(400, 300)))
        assert status == 200
        assert answer["photo"]["described_width"] * answer["photo"]["described_height"] <= 2000
        place = served.url.rstrip("/") + answer["places"][0]["thumbnail"]
        with urllib.request.urlopen(place, timeout=30) as response:
            assert response.headers["content-type"] == "image/jpeg"
        os.kill(served.process.pid, signal.SIGINT)
        assert served.process.wait(20) in (0, -signal.SIGINT, 130)
