"""Fixtures of tests of the command line: a command run in this process, a small network, a few photos."""

import numpy as np
import pytest

from deepibl.cli.main import main
from deepibl.networks.io import save_network
from tests.extractors import make_photos, simplenn


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs a command line in an empty folder; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.mat"
    made = simplenn()
    made["pool1"].set_field("pool", np.array([[2.0, 2.0]]))
    save_network(made, path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Database and queries: every photo twice, 100 m apart from the next."""
    for kind, shift in (("db", 0), ("q", 5)):
        folder = tmp_path / kind
        folder.mkdir()
        names = make_photos(folder)[:6]
        rows = [f"{name},{400000 + 100 * i + shift},6000000,33N" for i, name in enumerate(names)]
        (folder / "places.csv").write_text("name,utm_e,utm_n,zone\n" + "\n".join(rows) + "\n")
    return tmp_path
