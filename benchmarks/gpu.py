"""python -m benchmarks.gpu [--smoke]: everything that needs a GPU, in one call; prints Markdown tables.

CPU/GPU parity with TF32 off; extraction by engine and precision as a share of the card's own convolution
peak, and from JPEG files; an epoch of Pitts30k's size on the toy city, through the training loop, with and
without the trunk cache; the tests marked gpu, the golden networks and trainings among them. NOT RUN where it
was written: there was no GPU. `--smoke` walks through it on any machine, on the CPU if there is no GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.extraction import distance, gigaflop, network, photos
from benchmarks.gpu_checks import from_files, tests_on_the_gpu
from benchmarks.gpu_epoch import epoch
from benchmarks.measure import Settings, Table, require
from deepibl.describe import describe_prepared, inference
from deepibl.engine import Engine, choose_engine


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on any device")
    parser.add_argument("--batch", type=int, default=32, help="images at a time")
    parser.add_argument("--share", type=float, default=1.0, help="of the epoch's images: less takes less")
    parser.add_argument("--city", type=Path, help="folder where the epoch's photos stay for the next call")
    options = parser.parse_args(arguments)
    settings = Settings(smoke=options.smoke)
    if not torch.cuda.is_available() and not options.smoke:
        parser.error("no CUDA device is here; --smoke walks through the script on the CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU: the CPU"
    batch = 2 if options.smoke else options.batch
    net = network(settings)
    size = (48, 64) if options.smoke else (480, 640)
    images = photos(batch, *size)
    peak = convolution_peak(device, settings)
    print(f"card: {card}; torch {torch.__version__}; bf16 convolution peak {peak:.1f} TFLOP/s")
    parity(net, images[:2], device).print()
    extraction(net, images, device, peak).print()
    from_files(net, device, batch, settings).print()
    epoch(net, device, settings, 0.002 if options.smoke else options.share, options.city).print()
    tests_on_the_gpu(settings).print()


def seconds(run: Callable[[], Any], device: torch.device, repeats: int = 10) -> float:
    """Seconds a run, the device's work included, after a few that warm up."""
    for _ in range(5 if device.type == "cuda" else 1):
        run()
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats if device.type == "cuda" else 1):
        run()
    _wait(device)
    return (time.perf_counter() - start) / (repeats if device.type == "cuda" else 1)


def convolution_peak(device: torch.device, settings: Settings) -> float:
    """TFLOP/s of the best of VGG-16's convolutions in bf16, channels last."""
    best = 0.0
    for channels, side in ((8, 16),) if settings.smoke else ((256, 120), (512, 60), (512, 120)):
        x = torch.randn(16, channels, side, side, device=device, dtype=torch.bfloat16)
        x = x.contiguous(memory_format=torch.channels_last)
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1, device=device, dtype=torch.bfloat16)
        layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.inference_mode(), torch.backends.cudnn.flags(benchmark=True):
            taken = seconds(lambda layer=layer, x=x: layer(x), device)
        best = max(best, 16 * 18 * channels**2 * side**2 / taken / 1e12)
    return best


def parity(net: Any, images: torch.Tensor, device: torch.device) -> Table:
    """The device's descriptors against the CPU's, TF32 off: 1e-5."""
    with inference(net, "cpu"):
        want = describe_prepared(net, net.prepare(images))
    with inference(net, device):
        got = describe_prepared(net, net.prepare(images.to(device))).cpu()
    error = float((got - want).abs().max() / want.abs().max())
    require(error <= 1e-5, f"{device.type} and CPU differ by {error}")
    return Table("Parity with the CPU, TF32 off", ["max|a-b| / max|b|", "limit"], [[f"{error:.1e}", "1e-5"]])


def extraction(net: Any, images: torch.Tensor, device: torch.device, peak: float) -> Table:
    """Images a second of every engine and precision, from images on the device."""
    flop = gigaflop(net, *images.shape[2:]) / 1e3
    rows = []
    with inference(net, device):
        prepared = net.prepare(images.to(device))
        want = describe_prepared(net, prepared)
        for name, precision in _ways(device):
            engine = choose_engine(net, name, precision, device)

            def describe(precision: str = precision, engine: Engine = engine) -> torch.Tensor:
                return describe_prepared(net, prepared, precision, engine)

            speed = len(images) / seconds(describe, device)
            error = distance(describe(), want)
            require(error < (1e-5 if precision in ("fp32", "tf32") else 2e-3), f"{engine}: {error}")
            share = f"{speed * flop / peak:.0%}"
            rows.append([name, precision, f"{speed:.1f}", f"{speed * flop:.1f}", share, f"{error:.1e}"])
    columns = ["engine", "precision", "images/s", "TFLOP/s", "of the bf16 peak", "cosine distance"]
    return Table(f"Extraction, batch of {len(images)}, {images.shape[3]}x{images.shape[2]}", columns, rows)


def _ways(device: torch.device) -> list[tuple[str, str]]:
    if device.type != "cuda":
        return [("torch", "fp32"), ("torch", "bf16")]
    return [
        ("torch", "fp32"),
        ("torch", "bf16"),
        *(("cuda", precision) for precision in ("fp32", "tf32", "bf16", "fp16")),
    ]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
