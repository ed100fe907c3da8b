"""A session that is there already: what the same, or another, command does to it, and what restart does."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.errors import SessionError
from deepibl.matlab.training import trainGaussKernalInd
from deepibl.training.listeners import TrainingListener
from deepibl.training.options import Request, TrainingOptions
from matlab_compat import matfile
from matlab_compat.errors import MatlabCompatError
from tests.tiny_training import Failing, Log, Workplace, make_network


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A complete training of one epoch."""
    place = Workplace(tmp_path_factory.mktemp("done"))
    place.train(sessionID="run", nEpoch=1)
    return place


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"learningRate": 0.005, "nEpoch": 2},
            r"learning_rate \(learningRate\) 0\.01 \(now 0\.005\), epochs \(nEpoch\) 1 \(now 2\)",
        ),
        ({"trainer": "trainWeakly"}, r"trainer 'trainGaussKernalInd' \(now 'trainWeakly'\)"),
        ({"fixLayers": ["conv1"]}, r"frozen_layers \(fixLayers\) \[\] \(now \['conv1'\]\)"),
    ],
)
def test_a_session_started_with_other_settings_is_not_begun_anew(done, changes, named):
    # difference: session-other-settings
    before = contents(done.folder)
    with pytest.raises(SessionError, match=f"session run exists already.*: {named}\\. Nothing was") as caught:
        done.train(**{"sessionID": "run", "nEpoch": 1, **changes})
    for way_out in ("startEpoch", "another session (sessionID)", "restart", "epochs 1 to 1"):
        assert way_out in str(caught.value)
    assert contents(done.folder) == before


def test_another_data_set_is_another_setting(done):
    place = Workplace(done.folder)
    place.sets = place.sets[::-1]
    with pytest.raises(SessionError, match=r"training set 'train \(9 queries, 18 images; .*' \(now 'val \("):
        place.train(sessionID="run", nEpoch=1)


def test_a_data_set_of_other_limits_is_another_setting(done):
    """Else the old result, or a training with both limits, would be taken for one with the new ones."""
    for field in ("positive_distance", "nontrivial_distance_squared", "query_positions"):
        place = Workplace(done.folder)
        setattr(place.sets[0], field, getattr(place.sets[0], field) + 1)
        with pytest.raises(
            SessionError, match=r"training set 'train .*limits: \w{8}\)' \(now 'train .*\)'\)"
        ):
            place.train(sessionID="run", nEpoch=1)
    moved, same = Workplace(done.folder).sets, Workplace(done.folder).sets
    moved[0].database_root = "/elsewhere/"
    assert Request.of("", moved, TrainingOptions()) == Request.of("", same, TrainingOptions())


def test_options_that_change_nothing_are_no_other_settings(done):
    # a complete session is left as it is; 1.0 is 1, and a default may be given
    before, log = contents(done.folder), Log()
    done.train(log, sessionID="run", nEpoch=np.array([[1.0]]), numThreads=3, printLoss=True, margin=0.1)
    assert contents(done.folder) == before and log.state is None


def test_an_interrupted_session_is_not_begun_anew_with_other_settings(tmp_path):
    place = Workplace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        place.train(Failing(3, KeyboardInterrupt()), sessionID="run")
    with pytest.raises(SessionError, match=r"learningRate\) 0\.01 \(now 0\.1\)"):
        place.train(sessionID="run", learningRate=0.1)
    log = Log()
    place.train(log, sessionID="run")
    assert len(log.batches) < 8


def bare(place, **more):
    """A call that names the session and what is to change, as MATLAB users do."""
    return trainGaussKernalInd(
        *place.sets, paths=place.paths, listeners=[], sessionID="run", useGPU=False, **more
    )


def test_a_resumed_session_is_known_by_the_settings_it_has(tmp_path):
    place, log = Workplace(tmp_path), Log()
    place.train(sessionID="run", learningRate=0.02, nEpoch=1)
    bare(place, startEpoch=2, nEpoch=2, margin=0.2)
    before = contents(place.folder)
    place.train(log, sessionID="run", learningRate=0.02, nEpoch=2, margin=0.2)  # complete: left as it is
    assert log.state is None and contents(place.folder) == before
    with pytest.raises(SessionError, match=r"other settings: margin 0\.2 \(now 0\.1\)\. Nothing"):
        place.train(sessionID="run", learningRate=0.02, nEpoch=2)
    with pytest.raises(KeyboardInterrupt):
        place.train(Failing(3, KeyboardInterrupt()), sessionID="run", startEpoch=3, nEpoch=3)
    bare(place, startEpoch=3)  # the same, interrupted: it is finished
    assert place.load("run")["obj"]["train"]["loss"].size == 3 * 4
    place.train(log, sessionID="run", learningRate=0.02, nEpoch=3, margin=0.2, startEpoch=2)
    assert log.batches[0].epoch == 2  # another epoch to start from: it goes back


def test_a_session_of_matlab_that_was_resumed_is_known_by_its_settings(tmp_path):
    place, log = Workplace(tmp_path), Log()
    place.train(sessionID="run", backPropToLayer="conv2", nEpoch=1)
    for path in (place.files("run").latest, place.files("run").epoch(1)):
        variables = matfile.load(path, ["net", "obj", "opts", "auxData"])
        del variables["auxData"]["deepibl"]
        matfile.save(path, variables)
    bare(place, startEpoch=2, nEpoch=2)
    place.train(log, sessionID="run", backPropToLayer="conv2", nEpoch=2)
    assert log.state is None
    with pytest.raises(SessionError, match=r"other settings: margin 0\.1 \(now 0\.2\)\. Nothing"):
        place.train(sessionID="run", backPropToLayer="conv2", nEpoch=2, margin=0.2)


def test_a_session_of_matlab_is_not_begun_anew(tmp_path):
    place = Workplace(tmp_path)
    place.train(sessionID="run", nEpoch=1)
    variables = place.load("run")
    del variables["auxData"]["deepibl"]  # which MATLAB does not write
    matfile.save(place.files("run").latest, variables)
    with pytest.raises(SessionError, match="was not started by this program"):
        place.train(sessionID="run", nEpoch=1)


def test_a_session_leaves_those_alone_whose_names_begin_as_its_own(tmp_path):
    place = Workplace(tmp_path)
    others = {}
    for name in ("run_ep", "run_epoch", "run_2"):
        files = place.files(name)
        written = [files.latest, files.epoch(3), files.history, files.unfinished]
        written += [Path(files.features("q", 3, 0)), files.latest.with_name(f".{files.latest.name}.x.mat")]
        for path in written:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"another session's")
        others |= {path: path.read_bytes() for path in written}
    left = place.files("run").latest.with_name(".run_ep000002_latest.mat.x.mat")
    left.write_bytes(b"left by a killed process")
    place.train(sessionID="run", nEpoch=1)
    assert place.files("run").epochs() == [1] and not left.exists()
    place.train(sessionID="run", nEpoch=1, learningRate=0.005, restart=True)
    assert {path: path.read_bytes() for path in others} == others


def test_restart_throws_the_session_away(tmp_path):
    place, fresh = Workplace(tmp_path / "a"), Workplace(tmp_path / "b")
    place.train(sessionID="run")
    place.train(sessionID="run", nEpoch=1, learningRate=0.005, restart=True)
    assert place.files("run").epochs() == [1]
    fresh.train(sessionID="run", nEpoch=1, learningRate=0.005)
    both = ([array.tobytes() for array in each.weights("run")] for each in (place, fresh))
    assert next(both) == next(both)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"startEpoch": 2}, "give one of them"),
        ({"netID": "nothere"}, "nothere"),
        ({"fixLayers": ["x"]}, "no layers x"),
    ],
)
def test_restart_throws_nothing_away_when_there_is_nothing_to_begin_with(done, changes, said):
    before = contents(done.folder)
    with pytest.raises(MatlabCompatError, match=said):
        done.train(sessionID="run", restart=True, **changes)
    assert contents(done.folder) == before


def test_stopped_in_the_test_before_training_it_is_tested_when_it_begins_again(tmp_path):
    place = Workplace(tmp_path)

    class Stopped(TrainingListener):
        def tested(self, state, which, epoch, recall, rankloss):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.train(Stopped(), sessionID="run", nEpoch=1)
    place.train(sessionID="run", nEpoch=1)
    assert set(place.load("run")["obj"]["pretrain"]) == {"val", "train"}


def test_features_before_training_of_another_network_or_other_images_are_not_taken(done):
    # difference: checkpoint0-checked
    before = contents(done.folder)
    other = Workplace(done.folder)
    make_network(done.folder / "nets", seed=5)
    with pytest.raises(MatlabCompatError, match=r"_q\.bin holds .*another network\): give checkpoint0suffix"):
        other.train(sessionID="other", nEpoch=1)
    make_network(done.folder / "nets")
    other.sets[0].query_names[:2] = other.sets[0].query_names[1::-1]
    with pytest.raises(MatlabCompatError, match="made of other images"):
        other.train(sessionID="other", nEpoch=1)
    other.train(sessionID="other", nEpoch=1, checkpoint0suffix="mine")
    assert before.items() <= contents(done.folder).items()
    assert other.load("other")["opts"]["qCheckpoint0"] == str(
        done.folder / "out/train_tiny_conv2_max_mine_q.bin"
    )


def test_an_option_that_only_one_version_knows_is_named():
    before = Request("trainWeakly", ("a", "b"), {"margin": 0.1, "gone": "x"})
    now = Request("trainWeakly", ("a", "b"), {"margin": 0.1, "new": 2})
    assert now.changes(before) == ["new None (now 2)", "gone 'x' (now None)"]
