"""For `python -m benchmarks.gpu`: the card, what it and the bus to it can do, and what is installed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torchvision
from PIL import Image

from benchmarks.gpu_run import Asked
from benchmarks.measure import Settings, Table
from deepibl.features.trunk_store import free_memory
from deepibl.images import nvjpeg
from deepibl.runtime.devices import fastest_convolutions


def env(asked: Asked) -> Iterator[Table]:
    """The card and the software at once, then speeds as they are measured."""
    device = asked.device
    rows = [
        ["torch", f"{torch.__version__}, torchvision {torchvision.__version__}, CUDA {torch.version.cuda}"],
        ["processors", os.cpu_count()],
        ["free memory", f"{free_memory() / 1e9:.0f} GB"],
        ["free disk, temporary files", f"{shutil.disk_usage('/tmp').free / 1e9:.0f} GB"],
    ]
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        about = torch.cuda.get_device_properties(device)
        rows += [
            ["card", f"{about.name}, {about.multi_processor_count} SMs, {about.major}.{about.minor}"],
            ["its memory", f"{total / 1e9:.1f} GB, {free / 1e9:.1f} GB free"],
            ["driver", _driver()],
            ["cuDNN", torch.backends.cudnn.version()],
            ["nvJPEG by torchvision", _nvjpeg(device)],
        ]
    yield Table("Machine", ["what", "found"], rows)
    yield Table("Speeds", ["what", "measured"], [[name, f"{x:.1f}"] for name, x in _speeds(asked).items()])


def _driver() -> str:
    try:
        words = ["nvidia-smi", "--query-gpu=driver_version,pcie.link.gen.current,pcie.link.width.current"]
        done = subprocess.run([*words, "--format=csv,noheader"], capture_output=True, text=True, timeout=30)
        return done.stdout.strip().replace(", ", ", PCIe generation ", 1) or "nvidia-smi says nothing"
    except (OSError, subprocess.TimeoutExpired):
        return "no nvidia-smi"


def _nvjpeg(device: torch.device) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (10, 20, 30)).save(buffer, "JPEG")
    data = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    try:
        return f"decodes {tuple(nvjpeg([data], device)[0].shape)}"
    except Exception as refusal:
        return f"no: {str(refusal).splitlines()[0]}"


def _speeds(asked: Asked) -> dict[str, float]:
    device, count = asked.device, 1 << (16 if asked.settings.smoke else 28)
    found = {}
    a = torch.zeros(count, dtype=torch.uint8, device=device)
    big = torch.zeros(8 * count, dtype=torch.uint8, device=device)
    found["memory read and written, GB/s"] = 16e-9 * count / seconds(lambda: big.clone(), device)
    if device.type == "cuda":
        for name, host in (
            ("pinned", torch.empty(count, dtype=torch.uint8, pin_memory=True)),
            ("pageable", torch.empty(count, dtype=torch.uint8)),
        ):
            up = seconds(lambda host=host: a.copy_(host, non_blocking=True), device)
            down = seconds(lambda host=host: host.copy_(a, non_blocking=True), device)
            found[f"to the card from {name} memory, GB/s"] = 1e-9 * count / up
            found[f"from the card to {name} memory, GB/s"] = 1e-9 * count / down
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)):
        found[f"convolution {name}, TFLOP/s"] = convolution_peak(device, asked.settings, dtype)
    return found


def seconds(run: Callable[[], Any], device: torch.device, repeats: int = 20) -> float:
    """Seconds a run, the device's work included, after a few that warm up."""
    count = repeats if device.type == "cuda" else 1
    for _ in range(5 if device.type == "cuda" else 1):
        run()
    wait(device)
    start = time.perf_counter()
    for _ in range(count):
        run()
    wait(device)
    return (time.perf_counter() - start) / count


def convolution_peak(device: torch.device, settings: Settings, dtype: torch.dtype = torch.bfloat16) -> float:
    """TFLOP/s of the best of VGG-16's convolutions, channels last, without TF32."""
    best = 0.0
    for channels, side in ((8, 16),) if settings.smoke else ((256, 120), (512, 60), (512, 120)):
        x = torch.randn(16, channels, side, side, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        filters = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
        filters = filters.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), fastest_convolutions(tf32=False):
            taken = seconds(lambda x=x, filters=filters: torch.conv2d(x, filters, padding=1), device)
        best = max(best, 16 * 18 * channels**2 * side**2 / taken / 1e12)
    return best


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
