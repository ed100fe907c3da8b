"""Every code cell of docs/for_matlab_users.md runs, in the order of the page."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import deepibl
from deepibl.matlab import dbTokyo247
from deepibl.networks import load_network, save_network
from matlab_compat.dagnn.edit import from_simplenn
from matlab_compat.simplenn import SimpleNN
from tests.extractors import simplenn
from tests.simplenn_structs import image, single, small
from tests.small_datasets import saved
from tests.tiny_training import OPTIONS, Workplace

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "for_matlab_users.md").read_text(encoding="utf-8")


def cells(heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    section = GUIDE.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 2, f"no table below {heading!r}"
    return rows[1:]


def code(cell: str) -> str:
    """What stands between the first backticks of a cell."""
    found = re.search(r"`([^`]+)`", cell)
    return found[1] if found else ""


@pytest.fixture
def tokyo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: localPaths.toml, a small Tokyo 24/7 and model.mat."""
    saved(tmp_path, "tokyo247")
    colours = np.random.default_rng(0)
    for name in ("images/a.jpg", "images/b.jpg", "images/c.jpg", "query/q.jpg"):
        path = tmp_path / "Tokyo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours.integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    paths = f'dsetSpecDir = "{tmp_path}/"\ndsetRootTokyo247 = "{tmp_path}/Tokyo/"\n'
    (tmp_path / "localPaths.toml").write_text(paths)
    save_network(simplenn(), tmp_path / "model.mat")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_script_and_the_two_protocols_run(
    tokyo: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    names: dict[str, Any] = {"deepibl": deepibl, "dbFeatFn": "db.bin", "qFeatFn": "q.bin"}
    script = [code(python) for _, python in cells("The README script")]
    assert len(script) == 6
    for line in script:
        exec(line, names)
    assert len(names["recall"]) == len(names["opts"].recallNs)
    images = torch.rand(2, 3, 48, 64) * 255
    assert eval("net(net.prepare(images)).flatten(1)", {**names, "images": images}).shape[0] == 2
    names["db"], sizes = dbTokyo247(), {}
    for protocol, command, original in cells("Tokyo 24/7"):
        Path("q.bin").unlink()
        exec(code(original), names)
        sizes[protocol] = Path("q.bin").read_bytes()
        words = shlex.split(code(command))
        status, out, _ = run("evaluate", "model.mat", "--dataset", "tokyo247", *words)
        assert status == 0 and "tokyo247: 3 database images, 1 query" in out
    assert sizes["deepibl"] != sizes["netvlad"]


@pytest.mark.parametrize(("matlab", "python"), cells("Editing a network"))
def test_an_edit_runs_and_is_saved(matlab: str, python: str, tmp_path: Path) -> None:
    struct = small()
    struct["layers"][0, 0] |= {"name": "conv1", "learningRate": np.array([[1.0, 2.0]])}
    net: Any = SimpleNN.from_matlab(struct)
    w = single(3, 3, 3, 4)
    if "DagNN" in matlab:
        net = from_simplenn(net)
    files = [tmp_path / "before.mat", tmp_path / "after.mat"]
    save_network(net, files[0])
    exec(code(python), {"net": net, "w": w})
    save_network(net, files[1])
    assert files[0].read_bytes() != files[1].read_bytes()
    x = image(1, 3, 12, 12)
    assert torch.equal(load_network(files[1]).eval()(x), net.eval()(x))


def test_what_goes_back_to_matlab_is_written(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    place = Workplace(tmp_path)
    (tmp_path / "localPaths.toml").write_text("".join(f'{k} = "{v}"\n' for k, v in place.paths.items()))
    names: dict[str, Any] = dict(zip(("dbTrain", "dbVal"), place.sets, strict=True))
    exec("from deepibl import *\nfrom matlab_compat import *", names)
    script = [code(python) for python, _ in cells("The way back")]
    options = ", ".join(f"{name}={value!r}" for name, value in OPTIONS.items() if name != "nEpoch")
    exec(script[2].replace("nEpoch", f"{options}, nEpoch"), names)
    exec(script[1], names)
    exec(script[0], names)
    assert names["epoch"] == 1
    assert str(load_network("net.mat").to_matlab()) == str(load_network("best.mat").to_matlab())
    assert run("toolbox", tmp_path / "m")[0] == 0
    copied = {path.stem for path in (tmp_path / "m").glob("*.m")}
    called = {name for _, matlab in cells("The way back") for name in re.findall(r"deepibl_\w+", matlab)}
    assert called == {"deepibl_load", "deepibl_session"} and called <= copied


def test_there_is_no_other_table_of_code() -> None:
    tables = re.findall(r"\n## ([^\n]+)\n(?:(?!\n## ).)*?\n\|---", GUIDE, re.DOTALL)
    known = (
        "The README script",
        "Tokyo 24/7",
        "Editing a network",
        "The way back",
        "The trainers' options",
        "The table",
    )
    assert [table for table in tables if not table.startswith(known)] == []
