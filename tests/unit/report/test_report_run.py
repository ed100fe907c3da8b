"""What a report keeps of an evaluation: the same figures, as plain values that come back whole."""

import dataclasses
import json

import numpy as np
import pytest

from deepibl.errors import ReportError
from deepibl.report.run import (
    DIMENSION_NS,
    FILE,
    collect,
    dimensions_to_try,
    groups_by_name,
    read_run,
    versions,
    write_run,
)
from tests.reports import evaluation


def test_ranks_of_the_queries_give_the_recalls_of_the_evaluation():
    measured = evaluation()
    run = collect(measured)
    for n, recall in zip(run.ns, measured.result.recalls, strict=True):
        assert np.mean([query.found(n) for query in run.queries]) == pytest.approx(recall)
    assert 0 < run.at(1) < 1


def test_the_first_answers_are_the_nearest_descriptors_with_their_distances_in_metres():
    measured = evaluation()
    dataset, run = measured.dataset, collect(measured)
    apart = ((measured.query_features[:, None] - measured.database_features[None]) ** 2).sum(2)
    for number, query in enumerate(run.queries):
        order = np.argsort(apart[number])[:3]
        assert [answer.name for answer in query.answers] == [dataset.database_names[i] for i in order]
        np.testing.assert_allclose(
            [answer.distance for answer in query.answers], apart[number][order], atol=1e-5
        )
        metres = np.linalg.norm(dataset.database_positions[order] - dataset.query_positions[number], axis=1)
        np.testing.assert_allclose([answer.metres for answer in query.answers], metres, atol=0.006)
        assert [answer.right for answer in query.answers] == (metres <= 25).tolist()


def test_a_query_that_is_not_found_shows_its_nearest_positive_and_one_without_positives_none():
    measured = evaluation(queries=4, database=300, noise=50)
    measured.dataset.query_positions[2] = (0, 0)
    run = collect(measured)
    lost = [query for query in run.queries if query.truth and query.rank is None]
    assert run.queries[2].truth is None
    for query in lost:
        assert query.truth.metres <= 25
        assert query.truth.distance is None


def test_recall_by_dimension_is_of_whitened_descriptors_only():
    whitened, plain = collect(evaluation()), collect(evaluation(layers=("conv1", "postL2")))
    assert list(whitened.by_dimension) == [8, 16, 32]
    at_one = whitened.by_dimension[32][DIMENSION_NS.index(1)]
    assert at_one == pytest.approx(whitened.at(1))
    assert plain.by_dimension == {}
    assert plain.recalls == whitened.recalls


def test_dimensions_that_are_tried_are_powers_of_two_and_the_whole():
    assert dimensions_to_try(4096) == [64, 128, 256, 512, 1024, 2048, 4096]
    assert dimensions_to_try(100) == [8, 16, 32, 64, 100]
    assert dimensions_to_try(5) == [5]


def test_tokyos_lights_are_reported_apart():
    run = collect(evaluation(queries=30, tokyo=True))
    assert list(run.groups) == ["day", "sunset", "night"]
    assert run.group_sizes == {"day": 10, "sunset": 10, "night": 10}


def test_lights_are_taken_from_names_that_all_say_them():
    names = [f"street_{i}_{light}.jpg" for i in range(5) for light in ("night", "day")]
    run = collect(evaluation(queries=10, names=names))
    assert list(run.groups) == ["day", "night"]
    nights = [query.found(1) for query in run.queries if "night" in query.name]
    assert run.groups["night"][0] == pytest.approx(np.mean(nights))
    assert groups_by_name([*names, "other.jpg"]) == {}


def test_a_run_comes_back_from_its_file_as_it_was(tmp_path):
    run = collect(evaluation(), "deepibl evaluate …")
    write_run(run, tmp_path / FILE)
    assert read_run(tmp_path) == read_run(tmp_path / FILE) == run
    assert json.loads((tmp_path / FILE).read_text())["format"] == "deepibl-report/2"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"format": "other"}', '{"format": "deepibl-report/2"}', "\x00"]
)
def test_a_file_that_is_no_report_is_refused_with_advice(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ReportError, match="--report"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("ns", {"a": 1}, "ns is {'a': 1}"),
        ("ns", [1, True], "ns is True"),
        ("dataset", 3, "dataset is 3"),
        ("recalls", [0.5], "one recall for each"),
        ("by_dimension", {"x": []}, "by_dimension is {'x'"),
        ("queries", [{"name": "a"}], "queries lacks 'answers'"),
        ("more", 1, "unknown field 'more'"),
        ("threshold", "25", "threshold is '25'"),
    ],
)
def test_a_report_with_a_wrong_value_names_it(tmp_path, field, value, found):
    write_run(collect(evaluation(queries=3)), tmp_path / FILE)
    content = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**content, field: value}))
    with pytest.raises(ReportError, match=f"{FILE} is not a report that can be read: .*{found}.*--report"):
        read_run(tmp_path)


def test_a_missing_report_and_an_evaluation_without_descriptors_are_refused(tmp_path):
    with pytest.raises(ReportError, match=FILE):
        read_run(tmp_path)
    with pytest.raises(ReportError, match="descriptors"):
        collect(dataclasses.replace(evaluation(), query_features=None))


def test_unknown_positions_are_kept_as_unknown():
    measured = evaluation(queries=3)
    measured.dataset.query_positions[1] = np.nan
    run = collect(measured)
    assert (run.queries[1].east, run.queries[1].truth) == (None, None)
    assert all(answer.metres is None for answer in run.queries[1].answers)
    assert "NaN" not in json.dumps(dataclasses.asdict(run))


def test_versions_name_what_decides_the_figures():
    assert {"python", "torch", "numpy", "faiss-cpu"} <= set(versions())
