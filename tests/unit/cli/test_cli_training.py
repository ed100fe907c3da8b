"""The commands of training, on photos of seconds in the layout of VPR-datasets-downloader."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deepibl import load_network
from deepibl.datasets.folder import make_dbstruct
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.options import OPTIONS as TABLE
from deepibl.training.tuples import LOSSES, TRAINERS
from matlab_compat import matfile
from tests.tiny_training import OPTIONS, make_network, make_set

ROOT = Path(__file__).resolve().parents[3]
SMALL = {name: value for name, value in OPTIONS.items() if name not in ("netID", "layerName", "method")}
SETTINGS = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> Path:
    """city/images/{train,val}/{database,queries}, dbStructs of the same, and a network."""
    folder = tmp_path_factory.mktemp("place")
    for seed, split in ((1, "train"), (2, "val")):
        made = make_set(folder / "plain", split, seed)
        for kind, names, places in (
            ("database", made.database_names, made.database_positions),
            ("queries", made.query_names, made.query_positions),
        ):
            target = folder / "city/images" / split / kind
            target.mkdir(parents=True)
            for name, (east, north) in zip(names, places, strict=True):
                to = target / f"@{500000 + east:.2f}@{4500000 + north:.2f}@17@T@{Path(name).stem}@.jpg"
                shutil.copy(folder / "plain" / split / name, to)
        make_dbstruct(
            folder / "city",
            None,
            folder / f"{split}.mat",
            split=split,
            root=folder / "city",
            nontrivial_distance_squared=100,
        )
    make_network(folder / "nets")
    return folder


@pytest.fixture
def run(run, tmp_path, monkeypatch):
    """Runs a command line in a folder with paths of its own."""
    monkeypatch.delenv("DEEPIBL_LOCALPATHS", raising=False)
    (tmp_path / "localPaths.toml").write_text('initData = "init"\noutPrefix = "named/"\n')
    return run


def words(city: Path, *more: object, train: str = "city", val: str = "city") -> list[object]:
    sets = ["--train", city / train, "--val", city / val]
    net = ["--net", city / "nets/tiny.mat", "--layer", "conv2", "--method", "max", "--device", "cpu"]
    return ["train", *sets, *net, *SETTINGS, "--out", "out", "--session", "run", *more]


def weights(session: Path) -> list[bytes]:
    layers = matfile.cell_list(matfile.load(session, ["net"])["net"]["layers"])
    arrays = [array for layer in layers for array in matfile.cell_list(layer.get("weights", []))]
    return [np.asarray(array).tobytes() for array in arrays]


def test_every_trainer_is_a_loss_of_the_command():
    assert list(LOSSES.values()) == list(TRAINERS)


def test_train_pick_and_pca_go_together(run, city, tmp_path):
    code, out, err = run(*words(city, "--tensorboard", "boards"))
    assert code == 0, err
    assert "run Best epoch: " in out and "off-the-shelf" in out and "trained/shelf" in out
    assert "run: 8/8, epoch 2/2 batch 4/4" in err and "images/s" in err and "batch" not in out
    assert list((tmp_path / "boards/run").iterdir())
    code, again, err = run("pick", "out/run_latest.mat", "--out", "best.mat")
    assert code == 0 and again.startswith(out.rstrip()) and "wrote best.mat" in again
    assert (tmp_path / "out/run_results.png").exists() and (tmp_path / "out/run_recall.png").exists()
    net = load_network(tmp_path / "best.mat")
    best = int(out.split("Best epoch: ")[1].split()[0])
    assert matfile.text(net.meta["sessionID"]) == "run" and matfile.scalar(net.meta["epoch"]) == best
    kept = SessionFiles("out/", "run").load(best, ["net"])["net"]
    assert np.array_equal(
        matfile.cell_list(matfile.cell_list(kept["layers"])[0]["weights"])[0],
        net["conv1"].weights_to_matlab()[0],
    )
    pca = ["pca", "--images", city / "train.mat", "--root", city / "city", "--dim", "5"]
    code, out, err = run(*pca, "best.mat", "-o", "white.mat")
    assert code == 0, err
    assert out.strip() == "wrote white.mat: 5 dimensions, of 18 images"
    assert load_network(tmp_path / "white.mat").names[-2:] == ["WPCA", "finalL2"]
    assert (tmp_path / "white_traindescs_for_pca.bin").exists() and (tmp_path / "white_pca.mat").exists()
    code, _, err = run(*pca, "white.mat", "-o", "whiter.mat")
    assert code == 1 and "PCA" in err


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "gauss-ind"])
def test_every_loss_trains_by_its_trainer(run, city, tmp_path, loss):
    code, out, err = run(*words(city, "--loss", loss, "--epochs", "1", "--set", "nEpoch=1", "--json"))
    assert code == 0, err
    found = json.loads(out)
    assert found["best_epoch"] == found["epochs"] == 1 and len(found["trained"]) == len(found["recallNs"])
    assert json.loads((tmp_path / "out/run_history.json").read_text())["trainer"] == LOSSES[loss]


def test_dbstructs_and_folders_give_the_same_network(run, city, tmp_path):
    assert run(*words(city))[0] == 0
    (tmp_path / "out").rename(tmp_path / "first")
    assert run(*words(city, "--root", city / "city", train="train.mat", val="val.mat"))[0] == 0
    assert weights(tmp_path / "out/run_latest.mat") == weights(tmp_path / "first/run_latest.mat")


def test_csv_files_name_images_below_the_root(run, city, tmp_path):
    assert run(*words(city))[0] == 0
    (tmp_path / "out").rename(tmp_path / "first")
    for split in ("train", "val"):
        for kind in ("database", "queries"):
            found = sorted((city / "city/images" / split / kind).iterdir())
            rows = [
                f"{path.relative_to(city / 'city')},{','.join(path.name.split('@')[1:3])}" for path in found
            ]
            (tmp_path / f"{split}_{kind}.csv").write_text("\n".join(["name,utm_e,utm_n", *rows]) + "\n")
    queries = ["--train-queries", "train_queries.csv", "--val-queries", "val_queries.csv"]
    sets = {split: str(tmp_path / f"{split}_database.csv") for split in ("train", "val")}
    code, _, err = run(*words(city, *queries, "--root", city / "city", **sets))
    assert code == 0, err
    assert weights(tmp_path / "out/run_latest.mat") == weights(tmp_path / "first/run_latest.mat")


def test_flags_are_the_options_of_their_names_and_set_takes_any(run, city):
    flags = ["--lr", "0.002", "--batch-size", "3", "--epochs", "1", "--backprop-to", "conv2"]
    arguments = [part for part in words(city) if part not in ("batchSize=2", "learningRate=0.01", "nEpoch=2")]
    arguments = [
        part
        for part, after in zip(arguments, [*arguments[1:], ""], strict=True)
        if not (part == "--set" and after == "--set")
    ]
    code, _, err = run(*arguments, *flags, "--set", "jitterScale=[1, 1.5]", "--set", "nTestSample=inf")
    assert code == 0, err
    opts = SessionFiles("out/", "run").load(variables=("opts",))["opts"]
    wanted = {"learningRate": 0.002, "batchSize": 3, "nEpoch": 1, "backPropToLayer": 3, "nTestSample": np.inf}
    assert {name: matfile.scalar(opts[name]) for name in wanted} == wanted
    assert list(matfile.vector(opts["jitterScale"])) == [1, 1.5]


def test_all_options_are_listed_with_what_they_do(run):
    code, out, _ = run("train", "--options")
    lines = {line.split(" = ")[0]: line for line in out.splitlines()}
    assert code == 0 and {each.matlab for each in TABLE.values()} <= set(lines)
    assert lines["learningRate"].split("  ")[-1].strip() == "learning rate of epoch 1"


def test_other_settings_for_a_session_are_refused_and_restart_begins_anew(run, city, tmp_path):
    assert run(*words(city, "--set", "nEpoch=1"))[0] == 0
    before = (tmp_path / "out/run_latest.mat").read_bytes()
    code, out, err = run(*words(city, "--set", "nEpoch=1", "--set", "learningRate=0.5"))
    assert code == 1 and not out and "(learningRate) 0.01 (now 0.5)" in err and "restart" in err
    code, out, err = run(*words(city, "--set", "nEpoch=1", "--threshold", 12))
    assert code == 1 and not out and "training set 'city_train (" in err
    assert (tmp_path / "out/run_latest.mat").read_bytes() == before
    assert run(*words(city, "--set", "nEpoch=1", "--set", "learningRate=0.001", "--restart"))[0] == 0
    assert (tmp_path / "out/run_latest.mat").read_bytes() != before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--loss", "gauss"], "--loss must be one of gauss-ind, gauss-joint"),
        (["--set", "learningrat=0.1"], "learningRate"),
        (["--set", "learningRate"], "name=value, e.g. nNegCap=10; got 'learningRate'"),
        (["--set", "generator=1"], "generator"),
        (["--set", "learningRate=fast"], "learningRate"),
        (["--net", "nonesuch"], "nonesuch"),
        (["--weights", "random"], "has its own weights"),
        (["--dataset", "pitts30k"], "either --dataset NAME"),
        (["--backprop-to", "conv9"], "conv9"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(run, city, more, said):
    code, out, err = run(*words(city, *more))
    assert (code, out) == (1, "") and said in err and "Traceback" not in err


def test_a_session_that_looks_like_a_number_keeps_its_name(run):
    code, _, err = run("train", "--session", "53e0", "--set", "sessionID=53e0")
    assert code == 1 and "give either --dataset" in err


def test_images_that_are_missing_are_named_before_anything_is_computed(run, city, tmp_path):
    shutil.copytree(city / "city", tmp_path / "mine")
    gone = sorted((tmp_path / "mine/images/val/queries").iterdir())[2]
    gone.unlink()
    code, out, err = run(*words(city, "--root", tmp_path / "mine", train="train.mat", val="val.mat"))
    assert (code, out) == (1, "") and gone.name in err and not (tmp_path / "out").exists()


def test_a_database_without_queries_is_refused(run, city):
    code, _, err = run("train", "--train", city / "x.csv", "--val", city / "city")
    assert code == 1 and "--train-queries" in err


def test_pick_says_which_session_is_not_there(run):
    code, _, err = run("pick", "abcd")
    assert code == 1 and "session abcd" in err and "named/" in err


@pytest.mark.slow
def test_killed_the_same_command_line_goes_on_to_the_same_bits(run, city, tmp_path):
    command = [sys.executable, "-m", "deepibl", *map(str, words(city, "--set", "nEpoch=20"))]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    latest = tmp_path / "out/run_latest.mat"
    killed = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (tmp_path / "out/run_ep000003_latest.mat").exists():
        assert killed.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (tmp_path / "out/run_unfinished.json").exists()
    gone_on = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "resumed after epoch" in gone_on.stderr and "Best epoch" in gone_on.stdout
    found = weights(latest)
    (tmp_path / "out").rename(tmp_path / "first")
    subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert weights(latest) == found
