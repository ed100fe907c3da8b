"""Training by `deepibl.training.train`, and the one table of options that MATLAB's door converts by."""

import inspect
import json
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.matlab.training import trainGaussKernalInd
from deepibl.networks.build import add_pooling_for
from deepibl.networks.io import load_network
from deepibl.training import TrainingListener, TrainingRun, train
from deepibl.training.options import OPTIONS, TABLE, Request, TrainingOptions, from_matlab_names
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, MatFileError
from tests.tiny_training import OPTIONS as TINY, Workplace

ROOT = Path(__file__).resolve().parents[3]
NAMES = {each.matlab: each.name for each in OPTIONS.values()}
GIVEN = {NAMES[name]: value for name, value in TINY.items() if name not in ("netID", "layerName", "method")}
ONE_EPOCH = {**GIVEN, "session": "run", "epochs": 1}


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path)


@pytest.mark.usefixtures("one_thread")
def test_a_network_by_name_trains_as_the_original_trainer(place, tmp_path):
    run = train(
        *place.sets,
        "tiny",
        "gauss-ind",
        layer="conv2",
        pooling="max",
        paths=place.paths,
        listeners=[],
        **ONE_EPOCH,
    )
    other = Workplace(tmp_path / "door")
    other.train(sessionID="run", nEpoch=1)
    for mine, theirs in zip(place.weights("run"), other.weights("run"), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert isinstance(run, TrainingRun)
    assert (run.session, run.folder, run.best_epoch) == ("run", tmp_path / "out", 1)
    assert run.network.names[:3] == ["conv1", "relu1", "conv2"] and "Best epoch: 1" in run.results.table()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "around",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_what_surrounds_the_call_changes_no_weight(place, around):
    net = add_pooling_for(load_network(place.folder / "nets/tiny.mat"), "max", place.sets[0])
    runs = []
    for name, context in (("a", nullcontext), ("b", around)):
        prefix, options = f"{place.folder}/{name}/", {**ONE_EPOCH, "batch_size": 4}
        with context():
            runs.append(train(*place.sets, net, listeners=[], output_prefix=prefix, **options).network)
    assert all(torch.equal(a, b) for a, b in zip(*(run.parameters() for run in runs), strict=True))


@pytest.mark.parametrize("listener", [print, TrainingListener, object()])
def test_what_is_no_listener_is_refused(place, listener):
    with pytest.raises(ArgumentError, match="must be TrainingListener objects; got "):
        train(*place.sets, "tiny", layer="conv2", pooling="max", paths=place.paths, listeners=[listener])


@pytest.mark.usefixtures("one_thread")
def test_a_built_network_trains_stays_as_it_is_and_its_session_resumes(place, tmp_path):
    net = add_pooling_for(load_network(place.folder / "nets/tiny.mat"), "max", place.sets[0])
    before = [each.detach().clone() for each in net.parameters()]
    prefix = f"{tmp_path}/mine/"
    run = train(*place.sets, net, "weakly", listeners=[], output_prefix=prefix, **ONE_EPOCH)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, run.network.parameters(), strict=True))
    again = train(*place.sets, net, "trainWeakly", listeners=[], output_prefix=prefix, **ONE_EPOCH)
    assert again.best_epoch == run.best_epoch
    with pytest.raises(ArgumentError, match="pooling is an option for a network given by name"):
        train(*place.sets, net, listeners=[], output_prefix=prefix, pooling="avg")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"negatives_capp": 5}, "did you mean 'negatives_cap'"),
        ({"nNegCap": 5}, "option 'nNegCap' is named 'negatives_cap' here"),
        ({"train_set_name": "x"}, "unknown option 'train_set_name'"),
        ({"negatives_cap": 0}, r"negatives_cap \(nNegCap\) must be a whole number, at least 1; got 0"),
        ({"plot": "yes"}, r"plot \(doDraw\) must be True or False; got 'yes'"),
        ({"loss": "gauss"}, "the loss must be one of gauss-ind, gauss-joint"),
        ({"network": object()}, "network must be a SimpleNN, a name or a .mat file"),
    ],
)
def test_a_mistake_fails_at_the_door(place, options, said):
    with pytest.raises(ArgumentError, match=said):
        train(*place.sets, **{"network": "tiny", "paths": place.paths, **options})


def test_the_table_has_each_name_once_and_converts_both_ways():
    for names in ([each.name for each in TABLE.values()], [each.matlab for each in TABLE.values()]):
        assert len({name.lower() for name in names}) == len(TABLE)
    options = TrainingOptions(
        frozen_layers=["a", "b"],
        jitter_scales=[0.5, 1],
        recall_sample_size=np.inf,
        step_gb=0.5,
        first_trained_layer="conv2",
        output_prefix=Path("x"),
    )
    assert TrainingOptions.from_matlab(options.to_matlab(), options.ours()) == options
    assert options.output_prefix == "x" and options.frozen_layers == ("a", "b")
    with pytest.raises(MatFileError, match="nEpoch"):
        TrainingOptions.from_matlab({"nEpoch": np.ones((1, 2))})
    with pytest.raises(AttributeError):
        options.epochs = 3


def test_matlabs_names_match_in_any_case_and_pythons_as_they_are():
    given = from_matlab_names(("LEARNINGRATE", 1, {"nnegcap": 2}), {"batchsize": 3, "negatives_cached": 4})
    assert given == {"learning_rate": 1, "negatives_cap": 2, "batch_size": 3, "negatives_cached": 4}
    with pytest.raises(ArgumentError, match="did you mean 'nNegCap'"):
        from_matlab_names((), {"nNegCapp": 1})


def test_a_trainer_of_matlab_shows_its_options_and_defaults():
    parameters = inspect.signature(trainGaussKernalInd).parameters
    assert {each.matlab: each.default for each in OPTIONS.values()} == {
        name: each.default for name, each in parameters.items() if name in NAMES
    }
    assert [*parameters][:3] == ["dbTrain", "dbVal", "args"] and parameters["restart"].default is False
    assert "nNegCap = 10: hardest negatives that a tuple keeps" in inspect.getdoc(trainGaussKernalInd)


# what sessions hold that were written before: a request that differs from it is of other settings
COMMAND = (
    '["trainWeakly", ["train (9 queries, 18 images)", "val (9 queries, 18 images)"], {"netID": "tiny", '
    '"layerName": "conv2", "method": "max", "batchSize": 2, "learningRate": 0.01, "lrDownFreq": 5, '
    '"lrDownFactor": 2, "weightDecay": 0.001, "momentum": 0.9, "backPropToLayer": 1, "fixLayers": [], '
    '"nNegChoice": 6, "nNegCap": 3, "nNegCache": 3, "nEpoch": 1, "margin": 0.1, "excludeVeryHard": false, '
    '"jitterFlip": false, "jitterScale": [], "dbCheckpoint0": "", "qCheckpoint0": "", "dbCheckpoint0val": '
    '"", "qCheckpoint0val": "", "geoCenters": "", "checkpoint0suffix": "", "test0": true, '
    '"saveFrequency": 2, "compFeatsFrequency": 4, "computeBatchSize": 10, "epochTestFrequency": 1, '
    '"nTestSample": 5, "nTestRankSample": 5, "recallNs": [1, 2, 3, 5, 10], "useGPU": false, '
    '"backboneCacheDtype": "fp32", "trainPrecision": "fp32", "stepGB": "auto"}]'
)


def test_the_request_that_sessions_hold_keeps_its_text(place):
    """But for the digests of the sets, without which sessions of before are known, too."""
    options = TrainingOptions(**from_matlab_names((), {**TINY, "nEpoch": np.ones((1, 1)), "numThreads": 7}))
    request = Request.of("trainWeakly", place.sets, options)
    assert Request.from_text(request.text) == request
    assert re.sub("; names, positions, limits: [0-9a-f]{8}", "", request.text) == COMMAND
    before = Request.from_text(COMMAND)
    assert request.told_as(before) == before and request.told_as(request) == request.told_as(None) == request


def test_a_session_file_holds_what_it_held(place):
    place.train(sessionID="run", nEpoch=1, stepGB=0.5)
    aux = place.load("run")["auxData"]["deepibl"]
    assert {name: matfile.text(aux["speed"][name]) for name in ("backboneCacheDtype", "trainPrecision")} == {
        "backboneCacheDtype": "fp32",
        "trainPrecision": "fp32",
    }
    assert matfile.scalar(aux["speed"]["stepGB"]) == 0.5 and list(aux["speed"])[-1] == "stepGB"
    assert json.loads(matfile.text(aux["command"]))[0] == "trainGaussKernalInd"


def test_the_documented_table_of_options_is_current():
    lines = ["| MATLAB | Python | default | what it is |", "|---|---|---|---|"]
    for each in OPTIONS.values():
        default = "1–5, 10, 15 … 100" if each.name == "recall_ns" else f"`{each.default!r}`"
        ours = " (only here)" if each.ours else ""
        lines.append(f"| `{each.matlab}` | `{each.name}` | {default} | {each.help}{ours} |")
    text = (ROOT / "docs/for_matlab_users.md").read_text(encoding="utf-8")
    found = re.search(r"^\| MATLAB \| Python \| default .*?(?=\n\n|\Z)", text, re.M | re.S)
    assert found and found[0].rstrip() == "\n".join(lines)
