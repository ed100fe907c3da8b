"""What the MATLAB names print: the original's lines, or nothing."""

import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deepibl.matlab.networks import addPCA, convertPngtoJPG, getClusters, serialAllFeats
from deepibl.matlab.prints import display
from deepibl.matlab.training import trainWeakly
from matlab_compat.relja import relja_display
from tests.tiny_training import OPTIONS, Workplace
from tests.unit.features.test_pca_files import network

DATE = r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d"


def masked(text: str) -> list[str]:
    return re.sub(r"; time .* s$", "; TIMES", re.sub(DATE, "DATE", text), flags=re.MULTILINE).splitlines()


def features(count: int) -> list[str]:
    """The lines of serialAllFeats with batches of 2."""
    total = -(-count // 2)
    shown = [i for i in range(1, total + 1) if i < 5 or i == total]
    lines = [f"serialAllFeats DATE {i} / {total}{'; TIMES' if i > 1 else ''}" for i in shown]
    return ["serialAllFeats: Start", *lines, "serialAllFeats: Done"]


@pytest.fixture
def data(tmp_path: Path) -> SimpleNamespace:
    names = [f"{i}.jpg" for i in range(9)]
    (tmp_path / "images").mkdir()
    for i, name in enumerate(names):
        colours = np.random.default_rng(i).integers(0, 255, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((24, 18)).save(tmp_path / "images" / name)
    root = f"{tmp_path}/images/"
    return SimpleNamespace(name="set", database_root=root, database_names=names, database_size=9)


def test_features_and_pca(data: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"useGPU": False, "batchSize": 2}
    serialAllFeats(network(), data.database_root, data.database_names, tmp_path / "a.bin", **asked)
    assert masked(capsys.readouterr().out) == features(9)
    asked |= {"pcaDim": 3, "paths": {"outPrefix": f"{tmp_path}/x_"}}
    addPCA(network(), data, **asked)
    texts = ["DATE", "abc Computing training vectors for PCA", *features(9), "abc Computing PCA"]
    assert masked(capsys.readouterr().out) == texts
    addPCA(network(), data, **asked)
    assert not capsys.readouterr().out
    next(tmp_path.glob("*_pca.mat")).unlink()
    addPCA(network(), data, **asked)
    assert masked(capsys.readouterr().out) == ["DATE", "abc Computing PCA"]


def test_clusters(data: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"{tmp_path}/c.mat", f"{tmp_path}/d.mat"]

    def printed() -> list[str]:
        getClusters(network(), {}, files[0], 4, data, files[1])
        return masked(capsys.readouterr().out)

    steps = [f"extract train descs DATE {i} / 9{'; TIMES' if i > 1 else ''}" for i in (1, 2, 3, 4, 8, 9)]
    assert printed() == ["Computing training descriptors", *steps, "Computing clusters"]
    assert printed() == ["Loading clusters"]
    for name in ("c.mat", "c.mat.json"):
        (tmp_path / name).unlink(missing_ok=True)
    assert printed() == ["Loading training descriptors", "Computing clusters"]


def test_converted_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "1.png")
    convertPngtoJPG(tmp_path)
    assert capsys.readouterr().out.splitlines()[:7] == [
        *("numberOfFolders =", "", "     2", ""),
        *(f"Processing folder {tmp_path}", f"     Folder {tmp_path} has no image files in it."),
        f"Processing folder {tmp_path}/a",
    ]
    convertPngtoJPG(tmp_path, verbose=False)
    assert not capsys.readouterr().out


def test_silence_is_one_option(
    data: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = {"useGPU": False, "verbose": False}
    serialAllFeats(network(), data.database_root, data.database_names, tmp_path / "a.bin", **quiet)
    addPCA(network(), data, pcaDim=3, paths={"outPrefix": f"{tmp_path}/x_"}, **quiet)
    getClusters(network(), {}, f"{tmp_path}/c.mat", 4, data, f"{tmp_path}/d.mat", verbose=False)
    place = Workplace(tmp_path)
    place.train(sessionID="run", nEpoch=1, verbose=False)
    out = capsys.readouterr()
    assert not out.out and not out.err


def test_losses_of_tuples_are_printed_in_the_originals_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workplace(tmp_path)
    asked = {**OPTIONS, "nEpoch": 1, "test0": False, "printLoss": True, "printBatchLoss": True}
    trainWeakly(*place.sets, paths=place.paths, sessionID="run", **asked)
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed if "loss= " in line and "margin" not in line]
    kinds = "".join("r" if "real" in line else "b" if "batchloss" in line else "m" for line in lines)
    assert re.fullmatch(r"((mr?){2}b){4}", kinds) and "r" in kinds
    for first, second in pairwise(lines):
        if "real" in second:
            assert first.split("(qID")[1] == second.split("(qID")[1]


def test_a_struct_is_displayed_as_in_matlab() -> None:
    struct = {"a": "x", "long": np.array([[0.001]]), "b": True, "c": np.zeros((0, 0)), "d": np.arange(3.0)}
    struct |= {"e": np.arange(20.0), "f": np.array([[0.0001]]), "g": 30.0, "h": np.array([["y"]], object)}
    texts = ["'x'", "0.0010", "1", "[]", "[0 1 2]", "[1x20 double]", "1.0000e-04", "30", "{1x1 cell}"]
    lines = [f"{name:>8}: {text}" for name, text in zip(struct, texts, strict=True)]
    assert display("opts", struct).split("\n") == ["opts = ", "", *lines, ""]


def test_relja_display_is_sprintf(capsys: pytest.CaptureFixture[str]) -> None:
    relja_display("%d %s", 2.5, Path("a"))
    relja_display("%03d %.4f|", np.array([[1, 0.5], [2, 0.25]]).ravel())
    relja_display("100%% of %d\\n", 3)
    assert capsys.readouterr().out == "2.500000e+00 a\n001 0.5000|002 0.2500|\n100% of 3\n\n"
