"""The demo from end to end."""

import re
from pathlib import Path

import pytest

from deepibl.cli.main import main
from deepibl.demo.run import run_demo


def test_the_demo_beats_raw_pixels_and_keeps_what_it_made(tmp_path: Path) -> None:
    lines: list[str] = []
    recall = run_demo(tmp_path, images=60, seed=3, say=lines.append)
    text = "\n".join(lines)
    pixels = float(re.search(r"Recall@1 (\d\.\d+)", text).group(1))
    assert re.search(rf"^001 {recall:.4f}$", text, re.MULTILINE)
    assert recall > pixels + 0.1
    assert text.count("the best match is") == 3
    assert (tmp_path / "city.idx").is_file()
    assert (tmp_path / "matches.html").read_text().count("data:image/jpeg;base64,") == 12
    assert len(list((tmp_path / "city" / "images").glob("*.jpg"))) == 60


def test_the_demo_refuses_a_city_too_small(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--images", "3"])
    assert stop.value.code == 2
    assert "40" in capsys.readouterr().err
