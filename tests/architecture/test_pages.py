"""Every command and code cell of the pages runs, or a comment before it says why it does not.

A page's cells run in its order, in a folder of its own with photos, queries and networks under the names
that pages use. Commands of `deepibl` run in this process.
"""

import glob
import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import deepibl
from deepibl.datasets.folder import read_places
from deepibl.images import read_image
from deepibl.migrate.toolbox import VERSION
from deepibl.networks import DEFAULT_NETWORK, load_network, save_network
from deepibl.search.localization import build_index
from matlab_compat import matfile
from matlab_compat.numeric import maps_to_matlab
from matlab_compat.simplenn.tidy import cell_row

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CELL = re.compile(r"(?:<!-- no test: ([^>]*?) -->\n)?^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {"matlab": "tests/unit/migrate runs what Octave can run", "text": "output", "bibtex": "no code"}


class Cell(NamedTuple):
    why_not: str
    language: str
    code: str


def cells(page: Path) -> list[Cell]:
    found = CELL.findall(page.read_text(encoding="utf-8"))
    return [Cell(why, language, code) for why, _, language, code in found]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/, queries/, photo.jpg, other.jpg, their CSV and dbStruct, networks, and what MATLAB writes."""
    folder = tmp_path_factory.mktemp("world")
    deepibl.toycity.make_city(folder, images=24, queries=6, size=(160, 120), progress=False)
    (folder / "images").rename(folder / "photos")
    first, second, *_ = sorted((folder / "queries").glob("*.jpg"))
    shutil.copy(first, folder / "photo.jpg")
    shutil.copy(second, folder / "other.jpg")
    for name in ("trip", "more"):
        shutil.copytree(folder / "queries", folder / name)
    network = load_network(DEFAULT_NETWORK)
    save_network(network, folder / "model.mat")
    for name in ("net.mat", "sare.mat", "netvlad.mat", "best.mat"):
        shutil.copy(folder / "model.mat", folder / name)
    (folder / "names.txt").write_text(
        "".join(f"{path.name}\n" for path in sorted((folder / "photos").iterdir()))
    )
    write_matlab_files(folder, network)
    build_index(network, read_places(folder / "more"), folder / "other.idx", progress=False)
    gone = (folder / "names.txt").read_text().splitlines()[:2]
    (folder / "gone.txt").write_text("\n".join(gone))
    (folder / "last").touch()
    os.utime(folder / "last", (0, 0))
    (folder / "myscript.m").write_text("x= 1:3;\nfprintf('%d\\n', sum(x));\n")
    return folder


def write_matlab_files(folder: Path, network: Any) -> None:
    """feats.bin and list.txt, outputs.mat and ref.mat, as MATLAB would write them of photos/."""
    names = (folder / "names.txt").read_text().split()[:3]
    (folder / "list.txt").write_text("\n".join(names))
    images = [read_image(folder / "photos" / name) for name in names]
    features = deepibl.extract(network, names, root=str(folder / "photos"))
    features.astype("<f4").tofile(folder / "feats.bin")
    x = network.prepare(images[0][None])
    with torch.inference_mode():
        outputs = [maps_to_matlab(each) for each in network.activations(x)[1:]]
    matfile.save(folder / "outputs.mat", {"x": maps_to_matlab(x), "acts": cell_row(outputs)})
    reference = {
        "version": float(VERSION),
        "root": f"{folder / 'photos'}/",
        "images": cell_row(names),
        "sizes": np.array([image.shape[1:] for image in images], np.float64),
        "features": features.T,
        "resize": np.zeros((0, 0)),
        "layers": cell_row([network.names[0]]),
        "input": maps_to_matlab(x),
        "outputs": cell_row(outputs[:1]),
    }
    matfile.save(folder / "ref.mat", {"reference": reference})


def commands(code: str) -> list[list[str]]:
    """The words of each command of a cell of bash; patterns of files and ~ as a shell expands them."""
    lines = code.replace("\\\n", " ").splitlines()
    split = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [
        [os.path.expanduser(name) for word in words for name in (sorted(glob.glob(word)) or [word])]
        for words in split
        if words and words[0] != "pip"  # it would install into the environment that tests run in
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_cells_of_a_page_run(
    page: Path,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., tuple[int, str, str]],
) -> None:
    todo = [cell for cell in cells(page) if not cell.why_not and cell.language not in NOT_RUN]
    if not todo:
        return
    monkeypatch.chdir(shutil.copytree(world, tmp_path / "here"))
    monkeypatch.setenv("HOME", str(tmp_path))
    model = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    names: dict[str, Any] = {"model": model, "images": torch.rand(2, 3, 64, 96) * 255}
    for cell in todo:
        if cell.language == "python":
            exec(compile(cell.code, str(page), "exec"), names)
            continue
        assert cell.language == "bash", f"{page.name}: {cell.language!r} is no language: {cell.code}"
        for command, *arguments in commands(cell.code):
            if "|" in arguments:
                at = arguments.index("|")
                fed = subprocess.run([command, *arguments[:at]], check=True, capture_output=True, text=True)
                monkeypatch.setattr("sys.stdin", io.StringIO(fed.stdout))
                command, *arguments = arguments[at + 1 :]
            if command == "cd":
                monkeypatch.chdir(arguments[0])
            elif command == "deepibl":
                status, _, errors = run(*arguments)
                assert status == 0, f"deepibl {shlex.join(arguments)}: {errors}"
            else:
                subprocess.run([command, *arguments], check=True, timeout=120)


def test_most_pages_have_cells_and_a_cell_that_does_not_run_says_why() -> None:
    found = {page.stem: cells(page) for page in PAGES}
    assert sum(map(bool, found.values())) > 8
    every = [cell for several in found.values() for cell in several]
    assert sum(not cell.why_not and cell.language in ("bash", "python") for cell in every) >= 9
    assert [cell for cell in every if cell.why_not and len(cell.why_not) < 8] == []
