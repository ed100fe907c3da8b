"""The commands that show, run in this process."""

import json

import pytest
from PIL import Image

from deepibl.report.run import read_run


def test_heatmap_writes_a_sheet(run, net, street):
    code, out, err = run("heatmap", net, "db/00.jpg", "--against", "q/01.jpg", "--method", "all")
    assert (code, out, err) == (0, "wrote heatmap.png\n", "")
    with Image.open("heatmap.png") as sheet:
        assert sheet.width > sheet.height


def test_heatmap_of_a_pair_shows_the_parts_that_match_without_being_asked(run, net, street):
    code, out, _ = run("heatmap", net, "db/00.jpg", "--against", "db/01.jpg", "--json")
    assert code == 0
    first, second = (row["maps"]["cells"]["parts"] for row in json.loads(out)["rows"])
    assert first == second and first[0]["share"] > 0
    assert all(0 <= edge <= 1 for part in first for edge in (*part["here"], *part["there"]))


def test_heatmap_compares_networks_and_prints_json(run, net, street):
    other = street / "other.mat"
    other.write_bytes(net.read_bytes())
    code, out, _ = run("heatmap", net, "db/00.jpg", "--compare", other, "--method", "gradient", "--json")
    assert code == 0
    found = json.loads(out)
    assert [row["network"] for row in found["rows"]] == ["net", "other"]
    assert found["rows"][0]["maps"] == found["rows"][1]["maps"]
    assert all(0 <= share <= 1 for share in found["rows"][0]["maps"]["gradient"]["peak"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["db/00.jpg", "--method", "nonsense"], "gradient, guided"),
        (["db/places.csv"], "places.csv"),
        (["missing.jpg"], "missing.jpg"),
        (["db/00.jpg", "--method", "occlusion", "--patch", "1000"], "patch"),
        (["db/00.jpg", "-o", "sheet.jpg"], ".png"),
    ],
)
def test_heatmap_says_what_is_wrong(run, net, street, arguments, said):
    code, _, err = run("heatmap", net, *arguments)
    assert code == 1
    assert said in err
    assert err.count("\n") == 1


def test_evaluate_writes_a_report_and_two_are_compared(run, net, street):
    sources = ["--db", "db/places.csv", "--queries", "q/places.csv"]
    for name, more in (("one", []), ("two", ["--crop-to-dim", "1"])):
        code, out, err = run("evaluate", net, *sources, "--report", name, *more)
        assert code == 0, err
        assert "R@1 " in out
        assert f"page: {name}/index.html" in err
    code, out, _ = run("report", "compare", "one", "two", "-o", "both.html")
    assert code == 0
    assert "B - A" in out
    assert "Two runs compared" in (street / "both.html").read_text()
    code, out, _ = run("report", "compare", "one", "two/report.json", "--json")
    right = [
        {query.name for query in read_run(street / name).queries if query.found(1)} for name in ("one", "two")
    ]
    assert right[0] and right[0] != right[1]
    assert json.loads(out)["queries"] == {
        "both": len(right[0] & right[1]),
        "only_first": len(right[0] - right[1]),
        "only_second": len(right[1] - right[0]),
        "neither": len(read_run(street / "one").queries) - len(right[0] | right[1]),
    }


def test_comparing_what_is_no_report_is_one_line(run, street):
    code, _, err = run("report", "compare", "db", "q")
    assert code == 1
    assert "--report" in err
