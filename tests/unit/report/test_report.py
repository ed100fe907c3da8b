"""The page of an evaluation: complete, self-contained, and safe whatever files are called."""

import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
import time

import jinja2
import pytest

from deepibl.datasets.geo import map_link
from deepibl.report.html import render
from deepibl.report.retrieval import PUBLISHED, published_for, report_page, write_report
from deepibl.report.run import FILE, collect, read_run
from tests.reports import draw_photos, evaluation

NASTY = "<img src=x onerror=alert(1)>\"'&</script><script>document.title=1</script>.jpg"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class _Reader(html.parser.HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def run():
    return collect(evaluation(queries=60, noise=1.3), "deepibl evaluate net.mat --report out")


def test_the_page_shows_what_was_measured_and_how(run):
    text = _Reader(report_page(run)).text
    for n in (1, 5, 10, 25):
        assert f"{100 * run.at(n):.1f}" in text
    for part in (run.command, run.network_id, "torch", "Recall by dimension", "north is up"):
        assert part in text


def test_nothing_is_loaded_from_a_network(run):
    content = report_page(run)
    links = (
        "#",
        "data:",
        "https://www.openstreetmap.org/?mlat=",
    )  # a position's is followed by a click alone
    for tag, attributes in _Reader(content).tags:
        for name in ("src", "href", "data", "action", "srcset"):
            assert attributes.get(name, "#").startswith(links if tag == "a" else links[:2]), attributes
    assert "url(" not in content
    assert "@import" not in content
    assert "default-src 'none'" in content


def test_pictures_have_their_size_and_positions_lead_to_a_map(tmp_path):
    measured = evaluation(queries=6, root=str(tmp_path))
    draw_photos(tmp_path, [*measured.dataset.database_names, *measured.dataset.query_names])
    run = collect(measured)
    tags = _Reader(report_page(run)).tags
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert pictures and all(int(each["width"]) > 0 and int(each["height"]) > 0 for each in pictures)
    links = {attributes["href"] for tag, attributes in tags if tag == "a" and "href" in attributes}
    assert run.queries[0].degrees is not None
    for query in run.queries:
        assert map_link(*query.degrees) in links
        assert map_link(*query.answers[0].degrees) in links
    measured.dataset.frame = None
    assert "openstreetmap" not in report_page(collect(measured))


def test_n_beyond_the_database_are_left_out_and_one_query_is_not_called_queries():
    page = report_page(collect(evaluation(queries=1, database=3)))
    assert "3 database images, 1 query, 32 dimensions" in page and "1 query, unfold and search" in page
    table = page.partition("<h2>Recall@N, percent</h2>")[2].partition("</table>")[0]
    assert "<td>3</td>" in table and "<td>4</td>" not in table
    assert "Recall@1" in page and "Recall@5" not in page and "Recall@10" not in page


def test_published_figures_stand_beside_measured_ones_and_are_marked(run):
    content = _Reader(report_page(dataclasses.replace(run, dataset="tokyo247"))).text
    assert "79.7" in content
    assert "SARE Our-Ind. (published)" in content
    assert "not measured here" in content
    assert "(published)" not in _Reader(report_page(run)).text


def test_published_tables_are_recalls_that_grow_with_n():
    assert published_for("pitts250k/test") == published_for("pitts250k_test")
    assert published_for("somewhere") == {}
    for name in PUBLISHED:
        for recalls in published_for(name).values():
            assert 0.5 < recalls[1] < recalls[5] < recalls[10] < 1


def test_names_are_text_wherever_they_stand(tmp_path):
    run = collect(evaluation(queries=3, name=NASTY, names=[NASTY, "b.jpg", "c.jpg"], noise=5))
    answers = [dataclasses.replace(answer, name=NASTY) for answer in run.queries[0].answers]
    first = dataclasses.replace(run.queries[0], answers=answers)
    run = dataclasses.replace(
        run,
        queries=[first, *run.queries[1:]],
        network=NASTY,
        command=NASTY,
        groups={NASTY: run.recalls},
        group_sizes={NASTY: 3},
        layers=[NASTY],
    )
    content = report_page(run)
    tags = _Reader(content).tags
    assert not [tag for tag in tags if tag[0] == "img"]
    assert sum(tag == "script" for tag, _ in tags) == 2  # the table's rows, and the page's own
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.slow
def test_in_a_browser_the_table_is_drawn_and_a_nasty_name_does_nothing(tmp_path):
    run = collect(evaluation(queries=60, names=[NASTY, *(f"q{i}.jpg" for i in range(59))]))
    file = tmp_path / "page.html"
    file.write_text(report_page(run).replace("<details>", "<details open>"), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    shown = subprocess.run(
        [*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    reader = _Reader(shown.stdout)
    assert "60 of 60, page 1 of 2" in reader.text
    assert NASTY in reader.text
    assert not [tag for tag in reader.tags if tag == ("img", {"src": "x", "onerror": "alert(1)"})]
    assert "Recall@N of" in re.search("<title>(.*?)</title>", shown.stdout)[1]


def test_the_folder_holds_page_and_data(tmp_path):
    path = write_report(evaluation(), tmp_path / "out", "deepibl evaluate")
    assert path.name == "index.html"
    assert read_run(tmp_path / "out").command == "deepibl evaluate"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"index.html", FILE}


def test_pictures_are_embedded_and_framed_by_whether_they_are_right(tmp_path):
    measured = evaluation(queries=6, noise=1.3, root=str(tmp_path))
    draw_photos(tmp_path, [*measured.dataset.database_names, *measured.dataset.query_names])
    run = collect(measured)
    reader = _Reader(report_page(run))
    pictures = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(pictures) >= 6 * 4
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in pictures)
    frames = [attributes.get("class") for tag, attributes in reader.tags if tag == "figure"]
    shown = [answer for query in run.queries for answer in query.answers]
    extra = sum(1 for q in run.queries if q.truth and not any(a.right for a in q.answers))
    assert frames.count("right") == sum(answer.right for answer in shown) + extra
    assert frames.count("wrong") == sum(not answer.right for answer in shown)


def test_galleries_are_capped_and_begin_with_the_surest_mistakes():
    run = collect(evaluation(queries=200, noise=3))
    content = report_page(run, hits=2, failures=5)
    cases = re.findall(r'<div class="case" id="q(\d+)">', content)
    assert len(cases) == 7
    distances = [run.queries[int(number)].answers[0].distance for number in cases[:5]]
    assert distances == sorted(distances)


@pytest.mark.slow
def test_ten_thousand_queries_stay_usable():
    measured = evaluation(queries=10_000, database=1000, noise=1.5)
    started = time.process_time()
    content = report_page(collect(measured))
    assert time.process_time() - started < 60
    assert len(content) < 5e6
    assert len(re.findall("<figure", content)) < 300


def test_the_tables_rows_come_back_whole_and_close_no_script(run):
    renamed = dataclasses.replace(run, queries=[dataclasses.replace(run.queries[0], name=NASTY)])
    content = report_page(renamed)
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', content)
    assert json.loads(data)["rows"][0][:2] == [NASTY, run.queries[0].rank]


def test_a_chart_is_the_same_each_time_and_ids_are_unique_on_a_page(run):
    content = report_page(run)
    assert content == report_page(run)
    ids = [attributes["id"] for _, attributes in _Reader(content).tags if "id" in attributes]
    assert len(ids) > 10
    assert len(set(ids)) == len(ids)


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="results"):
        render("matches.html", title="a")
