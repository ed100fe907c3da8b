"""All that a training is at one moment: what has to be saved so that it can go on as if it had never stopped.

As MATLAB variables it is the four of a session file: net (with momenta), obj, opts, auxData. Ids in those are
1-based; auxData.deepibl holds what MATLAB's trainers do not save (they can only go on between epochs).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import torch

from deepibl.errors import SessionError
from deepibl.history import History
from deepibl.network_prepare import prepare_for_testing
from deepibl.training.options import TrainingOptions
from deepibl.training.speed import SpeedOptions
from deepibl.training.step import Stepper
from matlab_compat.matfile import cell_list, scalar, text, vector
from matlab_compat.rng import rng
from matlab_compat.simplenn import SimpleNN

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
