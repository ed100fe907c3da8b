"""Evaluation against the original: neighbours, recall, rank loss, their printed text, best epoch, mAP."""

import re
from types import SimpleNamespace

import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.place import PlaceDataset
from deepibl.matlab import evaluation as matlab
from matlab_compat.relja import relja_retrievalMAP
from matlab_compat.rng import rng
from matlab_compat.yael import yael_nn
from tests.golden_data import read_golden
from tests.replay import Replay, ids
from tests.tolerances import assert_close


def without_times(text):
    """Printed text with dates and durations masked."""
    text = re.sub(r"\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}:\d{2}", "DATE", text)
    text = re.sub(r"time \d+:\d+:\d+; left \d+:\d+:\d+; avg \d+\.\d{4} s", "TIMES", text)
    return re.sub(r"time= \d+\.\d{4} s, avgTime= \d+\.\d{4} ms", "TIMES", text)


def printed(out, name):
    return without_times(str(out[name].item()))


@pytest.fixture
def pitts(golden):
    """The data set that the golden features belong to."""
    name = read_golden(golden / "datasets" / "dbPitts_out.mat")["name"].item()
    return load_dbstruct(golden / "datasets" / f"{name}.mat")


class LoggedNegatives(PlaceDataset):
    """Gives the negatives of a log instead of drawing them."""

    def use(self, query_ids, negatives):
        self.log = [(int(q), ids(n)) for q, n in zip(ids(query_ids), negatives.ravel(), strict=True)]
        return self

    def sample_negatives(self, iQuery, n, generator):
        query, negatives = self.log.pop(0)
        assert (iQuery, n) == (query, len(negatives))
        return negatives


def test_yael_nn_equals_the_original(golden):
    out = read_golden(golden / "eval" / "nn.mat")
    found, squared = yael_nn(out["dbFeat"].T, out["qFeat"].T, len(out["nn_ids"]))
    assert (found == out["nn_ids"].T - 1).all()
    assert_close(squared, out["nn_d"].T, "op")
    found, squared = yael_nn(out["dbFeat"].T, out["qFeat"].T)
    assert (found == out["nn1_ids"].T - 1).all()
    assert_close(squared, out["nn1_d"].T, "op")


def test_rawNnSearch_equals_the_original_and_limits_k(golden):
    out = read_golden(golden / "eval" / "nn.mat")
    found, squared = matlab.rawNnSearch(out["qFeat"][:, 0], out["dbFeat"].T, 10 * out["dbFeat"].shape[1])
    assert found.tolist() == ids(out["raw_ids"]).tolist()
    assert_close(squared, out["raw_d"].ravel(), "op")


def test_testCore_equals_the_original_and_prints_its_text(golden, pitts, capsys):
    out = read_golden(golden / "eval" / "testCore.mat")
    recalls, all_recalls = matlab.testCore(pitts, out["qFeat"].T, out["dbFeat"].T)
    assert without_times(capsys.readouterr().out) == printed(out, "display")
    assert (all_recalls == out["allRecalls"]).all()
    assert_close(recalls, out["recalls"].ravel(), "op")


def test_testCore_on_a_sample_equals_the_original(golden, pitts, capsys):
    out = read_golden(golden / "eval" / "testCore.mat")
    sample, wanted_ns = int(out["nTestSample_s"].item()), out["recallNs_s"].ravel().astype(int).tolist()
    replay = Replay([(pitts.query_count, sample, out["toTest_s"])])
    recalls, all_recalls = matlab.testCore(
        pitts, out["qFeat"].T, out["dbFeat"].T, "nTestSample", sample, recallNs=wanted_ns, generator=replay
    )
    assert replay.used_up
    assert without_times(capsys.readouterr().out) == printed(out, "display_s")
    assert (all_recalls == out["allRecalls_s"]).all()
    assert_close(recalls, out["recalls_s"].ravel(), "op")


def test_recallAtN_with_a_searcher_equals_testCore(golden, pitts, capsys):
    out = read_golden(golden / "eval" / "testCore.mat")
    wanted_ns = out["ns"].ravel().astype(int).tolist()

    def searcher(query, n_top):
        return matlab.rawNnSearch(out["qFeat"].T[query], out["dbFeat"].T, n_top)[0]

    mean, recalls = matlab.recallAtN(searcher, pitts.query_count, pitts.is_positive, wanted_ns, 10)
    assert without_times(capsys.readouterr().out) == printed(out, "display")
    assert (recalls == out["allRecalls"]).all()
    assert mean == recalls[:, wanted_ns.index(10)].mean()


def test_evaluation_puts_the_callers_generator_back(golden, pitts, capsys):
    out = read_golden(golden / "eval" / "testCore.mat")
    generator = rng(7)
    before = generator.state
    matlab.testCore(pitts, out["qFeat"].T, out["dbFeat"].T, nTestSample=5, generator=generator)
    matlab.testCoreRank(pitts, out["qFeat"].T, out["dbFeat"].T, 0.1, 5, generator=generator)
    assert (generator.state == before).all()


@pytest.mark.parametrize("case", ["", "_s"])
def test_testCoreRank_equals_the_original_and_prints_its_text(golden, pitts, capsys, case):
    out = read_golden(golden / "eval" / "testCoreRank.mat")
    lists = (pitts.database_names, pitts.database_positions, pitts.query_names, pitts.query_positions)
    dataset = LoggedNegatives("logged", *lists, **pitts.shared_arguments())
    dataset.use(out[f"qIDs{case}"], out[f"negIDs{case}"])
    rest = {}
    if case:
        sample = int(out["nTestSample_s"].item())
        rest = {"nTestSample": sample, "generator": Replay([(dataset.query_count, sample, out["toTest_s"])])}
    margin, count = out[f"margin{case}"].item(), int(out[f"nNegChoice{case}"].item())
    loss, losses = matlab.testCoreRank(dataset, out["qFeat"].T, out["dbFeat"].T, margin, count, **rest)
    assert not dataset.log
    assert without_times(capsys.readouterr().out) == printed(out, f"display{case}")
    assert_close(losses, out[f"losses{case}"].ravel(), "op")
    assert_close(loss, out[f"rankloss{case}"].item(), "op")


def test_getBestEpoch_equals_the_original(golden):
    out = read_golden(golden / "eval" / "getBestEpoch.mat")
    recall_ns = out["recallNs"].ravel().astype(int).tolist()
    measured = [name for name in out if name.startswith("epoch")]
    assert measured
    for name in measured:
        for recalls, want in zip(out["cases"].ravel(), out[name].ravel(), strict=True):
            assert matlab.getBestEpoch(recalls, recall_ns, int(name.removeprefix("epoch"))) == want


def test_relja_retrievalMAP_equals_the_original(golden, capsys):
    out = read_golden(golden / "eval" / "relja_retrievalMAP.mat")
    lists = {name: [ids(cell) for cell in out[name].ravel()] for name in ("posIDs", "ignoreIDs")}
    db = SimpleNamespace(**{"numQueries": len(lists["posIDs"]), "numImages": out["db"].shape[1]}, **lists)
    vectors = {"db": out["db"].T, "qs": out["qs"].T}
    mean, precisions = relja_retrievalMAP(db, vectors, verbose=False)
    assert_close(precisions, out["APs"].ravel(), "op")
    assert_close(mean, out["mAP"].item(), "op")
    assert capsys.readouterr().out == f"{mean:.4f}\n"

    top, _ = yael_nn(vectors["db"], vectors["qs"], 20)
    mean, precisions = relja_retrievalMAP(db, lambda query: top[query], True)
    assert_close(precisions, out["APs_fn"].ravel(), "op")
    assert_close(mean, out["mAP_fn"].item(), "op")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("NaN ") and lines[0].endswith(f"1 / {len(lists['posIDs'])}")
    assert lines[-1] == f"{mean:.4f}"
