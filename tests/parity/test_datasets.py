"""Data sets against the original: positives and their order, negatives, Tokyo's rules, .mat formats."""

import numpy as np
import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.evaluation.measures import recall_at_n
from deepibl.matlab.datasets import dbPitts, dbTiny, dbTokyo247, dbTokyoTimeMachine
from deepibl.search.exact import Searcher
from tests.golden_data import golden_files, golden_id, read_golden
from tests.replay import Replay, cell_texts, ids, log_entries, recorded
from tests.tolerances import assert_close

OUTPUTS = golden_files("datasets/db*_out.mat")
SPECS = golden_files("datasets/v73/*.mat")
ROOT_KEYS = {"pitts": "dsetRootPitts", "tokyo247": "dsetRootTokyo247", "tokyoT": "dsetRootTokyoTM"}


def scalar(out, name):
    return out[name].item()


def make(golden, out):
    """The data set that an output file describes, through the façade."""
    name, db_path = scalar(out, "name"), scalar(out, "dbPath")
    key = next(key for start, key in ROOT_KEYS.items() if name.startswith(start))
    paths = {"dsetSpecDir": str(golden / "datasets"), key: db_path.removesuffix("images/")}
    part = name.rpartition("_")[2]
    if name.startswith("pitts"):
        return dbPitts("250k" in name, part, paths)
    if name == "tokyo247":
        return dbTokyo247(paths)
    if name.startswith("tokyoTiny"):
        images = len(read_golden(golden / "datasets" / f"tokyoTM_{part}.mat")["dbStruct"][0, 0].dbImageFns)
        replay = Replay((images, 1, draw) for draw in out["draws"].ravel())
        made = dbTiny(part, paths, generator=replay)
        assert replay.used_up
        return made
    return dbTokyoTimeMachine(part, paths)


@pytest.fixture(params=OUTPUTS, ids=golden_id)
def case(request, golden):
    out = read_golden(request.param)
    return make(golden, out), out


def test_fields_equal_the_originals(case):
    dataset, out = case
    for name in ("name", "dbPath", "qPath", "numImages", "numQueries", "posDistSqThr", "nonTrivPosDistSqThr"):
        assert getattr(dataset, name) == scalar(out, name)
    for name in ("dbImageFns", "qImageFns"):
        assert name not in out or getattr(dataset, name) == cell_texts(out[name])
    for name in ("utmDb", "utmQ"):
        assert name not in out or (getattr(dataset, name) == out[name].T).all()


def test_hash_cells_equal_the_originals(case):
    dataset, out = case
    cp = dataset.cp
    assert (cp.limL == out["limL"].ravel()).all() and (cp.limU == out["limU"].ravel()).all()
    assert cp.delta == scalar(out, "delta")
    assert cp.hashSz == tuple(int(side) for side in out["hashSz"].ravel())
    for mine, theirs in zip(cp.hashTab.ravel(), out["hashTab"].ravel(), strict=True):
        assert mine.tolist() == ids(theirs).tolist()


def test_positives_come_in_the_originals_order(case):
    dataset, out = case
    for query in range(dataset.numQueries):
        found, squared = dataset.cp.getPosIDs(dataset.utmQ[query])
        assert found.tolist() == ids(out["posIDs"][0, query]).tolist()
        assert dataset.getPosIDs(query).tolist() == found.tolist()
        assert_close(squared, out["posD"][0, query].ravel(), "exact")
        assert dataset.nontrivialPosQ(query).tolist() == ids(out["nontrivialPosQ"][0, query]).tolist()
        assert (dataset.isPosQ(query, np.arange(dataset.numImages)) == out["isPosQ"][query]).all()


def test_positives_of_database_images_equal_the_originals(case):
    dataset, out = case
    for image in range(dataset.numImages):
        assert dataset.posDb(image).tolist() == ids(out["posDb"][0, image]).tolist()
        assert dataset.nontrivialPosDb(image).tolist() == ids(out["nontrivialPosDb"][0, image]).tolist()
    assert (dataset.isPosDb(2, np.arange(dataset.numImages)) == out["isPosDb3"].ravel()).all()


@pytest.mark.parametrize("path", [p for p in OUTPUTS if "nTop" in read_golden(p)], ids=golden_id)
def test_search_results_are_filtered_as_the_original_does(golden, path):
    out = read_golden(path)
    dataset = make(golden, out)
    searcher = Searcher(out["dbFeat"].T)

    def raw(query, k):
        found, squared = searcher(out["qFeat"].T[query : query + 1], k)
        return found[0], squared[0]

    queries = ids(out["qs"]) if "qs" in out else range(dataset.numQueries)
    for row, query in enumerate(queries):
        for column, n_top in enumerate(out["nTop"].ravel().astype(int)):
            found, squared = dataset.nnSearchPostprocess(raw, int(query), int(n_top))
            assert found.tolist() == ids(out["ids"][row, column]).tolist()
            assert_close(squared, out["ds"][row, column].ravel(), "op")


@pytest.mark.parametrize("path", [p for p in OUTPUTS if "allRecalls" in read_golden(p)], ids=golden_id)
def test_recall_after_filtering_equals_the_originals(golden, path):
    out = read_golden(path)
    ns = {"ns": out["recallNs"].ravel().astype(int).tolist()} if "recallNs" in out else {}
    result = recall_at_n(out["qFeat"].T, out["dbFeat"].T, make(golden, out), **ns, print_n=5)
    assert (result.found == out["allRecalls"]).all()
    if "recalls" in out:
        assert_close(result.recalls, out["recalls"].ravel(), "op")


@pytest.mark.parametrize("path", [p for p in OUTPUTS if "error_testCore" in read_golden(p)], ids=golden_id)
def test_fewer_results_than_print_n_are_no_error(golden, path):
    # difference: recallAtN-few-results
    out = read_golden(path)
    result = recall_at_n(out["qFeat"].T, out["dbFeat"].T, make(golden, out), print_n=10)
    assert result.recall_print == result.recalls[-1]


@pytest.mark.parametrize("path", SPECS, ids=golden_id)
def test_v73_files_give_the_same_data_set(golden, path):
    new, old = load_dbstruct(path), load_dbstruct(golden / "datasets" / path.name)
    assert type(new) is type(old)
    for name, value in vars(old).items():
        if name == "close_positions":
            continue
        found = getattr(new, name)
        assert type(found) is type(value)
        assert (found == value).all() if isinstance(value, np.ndarray) else found == value


def test_negatives_are_drawn_as_the_original_draws_them(golden):
    pitts = next(path for path in OUTPUTS if path.stem == "dbPitts_out")
    dataset = make(golden, read_golden(pitts))
    out = read_golden(golden / "datasets" / "sampleNegs.mat")
    replay = Replay(recorded(out["log"], out["logtag"]))
    entries = [
        e
        for e, t in zip(log_entries(out["log"]), cell_texts(out["logtag"]), strict=True)
        if t == "sampleNegs"
    ]
    results = [out[name] for name in sorted(out) if name.startswith("neg") and name != "negDb"]
    for query, n, want, entry in zip(ids(out["iQuery"]), out["n"].ravel(), results, entries, strict=False):
        assert (dataset.utmQ[query] == entry.utm.ravel()).all()
        assert dataset.sampleNegsQ(int(query), int(n), replay).tolist() == ids(want).tolist()
    image = np.flatnonzero((dataset.utmDb == entries[-1].utm.ravel()).all(axis=1))[0]
    drawn = dataset.sampleNegsDb(int(image), int(entries[-1].n.item()), replay)
    assert drawn.tolist() == ids(out["negDb"]).tolist()
    assert replay.used_up
