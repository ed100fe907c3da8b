"""Each benchmark in its smoke form: its ways of computing the same agree. No time is asserted."""

import importlib
from pathlib import Path

import pytest
import torch

from benchmarks import baseline, extraction, gpu, measure
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.baseline import Port
from benchmarks.measure import Mismatch, Settings, Table, paired
from deepibl.describe import inference
from deepibl.features import extract
from deepibl.images import load_pixels
from deepibl.search import nearest
from tests.extractors import make_photos
from tests.tolerances import assert_close


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


def test_the_baseline_is_the_network_in_another_program() -> None:
    net = extraction.network(Settings(smoke=True))
    port = Port(net).eval()
    images = extraction.photos(3, 64, 80)
    with inference(net), torch.inference_mode():
        assert_close(port(images), net(net.prepare(images)).flatten(1), "net")
        maps = port.trunk(images - port.mean)
        assert_close(maps, net(net.prepare(images), stop=net.index("preL2") - 1), "net")


def test_the_baseline_decodes_and_searches_like_the_project(tmp_path: Path) -> None:
    net = extraction.network(Settings(smoke=True))
    names = [str(tmp_path / name) for name in make_photos(tmp_path)[:4]]
    same = [name for name in names if load_pixels(name).shape == load_pixels(names[0]).shape][:2]
    want = extract(net, same, progress=False)
    assert_close(baseline.extract(Port(net).eval(), [Path(name) for name in same], 2), want, "net")
    ids, _ = nearest(want, want, 1)
    assert (baseline.search(want, want, 1) == ids).all()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc, as Linux has it")
def test_a_process_that_fails_stops_a_benchmark_and_its_peak_is_its_own() -> None:
    code = "x = bytearray(80 << 20)\ndel x\nforget_peak()\nprint(memory('VmHWM') - memory('VmRSS'))"
    assert float(measure.in_a_process(code)) < 8
    with pytest.raises(Mismatch, match="ended with 3"):
        measure.in_a_process("raise SystemExit(3)")
