"""Each benchmark in its smoke form: its ways of computing the same agree. No time is asserted."""

import importlib

import pytest

from benchmarks import gpu, measure
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.measure import Mismatch, Settings, Table, paired


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_ways_of_a_benchmark_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tables = list(importlib.import_module(f"benchmarks.{name}").run(Settings(smoke=True)))
    for table in tables:
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
        table.print()
    assert capsys.readouterr().out.count("###") == len(tables)


def test_the_gpu_script_walks_through_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--smoke"])
    assert "Parity with the CPU" in capsys.readouterr().out


def test_the_machines_peaks_head_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--only", "aggregation"])
    page = capsys.readouterr().out
    assert page.index("matrix product fp32") < page.index("NetVLAD on maps")


def test_ratios_are_of_pairs_against_the_first_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))
    ran = []
    medians, results = paired({"a": lambda: ran.append("a") or 1, "b": lambda: ran.append("b") or 2}, 3)
    assert ran == ["a", "b"] * 4 and results == {"a": 1, "b": 2}
    assert medians["a"].ratio == medians["b"].ratio == 1.0


def test_a_wrong_result_stops_a_benchmark() -> None:
    with pytest.raises(Mismatch, match="sums differ"):
        measure.require(False, "sums differ")


def test_a_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    Table("Title", ["a", "b"], [[1, 2.5]]).print()
    assert "### Title\n\n| a | b |\n|---|---|\n| 1 | 2.5 |" in capsys.readouterr().out
