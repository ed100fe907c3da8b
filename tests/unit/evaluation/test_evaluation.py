"""Recall@N and the rank loss: equal to the definitions, whatever the blocks, sampled as MATLAB samples."""

import numpy as np
import pytest

from deepibl.datasets.pitts_tokyo import Tokyo247, TokyoTimeMachine
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import DatasetError, FeatureFileError
from deepibl.evaluation.evaluate import Evaluation, recall_table
from deepibl.evaluation.measures import (
    RECALL_NS,
    best_epoch,
    crop_features,
    rank_loss,
    recall_at_n,
    recall_of_searcher,
)
from deepibl.matlab import evaluation as matlab
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import rng

IMAGES, QUERIES, DIMENSIONS = 90, 30, 16


@pytest.fixture
def random():
    return np.random.default_rng(17)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def features(random):
    return unit(random.normal(size=(QUERIES, DIMENSIONS))), unit(random.normal(size=(IMAGES, DIMENSIONS)))


def place(kind=PlaceDataset, **options):
    random = np.random.default_rng(3)
    db, q = random.uniform(0, 200, (IMAGES, 2)), random.uniform(0, 260, (QUERIES, 2))
    names = [f"d{i}" for i in range(IMAGES)], [f"q{i}" for i in range(QUERIES)]
    return kind("place", names[0], db, names[1], q, **options)


def naive_recall(queries, database, dataset, ns, keep=lambda query, ids: ids):
    """Query by query: rank everything, filter, look for a positive among the first N."""
    rows = []
    for query in range(len(queries)):
        ranked = np.argsort(((queries[query] - database) ** 2).sum(1), kind="stable")
        ids = keep(query, ranked)
        near = np.linalg.norm(dataset.query_positions[query] - dataset.database_positions[ids], axis=1) <= 25
        rows.append([near[:n].any() for n in ns])
    return np.array(rows)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_recall_equals_the_definition(features, block):
    dataset = place()
    result = recall_at_n(*features, dataset, block=block)
    want = naive_recall(*features, dataset, RECALL_NS)
    assert (result.found == want).all()
    assert 0 < result.at(5) < result.at(100) < 1  # some queries have no positives: they count as failures
    assert result.recalls.tolist() == want.mean(0).tolist()
    assert result.recall_print == result.at(10)


def test_time_stamps_are_respected(features):
    stamps = np.arange(IMAGES) % 2
    dataset = place(TokyoTimeMachine, database_times=stamps, query_times=np.zeros(QUERIES))
    result = recall_at_n(*features, dataset, [1, 5, 20])
    want = naive_recall(*features, dataset, [1, 5, 20], lambda query, ids: ids[stamps[ids] != 0])
    assert (result.found == want).all()


def test_tokyo247_counts_one_answer_a_panorama_and_reports_by_light(features):
    dataset = place(Tokyo247)

    def first_of_each(query, ids):
        return np.array([i for at, i in enumerate(ids) if i // 12 not in ids[:at] // 12])

    result = recall_at_n(*features, dataset, [1, 2, 5, 20])
    assert (result.found == naive_recall(*features, dataset, [1, 2, 5, 20], first_of_each)).all()
    groups = result.by_group()
    assert list(groups) == ["day", "sunset", "night"]
    assert groups["night"].tolist() == result.found[2::3].mean(0).tolist()


def test_a_rule_of_ones_own_is_used_and_may_search_deeper(features):
    class Odd(PlaceDataset):
        def rank_matches(self, searcher, iQuery, nTop):
            ids, distances = searcher(iQuery, nTop * 4)
            odd = np.flatnonzero(ids % 2)[:nTop]
            return ids[odd], distances[odd]

    result = recall_at_n(*features, place(Odd), [1, 3])
    want = naive_recall(*features, place(), [1, 3], lambda query, ids: ids[ids % 2 == 1])
    assert (result.found == want).all()


def test_memory_mapped_features_are_evaluated(features, tmp_path):
    features[1].tofile(tmp_path / "db.bin")
    mapped = np.memmap(tmp_path / "db.bin", np.float32, "r", shape=features[1].shape)
    assert (recall_at_n(features[0], mapped, place()).found == recall_at_n(*features, place()).found).all()


def test_a_sample_is_drawn_as_matlab_draws_it_and_the_generator_put_back(features):
    generator = rng(5)
    before = generator.state
    result = recall_at_n(*features, place(), n_sample=8, generator=generator)
    assert (generator.state == before).all()
    assert result.query_ids.tolist() == rng(43).randsample(QUERIES, 8).tolist()
    assert result.query_ids.tolist() == recall_at_n(*features, place(), n_sample=8).query_ids.tolist()
    whole = recall_at_n(*features, place())
    assert (result.found == whole.found[result.query_ids]).all()
    assert recall_at_n(*features, place(), n_sample=QUERIES).query_ids.tolist() == list(range(QUERIES))


def test_the_generator_is_put_back_after_an_error(features):
    generator = rng(5)
    before = generator.state
    nowhere = place(positive_distance=0)
    with pytest.raises(
        DatasetError, match=r"none of the 30 tested queries has positives to train .*--training-threshold"
    ):
        rank_loss(*features, nowhere, generator=generator)
    assert (generator.state == before).all()


def test_fewer_results_than_asked_for_are_no_error():
    # difference: recallAtN-few-results
    answers = [[4, 1, 0], [2], []]

    def is_pos(query, ids):
        return np.asarray(ids) == query  # query 0 is found third, 1 and 2 never

    result = recall_of_searcher(lambda query, n: answers[query], 3, is_pos, [1, 2, 3, 50])
    assert result.found.tolist() == [[False, False, True, True], [False] * 4, [False] * 4]
    assert result.recall_print == pytest.approx(1 / 3)


def test_progress_is_reported_with_the_mean_so_far():
    told = []
    answers = [[0], [9], [2]]

    def is_pos(query, ids):
        return np.asarray(ids) == query

    recall_of_searcher(lambda q, n: answers[q], 3, is_pos, [1], report=lambda *args: told.append(args))
    assert [step[:2] for step in told] == [(1, 3), (2, 3), (3, 3)]
    assert np.isnan(told[0][2]) and [step[2] for step in told[1:]] == [1.0, 0.5]


@pytest.mark.parametrize("ns", [[], [5, 1], [0, 1], [[1, 2]], [1.0, 5.0], 5])
def test_values_of_n_must_ascend(features, ns):
    with pytest.raises(ArgumentError, match="must ascend"):
        recall_at_n(*features, place(), ns)


def test_a_searcher_that_returns_too_much_is_refused():
    with pytest.raises(ArgumentError, match="returned 3 ids for query 0, more than 2"):
        recall_of_searcher(lambda q, n: [1, 2, 3], 1, lambda q, ids: ids, [1, 2])


def test_recall_that_was_not_measured_is_refused(features):
    with pytest.raises(ArgumentError, match="Recall@7 was not measured, only @1, @5"):
        recall_at_n(*features, place(), [1, 5]).at(7)


def test_features_that_do_not_fit_are_refused(features):
    queries, database = features
    with pytest.raises(
        FeatureFileError, match=r"place: 90 images in its database, but features of shape \(89, 16\)"
    ):
        recall_at_n(queries, database[:-1], place())
    with pytest.raises(FeatureFileError, match="the queries have 8 dimensions, the database 16"):
        recall_at_n(queries[:, :8], database, place())
    broken = database.copy()
    broken[3, 3] = np.nan
    with pytest.raises(FeatureFileError, match="1 of 90 rows of database hold NaN"):
        recall_at_n(queries, broken, place())


def test_rank_loss_equals_the_definition(features):
    queries, database = features
    dataset = place(nontrivial_distance_squared=625)
    result = rank_loss(queries, database, dataset, 0.3, 10, n_sample=12)
    tested, draws, want = rng(43).randsample(QUERIES, 12), rng(43), []
    for query in tested:
        positives = dataset.nontrivial_positives(query)
        if len(positives):
            negatives = dataset.sample_negatives(query, 10, draws)
            d2 = ((queries[query] - database) ** 2).sum(1)
            want.append(np.maximum(d2[positives].min() + 0.3 - d2[negatives], 0).mean())
    assert 0 < len(want) < 12
    assert np.abs(result.losses - want).max() < 1e-6
    assert (result.loss, result.tested) == (pytest.approx(np.mean(want), abs=1e-6), 12)


def test_cropped_features_are_normalised_again(features):
    queries, _ = features
    cropped = crop_features(queries, 5)
    assert cropped.shape == (QUERIES, 5)
    assert np.abs(cropped - unit(queries[:, :5])).max() < 1e-6
    assert crop_features(queries, 0) is not None and crop_features(queries, 0).shape == queries.shape
    with pytest.warns(
        UserWarning, match=r"cropToDim \(17\) larger than the dimensionality \(16\) -- ignoring"
    ):
        assert (crop_features(queries, 17) == queries).all()


def test_best_epoch_breaks_ties_at_smaller_then_larger_n():
    ns = [1, 5, 10]
    assert best_epoch([[0.1, 0.2], [0.5, 0.4], [0, 0]], ns) == 0
    assert best_epoch([[0.1, 0.2], [0.5, 0.5], [0, 0]], ns) == 1
    assert best_epoch([[0.2, 0.2, 0.2], [0.5, 0.5, 0.5], [0.8, 0.9, 0.9]], ns) == 1
    assert best_epoch([[0.2, 0.2 + 5e-7]] * 3, ns) == 0
    assert matlab.getBestEpoch([[0.1, 0.2], [0.5, 0.4], [0, 0]], ns) == 1  # counted as in file names


def test_best_epoch_refuses_what_was_not_measured():
    with pytest.raises(ArgumentError, match="N must be one of"):
        best_epoch(np.zeros((2, 3)), [1, 5], 10)
    with pytest.raises(ArgumentError, match="epochs"):
        best_epoch(np.zeros((3, 3)), [1, 5])


def test_options_are_taken_in_both_styles_and_unknown_ones_refused(features, capsys):
    recalls, per_query = matlab.testCore(place(), *features, "RecallNs", [1, 5], nTestSample=4)
    assert recalls.shape == (2,) and per_query.shape == (4, 2)
    assert "rec@10= " in capsys.readouterr().out
    with pytest.raises(ArgumentError, match="nTestSample"):
        matlab.testCore(place(), *features, nTestSamples=4)


def test_testNet_prints_its_name_and_measures_both(features, capsys):
    from types import SimpleNamespace

    opts = SimpleNamespace(
        sessionID="53e0", margin=0.1, nNegChoice=5, nTestRankSample=10, nTestSample=np.inf, recallNs=[1, 5]
    )
    dataset = place(nontrivial_distance_squared=625)
    recall, loss = matlab.testNet(dataset, None, opts, "val", *features)
    assert capsys.readouterr().out.startswith("testNet: 53e0 val\n")
    assert recall.tolist() == recall_at_n(*features, dataset, [1, 5]).recalls.tolist()
    assert loss == rank_loss(*features, dataset, 0.1, 5, n_sample=10).loss


@pytest.mark.real
def test_the_lights_of_tokyo247_are_the_query_index_modulo_three(real):
    """In MATLAB's own per-query recall, day is easier than sunset, sunset than night, only if split so."""
    import scipy.io

    recall = scipy.io.loadmat(real / "tokyo-recall-original.mat")["recalls"][:, 0]
    day, sunset, night = (recall[turn :: len(Tokyo247.lights)].mean() for turn in range(3))
    assert day > sunset + 0.05 and sunset > night + 0.2


@pytest.mark.parametrize(
    ("far", "said"),
    [
        ([300, 400, 500], "no query has a positive, a database image within 25 m: the nearest is 400"),
        ([3, 400, np.nan], "2 of 3 queries do not have a positive, a database image within 25 m"),
        ([3, 4, 500], "1 of 3 queries does not have a positive, a database image within 25 m"),
        ([3, 4, 5], None),
    ],
)
def test_queries_without_a_positive_are_counted_with_how_far_the_nearest_image_is(far, said):
    database = np.array([[400_000.0, 6e6]])
    asked = database + np.array([[metres, 0.0] for metres in far])
    dataset = PlaceDataset("street", ["a"], database, list("qrs"), asked)
    rows = unit(np.eye(3, 4))
    found = Evaluation(dataset, "net", "ab" * 32, 4, recall_at_n(rows, rows[:1], dataset, ns=(1,)))
    lines = recall_table(found).splitlines()
    assert found.as_dict()["queries_without_positives"] == int(3 - np.less(far, 26).sum())
    assert (len(lines) == 2) if said is None else lines[1].startswith(said)


def test_json_has_no_n_beyond_the_database():
    database = np.array([[400_000.0, 6e6], [400_100.0, 6e6]])
    dataset = PlaceDataset("street", ["a", "b"], database, ["q", "r"], database)
    rows = unit(np.eye(2, 4))
    found = Evaluation(dataset, "net", "ab" * 32, 4, recall_at_n(rows, rows, dataset, ns=(1, 2, 5)))
    assert found.as_dict()["recall"] == {"1": 1.0, "2": 1.0}
