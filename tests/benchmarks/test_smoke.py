"""Each benchmark in its smoke form: its ways of computing the same agree. No time is asserted."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import baseline, extraction, gpu, gpu_machine, gpu_run, measure
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.baseline import Port
from benchmarks.measure import Case, Mismatch, Settings, Table, paired
from deepibl.features.extraction import extract
from deepibl.images import load_pixels
from deepibl.runtime.devices import inference
from deepibl.search.exact import nearest
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
    gpu.main(["--smoke", "--output", str(tmp_path / "found.md")])
    page = (tmp_path / "found.md").read_text()
    assert "images/s" in capsys.readouterr().out and "images/s" in page
    assert [line.split(":")[0][3:] for line in page.splitlines() if line.startswith("## ")] == [
        stage.name for stage in gpu.STAGES
    ]
    assert "failed" not in page and all("###" in part for part in page.split("\n## "))


def broken(asked: gpu_run.Asked) -> Iterator[Table]:
    yield Table("First", ["a"], [[1]])
    raise Mismatch("7 is not 8")


def test_a_stage_that_fails_on_the_gpu_leaves_what_others_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rest = gpu_run.Stage("rest", "goes on", 1, lambda asked: iter([Table("Second", ["b"], [[2]])]))
    monkeypatch.setattr(gpu, "STAGES", (gpu_run.Stage("bad", "fails", 1, broken), rest))
    with pytest.raises(SystemExit, match="failed: bad"):
        gpu.main(["--smoke", "--output", str(tmp_path / "found.md")])
    page = (tmp_path / "found.md").read_text()
    assert "7 is not 8" in page and page.count("###") == 2 and page.count("**failed**") == 1


def test_a_way_that_fails_leaves_the_other_ways() -> None:
    trials, done = gpu_run.Trials(), []
    for way in (0, 1):
        with trials.trial(f"way {way}"):
            done.append(1 / way)
    with pytest.raises(RuntimeError, match=r"1 ways failed:\nway 0"):
        trials.finish()
    assert done == [1.0]


@pytest.mark.parametrize(
    ("limit", "run", "ended", "noted"),
    [
        (60.0, gpu_machine.env, True, "### Speeds"),
        (60.0, broken, False, "7 is not 8"),
        (0.01, gpu_machine.env, False, "not done after 0 s"),
        (0.0, gpu_machine.env, False, "not done after 0 s"),
    ],
)
def test_stages_of_processes_of_their_own_are_told_of(
    limit: float, run: Any, ended: bool, noted: str, tmp_path: Path
) -> None:
    asked, page = gpu_run.Asked(Settings(smoke=True), torch.device("cpu")), tmp_path / "found.md"
    assert gpu_run.run_apart(gpu_run.Stage("one", "runs", 1, run), asked, page, limit) == ended
    assert noted in page.read_text()


def test_the_gpu_script_asks_for_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit):
        gpu.main(["--only", "env"])
    assert "no CUDA device is here" in capsys.readouterr().err


def test_the_machines_peaks_head_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--only", "search"])
    page = capsys.readouterr().out
    assert page.index("matrix product fp32") < page.index("queries in 200 descriptors")


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
    images = extraction.photos(Settings(smoke=True), 3, size=(64, 80))
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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, as Linux has it")
def test_a_process_that_fails_stops_a_benchmark_and_one_of_its_own_has_its_own_peak() -> None:
    assert 60 < measure.in_a_process(peak_of, 80 << 20) < 120
    with pytest.raises(TypeError):
        measure.in_a_process(peak_of, 0.5)


def peak_of(size: int) -> float:
    """MB by which the peak rises above the memory in use, while `size` bytes come and go."""
    before = measure.memory("VmRSS")
    taken = bytearray(b"1") * size
    taken.clear()
    return measure.memory("VmHWM") - before
