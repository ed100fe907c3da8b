"""The scripts that train: each runs, and does what it is there for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepibl.training.options import WORDS
from matlab_compat import matfile
from matlab_compat.arguments import typed_options, typed_value
from scripts import train_gauss_ind
from tests.pitts_root import make_root


def test_values_are_read_as_they_are_typed():
    typed = ["0.5", "true", "max", "[1, 2]", "conv5_3"]
    assert [typed_value(text) for text in typed] == [0.5, True, "max", [1, 2], "conv5_3"]
    names = typed_options(["sessionID=53e0", "session=1e5", "checkpoint0suffix='1_2'", "margin=1e5"], WORDS)
    assert list(names.values()) == ["53e0", "1e5", "1_2", 1e5]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["--help"], 0, "NAME=VALUE"), (["nEpoch"], 1, "an option must be name=value")],
)
def test_the_readme_script_says_how_options_are_given(words, code, said):
    script = Path(train_gauss_ind.__file__)
    env = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    done = subprocess.run([sys.executable, script, *words], env=env, capture_output=True, text=True)
    assert done.returncode == code and said in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.real
def test_the_readme_script_runs_on_a_pitts30k_root(tmp_path, real, monkeypatch, capsys):
    paths = make_root(real / "dbstructs", tmp_path, queries=10, size=(64, 48))
    write_small_vd16(tmp_path / "pretrained")
    monkeypatch.setenv("DEEPIBL_LOCALPATHS", str(paths))
    session = train_gauss_ind.main(nEpoch=1, nNegChoice=20, useGPU=False)
    shown = capsys.readouterr().out
    assert f"{session} Best epoch: 1 (out of 1)" in shown and "our trained" in shown
    assert (tmp_path / "output" / f"{session}_results.png").exists()


@pytest.mark.slow
def test_the_readme_script_trains_on_photos_of_ones_own(tmp_path):
    write_small_vd16(tmp_path)
    sources = {split: write_street(tmp_path / split, seed) for seed, split in enumerate(("train", "val"))}
    network = tmp_path / "imagenet-vgg-verydeep-16.mat"
    options = [
        f"netID={network}",
        "nEpoch=1",
        "nNegChoice=20",
        "useGPU=false",
        "doDraw=false",
        "sessionID=own",
    ]
    script = Path(train_gauss_ind.__file__)
    env = {**os.environ, "PYTHONPATH": str(script.parents[1]), "DEEPIBL_LOCALPATHS": ""}
    done = subprocess.run(
        [sys.executable, script, *sources["train"], *sources["val"], *options],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "own Best epoch: 1 (out of 1)" in done.stdout, done.stdout + done.stderr


def write_street(folder, seed, places=40):
    """Photos 10 m apart along a street, each place photographed twice; the arguments that name them."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    tables = {"db": ["name,utm_e,utm_n,zone"], "query": ["name,utm_e,utm_n,zone"]}
    for place in range(places):
        photo = draw.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for offset, (kind, rows) in enumerate(tables.items()):
            name = f"{kind}{place}.png"
            Image.fromarray(np.roll(photo, offset, axis=1)).save(folder / name)
            rows.append(f"{name},{500000 + 10 * place + offset},{6000000},33N")
    for kind, rows in tables.items():
        (folder / f"{kind}.csv").write_text("\n".join(rows) + "\n")
    split = folder.name
    return [f"--{split}", str(folder / "db.csv"), f"--{split}-queries", str(folder / "query.csv")]


def write_small_vd16(folder):
    """A network with the last layers' names of VGG-16, under the name of MatConvNet's file."""
    random = np.random.default_rng(0)
    layers, channels = [], 3
    for number in (1, 2, 3):
        weight = random.normal(0, 0.1, (3, 3, channels, 8)).astype(np.float32)
        stride = np.full((1, 2), 4.0 if number == 1 else 1.0)
        conv = {"type": "conv", "name": f"conv5_{number}", "weights": [weight, np.zeros((8, 1), np.float32)]}
        layers += [
            {**conv, "stride": stride, "pad": np.ones((1, 4))},
            {"type": "relu", "name": f"relu5_{number}"},
        ]
        channels = 8
    average = np.full((48, 64, 3), 120, np.float32)
    meta = {"normalization": {"imageSize": np.array([[48.0, 64.0, 3.0]]), "averageImage": average}}
    matfile.save(folder / "imagenet-vgg-verydeep-16.mat", {"layers": layers, "meta": meta})
