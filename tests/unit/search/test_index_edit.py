"""Indexes merged and cut down: the answers equal those of an index made of the same images at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from deepibl.datasets.geo import latlon_to_utm
from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.images import Reading
from deepibl.runtime.files import RowView
from deepibl.search.answer import Match
from deepibl.search.backends import check_index, edit_index, open_index
from deepibl.search.index import PlaceIndex, names_below
from matlab_compat.errors import ArgumentError
from tests.places import line_index

BACKENDS = ("exact", "ivfpq", "hnsw")


def answers(index: PlaceIndex, asked: PlaceIndex, top: int = 3) -> list[list[tuple[str, float | None]]]:
    """Names and positions, which is what two indexes must agree in."""
    rows = np.asarray(asked.descriptors, np.float32)
    return [[(match.name, match.east) for match in row] for row in index.search(rows, top)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_merged_index_answers_as_one_made_at_once(tmp_path: Path, backend: str) -> None:
    one, two, asked = line_index(0, 150), line_index(150, 60), line_index(100, 90)
    merged = one.with_backend(backend).merge(two)
    assert (len(merged), merged.backend) == (210, backend)
    merged.save(tmp_path / "m.idx")
    back = PlaceIndex.load(tmp_path / "m.idx")
    assert answers(back, asked, 1) == answers(line_index(0, 210), asked, 1)
    assert answers(back, asked) == answers(merged, asked)
    if backend == "exact":
        assert answers(back, asked) == answers(line_index(0, 210), asked)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_left_out_is_never_found_and_the_rest_is(backend: str) -> None:
    index = line_index(0, 120).with_backend(backend)
    gone = index.names[30:60:2]
    rest = index.without(gone)
    assert len(rest) == 105
    found = {match.name for row in rest.search(index.descriptors, 5) for match in row}
    assert found.isdisjoint(gone) and found == set(rest.names)
    stays = [i for i, name in enumerate(index.names) if name not in gone]
    assert [row[0].name for row in rest.search(index.descriptors[stays], 1)] == rest.names


def test_an_image_that_both_have_is_the_second_ones() -> None:
    moved = line_index(3, 2, positions=np.full((2, 2), 500_000.0))
    merged = line_index(0, 10).merge(moved)
    assert len(merged) == 10
    match = merged.search(moved.descriptors[:1], 1)[0][0]
    assert (match.name, match.east) == (moved.names[0], 500_000.0)


def test_merging_copies_no_descriptors_and_keeps_the_precision(tmp_path: Path) -> None:
    half = line_index(0, 20)
    half = line_index(0, 20, descriptors=half.descriptors.astype(np.float16))
    merged = half.merge(line_index(20, 5))
    assert isinstance(merged.descriptors, RowView)
    merged.save(tmp_path / "m.idx")
    assert PlaceIndex.load(tmp_path / "m.idx").descriptors.dtype == np.float16


def test_the_same_places_in_another_zone_are_the_same_places() -> None:
    one = line_index(0, 5)
    other = line_index(5, 1, positions=latlon_to_utm(*one.positions[:1].T, "32N")[0], frame="32N")
    np.testing.assert_allclose(one.merge(other).positions[-1], one.positions[0], atol=1e-7)


def test_cities_far_apart_are_merged_and_each_stays_where_it_is() -> None:
    there = line_index(5, 2, positions=np.array([[37.775, -122.419], [-33.87, 151.2]]), frame="degrees")
    merged = line_index(0, 5).merge(there)
    found = merged.search(there.descriptors, 1)
    assert [(row[0].latitude, row[0].utm_zone) for row in found] == [(37.775, "10N"), (-33.87, "56S")]
    assert merged.ids_within((-33.87, 151.2), 10).tolist() == [6]


def test_an_index_without_positions_takes_the_others_frame() -> None:
    blind = line_index(0, 5, positions=np.full((5, 2), np.nan), frame=None)
    assert blind.merge(line_index(5, 2)).frame == "degrees"
    assert line_index(5, 2).merge(blind).frame == "degrees"
    flat = line_index(5, 2, frame=None)
    assert flat.merge(line_index(0, 5, positions=np.full((5, 2), np.nan))).frame is None
    with pytest.raises(IndexFileError, match="metres without a zone"):
        line_index(0, 5).merge(flat)


@pytest.mark.parametrize(
    ("root", "other", "want"),
    [
        ("/a", "/a", ["x/1.jpg"]),
        ("/a", "/a/b", ["b/x/1.jpg"]),
        ("/a", "/c", ["/c/x/1.jpg"]),
        ("/a", "/ab", ["/ab/x/1.jpg"]),
        ("", "/c", ["/c/x/1.jpg"]),
    ],
)
def test_names_go_below_the_first_ones_root_or_are_absolute(root: str, other: str, want: list[str]) -> None:
    assert names_below(root, other, ["x/1.jpg"]) == want


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"network_id": "cd" * 32}, NetworkMismatchError, "another|cdcd"),
        ({"reading": Reading(480)}, IndexFileError, "resize=480"),
        ({"dim": 4}, IndexFileError, "the other 4 and"),
    ],
)
def test_what_cannot_be_compared_is_not_merged(changes: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        line_index(0, 5).merge(line_index(5, 2, **changes))


def test_a_name_that_is_not_there_cannot_be_left_out() -> None:
    with pytest.raises(ArgumentError, match=r"1 of 2 names are not in the index, the first is 'x\.jpg'"):
        line_index(0, 5).without(["x.jpg", line_index(0, 1).names[0]])


def test_an_index_may_become_empty_and_be_filled_again(tmp_path: Path) -> None:
    index = line_index(0, 5).with_backend("ivfpq", code_bytes=2)
    empty = index.without(index.names)
    empty.save(tmp_path / "e.idx")
    back = PlaceIndex.load(tmp_path / "e.idx")
    assert back.search(index.descriptors, 2) == [[]] * 5
    assert answers(back.merge(index), index, 1) == answers(index, index, 1)


def test_one_call_leaves_out_merges_and_rebuilds_a_file(tmp_path: Path) -> None:
    line_index(0, 60).save(tmp_path / "a.idx")
    line_index(60, 30).save(tmp_path / "b.idx")
    before = (tmp_path / "a.idx").read_bytes()
    names = line_index(0, 10).names
    made = edit_index(
        tmp_path / "a.idx", tmp_path / "c.idx", delete=names, merge=[tmp_path / "b.idx"], backend="hnsw"
    )
    assert (len(made), made.backend) == (80, "hnsw")
    assert (tmp_path / "a.idx").read_bytes() == before
    said = check_index(tmp_path / "c.idx", asked=20)
    assert (said["images"], said["backend"]) == (80, "hnsw")
    assert said["recall_of_top_10"] > 0.8
    edit_index(tmp_path / "a.idx", delete=names)
    assert len(open_index(tmp_path / "a.idx")) == 50


@pytest.mark.parametrize(
    "how", [{"output": "c.db"}, {"output": "http://127.0.0.1:1/c"}, {"backend": "milvus"}]
)
def test_a_file_is_not_written_under_a_databases_name(tmp_path: Path, how: dict[str, str]) -> None:
    line_index(0, 9).save(tmp_path / "a.idx")
    if how.get("output") == "c.db":
        how = {"output": f"{tmp_path}/c.db"}
    with pytest.raises(ArgumentError, match="for Milvus index its photos"):
        edit_index(tmp_path / "a.idx", **how)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a.idx"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.idx"
    line_index(0, 20).save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("matlab_compat.files.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        edit_index(path, delete=line_index(0, 3).names, backend="ivfpq")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.idx"]


def test_matches_of_absolute_names_are_found_where_they_lie() -> None:
    merged = line_index(0, 3).merge(line_index(3, 1, root="/elsewhere"))
    match: Match = merged.search(line_index(3, 1).descriptors, 1)[0][0]
    assert match.path == match.name == '/elsewhere/sträße/it\'s "3".jpg'


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_threads_asking_at_once_get_the_same_answers(tmp_path: Path, backend: str) -> None:
    line_index(0, 300).with_backend(backend).save(tmp_path / "a.idx")
    index = PlaceIndex.load(tmp_path / "a.idx")
    asked = line_index(0, 300).descriptors
    want = [index.search(row[None], 3) for row in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda row: index.search(row[None], 3), asked)) == want
