"""For `python -m benchmarks.gpu`: descriptors against the CPU's, their speed, and the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.extraction import distance, gigaflop, network, photos
from benchmarks.gpu_machine import convolution_peak, seconds, wait
from benchmarks.gpu_run import Asked, Trials
from benchmarks.measure import Table, require
from deepibl.engine import Engine, choose_engine
from deepibl.engine.cuda import CudaTrunk
from deepibl.engine.describe import describe_prepared
from deepibl.losses import SARELoss
from deepibl.runtime import inference
from deepibl.training import Objective, Stepper, TrainingOptions

KERNELS = 15  # rows of a profile
TUPLES = 4  # of a training step


def _photos(asked: Asked, count: int) -> torch.Tensor:
    return photos(count, *((48, 64) if asked.settings.smoke else (480, 640)))


def parity(asked: Asked) -> Iterator[Table]:
    """The device's descriptors against the CPU's, TF32 off: 1e-5; also of one image alone."""
    net, images, rows = network(asked.settings), _photos(asked, 2), []
    for count in (1, 2):
        with inference(net, "cpu"):
            want = describe_prepared(net, net.prepare(images[:count]))
        with inference(net, asked.device) as where:
            got = describe_prepared(net, net.prepare(images[:count].to(where))).cpu()
        error = float((got - want).abs().max() / want.abs().max())
        require(error <= 1e-5, f"{asked.device.type} and CPU differ by {error}")
        rows.append([count, f"{error:.1e}", "1e-5"])
    yield Table("Parity with the CPU, TF32 off", ["images", "max|a-b| / max|b|", "limit"], rows)


def extraction(asked: Asked) -> Iterator[Table]:
    """Images a second of every engine and precision, from images on the device."""
    net, images, device = network(asked.settings), _photos(asked, asked.batch), asked.device
    flop, peak = gigaflop(net, *images.shape[2:]) / 1e3, convolution_peak(device, asked.settings)
    rows, trials = [], Trials()
    with inference(net, device):
        prepared = net.prepare(images.to(device))
        want = describe_prepared(net, prepared)
        for name, precision, graphs in [*((*way, True) for way in ways(device)), *_without_graphs(device)]:
            with trials.trial(f"{name} {precision}"):
                engine = choose_engine(net, name, precision, device)
                if isinstance(engine.trunk, CudaTrunk):
                    engine.trunk.graphs = graphs

                def describe(precision: str = precision, engine: Engine = engine) -> torch.Tensor:
                    return describe_prepared(net, prepared, precision, engine)

                speed = len(images) / seconds(describe, device, 10)
                error = distance(describe(), want)
                require(error < (1e-5 if precision in ("fp32", "tf32") else 2e-3), f"{engine}: {error}")
                refused = getattr(engine.trunk, "graphs", True) != graphs
                figures = [f"{speed:.1f}", f"{speed * flop:.1f}", f"{speed * flop / peak:.0%}"]
                label = f"{name}{'' if graphs else ', no graphs'}{', graphs refused' if refused else ''}"
                rows.append([label, precision, *figures, f"{error:.1e}"])
    columns = ["engine", "precision", "images/s", "TFLOP/s", "of the bf16 peak", "cosine distance"]
    size = f"batch of {len(images)}, {images.shape[3]}x{images.shape[2]}"
    yield Table(f"Extraction, {size}", columns, rows, f"bf16 convolution peak: {peak:.1f} TFLOP/s")
    trials.finish()


def ways(device: torch.device) -> list[tuple[str, str]]:
    """Engines and precisions that the device is measured with."""
    if device.type != "cuda":
        return [("torch", "fp32"), ("torch", "bf16")]
    precisions = ("fp32", "tf32", "bf16", "fp16")
    return [("torch", "fp32"), ("torch", "bf16"), *(("cuda", precision) for precision in precisions)]


def _without_graphs(device: torch.device) -> list[tuple[str, str, bool]]:
    return [("cuda", "bf16", False)] if device.type == "cuda" else []


def kernels(asked: Asked) -> Iterator[Table]:
    """Where the device's time goes: a batch of descriptors, then a training step from kept maps."""
    net, device = network(asked.settings), asked.device
    trials = Trials()
    for name, precision in ways(device)[-2:]:
        with trials.trial(f"{name} {precision}"), inference(net, device):
            engine = choose_engine(net, name, precision, device)
            prepared = net.prepare(_photos(asked, asked.batch).to(device))
            describe = partial(describe_prepared, net, prepared, precision, engine)
            yield _profiled(f"Kernels of a batch of {asked.batch}, {name}, {precision}", describe, device)
    for precision in ("fp32", "bf16"):
        with trials.trial(f"step {precision}"):
            step = _step(asked, precision)
            yield _profiled(f"Kernels of a step of {TUPLES} tuples, {precision}", step, device)
    trials.finish()


def _step(asked: Asked, precision: str) -> Callable[[], Any]:
    whole = network(asked.settings)
    net = whole.with_layers([layer for layer in whole if layer.name not in ("WPCA", "finalL2")])
    stepper = Stepper(net.to(asked.device), net.index("conv5_1"), precision=precision)
    below, size = net["conv4_3"].weight, (3, 4) if asked.settings.smoke else (30, 40)
    assert isinstance(below, torch.Tensor)
    maps = torch.rand(12 * TUPLES, below.shape[0], *size, device=asked.device)
    objective = Objective(SARELoss())

    def step() -> None:
        outcomes = stepper.accumulate(maps, [12] * TUPLES, objective)
        stepper.update(TrainingOptions(), 1e-4, sum(outcome.pairs for outcome in outcomes))

    return step


def _profiled(title: str, run: Callable[[], Any], device: torch.device) -> Table:
    taken = seconds(run, device, 10)
    on_device = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]) as found:
        run()
        wait(device)
    name = "self_device_time_total" if on_device else "self_cpu_time_total"
    kernels_alone = torch.autograd.DeviceType.CUDA  # not the operators that started them
    events = [each for each in found.key_averages() if not on_device or each.device_type == kernels_alone]
    times = {each.key: getattr(each, name) / 1e3 for each in events}
    total = sum(times.values()) or 1.0
    most = sorted(events, key=lambda each: -times[each.key])[:KERNELS]
    rows = [
        [f"`{each.key[:90]}`", each.count, f"{times[each.key]:.3f}", f"{times[each.key] / total:.0%}"]
        for each in most
    ]
    note = f"Without the profiler: {taken * 1e3:.2f} ms. All kernels together: {total:.2f} ms."
    return Table(title, ["kernel", "calls", "ms", "share"], rows, note)
