"""Each benchmark in its smoke form: its ways of computing the same agree. No time is asserted."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import baseline, extraction, gpu, gpu_budget, gpu_run, measure
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.baseline import Port
from benchmarks.measure import Case, Mismatch, Settings, Table, paired
from deepibl.features.extraction import extract
from deepibl.images import load_pixels
from deepibl.runtime.devices import inference
from deepibl.search.exact import nearest
from scripts.make_released_layout import SMALL
from tests.extractors import make_photos
from tests.tolerances import assert_close


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_ways_of_a_benchmark_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tables = list(importlib.import_module(f"benchmarks.{name}").run(Settings(smoke=True)))
    for table in tables:
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
        table.print()
    assert capsys.readouterr().out.count("###") == len(tables)


def test_the_gpu_script_walks_through_anywhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    gpu.main(["--smoke", "--output", str(tmp_path / "found")])
    page = (tmp_path / "found.md").read_text()
    assert "Parity with the CPU" in capsys.readouterr().out and "Parity with the CPU" in page
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == [stage.name for stage in gpu.STAGES]
    assert all(each["tables"] and not each["error"] for each in found.values())


def test_a_stage_that_fails_on_the_gpu_leaves_what_others_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(asked: gpu_run.Asked) -> Iterator[Table]:
        yield Table("First", ["a"], [[1]])
        raise Mismatch("7 is not 8")

    rest = gpu_run.Stage("rest", "goes on", 1, lambda asked: iter([Table("Second", ["b"], [[2]])]))
    monkeypatch.setattr(gpu, "STAGES", (gpu_run.Stage("bad", "fails", 1, broken), rest))
    with pytest.raises(SystemExit, match="failed: bad"):
        gpu.main(["--smoke", "--output", str(tmp_path / "found")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert "7 is not 8" in found["bad"]["error"] and found["bad"]["tables"] and found["rest"]["tables"]
    assert (tmp_path / "found.md").read_text().count("###") == 2


def test_a_way_that_fails_leaves_the_other_ways() -> None:
    trials, done = gpu_run.Trials(), []
    for way in (0, 1):
        with trials.trial(f"way {way}"):
            done.append(1 / way)
    with pytest.raises(RuntimeError, match=r"1 ways failed:\nway 0"):
        trials.finish()
    assert done == [1.0]


@pytest.mark.parametrize(
    ("limit", "words", "error"),
    [
        (60.0, ["--smoke"], ""),
        (60.0, ["--batch", "x"], "ended with 2"),
        (0.01, ["--smoke"], "not done"),
        (0.0, [], "not begun"),
    ],
)
def test_stages_of_processes_of_their_own_are_told_of(limit: float, words: list[str], error: str) -> None:
    results = gpu_run.Results()
    gpu_run.run_apart(gpu.STAGES[0], words, limit, results)
    assert error in results.stages["env"]["error"] and bool(error) == bool(results.failed)
    assert bool(results.stages["env"]["tables"]) == (not error)


def test_the_gpu_script_asks_for_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit):
        gpu.main(["--only", "env"])
    assert "no CUDA device is here" in capsys.readouterr().err


def test_the_budget_of_a_gpu_counts_the_networks_operations(capsys: pytest.CaptureFixture[str]) -> None:
    flop, apart, together = gpu_budget.counts(SMALL["blocks"], 48, 64)
    assert flop == pytest.approx(extraction.gigaflop(extraction.network(Settings(smoke=True)), 48, 64))
    assert apart > together > 0
    gpu_budget.main(20)
    page = capsys.readouterr().out
    assert "Assumed, not measured" in page and page.count(", predicted") == 3


def test_the_machines_peaks_head_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--only", "aggregation"])
    page = capsys.readouterr().out
    assert page.index("matrix product fp32") < page.index("NetVLAD on maps")


def test_ratios_are_of_pairs_against_the_first_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))
    ran = []
    cases = {"a": Case(lambda: ran.append("a") or 1), "b": Case(lambda: ran.append("b") or 2)}
    found = paired(cases, 3)
    assert ran == ["a", "b"] * 4 and [each.result for each in found.values()] == [1, 2]
    assert found["a"].ratio == found["b"].ratio == 1.0


def test_a_wrong_result_stops_a_benchmark() -> None:
    cases = {"first": Case(lambda: 1.0), "second": Case(lambda: 1.5, limit=0.25)}
    with pytest.raises(Mismatch, match=r"sums, second: 0\.5, above 0\.25"):
        paired(cases, 1, lambda got, want: abs(got - want), "sums")


def test_a_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    Table("Title", ["a", "b"], [[1, 2.5]]).print()
    assert "### Title\n\n| a | b |\n|---|---|\n| 1 | 2.5 |" in capsys.readouterr().out


def test_the_baseline_is_the_network_in_another_program() -> None:
    net = extraction.network(Settings(smoke=True))
    port = Port(net).eval()
    images = extraction.photos(3, 64, 80)
    with inference(net), torch.inference_mode():
        assert_close(port(images), net(net.prepare(images)).flatten(1), "net")
        maps = port.backbone(images - port.mean)
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
def test_a_process_that_fails_stops_a_benchmark_and_a_peak_can_be_forgotten() -> None:
    assert measure.in_a_process(peak_after, 80 << 20) < 8
    with pytest.raises(TypeError):
        measure.in_a_process(peak_after, 0.5)


def peak_after(size: int) -> float:
    """MB by which the peak is above the memory in use, once `size` bytes came and went and are forgotten."""
    taken = bytearray(size)
    taken.clear()
    measure.forget_peak()
    return measure.memory("VmHWM") - measure.memory("VmRSS")
