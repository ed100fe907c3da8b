"""Each benchmark in its smoke form: its ways of computing the same agree. No time is asserted."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import baseline, extraction, gpu, measure
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
    assert "images/s" in capsys.readouterr().out and "gradient of conv5_1 | bf16" in page
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(gpu.STAGES)
    assert page.count("### Epoch") == len(gpu.WAYS)


def broken(asked: gpu.StageOptions) -> Iterator[Table]:
    failed: list[str] = []
    for way in (0, 1):
        with gpu.noting_failure(f"way {way}", failed):
            yield Table("First", ["a"], [[1 / way]])
    raise Mismatch(f"{failed}, 7 is not 8")


def test_what_fails_on_the_gpu_leaves_what_others_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = {"bad": broken, "rest": lambda asked: iter([Table("Second", ["b"], [[2]])])}
    monkeypatch.setattr(gpu, "STAGES", stages)
    with pytest.raises(SystemExit, match="failed: bad"):
        gpu.main(["--smoke", "--output", str(tmp_path / "found.md")])
    assert (tmp_path / "found.md").read_text().count("###") == 2
    problems = capsys.readouterr().err
    assert "division by zero" in problems and "Mismatch: ['way 0'], 7 is not 8" in problems


def test_a_gpu_that_is_not_right_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LIMITS", {"fp32": 1e-5, "bf16": 1e-9})
    asked = gpu.StageOptions(Settings(smoke=True), torch.device("cpu"))
    with pytest.raises(Mismatch, match="torch bf16"):
        list(gpu.parity(asked))


def test_the_gpu_script_asks_for_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit):
        gpu.main(["--only", "parity"])
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
