"""A training step and a refresh of features: layers below conv5_1 computed again, or their maps kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from benchmarks import baseline
from benchmarks.extraction import LIMITS, PORT, distance, network, without_whitening, write_photos
from benchmarks.measure import Case, Settings, Table, paired, peak_memory, require
from deepibl.engine.settings import ExtractionSettings
from deepibl.features import BackboneCache
from deepibl.features.groups import MapExtractor
from deepibl.losses import SARELoss
from deepibl.training import MinedTuple, Objective, Stepper, TrainingOptions
from deepibl.training.gradients import TupleGradients, TupleReader
from matlab_compat.simplenn import SimpleNN

FIRST, BLOCKS = "conv5_1", 3  # conv5_1 to conv5_3 learn
TUPLE = 12  # a query, its positive, ten negatives
ANEW, KEPT = "layers below computed again, fp32", "maps kept in memory, fp32"
# store, type of the maps, precision; limit of the gradient of conv5_1, |a-b| / |b| (the smoke form's network
# is a few channels wide)
WAYS = {
    ANEW: ("off", "fp32", "fp32", 1e-3),
    KEPT: ("ram", "fp32", "fp32", 1e-3),
    "maps kept on disk, fp16": ("disk", "fp16", "fp32", 5e-2),
    "maps kept in memory, fp32; conv5 in bf16": ("ram", "fp32", "bf16", 2e-1),
}


def run(settings: Settings) -> Iterator[Table]:
    net = without_whitening(network(settings))
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(settings, Path(folder), TUPLE)
        yield step(settings, net, paths)
        yield refresh(settings, net, paths)


class TupleStep:
    """Forward and backward of one tuple of image files by the training's own pieces."""

    def __init__(
        self, net: SimpleNN, paths: Sequence[Path], store: str, dtype: str, precision: str, stack: ExitStack
    ) -> None:
        folder, names = paths[0].parent, [path.name for path in paths]
        dataset = SimpleNamespace(
            database_root=folder, database_names=names, query_root=folder, query_names=names
        )
        self.stepper = Stepper(net, net.index(FIRST), precision=precision)
        kept = folder / "maps"
        self.cache = stack.enter_context(BackboneCache(net, FIRST, store=store, dtype=dtype, folder=kept))
        reader = stack.enter_context(TupleReader(dataset, TrainingOptions(), self.cache))
        self._compute = TupleGradients(self.stepper, Objective(SARELoss()), self.cache, reader, 0.0)
        others = np.arange(2, len(paths))
        self._mined = MinedTuple(0, 1, others, others)

    def __call__(self) -> Tensor:
        """The gradient of the lowest weight that learns."""
        self.stepper.clear()
        (outcome,) = self._compute([self._mined])
        self.loss = outcome.loss
        gradient = self.stepper.net[FIRST].weight.grad
        assert gradient is not None
        return gradient.clone()


def step(settings: Settings, net: SimpleNN, paths: Sequence[Path]) -> Table:
    """A tuple from its image files to the gradients of all that learns."""
    port = baseline.Port(net)
    lowest = baseline.learn_from(port, BLOCKS)

    def usual() -> Tensor:
        return baseline.tuple_step(port, lowest, paths)

    cases = {PORT: Case(usual, keep=False), f"{PORT}, buffers kept as ours": Case(usual, 1e-6, keep=True)}
    with ExitStack() as stack:
        for name, (*how, limit) in WAYS.items():
            cases[name] = Case(TupleStep(net, paths, *how, stack), limit * settings.slack, keep=True)
        rounds = 5 if settings.full else 2
        found = paired(cases, rounds, lambda a, b: float((a - b).norm() / b.norm()), f"gradient of {FIRST}")
        memory = {name: f"{peak_memory(cases[name].run):.0f}" for name in (ANEW, KEPT)}
    require(torch.equal(found[ANEW].result, found[KEPT].result), "kept maps change the gradient")
    rows = [
        [name, *each.cells("seconds:.2f", "ratio:.1f", "cpu_ratio:.1f", "error:.1e"), memory.get(name, "–")]
        for name, each in found.items()
    ]
    columns = ["how", "s", "x port", "x port (processor time)", f"gradient of {FIRST}", "MB"]
    note = (
        "From JPEG files to gradients, backward to conv5_1; gradient: |a-b| / |b| against the port's. "
        "Kept maps give the gradient of computing them again bit for bit."
    )
    return Table(f"A tuple of {len(paths)} images, forward and backward", columns, rows, note)


def refresh(settings: Settings, net: SimpleNN, paths: Sequence[Path]) -> Table:
    """Features of images whose maps are kept, against the whole network on the files."""
    port = baseline.Port(net).eval()
    some = paths[:10] if settings.full else paths[:4]
    with BackboneCache(net, FIRST, store="ram") as cache:
        cache.maps(some)
        cases = {f"{PORT}, whole network": Case(lambda: baseline.extract(port, some, len(some)), keep=True)}
        for engine, precision in (("torch", "fp32"), ("auto", "fp32"), ("auto", "bf16")):
            extractor = MapExtractor(
                cache, ExtractionSettings(precision=precision, engine=engine, batch_size=len(some))
            )
            cases[f"from kept maps, {precision}, --engine {engine}"] = Case(
                lambda extractor=extractor: _extract(extractor, some),
                LIMITS[precision] * settings.slack,
                keep=True,
            )
        with torch.inference_mode():
            found = paired(cases, 5 if settings.full else 2, distance, "refresh")
    rows = [
        [
            name,
            f"{1e3 * each.seconds / len(some):.0f}",
            *each.cells("ratio:.1f", "cpu_ratio:.1f", "error:.1e"),
        ]
        for name, each in found.items()
    ]
    columns = ["how", "ms an image", "x port", "x port (processor time)", "cosine distance"]
    return Table(f"Features again for a refresh, {len(some)} images at a time", columns, rows)


def _extract(extractor: MapExtractor, paths: Sequence[Path]) -> np.ndarray:
    maps = [extractor.ready(extractor.load(str(path)), str(path)) for path in paths]
    return extractor.extract([each for each in maps if isinstance(each, Tensor)]).cpu().numpy()
