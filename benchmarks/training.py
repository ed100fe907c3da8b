"""A training step and a refresh of features: layers below conv5_1 computed again, or their maps kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import baseline
from benchmarks.extraction import distance, network, photos
from benchmarks.measure import Settings, Table, paired, peak_memory, require
from deepibl.engine import keep_buffers, release_buffers
from deepibl.engine.settings import ExtractionSettings
from deepibl.features import TrunkCache
from deepibl.features.groups import MapExtractor
from deepibl.losses import SARELoss
from deepibl.training import MinedTuple, Objective, Stepper, TrainingOptions
from deepibl.training.gradients import TupleGradients, TupleReader
from matlab_compat.simplenn import SimpleNN

FIRST, BLOCKS = "conv5_1", 3  # conv5_1 to conv5_3 learn
TUPLE = 12  # a query, its positive, ten negatives
# gradient of conv5_1, |a-b| / |b|; the smoke form's network is a few channels wide
LIMITS = {"anew": 1e-3, "fp16": 5e-2, "bf16": 2e-1}
DISTANCE = {"fp32": 1e-9, "bf16": 2e-3}


def run(settings: Settings) -> Iterator[Table]:
    """The tables of this benchmark, each when it is measured."""
    whole = network(settings)
    net = whole.with_layers([layer for layer in whole if layer.name not in ("WPCA", "finalL2")])
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), TUPLE, *((48, 64) if settings.smoke else (480, 640)))
        yield step(settings, net, paths)
        yield refresh(settings, net, paths)


def write_photos(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """So many different JPEG files."""
    paths = [folder / f"{number:02d}.jpg" for number in range(count)]
    for path, image in zip(paths, photos(count, height, width), strict=True):
        Image.fromarray(image.permute(1, 2, 0).byte().numpy()).save(path, quality=90)
    return paths


class Way:
    """The training's own pieces, for one tuple of image files, in one way of keeping maps and computing."""

    def __init__(
        self, net: SimpleNN, paths: Sequence[Path], store: str, dtype: str, precision: str, stack: ExitStack
    ) -> None:
        names = [path.name for path in paths]
        dataset = SimpleNamespace(
            dbPath=paths[0].parent, dbImageFns=names, qPath=paths[0].parent, qImageFns=names
        )
        self.stepper = Stepper(net, net.index(FIRST), precision=precision)
        folder = paths[0].parent / "maps"
        self.cache = stack.enter_context(TrunkCache(net, FIRST, store=store, dtype=dtype, folder=folder))
        reader = stack.enter_context(TupleReader(dataset, TrainingOptions(), self.cache))
        self._compute = TupleGradients(self.stepper, Objective(SARELoss()), self.cache, reader, 0.0)
        others = np.arange(2, len(paths))
        self._mined = MinedTuple(0, 1, others, others)

    def __call__(self) -> Tensor:
        """Forward and backward; the gradient of the lowest weight that learns."""
        self.stepper.clear()
        self._compute([self._mined])
        gradient = self.stepper.net[FIRST].weight.grad
        assert gradient is not None
        return gradient.clone()


def step(settings: Settings, net: SimpleNN, paths: Sequence[Path]) -> Table:
    """A tuple from its image files to the gradients of all that learns."""
    port = baseline.Port(net)
    lowest = baseline.learn_from(port, BLOCKS)
    ways = {
        "layers below computed again, fp32": ("off", "fp32", "fp32"),
        "maps kept in memory, fp32": ("ram", "fp32", "fp32"),
        "maps kept on disk, fp16": ("disk", "fp16", "fp32"),
        "maps kept in memory, fp32; conv5 in bf16": ("ram", "fp32", "bf16"),
    }
    with ExitStack() as stack:
        candidates: dict[str, Callable[[], Any]] = {
            name: lambda: baseline.tuple_step(port, lowest, paths)
            for name in ("usual port", "usual port, buffers kept as ours")
        }
        candidates |= {name: Way(net, paths, *how, stack) for name, how in ways.items()}
        medians, results = paired(candidates, 5 if settings.full else 2, _buffers)
        release_buffers()
        memory = {name: peak_memory(candidates[name]) for name in list(ways)[:2]}
    anew, kept, half, low = (results[name] for name in ways)
    require(torch.equal(anew, kept), "kept maps change the gradient")
    port_gradient = results["usual port"]
    errors = {name: _apart(results[name], port_gradient) for name in candidates}
    for found, kind in ((anew, "anew"), (half, "fp16"), (low, "bf16")):
        error = _apart(found, port_gradient)
        require(error <= LIMITS[kind], f"gradient of {FIRST}, {kind}: {error}")
    rows = [
        [name, f"{m.seconds:.2f}", f"{m.ratio:.1f}", f"{m.cpu_ratio:.1f}", f"{errors[name]:.1e}",
         f"{memory[name]:.0f}" if name in memory else "–"]
        for name, m in medians.items()
    ]  # fmt: skip
    columns = ["how", "s", "x port", "x port (processor time)", f"gradient of {FIRST}", "MB"]
    note = (
        "From JPEG files to gradients, backward to conv5_1; gradient: |a-b| / |b| against the port's. "
        "Kept maps give the gradient of computing them again bit for bit."
    )
    return Table(f"A tuple of {len(paths)} images, forward and backward", columns, rows, note)


def refresh(settings: Settings, net: SimpleNN, paths: Sequence[Path]) -> Table:
    """Features of images whose maps are kept, against the whole network on the files."""
    port = baseline.Port(net).eval()
    some = paths[:4] if not settings.full else paths[:10]
    with TrunkCache(net, FIRST, store="ram") as cache:
        cache.maps(some)
        candidates: dict[str, Callable[[], Any]] = {
            "usual port, whole network": lambda: baseline.extract(port, some, len(some))
        }
        for engine, precision in (("torch", "fp32"), ("auto", "fp32"), ("auto", "bf16")):
            settings_ = ExtractionSettings(precision=precision, engine=engine, batch_size=len(some))
            extractor = MapExtractor(cache, settings_)
            name = f"from kept maps, {precision}, --engine {engine}"
            candidates[name] = lambda extractor=extractor: _extract(extractor, some)
        with torch.inference_mode():
            medians, results = paired(candidates, 5 if settings.full else 2)
    rows = []
    want = torch.from_numpy(results["usual port, whole network"])
    for name, median in medians.items():
        error = distance(torch.from_numpy(results[name]), want)
        require(error <= DISTANCE["bf16" if "bf16" in name else "fp32"], f"{name}: {error}")
        rows.append(
            [name, f"{1e3 * median.seconds / len(some):.0f}", f"{median.ratio:.1f}",
             f"{median.cpu_ratio:.1f}", f"{error:.1e}"]
        )  # fmt: skip
    columns = ["how", "ms an image", "x port", "x port (processor time)", "cosine distance"]
    return Table(f"Features again for a refresh, {len(some)} images at a time", columns, rows)


def _buffers(name: str) -> None:
    """The port leaves the allocator as it is; training keeps its buffers."""
    release_buffers() if name == "usual port" else keep_buffers()


def _extract(extractor: MapExtractor, paths: Sequence[Path]) -> np.ndarray:
    maps = [extractor.ready(extractor.load(str(path)), str(path)) for path in paths]
    return extractor.extract([each for each in maps if isinstance(each, Tensor)]).cpu().numpy()


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())
