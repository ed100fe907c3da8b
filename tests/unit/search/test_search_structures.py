"""IVF-PQ lists and HNSW graphs: what they find, after being edited and read from bytes, too."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.errors import FeatureFileError, IndexFileError
from deepibl.runtime.files import RowView
from deepibl.search.compressed import CompressedIndex, build_structure, found_again, read_structure
from deepibl.search.exact import nearest
from matlab_compat.errors import ArgumentError

KINDS = ("ivfpq", "hnsw")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """(900, 32) float16 unit vectors in 45 bunches."""
    random = np.random.default_rng(0)
    found = random.standard_normal((45, 32)).repeat(20, 0) + 0.3 * random.standard_normal((900, 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("kind", KINDS)
def test_most_neighbours_are_found(rows: np.ndarray, kind: str) -> None:
    queries = rows[::30].astype(np.float32) + 0.01
    compressed = CompressedIndex.build(rows, kind)
    ids, distances = compressed.nearest(queries, 10)
    want, exact = nearest(queries, rows, 10)
    assert found_again(ids, want) > 0.9
    same = ids == want
    np.testing.assert_allclose(distances[same], exact[same], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_do_not_depend_on_how_many_queries_are_asked(rows: np.ndarray, kind: str) -> None:
    queries = rows[::45].astype(np.float32)
    compressed = CompressedIndex.build(rows, kind)
    whole, _ = compressed.nearest(queries, 8)
    one_by_one = [compressed.nearest(query[None], 8)[0][0] for query in queries]
    np.testing.assert_array_equal(whole, one_by_one)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_come_lowest_id_first_as_in_an_exact_search(rows: np.ndarray, kind: str) -> None:
    copies = np.repeat(rows[::90], 6, axis=0)
    queries = rows[::90].astype(np.float32) + 0.005
    compressed = CompressedIndex.build(copies, kind)
    ids, _ = compressed.nearest(queries, 6, effort=len(copies), candidates=len(copies))
    np.testing.assert_array_equal(ids, nearest(queries, copies, 6)[0])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_structure_finds_what_stayed_and_what_is_new(
    rows: np.ndarray, kind: str, mapped: bool, tmp_path: Path
) -> None:
    old, new = rows[:700], rows[700:]
    kept = np.setdiff1d(np.arange(700), np.arange(0, 700, 7))
    view = RowView([(old, kept), (new, None)])
    built = build_structure(kind, old)
    if mapped:
        built.write(tmp_path / "s")
        built = read_structure(kind, np.memmap(tmp_path / "s", np.uint8, "r"))
    edited = built.edited(kept, view)
    assert edited.shape == view.shape
    compressed = CompressedIndex(edited, view)
    queries = view[::20].astype(np.float32)
    ids, distances = compressed.nearest(queries, 5)
    np.testing.assert_array_equal(ids[:, 0], np.arange(0, len(view), 20))
    assert np.abs(distances[:, 0]).max() < 1e-9
    assert found_again(ids, nearest(queries, view, 5)[0]) > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_added_to_a_mapped_structure(rows: np.ndarray, kind: str, tmp_path: Path) -> None:
    build_structure(kind, rows[:700]).write(tmp_path / "s")
    mapped = read_structure(kind, np.memmap(tmp_path / "s", np.uint8, "r"))
    more = CompressedIndex(mapped.edited(np.arange(700), rows), rows)
    np.testing.assert_array_equal(
        more.nearest(rows[600::20].astype(np.float32), 1)[0][:, 0], np.arange(600, 900, 20)
    )
    asked = rows[:20].astype(np.float32)
    found = CompressedIndex(mapped, rows[:700]).nearest(asked, 5)[0]
    assert found_again(found, nearest(asked, rows[:700], 5)[0]) > 0.8


def test_added_rows_are_coded_without_learning_anew(rows: np.ndarray) -> None:
    built = build_structure("ivfpq", rows[:700])
    edited = built.edited(np.arange(700), rows)
    again = built.edited(np.arange(700), rows[:700])
    queries = rows[:9].astype(np.float32)
    np.testing.assert_array_equal(again.candidates(queries, 20, 99), built.candidates(queries, 20, 99))
    assert edited.shape == rows.shape


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_come_back_as_they_were_and_stay_mapped(rows: np.ndarray, kind: str, tmp_path: Path) -> None:
    built = build_structure(kind, rows)
    built.write(tmp_path / "s")
    content = np.memmap(tmp_path / "s", np.uint8, "r")
    again = read_structure(kind, content)
    queries = rows[::50].astype(np.float32)
    np.testing.assert_array_equal(again.candidates(queries, 9, 20), built.candidates(queries, 9, 20))
    other = KINDS[1 - KINDS.index(kind)]
    with pytest.raises(IndexFileError, match=f"not a structure of kind {other}"):
        read_structure(other, content)
    with pytest.raises(IndexFileError, match=f"not an {kind} structure"):
        read_structure(kind, np.array(content[: len(content) // 3]))


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("ivfpq", {"code_bytes": 5}, "divide the 32"),
        ("hnsw", {"links": 1}, "at least 2"),
        ("annoy", {}, "must be one of ivfpq, hnsw"),
    ],
)
def test_settings_that_do_not_fit_are_refused(rows, kind: str, settings: dict, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        build_structure(kind, rows, **settings)


def test_too_few_rows_and_other_widths_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="too few"):
        build_structure("hnsw", rows[:1])
    with pytest.raises(FeatureFileError, match="3 dimensions"):
        CompressedIndex.build(rows).nearest(np.zeros((1, 3), np.float32), 2)
