"""deepibl.runtime.progress: what is reported, when, and where a bar is drawn."""

import io
import re
import shutil
import time

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.datasets.folder import read_places
from deepibl.datasets.png_to_jpeg import convert_folder
from deepibl.engine.scales import calibrate
from deepibl.errors import ExtractionError
from deepibl.evaluation.evaluate import evaluate_network
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.whitening import pca_of_images
from deepibl.networks.build import add_pooling_for
from deepibl.networks.conversion import convert
from deepibl.networks.io import save_network
from deepibl.report.heatmap import occlusion_map
from deepibl.report.retrieval import write_report
from deepibl.runtime import progress as module
from deepibl.runtime.progress import (
    Progress,
    ProgressDisplay,
    ProgressMeter,
    byte_progress,
    counted,
    counting,
    format_seconds,
    reporting,
    working,
)
from deepibl.search.backends import check_index
from deepibl.search.localization import build_index
from tests.extractors import Extractor, make_photos, simplenn
from tests.tiny_training import Workplace, make_set


@pytest.fixture
def photos(tmp_path):
    """(folder, names of 9 images, of which 01 and 08 are not readable)."""
    names = make_photos(tmp_path)[:9]
    for name in (names[1], names[8]):
        (tmp_path / name).write_bytes(b"")
    return tmp_path, names


def test_progress_counts_every_image_once(photos):
    folder, names = photos
    seen = []
    extract(Extractor(), names, root=folder, batch_size=2, on_error="skip", progress=seen.append)
    done = [now.done for now in seen]
    assert done == sorted(set(done)) and done[-1] == seen[-1].total == 9
    assert seen[-1].rate > 0 and seen[-1].seconds_left == 0


def test_progress_of_a_resumed_run_starts_where_it_was(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 3)
    folder, names = photos
    with pytest.raises(ExtractionError):
        extract_to_file(Extractor(), folder, names, tmp_path / "f.bin")
    seen = []
    extract_to_file(Extractor(), folder, names, tmp_path / "f.bin", on_error="skip", progress=seen.append)
    assert seen[0].done > 3 and seen[-1].done == 9  # the middle one of three groups was whole


def test_the_rate_leaves_out_what_was_there_before(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    seen = []
    meter = ProgressMeter(1000, seen.append, already_done=900)
    now[0] += 10
    meter.advance(20)
    assert seen[0].rate == 2 and seen[0].seconds_left == 40
    assert str(seen[0]) == "920/1000, 2.0/s, 0:40 left"
    assert format_seconds(3725) == "1:02:05"


def test_no_bar_where_there_is_no_terminal_and_one_on_request(photos, capsys):
    folder, names = photos
    extract(Extractor(), names[2:4], root=folder)
    with byte_progress("net") as progress:
        progress(5, None)
    assert capsys.readouterr().err == ""
    with reporting(True, "extracting") as report:
        ProgressMeter(3, report).advance(3)
    assert "extracting" in capsys.readouterr().err


def test_lines_with_the_time_come_at_intervals_and_the_last_at_the_end(monkeypatch):
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with ProgressDisplay("extracting", out, interval=30) as display:
        for seconds in (0, 10, 30, 50, 60, 70, 89):
            now[0] = seconds
            display.show(seconds, 100, "5/s")
        display.print("saved")
    lines = out.getvalue().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d extracting: ", each) for each in lines[:2])
    texts = [each.split(": ")[-1] for each in lines]
    assert texts == ["30/100, 5/s, 1:10 left", "60/100, 5/s, 0:40 left", "saved", "89/100, 5/s, 0:11 left"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar_with_its_text_and_lines_above_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with ProgressDisplay("extracting", out) as display:
        display.print("before")
        display.show(2, 8, "1.0/s")
        display.print("between [1]")
        display.show(8, 8, "2.0/s")
    shown = out.getvalue()
    assert shown.startswith("before\n") and shown.index("between [1]") < shown.rindex("2.0/s")
    assert "extracting" in shown and "8/8" in shown and "\u2501" in shown


def test_work_that_reports_nothing_is_announced_and_its_end_too(monkeypatch):
    monkeypatch.setattr(module, "ANNOUNCED_AFTER", 0.01)
    out = io.StringIO()
    with ProgressDisplay("loading", out, interval=0.01):
        deadline = time.monotonic() + 60
        while out.getvalue().count("so far") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = [line.split(" ", 2)[2] for line in out.getvalue().splitlines()]
    assert lines == ["loading: 0:00 so far"] * (len(lines) - 1) + ["loading: done in 0:00"] and len(lines) > 2


def test_the_first_line_does_not_wait_for_the_interval(monkeypatch):
    monkeypatch.setattr(module, "ANNOUNCED_AFTER", 0.01)
    out = io.StringIO()
    with ProgressDisplay("extracting", out) as display:
        display.show(1, 9, "1/s")
        deadline = time.monotonic() + 60
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        display.show(9, 9, "2/s")
    lines = [line.split(" ", 2)[2] for line in out.getvalue().splitlines()]
    assert lines[0] == "extracting: 1/9, 1/s" and lines[-1].startswith("extracting: 9/9, 2/s")


def test_a_terminal_shows_work_that_counts_nothing(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "ANNOUNCED_AFTER", 0.01)
    out = Terminal()
    with ProgressDisplay("loading", out):
        deadline = time.monotonic() + 60
        while "loading" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "loading" in out.getvalue() and "so far" not in out.getvalue()


def test_short_work_and_silence_print_nothing(capsys):
    @working("short")
    def short(value):
        return value

    assert short(3) == 3 and short.__name__ == "short"
    assert list(counted("abc", 3, "letters")) == ["a", "b", "c"]
    assert list(counted("abc", 3, "letters", False)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_items_and_calls_are_counted():
    seen = []
    assert list(counted(iter("abc"), 3, "letters", seen.append)) == ["a", "b", "c"]
    with counting(seen.append, "patches") as count:
        count(2, 7)
        count(7, 7, "ignored")
    assert [(now.done, now.total) for now in seen] == [(1, 3), (2, 3), (3, 3), (2, 7), (7, 7)]


def test_slow_work_says_how_long_one_item_takes():
    assert str(Progress(3, 10, 0.02, 350.0)) == "3/10, 50 s each, 5:50 left"
    assert Progress(0, 10, 0.0, None).speed == "0.0/s"


@pytest.fixture
def stages(monkeypatch):
    """The titles of what is shown, were it long enough."""
    titles = []
    enter = ProgressDisplay.__enter__
    monkeypatch.setattr(ProgressDisplay, "__enter__", lambda self: titles.append(self._title) or enter(self))
    return titles


def test_every_stage_of_a_training_is_shown(stages, tmp_path):
    Workplace(tmp_path).train(sessionID="run", nEpoch=1, backPropToLayer="conv2", backboneCache="ram")
    assert {"looking at image files", "extracting", "loading a network"} <= set(stages)
    assert {
        f"{what} of {which}, queries" for what in ("recall", "rank loss") for which in ("train", "val")
    } <= set(stages)


def test_clusters_pca_and_scales_are_shown(stages, tmp_path):
    net, places = simplenn(), make_set(tmp_path, "train", 0)
    net = net.with_layers(list(net)[:4])
    add_pooling_for(net, "vlad_preL2_intra", places)
    assert "local descriptors for clusters, images" in stages
    assert any(re.fullmatch(r"k-means of \d+ descriptors, steps at most", each) for each in stages)
    names = [str(path) for path in sorted((tmp_path / "train").glob("*.jpg"))]
    pca_of_images(simplenn(), "", names, tmp_path / "p", dim=2, output_dim=12)
    calibrate(simplenn(), names[:2])
    assert {f"PCA of {len(names)} descriptors", "calibrating"} <= set(stages)


@pytest.mark.parametrize("backend", ["ivfpq", "hnsw"])
def test_making_and_checking_an_index_is_shown(stages, tmp_path, backend):
    names = make_photos(tmp_path)
    for number, name in enumerate(names):
        shutil.move(tmp_path / name, tmp_path / f"@{500000 + number}@4500000@17@T@{number}@.jpg")
    build_index(simplenn(), read_places(tmp_path), tmp_path / "a.idx", backend=backend)
    check_index(tmp_path / "a.idx")
    expected = {"positions of photos", "looking at image files", "extracting", "writing the index"}
    expected |= {"adding descriptors to the search structure", "comparing the index's checksums"}
    expected |= {"learning the centres and codes of ivfpq"} if backend == "ivfpq" else set()
    assert expected <= set(stages)


def test_evaluating_converting_and_drawing_are_shown(stages, tmp_path):
    places = make_set(tmp_path, "val", 0)
    write_report(evaluate_network(simplenn(), places), tmp_path / "report")
    save_network(simplenn(), tmp_path / "n.mat")
    convert(tmp_path / "n.mat", tmp_path / "n.safetensors")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    convert_folder(tmp_path)
    occlusion_map(Extractor(), torch.zeros(3, 24, 24), patch=8)
    expected = {"searching, queries", "making the page", "converting a network", "loading a network"}
    assert expected | {"converting to JPEG", "occlusion, patches"} <= set(stages)
