"""Charts and maps as SVG: well-formed, to scale, nothing from outside taken as markup."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from deepibl.report.charts import COLOURS, Kind, Line, Mark, line_chart, map_svg, place_map

SVG = "{http://www.w3.org/2000/svg}"


def _points(drawn, colour):
    """Places (x, y) of the markers of a line of a chart."""
    uses = ElementTree.fromstring(drawn.svg).iter(f"{SVG}use")
    return [
        (float(use.get("x")), float(use.get("y"))) for use in uses if f"stroke: {colour}" in use.get("style")
    ]


@pytest.mark.parametrize("log_x", [False, True])
def test_a_line_chart_is_well_formed_and_has_all_points(log_x):
    lines = [Line("a <b> & c", [(1, 0.2), (5, 0.6), (25, 0.9)]), Line("published", [(1, 0.3)], dashed=True)]
    drawn = line_chart("a", lines, "N", "Recall@N", log_x=log_x)
    assert [len(_points(drawn, colour)) for colour in COLOURS[:3]] == [3, 1, 0]
    assert [label for _, label in drawn.legend] == ["a <b> & c", "published"]
    assert "dash" not in drawn.legend[0][0] and "dash" in drawn.legend[1][0]


def test_higher_values_stand_higher_and_later_ones_further_right():
    drawn = line_chart("a", [Line("a", [(1, 0.2), (10, 0.8)])], "N", "r")
    (x0, y0), (x1, y1) = _points(drawn, COLOURS[0])
    assert y1 < y0
    assert x1 > x0


@pytest.mark.parametrize("points", [[(1, 0.5)], [(1, 0.0), (2, 0.0)], [(1, 1.0), (2, 1.0)]])
def test_flat_and_single_points_are_drawn(points):
    drawn = line_chart("a", [Line("a", points)], "N", "r")
    assert len(_points(drawn, COLOURS[0])) == len(points)
    assert "nan" not in drawn.svg


def test_no_points_no_chart():
    assert line_chart("a", [], "N", "r") is None
    assert line_chart("a", [Line("a", [])], "N", "r") is None


@pytest.mark.parametrize("name", ["$\\frac{1}$", "_hidden", "\u6771\u4eac"])
def test_a_name_that_typesetting_could_trip_over_is_in_the_legend_as_it_is(name):
    assert line_chart("a", [Line(name, [(1, 0.5)])], "N", "r").legend[0][1] == name


def test_a_chart_is_the_same_each_time_and_shares_no_id_with_another():
    def chart(name):
        return line_chart(name, [Line("a", [(1, 0.5), (2, 0.7)])], "N", "r").svg

    def ids(drawn):
        return set(re.findall(r'id="([^"]+)"', drawn))

    assert chart("a") == chart("a")
    assert ids(chart("a"))
    assert not ids(chart("a")) & ids(chart("b"))


def test_a_chart_styles_nothing_else_on_its_page():
    drawn = line_chart("a", [Line("a", [(1, 0.5)])], "N", "r").svg
    assert "<style" not in drawn
    assert "url(" not in drawn


def _places(drawn):
    circles = ElementTree.fromstring(drawn.svg).iter(f"{SVG}circle")
    return [(float(c.get("cx")), float(c.get("cy"))) for c in circles]


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
    length, label = float(re.search(r"v5h([\d.]+)v-5", drawn.svg)[1]), re.search(r">(\d+) m<", drawn.svg)[1]
    assert length == pytest.approx(float(label) * (x1 - x0) / 1000, rel=0.01)


@pytest.mark.parametrize("marks", [[Mark(5, 5)], [Mark(5, 5), Mark(5, 5)], [Mark(0, 0), Mark(0, 900)]])
def test_places_on_a_point_or_a_line_are_drawn(marks):
    assert len(_places(place_map([], [Kind("a", "#000", "dot", marks)]))) == len(marks)


def test_marks_have_titles_and_lead_to_their_case_while_they_are_few():
    few = [Mark(i, i, "<x>", f"q{i}") for i in range(3)]
    many = [Mark(i, i, "<x>") for i in range(5000)]
    assert "&lt;x&gt;" in map_svg([], [Kind("a", "#000", "dot", few)])
    assert 'href="#q2"' in map_svg([], [Kind("a", "#000", "dot", few)])
    assert "&lt;x&gt;" not in map_svg([], [Kind("a", "#000", "dot", many)])


def test_a_map_of_nothing_is_nothing():
    assert place_map([], [Kind("a", "#000", "dot", [])]) is None
    assert map_svg([], []) == ""
