"""deepibl.runtime.progress: what is reported, when, and where a bar is drawn."""

import time

import pytest

from deepibl.errors import ExtractionError
from deepibl.features.extraction import extract, extract_to_file
from deepibl.runtime.progress import ProgressMeter, byte_progress, format_seconds, reporting
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
