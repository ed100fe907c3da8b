"""Settings, tables, notes, scripts and sessions that once hung or raised what was not ours; one row each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.datasets.folder import read_places
from deepibl.engine.scales import read_scales
from deepibl.errors import ConfigurationError, DatasetError, ReportError, SessionError
from deepibl.features.backbone_store import FileStore
from deepibl.features.partial import PartialFeatures
from deepibl.migrate.translate import migrate
from deepibl.report.run import read_run
from deepibl.runtime.files import read_note
from deepibl.runtime.paths import localPaths
from deepibl.runtime.provenance import Provenance, digest_of
from deepibl.training.checkpoints import read_results, unfinished_session
from deepibl.training.options import Request, TrainingOptions
from deepibl.training.state import History
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from tests.tiny_training import Workplace


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 20000 + "]" * 20000, "nested too deep"),
        ("paths = 3", "expected .paths."),
        ("x = 3", "paths are strings"),
    ],
)
def test_a_localpaths_toml_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "localPaths.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=rf"localPaths\.toml.*{message}"):
        localPaths(tmp_path)


def test_brackets_without_end_in_a_localpaths_m_are_an_unreadable_line(tmp_path: Path) -> None:
    (tmp_path / "localPaths.m").write_text("paths.x= " + "(" * 20000 + "'a'" + ")" * 20000 + ";\n")
    with pytest.raises(ConfigurationError, match=r"line 1: .*nested too deep"):
        localPaths(tmp_path)


@pytest.mark.parametrize(
    "content", [b"name,lat,lon\n" + b"a" * 200_000 + b",1,2\n", b"name,lat,lon\n\xff,1,2\n"]
)
def test_a_csv_that_cannot_be_parsed_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.csv: [\s\S]*line \d:"):
        read_places(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content", [b"[" * 100000 + b"]" * 100000, b"3", b"\xff", b'{"format": "deepibl-report/2"}']
)
def test_a_report_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(ReportError, match=r"report\.json is not a report that can be read"):
        read_run(tmp_path / "report.json")


@pytest.mark.parametrize(
    "content", [b"[]", b"\xff", b"[" * 100000, b'{"session": 3}', b'{"command": "c"}', b""]
)
def test_a_note_that_cannot_be_read_is_about_no_session(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x_unfinished.json").write_bytes(content)
    assert unfinished_session(f"{tmp_path}/", Request("", (), {})) is None
    assert isinstance(read_note(tmp_path / "x_unfinished.json"), dict)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"[" * 100000, bytes(200)])
def test_a_map_that_cannot_be_read_is_not_there(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    store = FileStore(tmp_path, torch.float32, 10**6)
    assert store.get("a") is None and store.put("a", torch.ones(3))
    store.close(keep=True)
    again = FileStore(tmp_path, torch.float32, 10**6)
    found = again.get("a")
    assert found is not None and found.tolist() == [1, 1, 1]
    again.close(keep=False)


def journal(folder: Path, **wrong: Any) -> bool:
    """Whether groups of a journal with these wrong values count as done."""
    made_of = {"network": "n", "count": 0, "names": "", "files": "", "settings": {}, "rule": 1}
    held = {"format": "deepibl-partial-features/2", "made_of": made_of, "count": 2, "group_size": 1, "dim": 1}
    held |= {"done": {"0": digest_of([""])}, **wrong}
    (folder / "f.bin.part").write_bytes(bytes(8))
    (folder / "f.bin.part.json").write_text(json.dumps(held))
    with PartialFeatures(folder / "f.bin", Provenance("n"), 2, 1) as partial:
        return bool(partial.done)


def scales(folder: Path, **wrong: Any) -> bool:
    """Whether int8 scales with these wrong values are read."""
    held = {"format": "deepibl-int8-scales/2", "network": "n", "images": 1, "written_by": "w"}
    held |= {"ranges": [[0, -1.0, 2.5]], **wrong}
    (folder / "s.json").write_text(json.dumps(held))
    try:
        return read_scales(folder / "s.json").ranges == ((0, -1.0, 2.5),)
    except ArgumentError as error:
        assert "make new ones with deepibl calibrate" in str(error)
        return False


def request(folder: Path, **wrong: Any) -> bool:
    """Whether a training's request with these wrong values is understood."""
    held = {"trainer": "t", "sets": ["a", "b"], "options": {"x": 1}, **wrong}
    return Request.from_text(json.dumps([*held.values()])) is not None


WRONG = [
    (journal, {"group_size": "1"}),
    (journal, {"dim": 1.5}),
    (journal, {"done": {"0": 3}}),
    (journal, {"done": ["0"]}),
    (journal, {"made_of": {"network": 3}}),
    (journal, {"format": None}),
    (scales, {"images": "1"}),
    (scales, {"ranges": {}}),
    (scales, {"network": None}),
    (scales, {"more": 1}),
    (scales, {"ranges": [[0, 1]]}),
    (scales, {"ranges": [[0.5, 0, 1]]}),
    (scales, {"ranges": [[0, 0, 10**400]]}),
    (request, {"trainer": 3}),
    (request, {"sets": "ab"}),
    (request, {"options": []}),
    (request, {"more": 1}),
]


@pytest.mark.parametrize(("read", "wrong"), WRONG)
def test_a_value_of_another_type_is_damage(
    read: Callable[..., bool], wrong: dict[str, Any], tmp_path: Path
) -> None:
    assert read(tmp_path) and not read(tmp_path, **wrong)


@pytest.mark.parametrize(
    ("read", "module"),
    [
        (journal, "deepibl.features.partial"),
        (scales, "deepibl.engine.scales"),
        (request, "deepibl.training.options"),
    ],
)
@pytest.mark.parametrize("error", [TypeError, KeyError, IndexError, AttributeError])
def test_a_mistake_in_a_reader_is_not_taken_for_damage(
    read: Callable[..., bool],
    module: str,
    error: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mistaken(*_: object) -> None:
        raise error("a mistake")

    monkeypatch.setattr(f"{module}.from_plain", mistaken)
    with pytest.raises(error, match="a mistake"):
        read(tmp_path)


DEEP = 3000


@pytest.mark.parametrize(
    "source", ["x= " + "(" * DEEP + "1" + ")" * DEEP, "if x\n" * DEEP + "end\n" * DEEP, "x= 1" + "+1" * DEEP]
)
def test_a_script_nested_deeper_than_python_is_marked_or_refused(source: str) -> None:
    pytest.importorskip("tree_sitter_matlab", reason="reading MATLAB scripts needs the extra migrate")
    try:
        found = migrate(source + "\ny= 2;\n")
    except ConfigurationError as error:
        assert "nested too deep" in str(error) or "no Python" in str(error)
    else:
        compile(found.text, "script.py", "exec")
        assert found.stops and "y = 2" in found.text


def test_what_follows_a_carriage_return_in_a_comment_is_no_python() -> None:
    pytest.importorskip("tree_sitter_matlab", reason="reading MATLAB scripts needs the extra migrate")
    found = migrate("% a comment\rraise SystemExit\ny= 2;\n")
    assert not any(line.startswith("raise") for line in found.text.splitlines())


def test_a_reason_that_quotes_several_lines_stays_a_comment() -> None:
    pytest.importorskip("tree_sitter_matlab", reason="reading MATLAB scripts needs the extra migrate")
    found = migrate("nothing known(a, ...\nprint(3), 'x'\ny= 2;\n")
    compile(found.text, "script.py", "exec")
    assert not any(line.strip().startswith("print(3)") for line in found.text.splitlines())


def test_a_statement_of_no_characters_is_marked() -> None:
    pytest.importorskip("tree_sitter_matlab", reason="reading MATLAB scripts needs the extra migrate")
    found = migrate("'a',''b', ." + "\n    " * 40 + ".. only")
    compile(found.text, "script.py", "exec")
    assert "" in [mark.source for mark in found.marks]


@pytest.mark.parametrize(("ns", "shape"), [([1, 5], (3, 1)), ([1, np.nan], (2, 1)), ([1, 5], (2, 2, 2))])
def test_a_session_whose_recalls_are_not_of_its_ns_is_refused(
    ns: list[float], shape: tuple[int, ...], tmp_path: Path
) -> None:
    files = Workplace(tmp_path).files("run")
    files.latest.parent.mkdir(parents=True)
    opts = TrainingOptions(recall_ns=(1, 5)).to_matlab() | {"recallNs": np.array([ns], float)}
    curves = {"recall": np.ones(shape), "rankloss": np.ones((1, 1))}
    held = {"obj": {"train": curves, "val": curves}, "opts": opts, "auxData": {"numTrain": 4.0}}
    matfile.save(files.latest, held | {"net": {}})
    with pytest.raises(SessionError, match=r"run_latest\.mat.*(are not of the N|recallNs)"):
        read_results(files)


def test_a_session_whose_curves_are_no_numbers_is_refused(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    files = place.files("run")
    bad = {"obj": {"train": {"recall": {"a": 1.0}}, "val": {}}, "opts": {}, "auxData": {}}
    files.latest.parent.mkdir(parents=True)
    matfile.save(files.latest, {"net": {}, **bad})
    with pytest.raises(SessionError, match=r"run_latest\.mat is not the state of a training session"):
        read_results(files)


def test_a_session_whose_notes_are_no_struct_is_refused(tmp_path: Path) -> None:
    files = Workplace(tmp_path).files("run")
    files.latest.parent.mkdir(parents=True)
    matfile.save(files.latest, {"auxData": np.ones((1, 1))})
    with pytest.raises(SessionError, match=r"run_latest\.mat is not the state of a training session"):
        files.request_before()


def test_a_test_before_training_without_recall_is_none() -> None:
    curves = {"recall": np.ones((1, 1)), "rankloss": np.ones((1, 1))}
    struct_ = {"train": {}, "val": {}, "pretrain": {"val": curves, "train": {}}}
    assert History.from_matlab(struct_).pretrain is None
    assert History.from_matlab(struct_ | {"pretrain": {"val": curves, "train": curves}}).pretrain is not None
