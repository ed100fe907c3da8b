"""Fixtures that tests share, and marks that explain why a test is skipped."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.cli.main import main
from deepibl.networks.build import LayerVLAD
from deepibl.networks.io import save_network
from matlab_compat.simplenn.network import SimpleNN
from tests.browser import chromium
from tests.extractors import make_photos, simplenn
from tests.golden_data import GOLDEN, REAL
from tests.released_layout import released_network, write_released
from tests.reliability.crafted_mat import HAS_MATIO
from tests.tiny_training import Workplace

assert LayerVLAD  # registers NetVLAD's layers


@pytest.fixture(scope="session")
def golden() -> Path:
    """The directory of the golden data."""
    if not GOLDEN.is_dir():
        pytest.fail(f"no golden data at {GOLDEN}; unset DEEPIBL_GOLDEN or point it at a copy of tests/golden")
    return GOLDEN


@pytest.fixture(scope="session")
def real() -> Path:
    """The directory of real files; only tests marked `real` ask for it."""
    return REAL


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread, as each process of several has: rounding depends on their number, and bits are compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A context manager, `card(device)`: fake tensors on a CUDA device (tests.fake_cuda)."""
    from tests.fake_cuda import BACKWARD, NAME, fake_device

    return lambda device=NAME: fake_device(monkeypatch, gradients=device == BACKWARD)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """(folder, names of 30 images of three sizes)."""
    folder = tmp_path_factory.mktemp("photos")
    return folder, make_photos(folder)


@pytest.fixture(scope="module")
def released() -> SimpleNN:
    """The released network's 35 layers with few channels."""
    return SimpleNN.from_matlab(released_network(small=True))


@pytest.fixture(scope="module")
def released_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of the released layout; of class objects, v7.3, where mat-io can be installed."""
    form = "v7.3" if HAS_MATIO else "struct"
    return write_released(tmp_path_factory.mktemp("released"), [form], small=True)[0]


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A folder for a training of seconds."""
    return Workplace(tmp_path)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in an empty folder; gives exit code, standard output and standard error (without
    the line that says which engine computes)."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> tuple[int, str, str]:
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        said = captured.err.splitlines(keepends=True)
        return code, captured.out, "".join(line for line in said if not line.startswith("engine: "))

    return command


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """The file of a small network of the released layout."""
    path = tmp_path / "net.mat"
    made = simplenn()
    made["pool1"].set_field("pool", np.array([[2.0, 2.0]]))
    save_network(made, path)
    return path


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder with photos of six places, 100 m apart, as database (db) and queries (q), each with a CSV."""
    for kind, shift in (("db", 0), ("q", 5)):
        folder = tmp_path / kind
        folder.mkdir()
        names = make_photos(folder)[:6]
        rows = [f"{name},{400000 + 100 * i + shift},6000000,33N" for i, name in enumerate(names)]
        (folder / "places.csv").write_text("name,utm_e,utm_n,zone\n" + "\n".join(rows) + "\n")
    return tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips marked tests whose need is not met, and says which need; files with slow tests come first.

    Of several processes none then has a long file left when the others have finished.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
    reasons = {
        "real": None if REAL.is_dir() else "needs ../shared/real (files MATLAB wrote), which a clone lacks",
        "octave": None if shutil.which("octave-cli") else "needs GNU Octave: apt-get install octave",
        "browser": None if chromium() else "needs Chromium: apt-get install chromium chromium-driver",
        "gpu": None if torch.cuda.is_available() else "needs a CUDA device",
    }
    for item in items:
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))
