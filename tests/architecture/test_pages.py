"""Every command and code cell of the pages runs, or a comment before it says why it does not.

A page's cells run in its order, in a folder of its own with photos, queries and networks under the names
that pages use. Commands of `deepibl` run in this process.
"""

import glob
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import deepibl
from deepibl.networks import DEFAULT_NETWORK, load_network, save_network

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
    """photos/, queries/, photo.jpg, other.jpg, their CSV and dbStruct, and networks."""
    folder = tmp_path_factory.mktemp("world")
    deepibl.toycity.make_city(folder, images=24, queries=6, size=(160, 120), progress=False)
    (folder / "images").rename(folder / "photos")
    first, second, *_ = sorted((folder / "queries").glob("*.jpg"))
    shutil.copy(first, folder / "photo.jpg")
    shutil.copy(second, folder / "other.jpg")
    shutil.copytree(folder / "queries", folder / "trip")
    network = load_network(DEFAULT_NETWORK)
    save_network(network, folder / "model.mat")
    for name in ("net.mat", "sare.mat", "netvlad.mat"):
        shutil.copy(folder / "model.mat", folder / name)
    (folder / "names.txt").write_text(
        "".join(f"{path.name}\n" for path in sorted((folder / "photos").iterdir()))
    )
    (folder / "myscript.m").write_text("x= 1:3;\nfprintf('%d\\n', sum(x));\n")
    return folder


def commands(code: str) -> list[list[str]]:
    """The words of each command of a cell of bash; patterns of files as a shell expands them."""
    lines = code.replace("\\\n", " ").splitlines()
    split = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [
        [name for word in words for name in (sorted(glob.glob(word)) or [word])] for words in split if words
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
    names: dict[str, Any] = {}
    for cell in todo:
        if cell.language == "python":
            exec(compile(cell.code, str(page), "exec"), names)
            continue
        assert cell.language == "bash", f"{page.name}: {cell.language!r} is no language: {cell.code}"
        for command, *arguments in commands(cell.code):
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
