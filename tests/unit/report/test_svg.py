"""Charts and maps as SVG: well-formed, to scale, nothing from outside taken as markup."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from deepibl.report.charts import Kind, Line, Mark, line_chart, paired_bars, place_map


def _parse(text):
    return ElementTree.fromstring(text[: text.index("</svg>") + 6])


@pytest.mark.parametrize("log_x", [False, True])
def test_a_line_chart_is_well_formed_and_has_all_points(log_x):
    lines = [Line("a <b> & c", [(1, 0.2), (5, 0.6), (25, 0.9)]), Line("published", [(1, 0.3)], dashed=True)]
    drawn = line_chart(lines, "N", "Recall@N", log_x=log_x)
    assert len(_parse(drawn).findall(".//circle")) == 4
    assert "a &lt;b&gt; &amp; c" in drawn


def test_higher_values_stand_higher_and_later_ones_further_right():
    drawn = _parse(line_chart([Line("a", [(1, 0.2), (10, 0.8)])], "N", "r"))
    first, second = drawn.findall(".//circle")
    assert float(second.get("cy")) < float(first.get("cy"))
    assert float(second.get("cx")) > float(first.get("cx"))


@pytest.mark.parametrize("points", [[(1, 0.5)], [(1, 0.0), (2, 0.0)], [(1, 1.0), (2, 1.0)]])
def test_flat_and_single_points_are_drawn(points):
    assert "nan" not in line_chart([Line("a", points)], "N", "r")


def test_no_points_no_chart():
    assert line_chart([], "N", "r") == ""
    assert line_chart([Line("a", [])], "N", "r") == ""


def test_bars_are_as_high_as_their_counts():
    drawn = _parse(paired_bars([0, 1, 2], [4, 0], [0, 2], ("a", "b"), "d"))
    heights = [float(bar.get("height")) for bar in drawn.findall(".//rect")][:2]
    assert heights[0] == pytest.approx(2 * heights[1], rel=0.01)


def _places(text, shape="circle"):
    return [(float(c.get("cx")), float(c.get("cy"))) for c in _parse(text).iter() if c.tag == shape]


def test_metres_are_to_scale_and_north_is_up():
    marks = [Mark(400000, 6e6), Mark(400100, 6e6), Mark(400000, 6000050)]
    (x0, y0), (x1, y1), (x2, y2) = _places(place_map([], [Kind("a", "#000", "dot", marks)]))
    assert y1 == y0
    assert x2 == x0
    assert y2 < y0
    assert (x1 - x0) / (y0 - y2) == pytest.approx(2, rel=0.01)


def test_the_scale_bar_is_as_long_as_it_says():
    marks = [Mark(0, 0), Mark(1000, 300)]
    drawn = place_map([], [Kind("a", "#000", "dot", marks)])
    (x0, _), (x1, _) = _places(drawn)
    length, label = float(re.search(r"v5h([\d.]+)v-5", drawn)[1]), re.search(r">(\d+) m<", drawn)[1]
    assert length == pytest.approx(float(label) * (x1 - x0) / 1000, rel=0.01)


@pytest.mark.parametrize("marks", [[Mark(5, 5)], [Mark(5, 5), Mark(5, 5)], [Mark(0, 0), Mark(0, 900)]])
def test_places_on_a_point_or_a_line_are_drawn(marks):
    assert len(_places(place_map([], [Kind("a", "#000", "dot", marks)]))) == len(marks)


def test_marks_have_titles_and_lead_to_their_case_while_they_are_few():
    few = [Mark(i, i, "<x>", f"q{i}") for i in range(3)]
    many = [Mark(i, i, "<x>") for i in range(5000)]
    assert "&lt;x&gt;" in place_map([], [Kind("a", "#000", "dot", few)])
    assert 'href="#q2"' in place_map([], [Kind("a", "#000", "dot", few)])
    assert "&lt;x&gt;" not in place_map([], [Kind("a", "#000", "dot", many)])


def test_a_map_of_nothing_is_nothing():
    assert place_map([], [Kind("a", "#000", "dot", [])]) == ""
