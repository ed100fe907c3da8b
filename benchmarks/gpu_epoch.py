"""For `python -m benchmarks.gpu`: an epoch of Pitts30k's size through the training loop itself."""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Settings, Table, require
from deepibl.datasets import PlaceDataset, load_dbstruct
from deepibl.toycity import make_city
from deepibl.trainers import TRAINERS
from deepibl.training.events import BatchReport, TrainingListener
from deepibl.training.session import Course, run_session
from deepibl.training.state import TrainingState
from matlab_compat.simplenn import SimpleNN

SPLITS = {"train": (10_000, 7_416), "val": (10_000, 7_608)}  # Pitts30k: database images, queries
OPTIONS: dict[str, Any] = {
    "netID": "vd16",
    "layerName": "conv5_3",
    "method": "vlad_preL2_intra",
    "backPropToLayer": "conv5_1",
    "learningRate": 1e-4,
    "compFeatsFrequency": 1000,
    "saveFrequency": 10_000,
    "computeBatchSize": 32,
}


@dataclass(frozen=True)
class Way:
    """How an epoch is trained: options of speed, and which part of the city, at most."""

    name: str
    speed: Mapping[str, Any]
    share: float = 1.0


WAYS = (
    Way("layers below computed every time, fp32", {"trunkCache": "off"}, 0.02),
    Way("maps kept, fp32", {"trunkCacheGB": 100}),
    Way("maps kept, fp16; conv5 in bf16", {"trunkCacheDtype": "fp16", "trainPrecision": "bf16"}),
)


@dataclass
class Stopwatch(TrainingListener):
    """Seconds of each epoch, of the steps in it, and what is said of the maps."""

    starts: list[float] = field(default_factory=list)
    steps: dict[int, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    note: str = ""

    def noted(self, what: str) -> None:
        self.note = what.partition(" (")[0]

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        self.starts.append(time.perf_counter())

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        self.steps[report.epoch] = self.steps.get(report.epoch, 0.0) + report.seconds
        self.losses.append(report.loss)

    def finished(self, state: TrainingState) -> None:
        self.starts.append(time.perf_counter())


def epoch(
    net: SimpleNN, device: torch.device, settings: Settings, share: float = 1.0, photos: Path | None = None
) -> Table:
    """Seconds of an epoch, refreshes and tests included: the second one, whose maps are kept already.

    share: of the city's images; a part's seconds are also given for all of Pitts30k, as if all grew alike.
    photos: a folder where the city's photos stay for the next call.
    """
    whole = net.with_layers([layer for layer in net if layer.name not in ("WPCA", "finalL2")])
    rows, losses = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, way in enumerate(WAYS):
            part = min(share, way.share)
            sets = city(photos or Path(folder), part, settings)
            watch = train(whole, sets, way, part, device, f"{folder}/way{number}_")
            losses.append(watch.losses)
            taken = watch.starts[-1] - watch.starts[-2]
            steps = watch.steps[max(watch.steps)]
            images = "+".join(str(each.numQueries + each.numImages) for each in sets)
            rows.append(
                [way.name, images, f"{taken:.1f}", f"{steps:.1f}", f"{taken - steps:.1f}",
                 f"{taken / part:.0f}", watch.note]
            )  # fmt: skip
    if settings.smoke:
        require(losses[0] == losses[1][: len(losses[0])], "kept maps change the losses")
    columns = [
        "how",
        "images (train+val)",
        "s an epoch",
        "steps",
        "refreshes, tests",
        "s for Pitts30k",
        "maps",
    ]
    note = "The training loop itself, by trainGaussKernalInd with random weights, on the toy city's photos."
    return Table("An epoch of Pitts30k's size", columns, rows, note)


def city(folder: Path, part: float, settings: Settings) -> list[PlaceDataset]:
    """That part of the sets, photographed (what is there is kept)."""
    size = (64, 48) if settings.smoke else (640, 480)
    workers = 1 if settings.smoke else os.cpu_count() or 1
    where = folder / f"city{part:g}"
    sets = []
    for split, (images, queries) in SPLITS.items():
        counts = {"images": max(40, round(images * part)), "queries": max(8, round(queries * part))}
        path = make_city(where, **counts, size=size, split=split, workers=workers, progress=False)
        sets.append(load_dbstruct(path, root=where))
    return sets


def train(
    net: SimpleNN, sets: list[PlaceDataset], way: Way, part: float, device: torch.device, prefix: str
) -> Stopwatch:
    """Two epochs, or one where nothing is kept."""
    watch = Stopwatch()
    epochs = 1 if way.speed.get("trunkCache") == "off" else 2
    refresh = max(8, round(OPTIONS["compFeatsFrequency"] * part))
    given = {**OPTIONS, **way.speed, "sessionID": "run", "nEpoch": epochs, "compFeatsFrequency": refresh}
    given["useGPU"] = device.type == "cuda"
    course = Course(TRAINERS["trainGaussKernalInd"], *sets, lambda options: copy.deepcopy(net), prefix)
    run_session(course, given, [watch])
    return watch
