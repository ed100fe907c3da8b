"""The playground, and scripts for the published data that run in it once they are translated.

The scripts in matlab_scripts/ have the structure of deepIBL's README script and of NetVLAD's demo.m. Where
$DEEPIBL_ORIGINALS names a folder with the originals (*.m, and deepIBL's README.md), these run as well.
"""

import os
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tree_sitter_matlab", reason="needs the extra `migrate`")

from deepibl.datasets.catalog import open_dataset
from deepibl.demo.playground import make_playground
from deepibl.errors import DatasetError
from deepibl.migrate.translate import migrate_file, parse_overrides
from deepibl.networks.io import load_network
from deepibl.runtime.paths import localPaths
from deepibl.training.checkpoints import SessionFiles, read_results
from matlab_compat import matfile

pytestmark = pytest.mark.slow  # drawing the pictures takes a quarter of a minute
SCRIPTS = Path(__file__).parents[1] / "migrate" / "matlab_scripts"
ORIGINALS = os.environ.get("DEEPIBL_ORIGINALS", "")
# the pcaDim that a hundred pictures can give, and training short enough for a test
SMALL = parse_overrides(
    ["addPCA.pcaDim=16", "trainWeakly.nEpoch=1", "trainGaussKernalInd.nEpoch=1", "trainWeakly.useGPU=false"]
)


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_playground(tmp_path_factory.mktemp("play"), places=2).parent


def translated_and_run(
    script: Path, playground: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Mapping[str, Any]:
    """The variables of a script after it was translated and run in the playground."""
    monkeypatch.setenv("DEEPIBL_LOCALPATHS", str(playground / "localPaths.toml"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(playground)
    python = folder / f"{script.stem}.py"
    result = migrate_file(script, python, overrides=SMALL)
    assert not result.stops
    return runpy.run_path(str(python))


def trained(playground: Path, session: str) -> bool:
    """Whether the session has trained to its end, and was tested."""
    return len(read_results(SessionFiles(f"{playground}/output/", session)).history.val.recall) == 1


@pytest.mark.parametrize("name", ["train_sare", "tour"])
@pytest.mark.filterwarnings("ignore:cropToDim", "ignore:FigureCanvasAgg", "ignore:.*Matplotlib")
def test_a_script_runs_on_toy_data(
    name: str, playground: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = translated_and_run(SCRIPTS / f"{name}.m", playground, monkeypatch, tmp_path)
    assert trained(playground, variables["id_"])  # id is a name of Python's
    if name == "tour":
        assert variables["f"].shape == (16, 1)
        assert variables["recalls"].shape == (1, 3) and np.all(variables["recalls"].data > 0)
        assert variables["rate"] == 0.001
        assert list(variables["net"].layers)[-1].name == "finalL2"


@pytest.mark.skipif(
    not ORIGINALS, reason="needs $DEEPIBL_ORIGINALS, a folder with demo.m and deepIBL's README.md"
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["demo.m", "README.md"])
def test_the_original_scripts_run_on_toy_data(
    name: str, playground: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(ORIGINALS, name)
    if name == "README.md":
        code = next(
            part for part in re.split(r"^~~~~$", source.read_text(), flags=re.M) if "trainGauss" in part
        )
        source = tmp_path / "readme.m"
        source.write_text(code)
    variables = translated_and_run(source, playground, monkeypatch, tmp_path)
    assert trained(playground, variables["sessionID"])


def test_data_sets_and_networks_have_the_published_names(playground: Path) -> None:
    paths = localPaths(playground / "localPaths.toml")
    for name in ("pitts30k/train", "pitts250k/test", "tokyo247", "tokyoTM/val", "tokyoTinyTM/train"):
        dataset = open_dataset(name, paths=paths)
        dataset.check_images()
        assert all(len(dataset.positives(query)) for query in range(dataset.query_count)), name
    for file in ("pretrained/imagenet-vgg-verydeep-16.mat", "pretrained/imagenet-caffe-ref.mat"):
        assert load_network(playground / file).names[0].startswith("conv1")
        assert set(matfile.who(playground / file)) == {"layers", "meta"}  # as published
    assert (playground / "football.jpg").is_file()


def test_a_playground_of_one_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least 2 places"):
        make_playground(tmp_path, places=1)
