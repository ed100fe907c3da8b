"""Descriptors of images on this CPU: every engine and precision against the usual port."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.baseline import Port, extract as port_extract
from benchmarks.measure import Settings, Table, paired, peak_memory, require
from deepibl.cli.process import keep_buffers, release_buffers
from deepibl.engine import Scales, choose_engine, onednn, quantised
from deepibl.engine.describe import describe_prepared
from deepibl.engine.scales import measure
from deepibl.features import extract
from deepibl.networks import LayerVLAD
from deepibl.runtime import inference
from matlab_compat.simplenn import SimpleNN
from scripts.make_released_layout import released_network

CPU = torch.device("cpu")
LIMITS = {"fp32": 1e-9, "bf16": 2e-3, "int8": 2e-2}  # cosine distance to the port


def network(settings: Settings) -> SimpleNN:
    """A network of the released layout with random weights; narrow for the smoke form."""
    assert LayerVLAD  # registers NetVLAD's layers
    return SimpleNN.from_matlab(released_network(small=settings.smoke))


def gigaflop(net: SimpleNN, height: int, width: int) -> float:
    """Of the trunk, an image: 2 for each multiplication of a direct convolution."""
    total = 0.0
    with torch.inference_mode():
        x = torch.zeros(1, 3, height, width)
        for layer in list(net)[: net.index("preL2")]:
            if layer.type == "conv":
                total += 2 * layer.weight[0].numel() * layer.weight.shape[0] * x.shape[2] * x.shape[3]
                x = x[:, :1].expand(-1, layer.weight.shape[0], -1, -1)
            elif layer.type == "pool":
                x = layer(x)
    return total / 1e9


def photos(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures (N, 3, H, W), float32, whole numbers 0-255."""
    coarse = torch.rand(count, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 255).round()


def scales(net: SimpleNN, precision: str, height: int, width: int) -> Scales | None:
    """For int8: measured on other pictures; narrow networks, of the smoke form, need more of them."""
    pictures = photos(2 if height > 100 else 32, height, width, seed=1)
    return measure(net, [net.prepare(each[None]) for each in pictures]) if precision == "int8" else None


def run(settings: Settings) -> Iterator[Table]:
    """The tables of this benchmark, each when it is measured."""
    net = network(settings)
    port = Port(net).eval()
    height, width = (48, 64) if settings.smoke else (480, 640)
    for batch in settings.batches[:1] if settings.smoke else settings.batches:
        images = photos(batch, height, width)
        yield _forward(settings, net, port, images)
    yield _files(settings, net, port, height, width)


def engines() -> Iterator[tuple[str, str]]:
    """Engines of a CPU that this machine offers, each with its precisions."""
    for name in ("torch", "fused"):
        for precision in LIMITS:
            here = name == "torch" or (not onednn.available() and bool(onednn.instructions(precision)))
            if precision == "int8":
                here = here and name == "fused" and not quantised.available()
            if here:
                yield name, precision


def _candidates(net: SimpleNN, port: Port, images: torch.Tensor) -> dict[str, Any]:
    candidates: dict[str, Any] = {"usual port": lambda: port(images)}
    for name, precision in engines():
        measured = scales(net, precision, *images.shape[2:])
        engine = choose_engine(net, name, precision, CPU, scales=measured)

        def describe(precision: str = precision, engine: Any = engine) -> torch.Tensor:
            return describe_prepared(net, net.prepare(images), precision, engine)

        candidates[f"{name} {precision}"] = describe
    return candidates


def _memory_as_used(name: str) -> None:
    """The port and torch run with glibc's own thresholds, the fused engine with the command's."""
    release_buffers() if name == "usual port" or name.startswith("torch") else keep_buffers()


def _forward(settings: Settings, net: SimpleNN, port: Port, images: torch.Tensor) -> Table:
    count, _, height, width = images.shape
    flop = gigaflop(net, height, width)
    with inference(net):
        candidates = _candidates(net, port, images)
        medians, results = paired(candidates, settings.rounds, _memory_as_used)
        release_buffers()
        memory = {name: peak_memory(run) for name, run in candidates.items()}
    rows = []
    for name, median in medians.items():
        error = distance(results[name], results["usual port"])
        require(error <= LIMITS[name[-4:] if name != "usual port" else "fp32"], f"{name}: {error}")
        speed = count / median.seconds
        rows.append(
            [name, f"{speed:.2f}", f"{median.ratio:.2f}", f"{median.cpu_ratio:.2f}", f"{flop * speed:.0f}",
             f"{error:.1e}", f"{memory[name]:.0f}"]
        )  # fmt: skip
    columns = ["engine", "images/s", "x port", "x port (processor time)", "GFLOP/s", "cosine distance", "MB"]
    note = (
        f"{width}x{height}, {flop:.1f} GFLOP an image counted as direct convolutions; MB: by how much memory "
        "rose during a pass with glibc's usual thresholds, packed filters not counted."
    )
    return Table(f"Descriptors, batch of {count}", columns, rows, note)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest cosine distance of corresponding rows."""
    return max(0.0, float((1 - F.cosine_similarity(a.double(), b.double())).max()))


def _files(settings: Settings, net: SimpleNN, port: Port, height: int, width: int) -> Table:
    count = 4 if settings.smoke else 32 if settings.full else 12
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, image in enumerate(photos(count, height, width)):
            paths.append(Path(folder) / f"{i}.jpg")
            Image.fromarray(image.permute(1, 2, 0).byte().numpy()).save(paths[-1], quality=90)
        candidates: dict[str, Any] = {"usual port": lambda: port_extract(port, paths, 2)}
        for precision in LIMITS:
            if precision == "int8" and ("fused", "int8") not in list(engines()):
                continue
            how = {"precision": precision, "scales": scales(net, precision, height, width)}
            candidates[f"extract {precision}"] = lambda how=how: extract(
                net, paths, batch_size=2, progress=False, **how
            )
        medians, results = paired(candidates, 3 if settings.full else 1, _memory_as_used)
    rows = []
    for name, median in medians.items():
        error = distance(*(torch.from_numpy(np.array(results[n])) for n in (name, "usual port")))
        require(error <= LIMITS[name[-4:] if name != "usual port" else "fp32"], f"{name}: {error}")
        rows.append([name, f"{count / median.seconds:.2f}", f"{median.ratio:.2f}", f"{error:.1e}"])
    columns = ["from JPEG files, --engine auto", "images/s", "x port", "cosine distance"]
    return Table(f"{count} JPEG files to descriptors, batch of 2", columns, rows)
