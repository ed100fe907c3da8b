"""testFromFn against the original: features of .bin files, cropped to fewer dimensions, the rank loss."""

import re

import numpy as np
import pytest

from deepibl.datasets.catalog import load_dbstruct
from deepibl.matlab import evaluation as matlab
from tests.golden_data import read_golden
from tests.parity.test_eval import without_times
from tests.replay import Replay, cell_texts, log_entries, recorded
from tests.tolerances import TOL, assert_close


@pytest.fixture
def out(golden):
    return read_golden(golden / "train" / "testFromFn.mat")


@pytest.fixture
def goldval(golden):
    return load_dbstruct(golden / "train" / "datasets" / "goldval.mat")


def bins(golden, suffix=""):
    folder = golden / "train" / "bins_extra"
    return folder / f"val_db{suffix}.bin", folder / f"val_q{suffix}.bin"


def test_recall_and_printed_text_equal_the_original(golden, out, goldval, capsys):
    db_file, q_file = bins(golden)
    recall, rankloss, all_recalls, _ = matlab.testFromFn(goldval, db_file, q_file)
    shown = capsys.readouterr().out.replace(str(db_file), db_file.name).replace(str(q_file), q_file.name)
    assert without_times(shown) == without_times(str(out["display"].item()))
    assert (all_recalls == out["allRecalls"]).all()
    assert_close(recall, out["recall"].ravel(), "op")
    assert rankloss is None and out["rankloss"].size == 0


def test_options_come_back_with_the_originals_defaults(golden, out, goldval, capsys):
    _, _, _, opts = matlab.testFromFn(goldval, *bins(golden))
    (want,) = out["opts"].ravel()
    assert list(vars(opts)) == want._fieldnames
    for name in want._fieldnames:
        assert np.array_equal(np.ravel(getattr(opts, name)), getattr(want, name).ravel())


def test_cropped_features_equal_the_original(golden, out, goldval, capsys):
    crops = [int(match[1]) for name in out if (match := re.fullmatch(r"recall_crop(\d+)", name))]
    assert crops
    dims = bins(golden, "_wpca")[1].stat().st_size // 4 // goldval.query_count
    for crop in crops:
        arguments = (goldval, *bins(golden, "_wpca"), [], "cropToDim", crop)
        if crop > dims:
            with pytest.warns(
                UserWarning, match=rf"cropToDim \({crop}\) larger than the dimensionality \({dims}\)"
            ):
                recall, _, all_recalls, _ = matlab.testFromFn(*arguments)
        else:
            recall, _, all_recalls, _ = matlab.testFromFn(*arguments)
        assert (all_recalls == out[f"allRecalls_crop{crop}"]).all()
        assert_close(recall, out[f"recall_crop{crop}"].ravel(), "op")


def test_rank_loss_with_the_originals_draws_equals_the_original(golden, out, goldval, capsys):
    draws = recorded(out["rank_draws"], out["rank_tags"])
    tags = cell_texts(out["rank_tags"])
    n_negatives = int(log_entries(out["rank_draws"])[tags.index("sampleNegs")].n.item())
    replay = Replay(draws)
    recall, rankloss, _, _ = matlab.testFromFn(
        goldval, *bins(golden), nTestRankSample=draws[0][1], nNegChoice=n_negatives, generator=replay
    )
    assert replay.used_up
    # relative to the squared distances, which are of order 1: the loss is their small difference
    assert abs(rankloss - out["rankloss_rank"].item()) <= TOL["op"]
    assert_close(recall, out["recall_rank"].ravel(), "op")
