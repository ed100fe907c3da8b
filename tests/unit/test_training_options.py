"""The 42 options of the trainers: names and defaults, and a test of each that it does what it says."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from deepibl.features import extract_to_file, read_features
from deepibl.images import load_pixels
from deepibl.matlab.training import trainWeakly
from deepibl.training.console import Console
from deepibl.training.options import OPTION_NAMES, TrainingOptions, defaults, schedule
from deepibl.training.trunk import PlainTrunk
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import rng
from tests.tiny_training import OPTIONS, PLACES, Log, Workplace

CHECKS = {}


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path)


def check(*options):
    """Registers a check of options: a function of a Workplace."""

    def register(function):
        CHECKS.update(dict.fromkeys(options, function))
        return function

    return register


def run(place, **changes):
    """A training of one epoch: its log and session."""
    log = Log()
    session = place.train(log, **{"sessionID": "run", "nEpoch": 1, **changes})
    return log, session


def test_names_and_defaults_are_the_originals(golden):
    for path in sorted((golden / "train").glob("run_Gauss*.mat")):
        want = matfile.load(path, ["opts", "args"])
        given = {matfile.text(name) for name in matfile.cell_list(want["args"])[::2]}
        saved = TrainingOptions().to_matlab(with_geo_centers=True)
        assert [name for name in want["opts"] if name in OPTION_NAMES] == list(OPTION_NAMES)
        for name in set(OPTION_NAMES) - given - {"geoCenters", "outPrefix"}:
            if not name.endswith(("0", "0val")):  # names of files, filled in
                assert np.array_equal(np.ravel(saved[name]), np.ravel(want["opts"][name])), name
    assert len(OPTION_NAMES) == 42 and list(defaults()) == list(OPTION_NAMES)


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_each_option_does_what_it_says(option, request):
    assert option in CHECKS, f"no check of {option}"
    function = CHECKS[option]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    function(**{name: request.getfixturevalue(name) for name in names})


def test_an_unknown_option_names_the_closest_one(place):
    with pytest.raises(ArgumentError, match="'learningRate'"):
        trainWeakly(*place.sets, "learningrat", 1, paths=place.paths)


@pytest.mark.parametrize(
    ("option", "value"),
    [("batchSize", 0), ("nEpoch", 1.5), ("learningRate", -1), ("recallNs", [5, 1]), ("recallNs", []),
     ("lrDownFactor", 0), ("nTestRankSample", np.inf), ("backPropToLayer", "conv9"), ("backPropToLayer", 99),
     ("fixLayers", ["conv9"]), ("sessionID", "a/b"), ("batchSize", [1, 2])],
)  # fmt: skip
def test_values_that_cannot_be_meant_are_refused(place, option, value):
    with pytest.raises(Exception, match=r"\w") as caught:
        place.train(**{"sessionID": "run", option: value})
    assert type(caught.value).__module__.startswith(("deepibl", "matlab_compat"))


@check("netID", "layerName", "method")
def network_is_what_was_asked_for(place):
    log, _ = run(place, method="avg", layerName="conv2")
    assert log.state.net.names[:3] == ["conv1", "relu1", "conv2"]
    assert any("avg" in (layer.classname or layer.name).lower() for layer in log.state.net)
    other, _ = run(place, method="max", layerName="conv1", sessionID="other")
    assert "conv2" not in other.state.net.names
    with pytest.raises(Exception, match="nothere"):
        place.train(netID="nothere")


@check("batchSize", "nEpoch")
def batches_and_epochs_are_counted(place):
    log, _ = run(place, batchSize=4, nEpoch=2)
    assert [(b.epoch, b.batch) for b in log.batches] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len(log.mined) == 16 and PLACES // 4 == 2


@check("learningRate", "momentum", "weightDecay")
def the_first_step_is_rate_times_gradient_and_decay(place):
    start = weights(place, learningRate=0)
    slow, fast = (weights(place, learningRate=rate, batchSize=8) for rate in (0.001, 0.002))
    assert np.allclose(fast - start, 2 * (slow - start), rtol=1e-3, atol=1e-7)
    decayed = weights(place, learningRate=0.001, batchSize=8, weightDecay=0.5)
    none = weights(place, learningRate=0.001, batchSize=8, weightDecay=0)
    assert np.allclose(decayed - none, -0.001 * 0.5 * start, atol=1e-7)
    with_momentum, without = (
        weights(place, learningRate=0.0001, batchSize=4, momentum=m, weightDecay=0.5) for m in (0.9, 0)
    )
    assert np.abs(with_momentum - start).max() > 1.2 * np.abs(without - start).max()


@check("lrDownFreq", "lrDownFactor")
def the_rate_goes_down(place):
    log, _ = run(place, nEpoch=5, lrDownFreq=2, lrDownFactor=4, learningRate=0.01)
    assert log.rates == [0.01, 0.01, 0.0025, 0.0025, 0.000625]
    options = TrainingOptions(lrDownFreq=2, lrDownFactor=4, compFeatsFrequency=10, batchSize=2)
    assert [schedule(options, epoch)[1] for epoch in (1, 3, 5)] == [5, 20, 80]
    assert schedule(TrainingOptions(lrDownFreq=1), 9)[0] == TrainingOptions().learningRate


@check("backPropToLayer", "fixLayers")
def only_the_layers_that_learn_change(place):
    before = layers(place, learningRate=0)
    for changes, learns in (
        ({}, {"conv1", "conv2"}),
        ({"backPropToLayer": "conv2"}, {"conv2"}),
        ({"backPropToLayer": 3}, {"conv2"}),
        ({"fixLayers": ["conv2"]}, {"conv1"}),
    ):
        after = layers(place, **changes)
        assert {name for name in before if not np.array_equal(before[name], after[name])} == learns


@check("nNegChoice", "nNegCap", "nNegCache")
def negatives_are_drawn_capped_and_remembered(place):
    log, session = run(place, nNegChoice=5, nNegCap=2, nNegCache=1, nEpoch=2)
    assert {len(mined.negatives) for mined in log.mined} == {2}
    caches = matfile.cell_list(place.load(session)["auxData"]["negCache"])
    assert {len(np.ravel(ids)) for ids in caches} <= {0, 1}
    many, _ = run(place, nNegChoice=9, nNegCap=9, sessionID="many")
    assert {len(mined.negatives) for mined in many.mined} == {9}


@check("margin", "excludeVeryHard")
def the_margin_and_very_hard_negatives_decide_what_trainWeakly_takes(place):
    wide, _ = run(place, trainer="trainWeakly", margin=10, learningRate=0)
    none, _ = run(place, trainer="trainWeakly", margin=0, learningRate=0, sessionID="none")
    assert all(mined.trains for mined in wide.mined)
    reported = (log.state.history.val.rankloss[0] for log in (wide, none))
    assert next(reported) > 2 * next(reported)
    assert sum(len(m.negatives) for m in none.mined) < sum(len(m.negatives) for m in wide.mined)
    easy, _ = run(
        place, trainer="trainWeakly", margin=10, learningRate=0, excludeVeryHard=True, sessionID="easy"
    )
    pairs = list(zip(wide.mined, easy.mined, strict=True))
    assert any(mined.very_hard for mined, _ in pairs)
    for mined, without in pairs:
        assert without.violating == mined.violating - mined.very_hard


@check("jitterFlip")
def tuples_are_mirrored_as_the_generator_says(place, monkeypatch):
    fetch, mirrored = PlainTrunk.fetch, []

    def watched(self, path, flip=False, resize=None):
        read = fetch(self, path, flip, resize)
        mirrored.append(torch.equal(read.pixels, load_pixels(path).flip(-1)))
        return read

    monkeypatch.setattr(PlainTrunk, "fetch", watched)
    log, _ = run(place, jitterFlip=True)
    flips = [mined.flip for mined in log.mined]
    assert True in flips and False in flips
    assert sum(mirrored) == sum(2 + len(mined.negatives) for mined in log.mined if mined.flip)
    assert not any(mined.flip for mined in run(place, sessionID="plain")[0].mined)


@check("jitterScale")
def tuples_are_scaled_by_one_of_the_scales(place):
    log, _ = run(place, jitterScale=[1, 1.5])
    assert {mined.scale for mined in log.mined} == {0, 1}
    assert weights(place, jitterScale=[2]).tobytes() != weights(place).tobytes()


@check("sessionID", "outPrefix")
def files_are_named_by_session_and_prefix(place):
    prefix = str(place.folder / "elsewhere" / "x_")
    _, session = run(place, sessionID="", outPrefix=prefix)
    assert re.fullmatch("[0-9a-f]{4}", session)
    assert (place.folder / "elsewhere" / f"x_{session}_ep000001_latest.mat").exists()
    assert run(place, sessionID="mine")[1] == "mine"


@check("dbCheckpoint0", "qCheckpoint0", "dbCheckpoint0val", "qCheckpoint0val")
def features_before_training_are_written_where_asked_and_used_again(place):
    names = {
        option: str(place.folder / f"{option}.bin")
        for option in ("dbCheckpoint0", "qCheckpoint0", "dbCheckpoint0val", "qCheckpoint0val")
    }
    first, _ = run(place, **names)
    assert read_features(names["dbCheckpoint0"], count=2 * PLACES).shape[1] == 8
    assert read_features(names["qCheckpoint0val"], count=PLACES).shape[1] == 8
    again, _ = run(place, sessionID="again", **names)
    assert len(first.computed) - len(again.computed) == 4


@check("geoCenters")
def geo_centers_is_saved_by_the_four_trainers_that_have_it(place):
    run(place, geoCenters="x.mat")
    assert place.load("run")["opts"]["geoCenters"] == "x.mat"
    run(place, trainer="trainCauchyKernelInd", sessionID="other")
    assert "geoCenters" not in place.load("other")["opts"]


@check("checkpoint0suffix")
def the_suffix_goes_into_the_names_of_the_features(place):
    run(place, checkpoint0suffix="mine")
    assert (place.folder / "out" / "train_tiny_conv2_max_mine_db.bin").exists()


@check("info")
def the_remark_is_saved(place):
    run(place, info="a remark")
    assert place.load("run")["opts"]["info"] == "a remark"


@check("test0", "epochTestFrequency")
def tests_are_made_when_asked(place):
    log, _ = run(place, nEpoch=3, epochTestFrequency=2)
    assert log.tests == [(which, epoch) for epoch in (0, 2, 3) for which in ("val", "train")]
    without, _ = run(place, test0=False, sessionID="without")
    assert without.tests == [("val", 1), ("train", 1)]
    assert "pretrain" not in place.load("without")["obj"]


@check("saveFrequency")
def the_state_is_saved_every_so_many_queries(place):
    log, _ = run(place, saveFrequency=4, compFeatsFrequency=1000)
    assert [why for why in log.saves if "batch" in why] == ["epoch 1 batch 2", "epoch 1 batch 4"]


@check("compFeatsFrequency")
def features_are_computed_again_every_so_many_queries(place):
    log, _ = run(place, compFeatsFrequency=6)
    refreshes = [what for what in log.computed if "_train_b" in what]
    assert len(refreshes) == 2 and all("b000003" in what for what in refreshes)


@check("computeBatchSize", "numThreads")
def speed_settings_are_followed_and_do_not_change_the_training(place, monkeypatch):
    sizes, threads = set(), set()

    def watched_extract(*args, batch_size, **settings):
        sizes.add(batch_size)
        extract_to_file(*args, batch_size=batch_size, **settings)

    def watched_pool(count):
        threads.add(count)
        return ThreadPoolExecutor(count)

    monkeypatch.setattr("deepibl.feature_cache.extract_to_file", watched_extract)
    monkeypatch.setattr("deepibl.training.reader.ThreadPoolExecutor", watched_pool)
    small = weights(place, computeBatchSize=1, numThreads=1)
    assert (sizes, threads) == ({1}, {1})
    assert np.allclose(small, weights(place), rtol=1e-5, atol=1e-7)
    assert (sizes, threads) == ({1, 10}, {1, OPTIONS["numThreads"]})


@check("doDraw")
def curves_are_drawn_at_every_save(place):
    from deepibl.plotting import Plotter

    place.train(Plotter(), **{"sessionID": "run", "nEpoch": 1, "doDraw": True})
    assert place.files("run").plot.read_bytes().startswith(b"\x89PNG")
    place.train(Plotter(), sessionID="plain", nEpoch=1)
    assert not place.files("plain").plot.exists()


@check("printLoss", "printBatchLoss")
def losses_are_printed(place, capsys):
    place.train(Console(), sessionID="run", nEpoch=1, printLoss=True, printBatchLoss=True)
    shown = capsys.readouterr().out
    assert len(re.findall(r"^run batchloss= \d+\.\d{4}$", shown, re.M)) == PLACES // OPTIONS["batchSize"]
    assert re.search(r"^run loss= \d+\.\d{4}, #violate= \d+, #vhard= \d+, \(qID=\d+\)$", shown, re.M)
    assert re.search(r"^   real loss= \d+\.\d{4}, #violate= \d+", shown, re.M)
    place.train(Console(), sessionID="batches", nEpoch=1, printBatchLoss=True)
    shown = capsys.readouterr().out
    assert "batches batchloss= " in shown and "real loss" not in shown and "#violate" not in shown
    place.train(Console(), sessionID="tuples", nEpoch=1, printLoss=True)
    assert "batchloss" not in capsys.readouterr().out


@check("nTestSample", "nTestRankSample", "recallNs")
def tests_take_so_many_queries_and_ns(place):
    draws = []

    class Counting:
        def __init__(self):
            self.inner = rng()

        def __getattr__(self, name):
            return getattr(self.inner, name)

        @property
        def state(self):
            return self.inner.state

        @state.setter
        def state(self, words):
            self.inner.state = words

        def randsample(self, population, k, replace=False):
            draws.append((population, k)) if np.ndim(population) == 0 else None
            return self.inner.randsample(population, k)

    run(place, nTestSample=4, nTestRankSample=3, recallNs=[1, 7], generator=Counting())
    assert (PLACES, 4) in draws and (PLACES, 3) in draws
    assert place.load("run")["obj"]["val"]["recall"].shape == (2, 1)


@check("useGPU")
def without_a_gpu_or_when_told_it_computes_on_the_cpu(place, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert str(run(place, useGPU=True)[0].state.stepper.device) == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert str(run(place, useGPU=False, sessionID="told")[0].state.stepper.device) == "cpu"


@check("startEpoch")
def training_goes_on_from_an_epoch_with_changed_options(place):
    run(place, nEpoch=1)
    log, _ = run(place, nEpoch=3, startEpoch=2, learningRate=0.5)
    assert [batch.epoch for batch in log.batches[::4]] == [2, 3]
    assert log.rates[0] == 0.5 and place.load("run")["opts"]["method"] == "max"


def layers(place, **changes):
    """The weights by layer after one epoch."""
    session = f"s{len(list((place.folder / 'out').glob('*_history.json')))}"
    run(place, sessionID=session, **changes)
    found = matfile.cell_list(place.load(session)["net"]["layers"])
    return {matfile.text(layer["name"]): np.asarray(matfile.cell_list(layer["weights"])[0])
            for layer in found if np.size(layer.get("weights", []))}  # fmt: skip


def weights(place, **changes):
    """The last convolution's weights after one epoch."""
    return layers(place, **changes)["conv2"]
