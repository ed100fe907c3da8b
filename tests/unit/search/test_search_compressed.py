"""deepibl.search.compressed, and exact search in float16 descriptors on disk."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.errors import IndexFileError
from deepibl.search.compressed import CompressedIndex, Structure, require_fit
from deepibl.search.exact import nearest
from matlab_compat import yael
from matlab_compat.errors import ArgumentError


@pytest.fixture(scope="module")
def places() -> tuple[np.ndarray, np.ndarray]:
    """(1200, 32) float16 descriptors in 60 bunches and (25, 32) float32 queries near some of them."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((60, 32)).repeat(20, 0) + 0.2 * random.standard_normal((1200, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    queries = rows[::48].astype(np.float32) + 0.01 * random.standard_normal((25, 32)).astype(np.float32)
    return rows, queries


def test_float16_in_blocks_equals_float32_at_once(places, tmp_path: Path, monkeypatch) -> None:
    rows, queries = places
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    want = nearest(queries, rows.astype(np.float32), 15)
    for size in (yael.HALF_BYTES, 4 * 32 * 100, 4 * 32 * 7):
        monkeypatch.setattr(yael, "HALF_BYTES", size)
        got = nearest(queries, mapped, 15)
        assert np.array_equal(got[0], want[0])
        np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-6)


def test_equal_rows_in_different_blocks_come_lowest_id_first(monkeypatch) -> None:
    rows = np.tile(np.eye(4, dtype=np.float16), (10, 1))
    monkeypatch.setattr(yael, "HALF_BYTES", 4 * 4 * 8)
    ids, _ = nearest(np.eye(4, dtype=np.float32), rows, 10)
    assert np.array_equal(ids, np.arange(4)[:, None] + 4 * np.arange(10))


def test_the_compressed_index_finds_most_of_the_neighbours(places) -> None:
    rows, queries = places
    compressed = CompressedIndex.build(rows, code_bytes=16)
    ids, distances = compressed.nearest(queries, 10, effort=8)
    want, exact = nearest(queries, rows, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, want, strict=True)])
    assert recall > 0.9
    same = ids == want
    np.testing.assert_allclose(distances[same], exact[same], rtol=1e-4, atol=1e-6)


def test_all_lists_and_all_candidates_are_an_exact_search(places) -> None:
    rows, queries = places
    compressed = CompressedIndex.build(rows, lists=5, code_bytes=4)
    ids, _ = compressed.nearest(queries, 7, effort=5, candidates=len(rows))
    assert np.array_equal(ids, nearest(queries, rows, 7)[0])


def test_places_without_a_candidate_are_marked(places) -> None:
    rows, queries = places
    ids, distances = CompressedIndex.build(rows, lists=100, code_bytes=4).nearest(queries, 300, effort=1)
    assert (ids[:, -1] == -1).all() and np.isinf(distances[:, -1]).all()


def test_a_structure_of_other_descriptors_is_refused(places) -> None:
    rows, _ = places
    with pytest.raises(IndexFileError, match="1200 descriptors of 32"):
        require_fit(CompressedIndex.build(rows, code_bytes=8).structure, rows[:-1], "a.idx")


def test_codes_that_do_not_divide_the_dimensions_are_refused(places) -> None:
    with pytest.raises(ArgumentError, match="divide the 32"):
        CompressedIndex.build(places[0], code_bytes=5)


@pytest.mark.parametrize(("kind", "effort"), [("ivfpq", 32), ("hnsw", 512)])
def test_the_effort_by_default_is_that_of_the_documents(places, kind: str, effort: int, monkeypatch) -> None:
    rows, queries = places
    made, seen = CompressedIndex.build(rows, kind), []
    search = Structure.candidates

    def watched(self: Structure, asked: np.ndarray, count: int, given: int) -> np.ndarray:
        seen.append(given)
        return search(self, asked, count, given)

    monkeypatch.setattr(Structure, "candidates", watched)
    made.nearest(queries, 5)
    assert seen == [effort]
