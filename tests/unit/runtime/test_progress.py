"""deepibl.runtime.progress: what is reported, when, and where a bar is drawn."""

import io
import re
import time

import pytest

from deepibl.errors import ExtractionError
from deepibl.features.extraction import extract, extract_to_file
from deepibl.runtime.progress import ProgressDisplay, ProgressMeter, byte_progress, format_seconds, reporting
from tests.extractors import Extractor, make_photos


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
