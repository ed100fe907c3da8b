"""An index in Milvus's embedded form: the same answers as the file, and what is changed stays changed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.images import Reading
from deepibl.search.backends import check_index, edit_index, open_index
from deepibl.search.index import PlaceIndex
from deepibl.search.milvus import address, connect, is_database, make_collection
from matlab_compat.errors import ArgumentError
from tests.places import line_index, same_matches

pytest.importorskip("pymilvus", reason="needs the extra milvus: pip install 'deepibl[milvus]'")

from deepibl.search import milvus as index_milvus
from deepibl.search.milvus import MilvusIndex

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[MilvusIndex]:
    index = MilvusIndex.create(str(tmp_path / "city.db"), line_index(0, 40))
    yield index
    index.close()


def test_answers_equal_those_of_the_file(made: MilvusIndex) -> None:
    file = line_index(0, 40)
    asked = line_index(20, 12).descriptors
    assert same_matches(made.search(asked, 7), file.search(asked, 7))
    assert (len(made), made.dim, made.backend) == (40, 8, "milvus")
    same = ["network_id", "network_path", "root", "frame", "reading"]
    assert [getattr(made, name) for name in same] == [getattr(file, name) for name in same]


def test_a_search_near_a_position_equals_that_of_the_file(made: MilvusIndex) -> None:
    file, asked = line_index(0, 40), line_index(30, 4).descriptors
    near = [*file.positions[[10, 30, 10]], [0.0, 0.0]]
    for top in (2, 50):
        question = {"top": top, "near": np.array(near), "within": 30.0}
        assert same_matches(made.search(asked, **question), file.search(asked, **question))
    with pytest.raises(ArgumentError, match="go together"):
        made.search(asked, within=30.0)


def test_images_in_the_corners_of_the_square_do_not_hide_those_in_the_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_milvus, "SPARE", 0)
    corners = np.tile([[99.0, 99.0]], (40, 1))
    corners[35:] = [10.0, 10.0]  # the five that are least alike stand inside
    index = line_index(0, 40)
    query = index.descriptors[:1]
    order = [int(i) for i in np.argsort(np.square(index.descriptors - query).sum(1))]
    moved = line_index(0, 40, positions=corners[np.argsort(order)], frame=None)
    made = MilvusIndex.create(str(tmp_path / "c.db"), moved)
    found = made.search(query, 3, near=(0.0, 0.0), within=100.0)
    assert same_matches(found, moved.search(query, 3, near=(0.0, 0.0), within=100.0))
    assert len(found[0]) == 3
    made.close()


def test_merging_replaces_and_deleting_deletes_for_good(tmp_path: Path, made: MilvusIndex) -> None:
    where = str(tmp_path / "city.db")
    moved = line_index(38, 5, positions=np.full((5, 2), np.nan))
    made.merge(moved)
    assert len(made) == 43
    made.without(line_index(0, 3).names)
    made.close()
    again = open_index(where)
    assert len(again) == 40
    match = again.search(moved.descriptors[:1], 1)[0][0]
    assert (match.name, match.east) == (moved.names[0], None)
    assert again.search(line_index(1, 1).descriptors, 1)[0][0].name != line_index(1, 1).names[0]
    assert again.holds(line_index(0, 5).names) == set(line_index(3, 2).names)
    with pytest.raises(ArgumentError, match="not in the index"):
        again.without(["nothing.jpg"])


def test_rows_come_in_batches_that_fit_into_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_milvus, "MESSAGE_BYTES", 8 * 4 * 7)
    half = line_index(0, 40)
    half = line_index(0, 40, descriptors=half.descriptors.astype(np.float16))
    made = MilvusIndex.create(str(tmp_path / "b.db"), half)
    asked = line_index(0, 40).descriptors
    assert [row[0].name for row in made.search(asked, 1)] == half.names
    made.close()


def test_another_network_width_or_scale_is_refused(made: MilvusIndex) -> None:
    with pytest.raises(NetworkMismatchError, match=r"small\.mat"):
        made.require_network("cd" * 32)
    with pytest.raises(NetworkMismatchError):
        made.merge(line_index(0, 2, network_id="cd" * 32))
    with pytest.raises(NetworkMismatchError, match="8 dimensions"):
        made.search(np.zeros((1, 5), np.float32))
    with pytest.raises(IndexFileError, match="resize=480"):
        made.merge(line_index(0, 2, reading=Reading(480)))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_collection_that_was_never_finished_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    where = str(tmp_path / "city.db")
    make = index_milvus.make_collection

    def stopped(client: object, name: str, *rest: object) -> None:
        if name.endswith("_about") and moment == "before":
            raise KeyboardInterrupt
        make(client, name, *rest)
        if name.endswith("_about"):
            raise KeyboardInterrupt

    monkeypatch.setattr(index_milvus, "make_collection", stopped)
    with pytest.raises(KeyboardInterrupt):
        MilvusIndex.create(where, line_index(0, 40))
    monkeypatch.undo()
    with pytest.raises(IndexFileError, match="holds no finished index"):
        open_index(where)
    made = MilvusIndex.create(where, line_index(0, 10))
    assert len(made) == 10
    with pytest.raises(IndexFileError, match="already holds an index"):
        MilvusIndex.create(where, line_index(0, 10))
    made.close()


def test_a_collection_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    where = str(tmp_path / "other.db")
    client = connect(where, where)
    fields = {"key": ("INT64", {"is_primary": True}), "theirs": ("FLOAT_VECTOR", {"dim": 4})}
    make_collection(client, "places", fields, "theirs", "FLAT")
    with pytest.raises(IndexFileError, match="not an index of deepibl"):
        MilvusIndex.create(where, line_index(0, 10))
    assert client.has_collection("places")
    client.close()


@pytest.mark.slow  # starts a process: about 5 s
def test_a_killed_process_leaves_a_database_that_is_made_anew(tmp_path: Path) -> None:
    where = tmp_path / "city.db"
    program = (
        "import sys; from deepibl.search import MilvusIndex; from tests.places import line_index\n"
        "index = line_index(0, 4000, dim=256); print('ready', flush=True)\n"
        "MilvusIndex.create(sys.argv[1], index)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(where)], stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        while not any(path.stat().st_size > 100_000 for path in where.rglob("*") if path.is_file()):
            assert writer.poll() is None, "it was done before it could be killed"
            time.sleep(0.01)
        writer.kill()
    with pytest.raises(IndexFileError, match="holds no finished index"):
        open_index(where)
    made = MilvusIndex.create(str(where), line_index(0, 50))
    assert len(made) == 50
    made.close()


def test_checks_and_edits_go_through_the_same_doors(tmp_path: Path, made: MilvusIndex) -> None:
    where = str(tmp_path / "city.db")
    line_index(40, 5).save(tmp_path / "more.idx")
    edited = edit_index(where, delete=line_index(0, 2).names, merge=[tmp_path / "more.idx"])
    assert len(edited) == 43
    assert check_index(where)["images"] == 43
    with pytest.raises(ArgumentError, match="in place"):
        edit_index(where, backend="hnsw")


@pytest.mark.parametrize(
    ("where", "database", "parts"),
    [
        ("city.idx", False, None),
        ("a/city.db", True, ("a/city.db", "places")),
        ("http://host:19530/city", True, ("http://host:19530", "city")),
    ],
)
def test_an_address_says_what_it_is(where: str, database: bool, parts: tuple[str, str] | None) -> None:
    assert is_database(where) == database
    if parts:
        assert address(where) == parts


def test_what_is_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="does not name a collection"):
        open_index("http://host:19530")
    with pytest.raises(IndexFileError, match="no such database"):
        open_index(str(tmp_path / "none.db"))


@pytest.mark.network
@pytest.mark.slow  # starts a process that serves Milvus's protocol: about 5 s
def test_a_server_answers_as_the_embedded_form(tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "milvus_lite.cmdline",
            "server",
            "--data-dir",
            str(tmp_path / "data"),
            "--host",
            "127.0.0.1",
            "--port",
            str(_free_port()),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as server:
        where = f"http://127.0.0.1:{server.args[-1]}/city"  # type: ignore[index]
        try:
            made = _create_when_it_listens(where, line_index(0, 30))
            asked = line_index(10, 5).descriptors
            question = {"top": 4, "near": line_index(12, 1).positions[0], "within": 60.0}
            assert same_matches(made.search(asked, **question), line_index(0, 30).search(asked, **question))
            assert len(open_index(where)) == 30
        finally:
            server.terminate()


def _create_when_it_listens(where: str, index: PlaceIndex) -> MilvusIndex:
    for _ in range(20):
        try:
            return MilvusIndex.create(where, index)
        except IndexFileError:
            time.sleep(0.5)
    return MilvusIndex.create(where, index)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
