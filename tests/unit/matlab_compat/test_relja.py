"""relja_matlab's small helpers."""

import re
from pathlib import Path

import numpy as np
import pytest

from matlab_compat import relja
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import rng


def test_display_prints_a_line_and_fills_places(capsys: pytest.CaptureFixture[str]) -> None:
    relja.relja_display("100% plain")
    relja.relja_display("%s %03d", "a", 7)
    assert capsys.readouterr().out == "100% plain\na 007\n"


def test_the_date_is_matlabs(capsys: pytest.CaptureFixture[str]) -> None:
    relja.relja_displayDateTime()
    assert re.fullmatch(r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\n", capsys.readouterr().out)


def test_progress_tells_time_passed_and_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relja, "tic", lambda: 130.0)
    relja.relja_progress(4, 10, "features", 100.0)
    assert capsys.readouterr().out.endswith(" 4 / 10; time 00:00:30; left 00:01:10; avg 10.0000 s\n")


def test_progress_of_the_first_step_and_without_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    relja.relja_progress(1, 3)
    assert re.fullmatch(r"\d\d-\w{3}-\d{4} [\d:]{8} 1 / 3\n", capsys.readouterr().out)


def test_a_random_name_is_drawn_from_the_generator_given() -> None:
    assert relja.relja_randomHex(4, rng(1)) == rng(1).random_hex(4)
    assert re.fullmatch("[0-9a-f]{12}", relja.relja_randomHex(12))


def test_beginnings_and_ends_of_texts() -> None:
    assert relja.relja_startsWith("vlad_preL2", "vlad")
    assert not relja.relja_startsWith("vl", "vlad")
    assert relja.relja_endsWith("a.mat", ".mat")
    assert not relja.relja_endsWith("mat", ".mat")
    assert relja.relja_endsWith("a", "")


def test_dir_lists_names_sorted_by_code_without_dots(tmp_path: Path) -> None:
    for name in ("b", "B", ".hidden", "a.mat"):
        (tmp_path / name).touch()
    assert relja.relja_dir(tmp_path) == [".hidden", "B", "a.mat", "b"]
    assert relja.relja_dir(tmp_path / "none") == []


def test_only_a_leading_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert relja.relja_expandUser("~/data") == "/home/me/data"
    assert relja.relja_expandUser("/a/~b") == "/a/~b"


def test_rows_are_divided_by_norm_plus_epsilon() -> None:
    features = np.array([[3.0, 4.0], [0.0, 0.0], [1e-12, 0.0]], np.float32)
    found = relja.relja_l2normalize_col(features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0.5, 0]], rtol=1e-6)
    assert features[0, 0] == 3
    with pytest.raises(ArgumentError, match=r"\(N, D\)"):
        relja.relja_l2normalize_col(np.zeros(3))
