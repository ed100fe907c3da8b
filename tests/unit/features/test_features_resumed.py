"""deepibl.features.extract_to_file: whole files, and runs that are stopped, killed, repaired and resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from deepibl.errors import ExtractionError
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features
from tests.extractors import Extractor, simplenn


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".h5"])
def test_a_file_holds_what_extract_gives(photos, tmp_path, suffix):
    folder, names = photos
    out = tmp_path / f"f{suffix}"
    report = extract_to_file(simplenn(), folder, names, out, batch_size=4)
    assert report.kept.tolist() == list(range(30)) and report.dim == 12 and not report.failures
    want = extract(simplenn(), names, root=folder, batch_size=4)
    assert np.array_equal(read_features(out, count=30), want)
    assert os.listdir(tmp_path) == [out.name]


def test_after_a_repair_only_the_groups_with_failures_are_computed(photos, tmp_path, monkeypatch):
    # difference: bin-resumed
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 5)
    folder, names = photos
    for name in names:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / names[12]).write_bytes(b"")
    out = tmp_path / "out" / "f.bin"
    with pytest.raises(ExtractionError, match=r"the others are kept in .*f\.bin\.part"):
        extract_to_file(Extractor(), tmp_path, names, out)
    assert not out.exists()
    (tmp_path / names[12]).write_bytes((folder / names[12]).read_bytes())
    net = Extractor()
    extract_to_file(net, tmp_path, names, out)
    assert sum(shape[0] for shape in net.batches) == 5
    assert np.array_equal(read_features(out, count=30), extract(Extractor(), names, root=folder))


@pytest.mark.parametrize("change", ["network", "names", "resize", "precision", "root"])
def test_a_partial_file_of_something_else_is_not_continued(photos, tmp_path, change, monkeypatch):
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 5)
    folder, names = photos
    net, out = Extractor(), tmp_path / "f.bin"
    stop_after(net, 2)
    with pytest.raises(KeyboardInterrupt):
        extract_to_file(net, folder, names, out)
    other = Extractor(kernel=3) if change == "network" else Extractor()
    root, list_, settings = folder, names, {}
    if change == "names":
        list_ = names[::-1]
    elif change == "root":
        root = tmp_path / "copy"
        root.symlink_to(folder)
    elif change == "resize":
        settings = {"resize": 30}
    elif change == "precision":
        settings = {"precision": "bf16"}
    extract_to_file(other, root, list_, out, **settings)
    assert sum(shape[0] for shape in other.batches) == 30


def stop_after(net, batches):
    """Makes the network raise KeyboardInterrupt, as Ctrl-C does, after so many batches."""

    def stop(*_):
        if len(net.batches) >= batches:
            raise KeyboardInterrupt

    net.register_forward_pre_hook(stop)


def test_interrupted_anywhere_and_resumed_gives_the_same_bytes(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 7)
    folder, names = photos
    extract_to_file(Extractor(), folder, names, tmp_path / "whole.bin", batch_size=3)
    want = (tmp_path / "whole.bin").read_bytes()
    for batches in range(0, 14, 2):
        out = tmp_path / f"{batches}.bin"
        net = Extractor()
        stop_after(net, batches)
        with pytest.raises(KeyboardInterrupt):
            extract_to_file(net, folder, names, out, batch_size=3)
        extract_to_file(Extractor(), folder, names, out, batch_size=3)
        assert out.read_bytes() == want


KILLED = """
import sys, time, torch
from tests.extractors import Extractor
from deepibl.features import extraction as features
features.group_length = lambda batch_size: 4
net = Extractor()
net.register_forward_pre_hook(lambda *_: time.sleep(0.05))
features.extract_to_file(net, sys.argv[1], sys.argv[3:], sys.argv[2], batch_size=2)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_minus_nine_and_restart_give_the_same_bytes(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 4)
    folder, names = photos
    extract_to_file(Extractor(), folder, names, tmp_path / "whole.bin", batch_size=2)
    out = tmp_path / "f.bin"
    command = [sys.executable, "-c", KILLED, str(folder), str(out), *names]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        journal = tmp_path / "f.bin.part.json"
        deadline = time.monotonic() + 60
        while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.12)
        process.kill()
    assert journal.exists() and not out.exists()
    net = Extractor()
    extract_to_file(net, folder, names, out, batch_size=2)
    assert 0 < sum(shape[0] for shape in net.batches) < 30
    assert out.read_bytes() == (tmp_path / "whole.bin").read_bytes()
