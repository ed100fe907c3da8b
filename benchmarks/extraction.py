"""Descriptors of images on this CPU: every engine and precision against the usual port."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.baseline import Port, extract as port_extract
from benchmarks.measure import Case, Settings, Table, paired, peak_memory
from deepibl.engine import Scales, choose_engine, onednn, quantised
from deepibl.engine.batch import extract_prepared
from deepibl.engine.scales import measure
from deepibl.features import extract
from deepibl.images import read_image
from deepibl.images.kinds import left_out
from deepibl.networks import LayerVLAD, add_pooling, load_network
from deepibl.networks.build import add_pre_l2
from deepibl.networks.clusters import cluster, local_descriptors
from deepibl.runtime import inference
from matlab_compat import matfile
from matlab_compat.simplenn import SimpleNN
from tests.released_layout import released_network

CPU = torch.device("cpu")
PORT = "usual port"
LIMITS = {"fp32": 1e-9, "bf16": 2e-3, "int8": 2e-2}  # cosine distance to the port
ENGINES = (("torch", "fp32"), ("torch", "bf16"), ("fused", "fp32"), ("fused", "bf16"), ("fused", "int8"))
LAST = "conv5_3"  # of a backbone that is given without NetVLAD
CALIBRATED = 16  # photos that int8's scales are measured on


def network(settings: Settings) -> SimpleNN:
    """The network given, else one of the released layout with random weights, narrow for the smoke form.

    A backbone gets NetVLAD (vlad_preL2_intra) after conv5_3, with the clusters given or those of its photos.
    """
    assert LayerVLAD  # registers NetVLAD's layers
    if settings.network is None:
        return SimpleNN.from_matlab(released_network(small=settings.smoke))
    net = load_network(settings.network)
    if "vlad:core" in net.names:
        return net
    net = net.with_layers(list(net)[: net.index(LAST) + 1])
    some = photos(settings, 4)
    descriptors = local_descriptors(add_pre_l2(net), some.__getitem__, len(some), per_image=1000)
    if settings.clusters is None:
        centres = cluster(descriptors, 64)
    else:
        centres = np.asarray(matfile.load(settings.clusters, ["clsts"])["clsts"]).T
    return add_pooling(net, "vlad_preL2_intra", centres=centres, descriptors=descriptors)


def without_whitening(net: SimpleNN) -> SimpleNN:
    """The network as it is trained: without the layers that addPCA adds."""
    return net.with_layers([layer for layer in net if layer.name not in ("WPCA", "finalL2")])


def image_size(settings: Settings) -> tuple[int, int]:
    return (48, 64) if settings.smoke else (480, 640)


def gigaflop(net: SimpleNN, height: int, width: int) -> float:
    """GFLOP of the backbone for an image: 2 for each multiplication of a direct convolution."""
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


def photos(settings: Settings, count: int, seed: int = 0, size: tuple[int, int] | None = None) -> Tensor:
    """Pictures (N, 3, H, W), float32, whole numbers 0-255: the given ones scaled, else smooth random ones.

    seed: 0, or 1 for other ones (as far as there are enough). size: height and width, if not `image_size`.
    """
    height, width = size or image_size(settings)
    if settings.images is not None:
        found = sorted(path for path in settings.images.rglob("*") if left_out(path) is None)
        if not found:
            raise SystemExit(f"{settings.images} holds no photos")
        files = found[:: (1 - 2 * seed) * -(-len(found) // 64)]  # at most 64; other ones from the end
        some = [read_image(files[i % len(files)], (height, width)) for i in range(count)]
        return torch.stack(some).clamp(0, 255).round()
    coarse = torch.rand(count, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 255).round()


def write_photos(
    settings: Settings, folder: Path, count: int, size: tuple[int, int] | None = None, different: int = 32
) -> list[Path]:
    """JPEG files of `different` pictures, again and again: what is in them does not change the time."""
    pictures = photos(settings, min(count, different), 0, size).permute(0, 2, 3, 1).byte().numpy()
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for path, picture in zip(paths, pictures, strict=False):
        Image.fromarray(picture).save(path, quality=90)
    for number in range(len(pictures), count):
        shutil.copyfile(paths[number % len(pictures)], paths[number])
    return paths


def scales(settings: Settings, net: SimpleNN, precision: str) -> Scales | None:
    """For int8: measured on other pictures; narrow networks, of the smoke form, need more of them."""
    if precision != "int8":
        return None
    count = 32 if settings.smoke else CALIBRATED if settings.images else 2
    return measure(net, [net.prepare(each[None]) for each in photos(settings, count, seed=1)])


def engines() -> Iterator[tuple[str, str]]:
    """Engines that this machine offers, each with its precisions."""
    for name, precision in ENGINES:
        if name == "fused" and (onednn.available() or not onednn.instructions(precision)):
            continue
        if precision != "int8" or not quantised.available():
            yield name, precision


def distance(a: Any, b: Any) -> float:
    a, b = (torch.tensor(each) if isinstance(each, np.ndarray) else each for each in (a, b))
    return max(0.0, float((1 - F.cosine_similarity(a.double(), b.double())).max()))


def run(settings: Settings) -> Iterator[Table]:
    net = network(settings)
    port = Port(net).eval()
    for batch in settings.batches[:1] if settings.smoke else settings.batches:
        yield _batches(settings, net, port, photos(settings, batch))
    yield _files(settings, net, port)


def _batches(settings: Settings, net: SimpleNN, port: Port, images: Tensor) -> Table:
    count, _, height, width = images.shape
    cases = {PORT: Case(lambda: port(images), keep=False)}
    with inference(net):
        for name, precision in engines():
            engine = choose_engine(net, name, precision, CPU, scales=scales(settings, net, precision))

            def describe(precision: str = precision, engine: Any = engine) -> Tensor:
                return extract_prepared(net, net.prepare(images), precision, engine)

            cases[f"{name} {precision}"] = Case(describe, LIMITS[precision] * settings.slack, name == "fused")
        found = paired(cases, settings.rounds, distance, f"batch of {count}")
        memory = {name: peak_memory(case.run) for name, case in cases.items()}
    flop, rows = gigaflop(net, height, width), []
    for name, each in found.items():
        speed = count / each.seconds
        ratios, (error,) = each.cells("ratio:.2f", "cpu_ratio:.2f"), each.cells("error:.1e")
        rows.append([name, f"{speed:.2f}", *ratios, f"{flop * speed:.0f}", error, f"{memory[name]:.0f}"])
    columns = ["engine", "images/s", "x port", "x port (processor time)", "GFLOP/s", "cosine distance", "MB"]
    note = (
        f"{width}x{height}, {flop:.1f} GFLOP an image counted as direct convolutions; MB: by how much memory "
        "rose during a pass with glibc's usual thresholds, packed filters not counted."
    )
    return Table(f"Descriptors, batch of {count}", columns, rows, note)


def _files(settings: Settings, net: SimpleNN, port: Port) -> Table:
    count = 4 if settings.smoke else 32 if settings.full else 12
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(settings, Path(folder), count)
        cases = {PORT: Case(lambda: port_extract(port, paths, 2), keep=False)}
        for precision in {precision: None for _, precision in engines()}:
            how = {"precision": precision, "scales": scales(settings, net, precision), "progress": False}
            job = partial(extract, net, paths, batch_size=2, **how)
            cases[f"extract {precision}"] = Case(job, LIMITS[precision] * settings.slack, keep=True)
        found = paired(cases, 3 if settings.full else 1, distance, "JPEG files")
    rows = [
        [name, f"{count / each.seconds:.2f}", *each.cells("ratio:.2f", "error:.1e")]
        for name, each in found.items()
    ]
    columns = ["from JPEG files, --engine auto", "images/s", "x port", "cosine distance"]
    return Table(f"{count} JPEG files to descriptors, batch of 2", columns, rows)
