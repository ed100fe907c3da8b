"""A training of seconds: a few generated images on a line of places, and a network of three layers."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deepibl.datasets.place import PlaceDataset
from deepibl.matlab import training as trainers
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.listeners import TrainingListener
from matlab_compat import matfile

PLACES, SIDE, APART = 9, 24, 60.0  # places, pixels, metres between places

OPTIONS: dict[str, Any] = {
    "netID": "tiny",
    "layerName": "conv2",
    "method": "max",
    "batchSize": 2,
    "learningRate": 0.01,
    "nNegChoice": 6,
    "nNegCap": 3,
    "nNegCache": 3,
    "nEpoch": 2,
    "saveFrequency": 2,
    "compFeatsFrequency": 4,
    "nTestSample": 5,
    "nTestRankSample": 5,
    "recallNs": [1, 2, 3, 5, 10],
    "useGPU": False,
    "numThreads": 2,
}


def make_set(folder: Path, name: str, seed: int, places: int = PLACES) -> PlaceDataset:
    """Two database images and a query of each place: the place's picture, shifted and with noise."""
    random = np.random.default_rng(seed)
    names: dict[str, list[str]] = {"db": [], "q": []}
    east: dict[str, list[float]] = {"db": [], "q": []}
    (folder / name).mkdir(parents=True, exist_ok=True)
    for place in range(places):
        picture = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        for which, count in (("db", 2), ("q", 1)):
            for number in range(count):
                image = np.asarray(Image.fromarray(picture).resize((SIDE, SIDE)), dtype=np.float64)
                image = np.roll(image, random.integers(0, 4), axis=1) + random.normal(0, 20, image.shape)
                file = f"{which}{place:02d}_{number}.jpg"
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / name / file)
                os.utime(folder / name / file, (0, 0))  # made again it is the same file
                names[which].append(file)
                east[which].append(place * APART + 3.0 * number + (2.0 if which == "q" else 0.0))
    return PlaceDataset(
        name,
        names["db"],
        [(x, 0.0) for x in east["db"]],
        names["q"],
        [(x, 0.0) for x in east["q"]],
        database_root=folder / name,
        query_root=folder / name,
    )


def make_network(folder: Path, seed: int = 0) -> None:
    """Writes folder/tiny.mat: two convolutions with a ReLU between."""
    random = np.random.default_rng(seed)

    def conv(name: str, channels: int, filters: int) -> dict[str, Any]:
        weight = random.normal(0, 0.2, (3, 3, channels, filters)).astype(np.float32)
        bias = np.zeros((filters, 1), np.float32)
        return {
            "type": "conv",
            "name": name,
            "weights": [weight, bias],
            "stride": np.array([[2.0, 2.0]]),
            "pad": np.array([[1.0, 1.0, 1.0, 1.0]]),
        }

    net = {
        "layers": [conv("conv1", 3, 6), {"type": "relu", "name": "relu1"}, conv("conv2", 6, 8)],
        "meta": {
            "normalization": {
                "imageSize": np.array([[SIDE, SIDE, 3.0]]),
                "averageImage": np.full((SIDE, SIDE, 3), 128, np.float32),
            }
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    matfile.save(folder / "tiny.mat", net)


class Workplace:
    """A folder with sets, network and sessions; `train` runs a trainer with OPTIONS, changed as told.

    output: where sessions and initial features go, below `folder` by default.
    """

    def __init__(self, folder: Path, output: Path | None = None) -> None:
        self.folder = folder
        self.sets = (make_set(folder, "train", 1), make_set(folder, "val", 2))
        make_network(folder / "nets")
        self.paths = {
            "pretrainedCNNs": str(folder / "nets"),
            "initData": str((output or folder) / "init"),
            "outPrefix": f"{output or folder}/out/",
        }

    def train(
        self, *listeners: TrainingListener, trainer: str = "trainGaussKernalInd", **changes: Any
    ) -> str:
        """The sessionID of a training."""
        beside = ("generator", "keep_momentum", "restart")
        more = {name: changes.pop(name) for name in beside if name in changes}
        run = getattr(trainers, trainer)
        return run(*self.sets, paths=self.paths, listeners=listeners, **{**OPTIONS, **changes}, **more)

    def files(self, session: str) -> SessionFiles:
        """The files of a session."""
        return SessionFiles(self.paths["outPrefix"], session)

    def load(self, session: str, epoch: int | None = None) -> dict[str, Any]:
        """The variables of a session's file."""
        return self.files(session).load(epoch)

    def weights(self, session: str, epoch: int | None = None) -> list[np.ndarray]:
        """All weights and momenta of a session's file, in order."""
        found = []
        for layer in matfile.cell_list(self.load(session, epoch)["net"]["layers"]):
            for field in ("weights", "momentum"):
                found += [np.asarray(array) for array in matfile.cell_list(layer.get(field, []))]
        return found


class Log(TrainingListener):
    """Notes the calls: batches, mined tuples, tests, saves, in order."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.mined: list[Any] = []
        self.outcomes: list[Any] = []
        self.tests: list[tuple[str, int]] = []
        self.saves: list[str] = []
        self.rates: list[float] = []
        self.computed: list[str] = []
        self.state: Any = None

    def started(self, state):
        self.state = state

    def computing(self, what):
        self.computed.append(what)

    def epoch_started(self, state, rate, rate_before):
        self.rates.append(rate)

    def tuple_mined(self, state, mined):
        self.mined.append(mined)

    def tuple_done(self, state, mined, outcome):
        self.outcomes.append(outcome)

    def batch_done(self, state, report):
        self.batches.append(report)

    def tested(self, state, which, epoch, recall, rankloss):
        self.tests.append((which, epoch))

    def saved(self, state, path, why):
        self.saves.append(why)


class Failing(TrainingListener):
    """Raises an error in place of the batch that is to be told of."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.left, self.error = at, error

    def batch_done(self, state, report):
        self.left -= 1
        if not self.left:
            raise self.error
