"""All that a training is at one moment: what has to be saved so that it can go on as if it had never stopped.

As MATLAB variables it is the four of a session file: net (with momenta), obj, opts, auxData. Ids in those are
1-based; auxData.deepibl holds what MATLAB's trainers do not save (they can only go on between epochs).

The curves of a training: batch losses, recalls, rank losses, as MATLAB keeps them (`obj`) and as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import torch

from deepibl.errors import SessionError
from deepibl.networks.build import prepare_for_testing
from deepibl.training.options import SpeedOptions, TrainingOptions
from deepibl.training.step import Stepper
from matlab_compat.matfile.values import cell_list, scalar, text, vector
from matlab_compat.rng import rng
from matlab_compat.simplenn.network import SimpleNN


@dataclass
class Curves:
    """One data set's curves; recall and rankloss have one entry a test, loss one a batch (training set only).

    recall: arrays (R,) of recall@N for the session's recallNs, 0 to 1. rankloss: the margin loss of tuples.
    """

    loss: list[float] = field(default_factory=list)
    recall: list[np.ndarray] = field(default_factory=list)
    rankloss: list[float] = field(default_factory=list)

    def add_test(self, recall: np.ndarray, rankloss: float) -> None:
        """Notes the outcome of one test."""
        self.recall.append(np.asarray(recall, dtype=np.float64).ravel())
        self.rankloss.append(float(rankloss))

    def to_matlab(self, geoloss: bool) -> dict[str, Any]:
        """MATLAB's struct: loss 1 x batches, recall R x tests, rankloss 1 x tests, [] where there is none."""
        recall = np.stack(self.recall, axis=1) if self.recall else np.zeros((0, 0))
        struct = {"loss": _row(self.loss), "recall": recall, "rankloss": _row(self.rankloss)}
        return {**struct, "geoloss": np.zeros((0, 0))} if geoloss else struct

    @classmethod
    def from_matlab(cls, struct: Mapping[str, Any]) -> "Curves":
        """From MATLAB's struct; missing fields are empty."""
        recall = np.asarray(struct.get("recall", np.zeros((0, 0))), dtype=np.float64)
        return cls(
            _numbers(struct.get("loss")),
            [column.copy() for column in recall.T] if recall.size else [],
            _numbers(struct.get("rankloss")),
        )


@dataclass
class History:
    """The curves of training and validation set, and the test before training, if there was one."""

    train: Curves = field(default_factory=Curves)
    val: Curves = field(default_factory=Curves)
    pretrain: dict[str, Curves] | None = None  # 'train' and 'val', one test each

    def to_matlab(self, geoloss: bool = False) -> dict[str, Any]:
        """The struct `obj` of a session file; geoloss: with the empty field that four of the trainers add."""
        struct: dict[str, Any] = {"train": self.train.to_matlab(geoloss), "val": self.val.to_matlab(geoloss)}
        if self.pretrain is not None:
            struct["pretrain"] = {
                which: {
                    "recall": self.pretrain[which].recall[0].reshape(-1, 1),
                    "rankloss": _row(self.pretrain[which].rankloss),
                }
                for which in ("val", "train")
            }
        return struct

    @classmethod
    def from_matlab(cls, struct: Mapping[str, Any]) -> "History":
        """From the struct `obj` of a session file; a test before training that names no recall is none."""
        held = struct.get("pretrain") or {}
        pretrain = {which: Curves.from_matlab(held[which]) for which in ("val", "train") if which in held}
        tested = len(pretrain) == 2 and all(curves.recall for curves in pretrain.values())
        return cls(
            Curves.from_matlab(struct["train"]),
            Curves.from_matlab(struct["val"]),
            pretrain if tested else None,
        )

    def to_json(self, recall_ns: Sequence[int], test_frequency: int = 1) -> dict[str, Any]:
        """Plain data for other tools: losses of batches; tests as {epoch, recall: {N: r}, rankloss}."""
        plain: dict[str, Any] = {"loss": list(self.train.loss)}
        for which, curves in (("train", self.train), ("val", self.val)):
            before = self.pretrain[which] if self.pretrain else Curves()
            plain[which] = [
                *_tests(before, [0], recall_ns),
                *_tests(curves, [(i + 1) * test_frequency for i in range(len(curves.recall))], recall_ns),
            ]
        return plain


def _tests(curves: Curves, epochs: Sequence[int], recall_ns: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "recall": {str(n): float(value) for n, value in zip(recall_ns, recall, strict=True)},
            "rankloss": rankloss,
        }
        for epoch, recall, rankloss in zip(epochs, curves.recall, curves.rankloss, strict=False)
    ]


def _row(values: Sequence[float]) -> np.ndarray:
    return np.array([values], dtype=np.float64) if len(values) else np.zeros((0, 0))


def _numbers(value: Any) -> list[float]:
    return [] if value is None else [float(number) for number in np.asarray(value).ravel()]


DATE_FORMAT = "%d-%b-%Y %H:%M:%S"

FORMAT_VERSION = 1

FIRST_EPOCH_SEED = 43


@dataclass(frozen=True)
class CachedFeatures:
    """Feature files of the training set, and before which batch of which epoch they were computed.

    batch 0 stands for the end of the epoch before.
    """

    queries: str
    database: str
    epoch: int
    batch: int


@dataclass
class TrainingState:
    """A training between two batches. Epochs count from 1; ids are 0-based.

    batch: batches of the epoch that are done. epoch_done: the epoch is tested and its features are computed.
    order: the epoch's queries; empty before it has begun. negative_caches: each query's hardest negatives.
    """

    options: TrainingOptions
    stepper: Stepper
    generator: Any
    negative_caches: list[np.ndarray]
    speed: SpeedOptions = field(default_factory=SpeedOptions)
    history: History = field(default_factory=History)
    epoch: int = 1
    batch: int = 0
    epoch_done: bool = False
    complete: bool = False
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    features: CachedFeatures | None = None
    epoch_start_times: list[str] = field(default_factory=list)
    trainer: str = ""
    command: str = ""  # what was asked for, to see whether the same is asked for again
    has_geo_fields: bool = False

    @property
    def net(self) -> SimpleNN:
        """The network in training."""
        return self.stepper.net

    def begin_epoch(self, queries: int) -> None:
        """Seeds the generator for the epoch, draws the order of its queries and notes the time."""
        self.generator.state = rng(FIRST_EPOCH_SEED - 1 + self.epoch).state
        self.order = np.asarray(self.generator.randperm(queries), dtype=np.int64)
        self.epoch_start_times.append(datetime.now().strftime(DATE_FORMAT))

    def next_epoch(self) -> None:
        """Goes on to the next epoch, of which nothing is done."""
        self.epoch, self.batch, self.epoch_done, self.order = self.epoch + 1, 0, False, self.order[:0]

    def to_matlab(self) -> dict[str, Any]:
        """The four variables of a session file."""
        return {
            "net": network_with_momentum(self.stepper),
            "obj": self.history.to_matlab(self.has_geo_fields),
            "opts": self.options.to_matlab(self.has_geo_fields),
            "auxData": self._aux_data(),
        }

    def to_json(self) -> dict[str, Any]:
        """The curves and what belongs to them, for other tools."""
        options = self.options
        about = {
            "session": options.sessionID,
            "trainer": self.trainer,
            "epoch": self.epoch,
            "batch": self.batch,
            "complete": self.complete,
            "batchSize": options.batchSize,
            "recallNs": [int(n) for n in options.recallNs],
        }
        return {**about, **self.history.to_json(options.recallNs, options.epochTestFrequency)}

    def _aux_data(self) -> dict[str, Any]:
        features = self.features or CachedFeatures("", "", 0, 0)
        return {
            "epochStartTime": _cell(self.epoch_start_times, (1, -1)),
            "numTrain": float(len(self.negative_caches)),
            "negCache": _cell([_ids_to_matlab(ids) for ids in self.negative_caches], (-1, 1)),
            "rngState": {"Type": "twister", "Seed": 0.0, "State": self.generator.state.reshape(-1, 1)},
            "deepibl": {
                "version": float(FORMAT_VERSION),
                "trainer": self.trainer,
                "command": self.command,
                "epoch": float(self.epoch),
                "batch": float(self.batch),
                "epochDone": self.epoch_done,
                "complete": self.complete,
                "trainOrder": _ids_to_matlab(self.order).reshape(1, -1),
                "qFeatures": features.queries,
                "dbFeatures": features.database,
                "featuresEpoch": float(features.epoch),
                "featuresBatch": float(features.batch),
                "speed": self.speed.to_matlab(),
            },
        }


def network_with_momentum(stepper: Stepper) -> dict[str, Any]:
    """The MATLAB struct of a network in training, as saveNet writes it: ready for tests, with momenta."""
    struct = prepare_for_testing(stepper.net).to_matlab()
    layers = struct["layers"]
    for position, layer in enumerate(stepper.net):
        count = sum((position, index) in stepper.momentum for index in range(len(layer.weights)))
        if count:
            momenta = [stepper.momentum.get((position, index)) for index in range(len(layer.weights))]
            layers.flat[position]["momentum"] = _cell(layer.weights_to_matlab(momenta), (1, -1))
    return struct


def take_momentum(net: SimpleNN) -> dict[tuple[int, int], torch.Tensor]:
    """Momenta out of the layers of a network that a session file held; the layers then have none."""
    found = {}
    for position, layer in enumerate(net):
        momenta = cell_list(layer.fields.get("momentum", []))
        for index, (spec, weight, array) in enumerate(
            zip(layer.weight_specs, layer.weights, momenta, strict=False)
        ):
            if weight is not None and np.size(array) == weight.numel():
                found[position, index] = (
                    spec.kind.to_torch(np.asarray(array)).reshape(weight.shape).to(weight)
                )
        layer.set_field("momentum", None)
    return found


def restore(state: TrainingState, variables: Mapping[str, Any], path: str) -> TrainingState:
    """Sets a state's curves, caches, draws and position to those of a session file's variables.

    The network and options of the state are to be those of the file already. Files of MATLAB's trainers
    stand at the end of their epoch. Raises SessionError for variables that make no sense.
    """
    aux = variables["auxData"]
    caches = [_ids_from_matlab(ids) for ids in cell_list(aux["negCache"])]
    if len(caches) != len(state.negative_caches):
        raise SessionError(
            f"{path} is of a training with {len(caches)} queries, but the data set has "
            f"{len(state.negative_caches)}: give the data set that the session was started with"
        )
    state.negative_caches = caches
    state.history = History.from_matlab(variables["obj"])
    state.epoch_start_times = [text(time) for time in cell_list(aux.get("epochStartTime", []))]
    if isinstance(aux.get("rngState"), Mapping) and np.size(aux["rngState"].get("State", [])):
        state.generator.state = aux["rngState"]["State"]
    own = aux.get("deepibl")
    if own is None:
        state.epoch_done = True
        return state
    if scalar(own["version"]) != FORMAT_VERSION:
        raise SessionError(
            f"{path} was written by another version of deepibl (state {scalar(own['version'])})"
        )
    state.epoch, state.batch = int(scalar(own["epoch"])), int(scalar(own["batch"]))
    state.epoch_done, state.complete = bool(scalar(own["epochDone"])), bool(scalar(own["complete"]))
    state.order = _ids_from_matlab(own["trainOrder"])
    if text(own["qFeatures"]):
        state.features = CachedFeatures(
            text(own["qFeatures"]),
            text(own["dbFeatures"]),
            int(scalar(own["featuresEpoch"])),
            int(scalar(own["featuresBatch"])),
        )
    return state


def _ids_to_matlab(ids: np.ndarray) -> np.ndarray:
    """0-based ids as MATLAB's column of doubles, from 1; none as []."""
    return np.asarray(ids, dtype=np.float64).reshape(-1, 1) + 1 if len(ids) else np.zeros((0, 0))


def _ids_from_matlab(ids: Any) -> np.ndarray:
    return vector(ids).astype(np.int64) - 1 if np.size(ids) else np.zeros(0, dtype=np.int64)


def _cell(values: list[Any], shape: tuple[int, int]) -> np.ndarray:
    cell = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        cell[index] = value
    return cell.reshape(shape) if values else np.empty((0, 0), dtype=object)
