"""Training against the original, run by run: the same draws must give the same tuples, losses and weights."""

import re

import numpy as np
import pytest

from deepibl.matlab import training as sessions
from matlab_compat import matfile
from matlab_compat.matfile.values import cell_list, scalar, text, vector
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import GOLDEN, golden_files, golden_id
from tests.parity.training_runs import RESUMED, RUNS, Nudged, Outcome, Watch, items, run, tensors
from tests.tolerances import BLOCK, TOL, assert_close, error


@pytest.fixture(scope="module", params=RUNS, ids=golden_id)
def outcome(request, tmp_path_factory) -> Outcome:
    return run(request.param, tmp_path_factory.mktemp(request.param.stem), GOLDEN)


@pytest.fixture(scope="module")
def nudged(outcome, tmp_path_factory) -> list[Watch]:
    """The same run twice, each time with other first weights: their last digits differ."""
    (path,) = (path for path in RUNS if path.stem == f"run_{outcome.run}")
    return [run(path, tmp_path_factory.mktemp("nudged"), GOLDEN, Nudged(seed=seed)).watch for seed in (1, 2)]


def test_there_are_runs_of_all_trainers():
    assert {path.stem.removeprefix("run_") for path in RUNS if not RESUMED.match(path.stem)} >= {
        f"{kernel}{mode}" for kernel in ("Gauss", "Cauchy", "Exp") for mode in ("Ind", "Joint")
    } | {"Weakly"}


def test_every_recorded_draw_was_asked_for_in_its_order(outcome):
    assert outcome.replay.used_up


def test_the_order_of_queries_is_the_originals(outcome):
    wanted = items(outcome.want["batches"])
    assert len(outcome.watch.batches) == len(wanted)
    for got, batch in zip(outcome.watch.batches, wanted, strict=True):
        report, ids = got["report"], vector(batch["qIDs"]).astype(int) - 1
        assert (report.epoch, report.batch) == (scalar(batch["iEpoch"]), scalar(batch["iBatch"]))
        assert list(got["order"][(report.batch - 1) * len(ids) : report.batch * len(ids)]) == list(ids)


def test_positives_and_negatives_are_the_originals(outcome):
    wanted = items(outcome.want["queries"])
    done = outcome.watch.tuples
    by_query = [(scalar(w["qID"]) - 1, scalar(w["posID"]) - 1) for w in wanted]
    trained = [mined for mined, pairs in zip(done, outcome.watch.pairs, strict=True) if pairs]
    assert [(mined.query, mined.positive) for mined in trained] == by_query
    for mined, query in zip(trained, wanted, strict=True):
        assert list(mined.negatives) == list(vector(query["negIDs"]).astype(int) - 1)


def test_losses_of_queries_and_batches_are_the_originals(outcome):
    wanted = items(outcome.want["batches"])
    got = [batch["report"].loss for batch in outcome.watch.batches]
    assert_close(got, [scalar(batch["loss"]) for batch in wanted], "trajectory")
    logged = matfile.load(outcome.files.latest, ["obj"])["obj"]
    assert_close(logged["train"]["loss"], outcome.want["obj"]["train"]["loss"], "trajectory")


def test_every_weight_follows_the_original(outcome):
    for got, batch in zip(outcome.watch.batches, items(outcome.want["batches"]), strict=True):
        for have, want in tensors(outcome, got["weights"], batch["weights"]):
            assert error(have, want) <= TOL["trajectory"]


def test_every_momentum_follows_the_original_as_far_as_rounding_lets_it(outcome, nudged):
    # difference: momenta-rounding. Tensor by tensor: a step's rounding, and what a last digit of the first
    # weights has done to the same tensor so far, times the roundings of a block in place of that one
    moved, report = dict.fromkeys(outcome.watch.batches[0]["momenta"], 0.0), []
    for number, batch in enumerate(items(outcome.want["batches"])):
        found = outcome.watch.batches[number]["momenta"]
        pairs = tensors(outcome, found, batch["momentum"])
        for key, (have, want) in zip(sorted(found), pairs, strict=True):
            others = (watch.batches[number]["momenta"][key] for watch in nudged)
            moved[key] = max(moved[key], *(error(other, have) for other in others))
            report.append((error(have, want), TOL["momentum tensor"] + BLOCK * moved[key], number, key))
        largest = max(float(want.abs().max()) for _, want in pairs)
        assert max(float((have - want).abs().max()) for have, want in pairs) <= TOL["momentum"] * largest
    print(f"{outcome.run}: worst {max(report)[0]:.1e}; last digits move momenta by {max(moved.values()):.1e}")
    assert [row for row in report if row[0] > row[1]] == []


@pytest.mark.parametrize(
    "speed", [{"backboneCache": "off"}, {"backboneCache": "disk"}, {"stepGB": 2}], ids=str
)
def test_every_weight_is_the_same_however_maps_are_kept(outcome, tmp_path, speed):
    # outcome keeps them in memory and takes tuples one by one; together, weights are the same to rounding
    if outcome.want["opts"]["backPropToLayer"] == 1 and "backboneCache" in speed:
        pytest.skip("the first layer learns: there are no maps to keep")
    (path,) = (path for path in RUNS if path.stem == f"run_{outcome.run}")
    other = run(path, tmp_path, GOLDEN, **speed)
    for got, want in zip(other.watch.batches, outcome.watch.batches, strict=True):
        for kind in ("weights",) if "stepGB" in speed else ("weights", "momenta"):
            tolerance = TOL["trajectory" if "stepGB" in speed else "exact"]
            largest = max(float(tensor.abs().max()) for tensor in want[kind].values())
            for key, tensor in want[kind].items():
                assert float((got[kind][key] - tensor).abs().max()) <= tolerance * largest, key


def test_the_hard_negative_caches_are_the_originals(outcome):
    wanted = cell_list(outcome.want["negCache"])
    saved = cell_list(matfile.load(outcome.files.latest, ["auxData"])["auxData"]["negCache"])
    assert [list(vector(ids)) for ids in saved] == [list(vector(ids)) for ids in wanted]
    after = {}
    for query in items(outcome.want["queries"]):
        after[scalar(query["iEpoch"]), scalar(query["iBatch"]), scalar(query["qID"]) - 1] = query["negCache"]
    for batch in outcome.watch.batches:
        report = batch["report"]
        for query, cache in enumerate(batch["caches"]):
            if (report.epoch, report.batch, query) in after:
                assert list(cache + 1) == list(vector(after[report.epoch, report.batch, query]))


def test_recalls_and_rank_losses_are_the_originals(outcome):
    logged = matfile.load(outcome.files.latest, ["obj"])["obj"]
    assert list(logged) == list(outcome.want["obj"])
    for which in logged:
        compare(logged[which], outcome.want["obj"][which], scalar(outcome.want["opts"]["margin"]))


def compare(got, want, margin):
    assert list(got) == list(want)
    for name, value in want.items():
        if isinstance(value, dict):
            compare(got[name], value, margin)
        elif name == "rankloss":
            # a sum of small excesses over the margin, which is what its rounding compares with
            assert np.abs(got[name] - value).max(initial=0.0) <= TOL["trajectory"] * margin
        else:
            assert_close(got[name], value, "exact" if name == "recall" else "trajectory")


def test_feature_files_are_the_originals(outcome):
    # the files of features before training, and those that a resumed training begins with
    folder = GOLDEN / "train" / f"bins_{outcome.run}"
    wanted = sorted(path.name for path in folder.glob("*.bin"))
    made = sorted(path.name for path in outcome.folder.glob("*.bin"))
    # a resumed run finds those before training there already
    assert set(made) <= set(wanted) if RESUMED.match(f"run_{outcome.run}") else made == wanted
    assert made
    for name in made:
        got, want = (np.fromfile(at / name, np.float32) for at in (outcome.folder, folder))
        assert got.size == want.size
        assert_close(got, want, "training")


def test_the_networks_saved_after_each_epoch_are_the_originals(outcome):
    epochs = [name for name in outcome.want if re.fullmatch(r"net_ep\d+", name)]
    assert epochs
    for name in epochs:
        path = outcome.files.epoch(int(name.removeprefix("net_ep")))
        if not path.exists():
            assert RESUMED.match(f"run_{outcome.run}")  # made by the run before
            continue
        compare_networks(matfile.load(path, ["net"])["net"], outcome.want[name])


def compare_networks(got, want):
    assert set(got) == set(want)
    layers = list(zip(cell_list(got["layers"]), cell_list(want["layers"]), strict=True))
    for one, other in layers:
        assert text(one["name"]) == text(other["name"])
        for a, b in zip(*(cell_list(layer.get("weights", [])) for layer in (one, other)), strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            assert_close(a, b, "trajectory")
        for a, b in zip(*(cell_list(layer.get("momentum", [])) for layer in (one, other)), strict=True):
            assert np.shape(a) == np.shape(b)
        assert np.any(one.get("precious", False)) == np.any(other.get("precious", False))


def test_the_saved_options_are_the_originals(outcome):
    saved = matfile.load(outcome.files.latest, ["opts"])["opts"]
    want = outcome.want["opts"]
    assert list(saved) == list(want)
    for name in set(want) - {"outPrefix"}:
        got = saved[name]
        if isinstance(want[name], str):
            assert got.removeprefix(f"{outcome.folder}/") == want[name], name
        else:
            assert np.array_equal(np.ravel(got), np.ravel(want[name])), name


def test_pick_best_net_prints_the_originals_table(outcome, capsys):
    files = golden_files(f"train/pickBestNet_{outcome.run}.mat")
    if not files:
        pytest.skip("the original's table of this run was not recorded")
    for path in files:
        want = matfile.load(path)
        for suffix, n in [
            ("", 5),
            *((m[0], int(m[1])) for name in want if (m := re.search(r"_N(\d+)$", name))),
        ]:
            epoch, net = sessions.pickBestNet(
                outcome.session, n, 1, paths={"outPrefix": f"{outcome.folder}/"}
            )
            assert epoch == scalar(want[f"bestEpoch{suffix}"])
            assert capsys.readouterr().out.split() == text(want[f"table{suffix}"]).split()
        assert not any("momentum" in layer.fields for layer in net.layers)
        assert scalar(net.meta["epoch"]) == scalar(want["net"]["meta"]["epoch"])
        best = SimpleNN.from_matlab(want["net"])
        for got, layer in zip(net, best, strict=True):
            for a, b in zip(got.weights, layer.weights, strict=True):
                assert a is None or error(a.detach(), b.detach()) <= TOL["trajectory"]


@pytest.mark.gpu
@pytest.mark.parametrize("path", RUNS, ids=golden_id)
def test_every_loss_and_weight_follows_the_original_on_a_gpu(path, tmp_path):
    on_gpu = run(path, tmp_path, GOLDEN, useGPU=True)
    assert on_gpu.watch.state.net[0].weight.is_cuda
    for got, batch in zip(on_gpu.watch.batches, items(on_gpu.want["batches"]), strict=True):
        assert_close([got["report"].loss], [scalar(batch["loss"])], "trajectory")
        weights = {key: weight.cpu() for key, weight in got["weights"].items()}
        for have, want in tensors(on_gpu, weights, batch["weights"]):
            assert error(have, want) <= TOL["trajectory"]
