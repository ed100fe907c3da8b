"""Checking known data sets: what is missing, empty, a PNG; which queries; exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepibl.cli.main import main
from deepibl.datasets.check import check_dataset
from deepibl.datasets.dbstruct import write_dbstruct
from deepibl.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which everything of two data sets is there."""
    monkeypatch.setenv("DEEPIBL_LOCALPATHS", "")
    monkeypatch.chdir(tmp_path)
    for name in ("pitts30k_train", "pitts30k_val", "pitts30k_test", "tokyo247"):
        fields = {
            "dbImageFns": [f"000/{name}_{i}.jpg" for i in range(3)],
            "utmDb": np.zeros((3, 2)),
            "qImageFns": ["00010.jpg", "00011.jpg"],
            "utmQ": np.zeros((2, 2)),
            "posDistThr": 25.0,
            "nonTrivPosDistSqThr": 100.0,
        }
        write_dbstruct(tmp_path / "datasets" / f"{name}.mat", fields)
        for folder, key in (("images", "dbImageFns"), ("queries", "qImageFns"), ("query", "qImageFns")):
            for file in fields[key]:  # type: ignore[union-attr]
                path = tmp_path / folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"12345")
    yield tmp_path


def test_a_complete_set_is_complete(root: Path) -> None:
    report = check_dataset("pitts30k", root)
    assert report.complete and not report.problems
    assert [(files.what, files.found, files.expected) for files in report.files][:2] == [
        ("pitts30k/train database", 3, 3),
        ("pitts30k/train queries", 2, 2),
    ]
    assert sum(files.bytes for files in report.files) == 5 * 15


def test_missing_empty_and_png_files_are_told_apart(root: Path) -> None:
    images = root / "images" / "000"
    (images / "tokyo247_0.jpg").rename(images / "tokyo247_0.PNG")
    (images / "tokyo247_1.jpg").write_bytes(b"")
    (root / "query" / "00011.jpg").unlink()
    report = check_dataset("tokyo247", root)
    database, queries = report.files
    assert database.missing == database.as_png == ["000/tokyo247_0.jpg"]
    assert database.empty == ["000/tokyo247_1.jpg"] and queries.missing == ["00011.jpg"]
    text = str(report)
    assert f"deepibl convert-png {root}/images/" in text and "files are empty" in text
    assert "1 of 2 are missing" in text and "how to get it: Tokyo 24/7: ask its authors" in text


def test_a_part_can_be_checked_alone(root: Path) -> None:
    assert len(check_dataset("pitts30k/test", root).files) == 2
    assert len(check_dataset("pitts30k_val", root).files) == 2


def test_parts_without_a_dbstruct_are_problems_and_none_at_all_an_error(root: Path) -> None:
    (root / "datasets" / "pitts30k_val.mat").unlink()
    report = check_dataset("pitts30k", root)
    assert len(report.files) == 4 and "pitts30k_val.mat" in report.problems[0]
    with pytest.raises(DatasetError, match="none of its dbStruct files"):
        check_dataset("tokyoTM", root)
    with pytest.raises(DatasetError, match="known are pitts30k/train"):
        check_dataset("pits30k", root)


def test_the_command_line_says_it_in_text_json_and_exit_code(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def code(*arguments: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["data", "check", *arguments])
        return int(stop.value.code or 0)

    assert code("tokyo247", str(root)) == 0
    assert "complete" in capsys.readouterr().out
    (root / "query" / "00011.jpg").unlink()
    assert code("tokyo247", str(root), "--spec", str(root / "datasets"), "--json") == 4
    told = json.loads(capsys.readouterr().out)
    assert told["complete"] is False and told["files"][1]["missing"] == ["00011.jpg"]
    assert code("nothing", str(root)) == 1


@pytest.mark.real
def test_the_published_dbstructs_are_checked_in_seconds(real: Path, tmp_path: Path) -> None:
    report = check_dataset("tokyo247", tmp_path, spec=real / "dbstructs")
    assert [files.expected for files in report.files] == [75984, 315] and not report.complete
