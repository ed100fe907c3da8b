"""For `python -m benchmarks.gpu`: the speed of descriptors, and the kernels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.extraction import distance, gigaflop, network, photos, without_whitening, write_photos
from benchmarks.gpu_machine import convolution_peak
from benchmarks.gpu_run import Asked, Trials, seconds, wait
from benchmarks.measure import Table, require, timed
from deepibl.engine import choose_engine
from deepibl.engine.batch import extract_prepared
from deepibl.features import extract
from deepibl.losses import SARELoss
from deepibl.runtime import inference
from deepibl.training import Objective, Stepper, TrainingOptions

KERNELS = 15  # rows of a profile
TUPLES = 4  # of a training step
# engine, precision; where they are measured
PLAIN = (("torch", "fp32"), ("torch", "bf16"))
WAYS = {"cpu": PLAIN, "cuda": (*PLAIN, *(("cuda", each) for each in ("fp32", "tf32", "bf16", "fp16")))}
LIMITS = {"fp32": 1e-5, "tf32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}  # cosine distance
PROFILED = {"cpu": (("torch", "fp32"), ("torch", "bf16")), "cuda": (("cuda", "bf16"), ("cuda", "fp16"))}
FROM_FILES = {"cpu": (("torch", "fp32"),), "cuda": (("torch", "fp32"), ("cuda", "bf16"), ("cuda", "fp16"))}


def extraction(asked: Asked) -> Iterator[Table]:
    """Images a second of every engine and precision, from images on the device."""
    net, images, device = network(asked.settings), photos(asked.settings, asked.batch), asked.device
    flop, peak = gigaflop(net, *images.shape[2:]) / 1e3, convolution_peak(device, asked.settings)
    rows, trials = [], Trials()
    with inference(net, device):
        prepared = net.prepare(images.to(device))
        want = extract_prepared(net, prepared)
        for name, precision in WAYS[device.type]:
            with trials.trial(f"{name} {precision}"):
                engine = choose_engine(net, name, precision, device)
                describe = partial(extract_prepared, net, prepared, precision, engine)
                speed = len(images) / seconds(describe, device, 10)
                error = distance(describe(), want)
                require(error < LIMITS[precision], f"{engine}: {error}")
                figures = [f"{speed:.1f}", f"{speed * flop:.1f}", f"{speed * flop / peak:.0%}"]
                rows.append([name, precision, *figures, f"{error:.1e}"])
    columns = ["engine", "precision", "images/s", "TFLOP/s", "of the bf16 peak", "cosine distance"]
    size = f"batch of {len(images)}, {images.shape[3]}x{images.shape[2]}"
    yield Table(f"Extraction, {size}", columns, rows, f"bf16 convolution peak: {peak:.1f} TFLOP/s")
    trials.finish()


def files(asked: Asked) -> Iterator[Table]:
    """Images a second from JPEG files to descriptors in memory, decoded beside computing."""
    device, batch = asked.device, asked.batch
    net, count = network(asked.settings), 8 if asked.settings.smoke else 4096
    rows, trials, want = [], Trials(), None
    with tempfile.TemporaryDirectory() as folder:
        names = write_photos(asked.settings, Path(folder), count)
        for engine, precision in FROM_FILES[device.type]:
            with trials.trial(f"{engine} {precision}"):
                how: dict[str, Any] = {"precision": precision, "engine": engine}
                how |= {"batch_size": batch, "device": device, "progress": False}
                extract(net, names[: min(count, 6 * batch)], **how)  # warms up
                some = names[: count // 8] if precision == "fp32" else names
                taken, rows_found = timed(lambda some=some, how=how: np.array(extract(net, some, **how)))
                found = torch.from_numpy(rows_found)
                want = found if want is None else want
                error = distance(found[: len(want)], want)
                rows.append([engine, precision, f"{len(some) / taken:.1f}", f"{error:.1e}"])
                require(error <= LIMITS[precision], f"{engine} {precision}: {error}")
    columns = ["engine", "precision", "images/s", "cosine distance"]
    yield Table(f"JPEG files to descriptors, batch of {batch}, {count} files", columns, rows)
    trials.finish()


def kernels(asked: Asked) -> Iterator[Table]:
    """Where the device's time goes: a batch of descriptors, then a training step from kept maps."""
    net, device, trials = network(asked.settings), asked.device, Trials()
    for name, precision in PROFILED[device.type]:
        with trials.trial(f"{name} {precision}"), inference(net, device):
            engine = choose_engine(net, name, precision, device)
            prepared = net.prepare(photos(asked.settings, asked.batch).to(device))
            describe = partial(extract_prepared, net, prepared, precision, engine)
            yield _profiled(f"Kernels of a batch of {asked.batch}, {name}, {precision}", describe, device)
    for precision in ("fp32", "bf16"):
        with trials.trial(f"step {precision}"):
            step = _step(asked, precision)
            yield _profiled(f"Kernels of a step of {TUPLES} tuples, {precision}", step, device)
    trials.finish()


def _step(asked: Asked, precision: str) -> Callable[[], Any]:
    net = without_whitening(network(asked.settings))
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
    rows = [
        [f"`{each.key[:90]}`", each.count, f"{times[each.key]:.3f}", f"{times[each.key] / total:.0%}"]
        for each in sorted(events, key=lambda each: -times[each.key])[:KERNELS]
    ]
    note = f"Without the profiler: {taken * 1e3:.2f} ms. All kernels together: {total:.2f} ms."
    return Table(title, ["kernel", "calls", "ms", "share"], rows, note)
