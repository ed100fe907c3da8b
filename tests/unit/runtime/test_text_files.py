"""Text files in other encodings, and names written on other systems."""

import unicodedata
from pathlib import Path

import pytest

from deepibl.cli.options import read_lines
from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import ConfigurationError, DatasetError, ReportError
from deepibl.matlab.datasets import dbBase
from deepibl.report.run import read_run
from deepibl.runtime.paths import localPaths
from deepibl.runtime.text_files import find_file, read_text
from matlab_compat.errors import ImageReadError
from matlab_compat.jpeg import read_bytes

TEXT = "höhe\nzwei\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.replace("\n", "\r\n").encode(encoding))
    assert read_text(tmp_path / "a.txt", DatasetError) == TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntwo\nthr\xe9e\n", r"a\.txt: line 3 is not UTF-8: save the file as UTF-8"),
        (b"\xef\xbb\xbfone\n\xe9\n", "line 2 is not UTF-8"),
        (b"\xff\xfea\0\n", "line 1 is not UTF-16"),
        (b"PK\x03\x04 a workbook", "is a workbook or an archive"),
        (b"\x93NUMPY\0\0\0\0", "is not a text file"),
        (b"one\0 zero in a long line of plain text", "is not a text file"),
    ],
)
def test_what_is_not_such_text_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_text(tmp_path / "a.txt", DatasetError)
    with pytest.raises(ReportError, match=r"nothing\.txt cannot be read: No such file"):
        read_text(tmp_path / "nothing.txt", ReportError)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("größe.jpg", "cp1252"),
        ("größe.jpg", "cp850"),
        ("größe.jpg", "mac_roman"),
        ("łódź.jpg", "cp1250"),
        ("дом.jpg", "cp1251"),
        ("桥.jpg", "gb18030"),
        ("橋の上.jpg", "cp932"),
    ],
)
def test_a_code_page_is_taken_where_its_names_exist(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / "list.txt").write_bytes(f"a.jpg\r\n{name}\r\n".encode(encoding))
    with pytest.raises(DatasetError, match=r"list\.txt: line 2: .* is not UTF-8, and no code page"):
        read_lines(tmp_path / "list.txt", str(tmp_path))
    (tmp_path / name).touch()
    assert read_lines(tmp_path / "list.txt", str(tmp_path)) == ["a.jpg", name]
    with pytest.raises(DatasetError, match="line 2 is not UTF-8"):
        read_lines(tmp_path / "list.txt")


def test_names_of_other_systems_are_those_of_the_files(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "häuser/ö.jpg")
    for name in ("a/b.jpg", "c.jpg", composed, "back\\slash.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name, want in {
        "a\\b.jpg": "a/b.jpg",
        "\\a\\b.jpg": "a/b.jpg",
        "/c.jpg": "c.jpg",
        "./c.jpg": "c.jpg",
        "back\\slash.jpg": "back\\slash.jpg",
        unicodedata.normalize("NFD", composed): composed,
        unicodedata.normalize("NFD", composed).replace("/", "\\"): composed,
        "no\\such.jpg": "no\\such.jpg",
        str(tmp_path / "c.jpg"): str(tmp_path / "c.jpg"),
    }.items():
        assert find_file(tmp_path, name) == want


def test_a_name_with_two_readings_is_refused_with_both(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / str(tmp_path)[1:]).mkdir(parents=True)
    for folder in (tmp_path, other / str(tmp_path)[1:]):
        (folder / "x.jpg").touch()
    name = str(tmp_path / "x.jpg").replace("/", "\\")
    with pytest.raises(DatasetError) as caught:
        find_file(other, name)
    for reading in (f"{tmp_path}/x.jpg", f"{str(tmp_path)[1:]}/x.jpg"):
        assert repr(reading) in str(caught.value)


def test_a_missing_file_with_backslashes_is_named_both_ways(tmp_path: Path) -> None:
    with pytest.raises(
        ImageReadError, match=r"a\\b\.jpg: cannot be opened: No such file .*, nor is there .*a/b\.jpg"
    ):
        read_bytes(tmp_path / "a\\b.jpg")


def test_a_dbstruct_joined_on_windows_finds_its_images(tmp_path: Path) -> None:
    for name in ("db/000/a.jpg", "q/b.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    names = ["db\\000\\a.jpg"], ["\\q\\b.jpg"]
    made = PlaceDataset("w", names[0], [[0, 0]], names[1], [[1, 0]])
    made.save(tmp_path / "w.mat")
    found = load_dbstruct(tmp_path / "w.mat", root=tmp_path / "images")
    assert (found.database_names, found.query_names) == (["db/000/a.jpg"], ["q/b.jpg"])
    found.check_images()
    assert load_dbstruct(tmp_path / "w.mat").database_names == names[0]

    class Windows(dbBase):
        def __init__(self) -> None:
            self.name, self.dbPath, self.qPath = "w", f"{tmp_path}/images/", f"{tmp_path}/images/"
            self.dbLoad({"dsetSpecDir": str(tmp_path)})

    assert Windows().dbImageFns == ["db/000/a.jpg"]


def test_a_localpaths_toml_may_have_a_mark_and_its_backslashes_are_explained(tmp_path: Path) -> None:
    (tmp_path / "localPaths.toml").write_text('outPrefix = "/data/größe"\n', encoding="utf-8-sig")
    assert localPaths(tmp_path).outPrefix == "/data/größe"
    (tmp_path / "localPaths.toml").write_text('outPrefix = "C:\\Users\\me"\n')
    with pytest.raises(
        ConfigurationError, match=r"localPaths\.toml: .*write paths with / or in 'single quotes'"
    ):
        localPaths(tmp_path)
    (tmp_path / "localPaths.toml").write_bytes('outPrefix = "/data/größe"\n'.encode("cp1252"))
    with pytest.raises(ConfigurationError, match=r"localPaths\.toml: line 1 is not UTF-8"):
        localPaths(tmp_path)


def test_a_report_that_an_editor_saved_with_a_mark_gets_to_its_format(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"format": "other"}', encoding="utf-8-sig")
    with pytest.raises(ReportError, match="its format is not"):
        read_run(tmp_path / "report.json")
