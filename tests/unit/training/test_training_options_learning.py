"""Options that say what is learnt and how: each does what it says."""

import numpy as np
import pytest
import torch

from deepibl.images import load_pixels
from deepibl.training.gradients import PlainBackbone
from deepibl.training.options import TrainingOptions, schedule
from matlab_compat import matfile
from tests.option_checks import layers, run, tells_of, weights
from tests.tiny_training import PLACES


@tells_of("netID", "layerName", "method")
def test_network_is_what_was_asked_for(place):
    log, _ = run(place, method="avg", layerName="conv2")
    assert log.state.net.names[:3] == ["conv1", "relu1", "conv2"]
    assert any("avg" in (layer.classname or layer.name).lower() for layer in log.state.net)
    other, _ = run(place, method="max", layerName="conv1", sessionID="other")
    assert "conv2" not in other.state.net.names
    with pytest.raises(Exception, match="nothere"):
        place.train(netID="nothere")


@tells_of("batchSize", "nEpoch")
def test_batches_and_epochs_are_counted(place):
    log, _ = run(place, batchSize=4, nEpoch=2)
    assert [(b.epoch, b.batch) for b in log.batches] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len(log.mined) == 16 and PLACES // 4 == 2


@tells_of("learningRate", "momentum", "weightDecay")
def test_the_first_step_is_rate_times_gradient_and_decay(place):
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


@tells_of("lrDownFreq", "lrDownFactor")
def test_the_rate_goes_down(place):
    log, _ = run(place, nEpoch=5, lrDownFreq=2, lrDownFactor=4, learningRate=0.01)
    assert log.rates == [0.01, 0.01, 0.0025, 0.0025, 0.000625]
    options = TrainingOptions(
        learning_rate_drop_every=2, learning_rate_divisor=4, refresh_interval=10, batch_size=2
    )
    assert [schedule(options, epoch)[1] for epoch in (1, 3, 5)] == [5, 20, 80]
    assert schedule(TrainingOptions(learning_rate_drop_every=1), 9)[0] == TrainingOptions().learning_rate


@tells_of("backPropToLayer", "fixLayers")
def test_only_the_layers_that_learn_change(place):
    before = layers(place, learningRate=0)
    for changes, learns in (
        ({}, {"conv1", "conv2"}),
        ({"backPropToLayer": "conv2"}, {"conv2"}),
        ({"backPropToLayer": 3}, {"conv2"}),
        ({"fixLayers": ["conv2"]}, {"conv1"}),
        ({"fixLayers": "relu1, conv2"}, {"conv1"}),
        ({"fixLayers": "[conv2]"}, {"conv1"}),
    ):
        after = layers(place, **changes)
        assert {name for name in before if not np.array_equal(before[name], after[name])} == learns


@tells_of("nNegChoice", "nNegCap", "nNegCache")
def test_negatives_are_drawn_capped_and_remembered(place):
    log, session = run(place, nNegChoice=5, nNegCap=2, nNegCache=1, nEpoch=2)
    assert {len(mined.negatives) for mined in log.mined} == {2}
    caches = matfile.cell_list(place.load(session)["auxData"]["negCache"])
    assert {len(np.ravel(ids)) for ids in caches} <= {0, 1}
    many, _ = run(place, nNegChoice=9, nNegCap=9, sessionID="many")
    assert {len(mined.negatives) for mined in many.mined} == {9}


@tells_of("margin", "excludeVeryHard")
def test_the_margin_and_very_hard_negatives_decide_what_trainWeakly_takes(place):
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


@tells_of("jitterFlip")
def test_tuples_are_mirrored_as_the_generator_says(place, monkeypatch):
    fetch, mirrored = PlainBackbone.fetch, []

    def watched(self, path, flip=False, resize=None):
        read = fetch(self, path, flip, resize)
        mirrored.append(torch.equal(read.pixels, load_pixels(path).flip(-1)))
        return read

    monkeypatch.setattr(PlainBackbone, "fetch", watched)
    log, _ = run(place, jitterFlip=True)
    flips = [mined.flip for mined in log.mined]
    assert True in flips and False in flips
    assert sum(mirrored) == sum(2 + len(mined.negatives) for mined in log.mined if mined.flip)
    assert not any(mined.flip for mined in run(place, sessionID="plain")[0].mined)


@tells_of("jitterScale")
def test_tuples_are_scaled_by_one_of_the_scales(place):
    log, _ = run(place, jitterScale=[1, 1.5])
    assert {mined.scale for mined in log.mined} == {0, 1}
    assert weights(place, jitterScale=[2]).tobytes() != weights(place).tobytes()
