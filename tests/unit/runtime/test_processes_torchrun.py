"""The commands under torchrun itself: one output, one file, the same exit everywhere, a process killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deepibl.cli.main import main
from deepibl.networks.io import save_network
from deepibl.training.checkpoints import SessionFiles
from tests.extractors import make_photos, simplenn
from tests.tiny_training import OPTIONS, Workplace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="torchrun needs a Unix system"),
    pytest.mark.usefixtures("one_thread"),  # as torchrun's processes: more threads round differently
]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photos, their list, one that is broken, and a network."""
    folder = tmp_path_factory.mktemp("place")
    names = make_photos(folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "list.txt").write_text("\n".join([*names, "broken.jpg"]))
    rows = [f"{name},{60.0 * at},0" for at, name in enumerate(names)]
    (folder / "db.csv").write_text("\n".join(["name,utm_east,utm_north", *rows[::2]]))
    (folder / "q.csv").write_text("\n".join(["name,utm_east,utm_north", *rows[1::2]]))
    save_network(simplenn(), folder / "net.safetensors")
    return folder


def torchrun(*arguments, code="-m deepibl"):
    """The command line of two processes that run deepibl, or a script."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [*start, *code.split(), *map(str, arguments)]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DEEPIBL_LOST_AFTER": "20"}


def run_two(folder, *arguments, code="-m deepibl"):
    words = torchrun(*arguments, code=code)
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


@pytest.fixture
def run_one(place, monkeypatch, capsys):
    """Runs a command in this process, in the folder: exit code, standard output, standard error."""
    monkeypatch.chdir(place)
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    def run(*arguments):
        try:
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_extract_writes_one_file_says_it_once_and_lists_what_failed(place, run_one):
    arguments = ("extract", "net.safetensors", "--list", "list.txt", "--batch-size", "2", "-o")
    code, said, complained = run_one(*arguments, "one.npy")
    team = run_two(place, *arguments, "two.npy")
    assert code == 3, complained
    assert team.stdout == said.replace("one.npy", "two.npy")
    assert (place / "two.npy").read_bytes() == (place / "one.npy").read_bytes()
    assert (place / "two.npy.names.txt").read_text() == (place / "one.npy.names.txt").read_text()
    assert team.stderr.count("broken.jpg") == complained.count("broken.jpg")
    assert team.stderr.count("exitcode  : 3") == 2  # torchrun's report: both ended alike


SEVERAL = """
import sys
from deepibl.training import SessionFiles
from deepibl.cli.main import main
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as end:
        assert not end.code, end
"""


def test_evaluate_and_index_print_what_one_process_prints(place, run_one):
    (place / "several.py").write_text(SEVERAL)
    commands = (
        "evaluate net.safetensors --db db.csv --queries q.csv --root . --json",
        "index net.safetensors --csv db.csv --root . -o c.idx",
        "info net.safetensors",  # shares nothing: process 0 prints it, the others have nothing to do
    )
    alone = [run_one(*command.split()) for command in commands]
    index = (place / "c.idx").read_bytes()
    team = run_two(place, *commands, code="several.py")
    assert team.returncode == 0, team.stderr
    assert team.stdout == "".join(said for _, said, _ in alone)
    assert (place / "c.idx").read_bytes() == index
    assert "recall" in team.stdout and "15 images" in team.stdout and "WPCA" in team.stdout


def test_train_prints_and_saves_what_one_process_does(place, run_one):
    work = Workplace(place / "work")
    for name, each in zip(("train", "val"), work.sets, strict=True):
        each.save(place / f"{name}.mat")
    options = {**OPTIONS, "sessionID": "run"}
    given = [f"--set={name}={value}" for name, value in options.items() if name not in ("netID", "method")]
    sets = ("--train", "train.mat", "--val", "val.mat", "--root", "work/train", "--net", "work/nets/tiny.mat")
    arguments = ("train", *sets, "--method", "max", "--device", "cpu", *given, "--out")
    code, said, complained = run_one(*arguments, "one")
    team = run_two(place, *arguments, "two")
    assert code == team.returncode == 0, complained + team.stderr
    assert team.stdout == said and "trained" in said
    assert team.stderr.count("2 epochs are done") == complained.count("2 epochs are done") == 1
    loaded = [SessionFiles(f"{place}/{out}/", "run").load(None, ["net", "obj"]) for out in ("one", "two")]
    assert_equal(*loaded)


def assert_equal(one, other):
    """The same plain values and arrays, however nested."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert one.shape == other.shape
        for a, b in zip(one.ravel(), other.ravel(), strict=True):
            assert_equal(a, b)
    else:
        np.testing.assert_array_equal(one, other)


SLOW = """
import os, sys, time
from deepibl.features import extraction as features
from deepibl.training import SessionFiles
from deepibl.cli.main import main
from deepibl.features.groups import BatchExtractor
features.group_length = lambda batch_size: 2
load = BatchExtractor.load
def slow(self, path):
    open("pid." + os.environ["RANK"], "w").write(str(os.getpid()))
    time.sleep(0.2)
    return load(self, path)
BatchExtractor.load = slow
main(sys.argv[1:])
"""


def test_a_killed_process_ends_the_job_with_a_word_and_one_process_goes_on(place, run_one):
    (place / "slow.py").write_text(SLOW)
    arguments = ("extract", "net.safetensors", "--list", "list.txt", "-o", "killed.npy")
    with subprocess.Popen(
        torchrun(*arguments, code="slow.py"), cwd=place, env=environment(), stderr=subprocess.PIPE, text=True
    ) as job:
        journal = place / "killed.npy.part.json"
        deadline = time.monotonic() + 60
        while not journal.exists() and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(int((place / "pid.1").read_text()), signal.SIGKILL)
        killed = time.monotonic()
        _, errors = job.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert job.returncode != 0 and not (place / "killed.npy").exists()
    assert "Signal 9 (SIGKILL)" in errors
    assert errors.count("Start the same command again, with any number of processes") == 1
    assert run_one(*arguments)[0] == 3
    assert len(np.load(place / "killed.npy")) == 30
    assert not list(place.glob("killed.npy.part*"))
