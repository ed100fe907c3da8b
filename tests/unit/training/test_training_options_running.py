"""Options of files, tests, speed and printing: each does what it says."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deepibl.features.extraction import extract_to_file
from deepibl.features.files import read_features
from deepibl.training.listeners import Console
from matlab_compat.rng import rng
from tests.option_checks import run, tells_of, weights
from tests.tiny_training import OPTIONS, PLACES


@tells_of("sessionID", "outPrefix")
def test_files_are_named_by_session_and_prefix(place):
    prefix = str(place.folder / "elsewhere" / "x_")
    _, session = run(place, sessionID="", outPrefix=prefix)
    assert re.fullmatch("[0-9a-f]{4}", session)
    assert (place.folder / "elsewhere" / f"x_{session}_ep000001_latest.mat").exists()
    assert run(place, sessionID="mine")[1] == "mine"


@tells_of("dbCheckpoint0", "qCheckpoint0", "dbCheckpoint0val", "qCheckpoint0val")
def test_features_before_training_are_written_where_asked_and_used_again(place):
    names = {
        option: str(place.folder / f"{option}.bin")
        for option in ("dbCheckpoint0", "qCheckpoint0", "dbCheckpoint0val", "qCheckpoint0val")
    }
    first, _ = run(place, **names)
    assert read_features(names["dbCheckpoint0"], count=2 * PLACES).shape[1] == 8
    assert read_features(names["qCheckpoint0val"], count=PLACES).shape[1] == 8
    again, _ = run(place, sessionID="again", **names)
    assert len(first.computed) - len(again.computed) == 4


@tells_of("geoCenters")
def test_geo_centers_is_saved_by_the_four_trainers_that_have_it(place):
    run(place, geoCenters="x.mat")
    assert place.load("run")["opts"]["geoCenters"] == "x.mat"
    run(place, trainer="trainCauchyKernelInd", sessionID="other")
    assert "geoCenters" not in place.load("other")["opts"]


@tells_of("checkpoint0suffix")
def test_the_suffix_goes_into_the_names_of_the_features(place):
    run(place, checkpoint0suffix="mine")
    assert (place.folder / "out" / "train_tiny_conv2_max_mine_db.bin").exists()


@tells_of("info")
def test_the_remark_is_saved(place):
    run(place, info="a remark")
    assert place.load("run")["opts"]["info"] == "a remark"


@tells_of("test0", "epochTestFrequency")
def test_tests_are_made_when_asked(place):
    log, _ = run(place, nEpoch=3, epochTestFrequency=2)
    assert log.tests == [(which, epoch) for epoch in (0, 2, 3) for which in ("val", "train")]
    without, _ = run(place, test0=False, sessionID="without")
    assert without.tests == [("val", 1), ("train", 1)]
    assert "pretrain" not in place.load("without")["obj"]


@tells_of("saveFrequency")
def test_the_state_is_saved_every_so_many_queries(place):
    log, _ = run(place, saveFrequency=4, compFeatsFrequency=1000)
    assert [why for why in log.saves if "batch" in why] == ["epoch 1 batch 2", "epoch 1 batch 4"]


def test_within_an_epoch_nothing_is_saved_or_computed_again_with_infinite_intervals(place):
    log, _ = run(place, saveFrequency=np.inf, compFeatsFrequency=np.inf, lrDownFreq=1e9)
    assert not [why for why in log.saves if "batch" in why]
    assert not [what for what in log.computed if "_train_b" in what]


@tells_of("compFeatsFrequency")
def test_features_are_computed_again_every_so_many_queries(place):
    log, _ = run(place, compFeatsFrequency=6)
    refreshes = [what for what in log.computed if "_train_b" in what]
    assert len(refreshes) == 2 and all("b000003" in what for what in refreshes)


@tells_of("computeBatchSize", "numThreads")
def test_speed_settings_are_followed_and_do_not_change_the_training(place, monkeypatch):
    sizes, threads = set(), set()

    def watched_extract(*args, settings, **others):
        sizes.add(settings.batch_size)
        extract_to_file(*args, settings=settings, **others)

    def watched_pool(count):
        threads.add(count)
        return ThreadPoolExecutor(count)

    monkeypatch.setattr("deepibl.training.cached_features.extract_to_file", watched_extract)
    monkeypatch.setattr("deepibl.training.gradients.ThreadPoolExecutor", watched_pool)
    small = weights(place, computeBatchSize=1, numThreads=1)
    assert (sizes, threads) == ({1}, {1})
    assert np.allclose(small, weights(place), rtol=1e-5, atol=1e-7)
    assert (sizes, threads) == ({1, 10}, {1, OPTIONS["numThreads"]})


@tells_of("doDraw")
def test_curves_are_drawn_at_every_save(place):
    from deepibl.training.listeners import Plotter

    place.train(Plotter(), **{"sessionID": "run", "nEpoch": 1, "doDraw": True})
    assert place.files("run").plot.read_bytes().startswith(b"\x89PNG")
    place.train(Plotter(), sessionID="plain", nEpoch=1)
    assert not place.files("plain").plot.exists()


@tells_of("printLoss", "printBatchLoss")
def test_losses_are_printed(place, capsys):
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


@tells_of("nTestSample", "nTestRankSample", "recallNs")
def test_tests_take_so_many_queries_and_ns(place):
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


@tells_of("useGPU")
def test_without_a_gpu_or_when_told_it_computes_on_the_cpu(place, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert str(run(place, useGPU=True)[0].state.stepper.device) == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert str(run(place, useGPU=False, sessionID="told")[0].state.stepper.device) == "cpu"


@tells_of("startEpoch")
def test_training_goes_on_from_an_epoch_with_changed_options(place):
    run(place, nEpoch=1)
    log, _ = run(place, nEpoch=3, startEpoch=2, learningRate=0.5)
    assert [batch.epoch for batch in log.batches[::4]] == [2, 3]
    assert log.rates[0] == 0.5 and place.load("run")["opts"]["method"] == "max"
