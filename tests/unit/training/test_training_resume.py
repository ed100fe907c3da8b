"""Trainings that are killed, fail or are started twice: what is saved, and that it goes on bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.datasets.place import PlaceDataset
from deepibl.errors import SessionError, TrainingError
from deepibl.matlab.training import trainGaussKernalInd
from deepibl.training.listeners import TrainingListener
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.matfile.values import text
from tests.tiny_training import Failing, Log, Workplace

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[3]
KILLED_RUN = """
    import os, signal, sys
    import torch
    from pathlib import Path
    from deepibl.training import TrainingListener
    from tests.tiny_training import Workplace

    torch.set_num_threads(1)
    moment, number = sys.argv[2], int(sys.argv[3])

    class Death(TrainingListener):
        left = number

        def __getattribute__(self, name):
            if name == moment:
                Death.left -= 1
                if not Death.left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().__getattribute__(name)

    Workplace(Path(sys.argv[1])).train(Death(), sessionID="run", jitterFlip=True)
"""


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing disturbed."""
    place = Workplace(tmp_path_factory.mktemp("whole"))
    torch.set_num_threads(1)
    place.train(sessionID="run", jitterFlip=True)
    return place


@pytest.mark.parametrize(
    ("moment", "number"),
    [("computing", 3), ("tuple_done", 5), ("saved", 2), ("tested", 4), ("batch_done", 6)],
)
def test_killed_and_started_again_it_ends_with_the_same_bits(whole, tmp_path, moment, number):
    code = textwrap.dedent(KILLED_RUN)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path), moment, str(number)], env=env)
    assert killed.returncode == -signal.SIGKILL
    place = Workplace(tmp_path)
    place.train(sessionID="run", jitterFlip=True)
    same(place.weights("run"), whole.weights("run"))
    one, other = place.load("run"), whole.load("run")
    assert np.array_equal(one["obj"]["train"]["loss"], other["obj"]["train"]["loss"])
    assert np.array_equal(one["obj"]["val"]["recall"], other["obj"]["val"]["recall"])
    assert np.array_equal(one["auxData"]["rngState"]["State"], other["auxData"]["rngState"]["State"])
    leftovers = [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert not leftovers and not list((tmp_path / "out").glob("run_*.bin"))


def test_it_goes_on_with_the_session_it_named_itself(tmp_path):
    place = Workplace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        place.train(Failing(3, KeyboardInterrupt()))
    (note,) = (tmp_path / "out").glob("*_unfinished.json")
    session = json.loads(note.read_text())["session"]
    log = Log()
    assert place.train(log) == session
    assert log.state is not None and len(log.batches) < 8


def test_another_command_is_another_session(tmp_path):
    place = Workplace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        place.train(Failing(3, KeyboardInterrupt()))
    first = json.loads(next((tmp_path / "out").glob("*_unfinished.json")).read_text())["session"]
    assert place.train(learningRate=0.005) != first


def test_going_on_from_an_epoch_equals_never_having_stopped(whole, tmp_path):
    # difference: resume-keeps-momentum
    place = Workplace(tmp_path)
    place.train(sessionID="run", jitterFlip=True, nEpoch=1)
    place.train(sessionID="run", jitterFlip=True, nEpoch=2, startEpoch=2)
    same(place.weights("run"), whole.weights("run"))


def test_with_corrected_positions_it_goes_on_without_the_negatives_remembered_by_the_old_ones(tmp_path):
    place = Workplace(tmp_path)
    right, val = place.sets

    def with_database_at(positions):
        lists = right.database_names, positions, right.query_names, right.query_positions
        roots = {"database_root": right.database_root, "query_root": right.query_root}
        return PlaceDataset(right.name, *lists, **roots)

    place.sets = (with_database_at(np.roll(right.database_positions, 2, axis=0)), val)
    place.train(sessionID="run", nEpoch=1, nNegCache=30)
    place.sets, log = (with_database_at(right.database_positions), val), Log()
    place.train(log, sessionID="run", startEpoch=2, nEpoch=2, nNegCap=30)
    for mined in log.mined:
        assert not set(mined.negatives) & set(right.positives(mined.query))


def test_jitter_scale_goes_on_from_an_epoch_without_being_given_again(tmp_path):
    # difference: resume-jitter-scale
    places = [Workplace(tmp_path / name) for name in ("whole", "parts")]
    asked = {"sessionID": "run", "jitterScale": [1, 1.5, 0.75]}
    places[0].train(**asked)
    places[1].train(**asked, nEpoch=1)
    trainGaussKernalInd(
        *places[1].sets, paths=places[1].paths, listeners=[], sessionID="run", nEpoch=2, startEpoch=2
    )
    same(places[1].weights("run"), places[0].weights("run"))


@pytest.mark.parametrize("old", ["kept", "deleted"])
def test_a_session_that_was_moved_goes_on_with_its_features(whole, tmp_path, old):
    # difference: resume-out-prefix
    place = Workplace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        place.train(Failing(7, KeyboardInterrupt()), sessionID="run", jitterFlip=True)
    shutil.copytree(tmp_path / "out", tmp_path / "moved")
    before = {path.name for path in (tmp_path / "out").iterdir()}
    if old == "deleted":
        shutil.rmtree(tmp_path / "out")
    place.paths["outPrefix"], log = f"{tmp_path}/moved/", Log()
    place.train(log, sessionID="run", jitterFlip=True)
    same(place.weights("run"), whole.weights("run"))
    assert text(place.load("run")["opts"]["outPrefix"]) == place.paths["outPrefix"]
    assert (tmp_path / "out").exists() == (old == "kept")
    assert old == "deleted" or {path.name for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.gpu
@pytest.mark.parametrize("speed", [{}, {"trainPrecision": "bf16", "backboneCacheDtype": "fp16"}])
def test_on_a_gpu_a_stopped_training_goes_on_as_if_it_had_not(tmp_path, speed):
    places = [Workplace(tmp_path / name) for name in ("whole", "stopped")]
    asked = {"sessionID": "run", "useGPU": True, "backPropToLayer": "conv2", **speed}
    places[0].train(**asked)
    with pytest.raises(ZeroDivisionError):
        places[1].train(Failing(6, ZeroDivisionError()), **asked)
    places[1].train(**asked)
    for mine, theirs in zip(places[1].weights("run"), places[0].weights("run"), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "trainer",
    [
        "trainGaussKernalInd",
        "trainGaussKernalJoint",
        "trainExpKernalInd",
        "trainExpKernalJoint",
        "trainWeakly",
    ],
)
def test_all_trainers_go_on_from_an_epoch(tmp_path, trainer):
    # difference: resume-works-in-all-trainers
    place = Workplace(tmp_path)
    place.train(trainer=trainer, sessionID="run", nEpoch=1)
    place.train(trainer=trainer, sessionID="run", nEpoch=2, startEpoch=2)
    assert place.load("run")["obj"]["val"]["recall"].shape[1] == 2


def test_either_feature_file_may_be_named_when_going_on(tmp_path):
    # difference: resume-one-checkpoint-name
    place = Workplace(tmp_path)
    place.train(sessionID="run", nEpoch=1)
    name = str(tmp_path / "mine_q.bin")
    place.train(sessionID="run", nEpoch=2, startEpoch=2, qCheckpoint0=name)
    opts = place.load("run")["opts"]
    assert opts["qCheckpoint0"] == name and Path(name).exists()
    assert opts["dbCheckpoint0"].endswith("run_ep000001_db.bin")


def test_a_file_of_matlab_with_class_objects_is_gone_on_from(tmp_path):
    pytest.importorskip("matio", reason="writing class objects needs mat-io (Python 3.11 or later)")
    place = Workplace(tmp_path)
    options = {"sessionID": "run", "method": "vlad_preL2_intra"}
    place.train(**options, nEpoch=1)
    place.train(**options, nEpoch=2, startEpoch=2)
    wanted = place.weights("run")
    path = place.files("run").epoch(1)
    variables = place.load("run", 1)
    variables["net"] = with_objects(variables["net"])
    del variables["auxData"]["deepibl"]  # which MATLAB does not write
    matfile.save_objects(path, variables, version="v7.3", saveobj_classes=["layerVLAD"])
    place.train(**options, nEpoch=2, startEpoch=2)
    same(place.weights("run"), wanted)


def with_objects(net):
    from matlab_compat.simplenn.network import SimpleNN

    return SimpleNN.from_matlab(net).to_matlab(classes=True)


def test_a_loss_that_is_no_number_stops_it_and_the_state_before_is_saved(tmp_path):
    place = Workplace(tmp_path)
    with pytest.raises(TrainingError, match=r"session run diverged in epoch 1.*learningRate") as caught:
        place.train(sessionID="run", learningRate=1e30, compFeatsFrequency=1000)
    assert "the same command resumes from there" in str(caught.value)
    assert all(np.isfinite(array).all() for array in place.weights("run"))


def test_an_unreadable_image_is_named_and_training_goes_on_once_it_is_mended(tmp_path):
    place, undisturbed = Workplace(tmp_path / "a"), Workplace(tmp_path / "b")
    undisturbed.train(sessionID="run")

    class Breaking(TrainingListener):
        broken = None

        def batch_done(self, state, report):
            if self.broken is None and report.batch == 2:
                self.broken = [tmp_path / "a" / "train" / name for name in place.sets[0].query_names]
                self.kept = [path.read_bytes() for path in self.broken]
                for path in self.broken:
                    path.write_bytes(b"no image")

    breaking = Breaking()
    with pytest.raises(TrainingError, match=r"q\d\d_0\.jpg"):
        place.train(breaking, sessionID="run")
    for path, content in zip(breaking.broken, breaking.kept, strict=True):
        path.write_bytes(content)
    place.train(sessionID="run")
    same(place.weights("run"), undisturbed.weights("run"))


def test_a_full_disk_leaves_the_last_whole_state(tmp_path):
    resource = pytest.importorskip("resource", reason="limits the size of files as Unix does")
    place = Workplace(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Full(TrainingListener):
        def batch_done(self, state, report):
            if report.batch == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        with pytest.raises(SessionError, match=r"could not save .*make room"):
            place.train(Full(), sessionID="run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert place.load("run")["auxData"]["deepibl"]["batch"] == 2
    place.train(sessionID="run")
    assert not place.files("run").unfinished.exists()


def test_a_session_cannot_be_trained_twice_at_once(tmp_path):
    place = Workplace(tmp_path)

    class Second(TrainingListener):
        def batch_done(self, state, report):
            with pytest.raises(SessionError, match="being trained by another process"):
                place.train(sessionID="run")

    place.train(Second(), sessionID="run", nEpoch=1)


def test_two_trainings_on_one_data_set_at_once_do_not_disturb_each_other(tmp_path):
    # difference: shared-features-locked
    place = Workplace(tmp_path)
    code = f"""
        import sys, torch
        torch.set_num_threads(1)
        from pathlib import Path
        from tests.tiny_training import Workplace
        place = Workplace(Path({str(tmp_path)!r}) / sys.argv[1])
        place.paths["outPrefix"] = {place.paths["outPrefix"]!r}
        place.train(sessionID=sys.argv[1])
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    runs = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), name], env=env) for name in "ab"]
    assert [run.wait(120) for run in runs] == [0, 0]
    same(place.weights("a"), place.weights("b"))


def test_going_on_needs_a_name_and_a_session(tmp_path):
    place = Workplace(tmp_path)
    with pytest.raises(ArgumentError, match="sessionID"):
        place.train(startEpoch=2)
    with pytest.raises(SessionError, match=r"session none has no .*epochs with a state: none"):
        place.train(startEpoch=2, sessionID="none")


def test_a_kill_before_the_last_save_does_not_begin_another_epoch(whole, tmp_path):
    place = Workplace(tmp_path)
    place.train(sessionID="run", jitterFlip=True)
    files = place.files("run")
    state = files.load()
    state["auxData"]["deepibl"]["complete"] = False  # as it is after the last epoch's own save
    files.save(2, state)
    note = {"session": "run", "command": state["auxData"]["deepibl"]["command"]}
    files.unfinished.write_text(json.dumps(note))
    place.train(sessionID="run", jitterFlip=True)
    assert files.epochs() == [1, 2]
    same(place.weights("run"), whole.weights("run"))
