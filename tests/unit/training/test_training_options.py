"""The 42 options of the trainers: names and defaults, values that are refused, and that each has a test."""

import numpy as np
import pytest

from deepibl.matlab.training import trainWeakly
from deepibl.training.options import OPTIONS, TrainingOptions
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from tests.unit.training import (
    test_training_options_learning as learning,
    test_training_options_running as running,
)

OPTION_NAMES = [each.matlab for each in OPTIONS.values() if not each.ours]


def test_names_and_defaults_are_the_originals(golden):
    for path in sorted((golden / "train").glob("run_Gauss*.mat")):
        want = matfile.load(path, ["opts", "args"])
        given = {matfile.text(name) for name in matfile.cell_list(want["args"])[::2]}
        saved = TrainingOptions().to_matlab(with_geo_centers=True)
        assert [name for name in want["opts"] if name in OPTION_NAMES] == list(OPTION_NAMES)
        for name in set(OPTION_NAMES) - given - {"geoCenters", "outPrefix"}:
            if not name.endswith(("0", "0val")):  # names of files, filled in
                assert np.array_equal(np.ravel(saved[name]), np.ravel(want["opts"][name])), name
    assert len(OPTION_NAMES) == 42


def test_every_option_has_a_test():
    found = [item for module in (learning, running) for item in vars(module).items()]
    tests = [test for name, test in found if name.startswith("test_")]
    named = [option for test in tests for option in getattr(test, "options", ())]
    assert sorted(named) == sorted(OPTION_NAMES)


def test_an_unknown_option_names_the_closest_one(place):
    with pytest.raises(ArgumentError, match="'learningRate'"):
        trainWeakly(*place.sets, "learningrat", 1, paths=place.paths)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batchSize", 0),
        ("nEpoch", 1.5),
        ("learningRate", -1),
        ("recallNs", [5, 1]),
        ("recallNs", []),
        ("lrDownFactor", 0),
        ("nTestRankSample", np.inf),
        ("nNegCap", np.inf),
        ("nNegCache", np.inf),
        ("nEpoch", np.inf),
        ("lrDownFactor", np.inf),
        ("jitterScale", [0]),
        ("jitterScale", [np.inf]),
        ("backPropToLayer", 0),
        ("backPropToLayer", 2.5),
        ("backPropToLayer", "postL2"),
        ("fixLayers", ["conv1", "conv2"]),
        ("batchSize", 10),
        ("backPropToLayer", "conv9"),
        ("backPropToLayer", 99),
        ("fixLayers", ["conv9"]),
        ("sessionID", "a/b"),
        ("batchSize", [1, 2]),
    ],
)
def test_values_that_cannot_be_meant_are_refused(place, option, value):
    with pytest.raises(Exception, match=r"\w") as caught:
        place.train(**{"sessionID": "run", option: value})
    assert type(caught.value).__module__.startswith(("deepibl", "matlab_compat"))
