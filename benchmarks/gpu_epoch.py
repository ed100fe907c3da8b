"""For `python -m benchmarks.gpu`: an epoch of Pitts30k's size through the training loop itself."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.extraction import image_size, network, without_whitening
from benchmarks.gpu_run import Asked, Trials
from benchmarks.measure import Settings, Table, require
from deepibl.datasets import PlaceDataset, load_dbstruct
from deepibl.toycity import make_city
from deepibl.training import BatchReport, TrainingListener, TrainingState
from deepibl.training.session import train
from matlab_compat.simplenn import SimpleNN

SPLITS = {"train": (10_000, 7_416), "val": (10_000, 7_608)}  # Pitts30k: database images, queries
OPTIONS: dict[str, Any] = {
    "first_trained_layer": "conv5_1",
    "learning_rate": 1e-4,
    "refresh_interval": 1000,
    "save_interval": 10_000,
    "extraction_batch_size": 32,
}


@dataclass(frozen=True)
class Way:
    """How an epoch is trained: options of speed, and which part of the city, at most."""

    name: str
    speed: Mapping[str, Any]
    share: float = 1.0


WAYS = (
    Way("layers below computed every time, fp32", {"backbone_cache": "off"}, 0.02),
    Way("maps kept, fp32", {"backbone_cache_gb": 100}),
    Way("maps kept, fp16; conv5 in bf16", {"backbone_cache_dtype": "fp16", "precision": "bf16"}),
)


@dataclass
class Stopwatch(TrainingListener):
    """Seconds of the epoch and of its steps, mining included; losses; the note about kept maps."""

    begun: float = 0.0
    taken: float = 0.0
    steps: float = 0.0
    losses: list[float] = field(default_factory=list)
    note: str = ""

    def noted(self, what: str) -> None:
        self.note = what.partition(";")[0].replace(" (", ", ")

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        self.begun = time.perf_counter()

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        self.steps += report.seconds
        self.losses.append(report.loss)

    def finished(self, state: TrainingState) -> None:
        self.taken = time.perf_counter() - self.begun


def take_photos(asked: Asked) -> Iterator[Table]:
    """The epoch's photos, in the folder of --city, where a later call finds them."""
    if asked.city is None:
        yield Table("City", ["photos"], [["no --city FOLDER: the epoch makes its own"]])
        return
    start = time.perf_counter()
    rows = []
    for part in sorted({min(asked.share, WAYS[number - 1].share) for number in asked.ways}):
        sets = city(asked.city, part, asked.settings)
        rows.append([f"{part:g}", sum(each.query_count + each.database_size for each in sets)])
    note = f"{time.perf_counter() - start:.0f} s; photos that exist are not made again."
    yield Table("City", ["share of Pitts30k", "photos"], rows, note)


def epoch(asked: Asked) -> Iterator[Table]:
    """Seconds of an epoch, refreshes and tests included, whose maps are kept already: the test before it has
    computed all of them. Seconds for a part of Pitts30k are also scaled to all of it.
    """
    net = without_whitening(network(asked.settings))
    losses, trials = {}, Trials()
    for number in asked.ways:
        way = WAYS[number - 1]
        with trials.trial(way.name), tempfile.TemporaryDirectory() as folder:
            part = min(asked.share, way.share)
            sets = city(asked.city or Path(folder), part, asked.settings)
            if asked.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(asked.device)
            start = time.perf_counter()
            watch = one_epoch(net, sets, way, part, asked.device, f"{folder}/")
            whole = time.perf_counter() - start
            losses[number] = watch.losses
            yield _table(way, part, sets, watch, whole, asked.device)
    if asked.settings.smoke and {1, 2} <= set(losses):
        require(losses[1] == losses[2][: len(losses[1])], "kept maps change the losses")
    trials.finish()


def _table(
    way: Way, part: float, sets: Sequence[PlaceDataset], watch: Stopwatch, whole: float, device: torch.device
) -> Table:
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    rows = [
        ["images (train+val)", "+".join(str(each.query_count + each.database_size) for each in sets)],
        ["s an epoch", f"{watch.taken:.1f}"],
        ["of these: steps", f"{watch.steps:.1f}"],
        ["refreshes, tests, saving", f"{watch.taken - watch.steps:.1f}"],
        ["before it: maps, first features, first test", f"{whole - watch.taken:.1f}"],
        ["s an epoch of Pitts30k's size", f"{watch.taken / part:.0f}"],
        ["most memory of the GPU", f"{memory:.1f} GB"],
        ["maps", watch.note],
    ]
    note = "The training loop itself, by trainGaussKernalInd with random weights, on the toy city's photos."
    return Table(f"Epoch, {part:g} of Pitts30k: {way.name}", ["what", "measured"], rows, note)


def city(folder: Path, part: float, settings: Settings) -> list[PlaceDataset]:
    """That part of the sets; photos that exist are kept."""
    height, width = image_size(settings)
    workers = 1 if settings.smoke else os.cpu_count() or 1
    where = folder / f"city{part:g}"
    sets = []
    for split, (images, queries) in SPLITS.items():
        counts = {"images": max(40, round(images * part)), "queries": max(8, round(queries * part))}
        path = make_city(where, **counts, size=(width, height), split=split, workers=workers, progress=False)
        sets.append(load_dbstruct(path, root=where))
    return sets


def one_epoch(
    net: SimpleNN, sets: list[PlaceDataset], way: Way, part: float, device: torch.device, prefix: str
) -> Stopwatch:
    """One epoch, after the test before training."""
    watch = Stopwatch()
    refresh = max(8, round(OPTIONS["refresh_interval"] * part))
    given = {**OPTIONS, **way.speed, "refresh_interval": refresh, "use_gpu": device.type == "cuda"}
    train(*sets, net, "gauss-ind", listeners=[watch], session="run", epochs=1, output_prefix=prefix, **given)
    return watch
