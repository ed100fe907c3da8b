"""For `python -m benchmarks.gpu`: the card, what it and the bus to it can do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import torch
import torchvision

from benchmarks.gpu_run import Asked, seconds
from benchmarks.measure import Settings, Table
from deepibl.runtime.devices import fastest_convolutions, free_memory


def env(asked: Asked) -> Iterator[Table]:
    """The card and the software at once, then speeds as they are measured."""
    device = asked.device
    rows = [
        ["torch", f"{torch.__version__}, torchvision {torchvision.__version__}, CUDA {torch.version.cuda}"],
        ["processors", os.cpu_count()],
        ["free memory", f"{free_memory() / 1e9:.0f} GB"],
        ["free disk, temporary files", f"{shutil.disk_usage(tempfile.gettempdir()).free / 1e9:.0f} GB"],
    ]
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        about = torch.cuda.get_device_properties(device)
        rows += [
            ["card", f"{about.name}, {about.multi_processor_count} SMs, {about.major}.{about.minor}"],
            ["its memory", f"{total / 1e9:.1f} GB, {free / 1e9:.1f} GB free"],
            ["driver", _driver()],
            ["cuDNN", torch.backends.cudnn.version()],
        ]
    yield Table("Machine", ["what", "found"], rows)
    yield Table("Speeds", ["what", "measured"], [[name, f"{x:.1f}"] for name, x in _speeds(asked)])


def _driver() -> str:
    words = ["nvidia-smi", "--query-gpu=driver_version,pcie.link.gen.current,pcie.link.width.current"]
    try:
        done = subprocess.run([*words, "--format=csv,noheader"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "no nvidia-smi"
    return done.stdout.strip().replace(", ", ", PCIe generation ", 1) or "nvidia-smi printed nothing"


def _speeds(asked: Asked) -> Iterator[tuple[str, float]]:
    device, count = asked.device, 1 << (16 if asked.settings.smoke else 28)
    a = torch.zeros(count, dtype=torch.uint8, device=device)
    big = torch.zeros(8 * count, dtype=torch.uint8, device=device)
    yield "memory read and written, GB/s", 16e-9 * count / seconds(lambda: big.clone(), device)
    for name in ("pinned", "pageable") if device.type == "cuda" else ():
        host = torch.empty(count, dtype=torch.uint8, pin_memory=name == "pinned")
        up = seconds(lambda host=host: a.copy_(host, non_blocking=True), device)
        down = seconds(lambda host=host: host.copy_(a, non_blocking=True), device)
        yield f"to the card from {name} memory, GB/s", 1e-9 * count / up
        yield f"from the card to {name} memory, GB/s", 1e-9 * count / down
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)):
        yield f"convolution {name}, TFLOP/s", convolution_peak(device, asked.settings, dtype)


def convolution_peak(device: torch.device, settings: Settings, dtype: torch.dtype = torch.bfloat16) -> float:
    """TFLOP/s of the best of VGG-16's convolutions, channels last, without TF32."""
    images, best = 16, 0.0
    for channels, side in ((8, 16),) if settings.smoke else ((256, 120), (512, 60), (512, 120)):
        x, filters = (
            torch.randn(*shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((images, channels, side, side), (channels, channels, 3, 3))
        )
        with torch.inference_mode(), fastest_convolutions(tf32=False):
            taken = seconds(lambda x=x, filters=filters: torch.conv2d(x, filters, padding=1), device)
        operations = images * side**2 * channels**2 * 9 * 2  # 9 products a filter, each with its addition
        best = max(best, operations / taken / 1e12)
    return best
