"""What benchmarks/scale_model.py computes from measured rates: its formulas, on rates of known answer."""

import math

import pytest

from benchmarks.scale_model import Rates, build_seconds, lists, machines, model_table, query_seconds, recall

EXACT = Rates("exact, float16", 100_000, 8192, 0, 0.0, (0.01,), (1.0,))
LISTS = (8, 32, 128)


def ivfpq(images: int, code: float = 1e-9, fixed: float = 1e-3, each_list: float = 1e-7) -> Rates:
    """Rates that follow the model exactly, with 72 bytes a code."""
    times = [fixed + each_list * lists(images) + code * images * n / lists(images) for n in LISTS]
    size = 72 + 4 * 4096 * (lists(images) + 256) / images
    return Rates("ivfpq, 64 bytes", images, 8192, size, 1e-4, tuple(times), (0.5, 0.9, 1.0), LISTS)


def test_an_exact_search_grows_with_the_images_and_stays_in_memory() -> None:
    assert query_seconds(EXACT, EXACT, 1e6) == pytest.approx(0.1)
    assert machines(EXACT, 1e6) == 1
    count = machines(EXACT, 1e10)
    assert count == math.ceil(1e10 * 8192 / 128e9)


def test_the_parts_of_an_ivfpq_query_are_told_apart() -> None:
    small, large = ivfpq(10_000), ivfpq(100_000)
    for images in (1e6, 1e9):
        want = 1e-3 + 1e-7 * lists(images) + 1e-9 * images * 32 / lists(images)
        assert query_seconds(small, large, images) == pytest.approx(want)
    assert large.structure(1e9) == pytest.approx(72e9 + 4 * 4096 * (4096 + 256))
    assert build_seconds(large, 1e9) == pytest.approx(1e-4 * 4096 / (2 * math.sqrt(100_000)))


def test_machines_hold_what_they_are_given() -> None:
    rate = ivfpq(100_000)
    for images in (1e6, 1e8, 1e10):
        each = images / machines(rate, images)
        assert rate.structure(each) <= 128e9
        assert rate.row_bytes * each + rate.structure(each) <= 8e12


def test_recall_goes_on_along_its_line_and_stays_a_share() -> None:
    small = Rates("hnsw", 10_000, 8192, 4236, 1e-3, (1e-3,), (1.0,))
    large = Rates("hnsw", 100_000, 8192, 4236, 1e-3, (1e-3,), (0.9,))
    assert recall(small, large, 1e6) == pytest.approx(0.8)
    assert recall(small, large, 1e30) == 0.0
    assert query_seconds(small, large, 1e10) == pytest.approx(2e-3)


def test_the_table_has_a_row_for_each_backend_and_size() -> None:
    table = model_table([EXACT, ivfpq(10_000), ivfpq(100_000)], 4096)
    assert [row[:2] for row in table.rows[:3]] == [
        ["exact, float16", size] for size in ("1e06", "1e08", "1e10")
    ]
    assert len(table.rows) == 6 and all(len(row) == len(table.columns) for row in table.rows)
