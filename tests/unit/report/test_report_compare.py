"""Two runs on one page: who wins which query, and whether that could be chance."""

import dataclasses
import json

import pytest

from deepibl.errors import ReportError
from deepibl.report.compare import compare_runs, comparison_page
from deepibl.report.run import collect
from tests.reports import evaluation


@pytest.fixture(scope="module")
def runs():
    good, bad = (collect(evaluation(queries=50, noise=noise)) for noise in (0.8, 2.0))
    return bad, dataclasses.replace(good, network="better.mat")


def test_every_query_is_counted_once(runs):
    found = compare_runs(*runs)
    ids = [*found.both, *found.only_first, *found.only_second, *found.neither]
    assert sorted(ids) == list(range(50))
    assert (len(found.both) + len(found.only_first)) / 50 == pytest.approx(runs[0].at(1))
    assert (len(found.both) + len(found.only_second)) / 50 == pytest.approx(runs[1].at(1))


def test_the_order_of_the_second_runs_queries_does_not_matter(runs):
    turned = dataclasses.replace(runs[1], queries=runs[1].queries[::-1])
    assert compare_runs(runs[0], turned).only_second == compare_runs(*runs).only_second


def test_the_sign_test_is_the_binomial_one(runs):
    assert compare_runs(runs[0], runs[0]).p_value == 1
    found = compare_runs(*runs)
    assert found.p_value < 0.01
    assert len(found.only_second) > len(found.only_first)


def test_text_and_json_say_the_same(runs):
    found = compare_runs(*runs)
    values = json.loads(json.dumps(found.as_dict()))
    assert values["recall"]["1"][2] == pytest.approx(runs[1].at(1) - runs[0].at(1))
    assert f"only B {values['queries']['only_second']}" in str(found)


def test_the_page_has_both_runs_and_the_queries_that_changed(runs):
    content = comparison_page(*runs)
    for part in ("some_net", "better", "Only B is right at first", "Who finds which query", "Sign test"):
        assert part in content
    assert 'id="q' in content


def test_n_beyond_the_database_are_in_the_json_alone():
    few, fewer = (collect(evaluation(queries=1, database=12, noise=noise)) for noise in (0.1, 0.2))
    found = compare_runs(few, fewer)
    assert [n for n, _, _ in found.table()] == [1, 2, 3, 4, 5, 10]
    assert "\n010 " in str(found) and "\n015 " not in str(found)
    assert "100" in found.as_dict()["recall"]
    page = comparison_page(few, fewer)
    assert "<td>10</td>" in page and "<td>15</td>" not in page


def test_one_query_that_changed_is_not_called_queries(runs):
    both = compare_runs(*runs)
    kept = [runs[0].queries[both.only_second[0]], runs[0].queries[both.both[0]]]
    one, other = (
        dataclasses.replace(
            run, queries=[query for query in run.queries if query.name in {q.name for q in kept}]
        )
        for run in runs
    )
    assert "Only B is right at first: 1 query<" in comparison_page(one, other)


def test_two_runs_of_one_network_have_different_labels(runs):
    later = dataclasses.replace(runs[0], made="2030-01-01 00:00 UTC")
    assert len(set(compare_runs(runs[0], later).labels)) == 2


def test_runs_with_different_limits_are_refused(runs):
    """Else the limit's effect would be called the network's."""
    other = dataclasses.replace(runs[1], threshold=10.0)
    with pytest.raises(ReportError, match="right within 25 m in one run and 10 m in the other"):
        compare_runs(runs[0], other)


def test_runs_on_different_queries_are_refused(runs):
    with pytest.raises(ReportError, match="different queries"):
        compare_runs(runs[0], collect(evaluation(queries=49)))
