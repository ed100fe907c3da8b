"""The notebooks of examples/ run from their first cell to the last, and do what they say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))


def executed(path: Path) -> dict[str, Any]:
    """The names that a notebook leaves when its cells are executed in order."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    names: dict[str, Any] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, {cell['id']}", "exec"), names)
    pyplot.close("all")
    return names


@pytest.fixture
def notebook(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    (path,) = (path for path in NOTEBOOKS if path.stem == request.param)
    return executed(path)


@pytest.mark.parametrize("notebook", ["localize_own_photos"], indirect=True)
def test_photos_are_found_where_they_were_taken(notebook: dict[str, Any]) -> None:
    assert notebook["result"].at(5) > 0.5 and not notebook["unreadable"]
    assert notebook["heatmap"].max() > notebook["heatmap"].min()


@pytest.mark.parametrize("notebook", ["sare_on_a_backbone"], indirect=True)
def test_sare_trains_a_backbone_and_pulls_as_its_formula_says(notebook: dict[str, Any]) -> None:
    assert len(notebook["tuples"]) > 3 and notebook["losses"][-1] < 0.9 * notebook["losses"][0]
    axis, positive, negative = notebook["magnitudes"](notebook["SARELoss"]("gauss"), 7)
    to_negative, to_positive = np.meshgrid(axis, axis, indexing="ij")
    pull = 1 / (1 + np.exp(to_negative**2 - to_positive**2))
    assert np.allclose(positive, 2 * to_positive * pull) and np.allclose(negative, 2 * to_negative * pull)


@pytest.mark.parametrize("notebook", ["from_matlab"], indirect=True)
def test_a_matlab_network_is_used_edited_and_saved(notebook: dict[str, Any]) -> None:
    assert Path("db.bin").stat().st_size == 24 * 4 * notebook["dimensions"]
    assert 0.3 < notebook["recall"][-1] <= 1
    assert Path("cropped.mat").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_has_a_test(path: Path) -> None:
    found = [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    assert found and all(not cell["outputs"] and cell["execution_count"] is None for cell in found)
    assert f'"{path.stem}"' in Path(__file__).read_text(encoding="utf-8")
