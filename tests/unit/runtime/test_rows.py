"""Views of rows: what they give equals a copy, and reading them reads no more than asked."""

import numpy as np
import pytest

from deepibl.runtime.files import RowView, blocks
from deepibl.search.exact import nearest


@pytest.fixture
def parts() -> list[tuple[np.ndarray, np.ndarray | None]]:
    random = np.random.default_rng(0)
    rows = [random.standard_normal((n, 5)).astype(np.float32) for n in (7, 1, 4)]
    return [(rows[0], np.array([6, 0, 3])), (rows[1], None), (rows[2], np.zeros(0, int)), (rows[2], None)]


def whole(parts: list[tuple[np.ndarray, np.ndarray | None]]) -> np.ndarray:
    return np.concatenate([rows if ids is None else rows[ids] for rows, ids in parts])


def test_slices_and_ids_equal_those_of_a_copy(parts) -> None:
    view, copy = RowView(parts), whole(parts)
    assert view.shape == copy.shape and len(view) == len(copy) and view.nbytes == copy.nbytes
    for wanted in (slice(None), slice(2, 5), slice(7, 7), slice(1, None, 3), np.array([7, 0, 3, 3]), [2]):
        np.testing.assert_array_equal(view[wanted], copy[wanted])
    np.testing.assert_array_equal(np.asarray(view), copy)


def test_a_view_of_a_view_in_another_precision(parts) -> None:
    view = RowView([(RowView(parts), np.array([5, 1]))], np.float16)
    np.testing.assert_array_equal(view[:], whole(parts)[[5, 1]].astype(np.float16))


@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_blocks_join_to_the_whole(parts, size: int) -> None:
    view = RowView(parts)
    np.testing.assert_array_equal(np.concatenate(list(blocks(view, size))), view[:])


def test_a_search_in_a_view_equals_a_search_in_a_copy(parts) -> None:
    queries = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    for got, want in zip(nearest(queries, RowView(parts), 4), nearest(queries, whole(parts), 4), strict=True):
        np.testing.assert_array_equal(got, want)
