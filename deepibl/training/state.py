"""The state of a training: all that has to be saved for it to resume as if it had never stopped.

As MATLAB variables it is the four of a session file: net (with momenta), obj, opts, auxData. Ids in those are
1-based; auxData.deepibl holds what MATLAB's trainers do not save (they resume between epochs only).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.errors import SessionError
from deepibl.networks.build import prepare_for_testing
from deepibl.training.options import TrainingOptions
from deepibl.training.step import Stepper
from matlab_compat.errors import MatFileError, NetworkFormatError
from matlab_compat.matfile.values import cell_list, describe, scalar, text, vector
from matlab_compat.rng import rng
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row


@dataclass
class Curves:
    """One data set's curves: loss a batch (training set only), recall (R,), 0 to 1, and rank loss a test."""

    loss: list[float] = field(default_factory=list)
    recall: list[np.ndarray] = field(default_factory=list)
    rankloss: list[float] = field(default_factory=list)

    def add_test(self, recall: np.ndarray, rankloss: float) -> None:
        self.recall.append(np.asarray(recall, dtype=np.float64).ravel())
        self.rankloss.append(float(rankloss))

    def to_matlab(self, geoloss: bool) -> dict[str, Any]:
        """MATLAB's struct: loss 1 x batches, recall R x tests, rankloss 1 x tests, [] where there is none."""
        recall = np.stack(self.recall, axis=1) if self.recall else np.zeros((0, 0))
        struct = {"loss": _row(self.loss), "recall": recall, "rankloss": _row(self.rankloss)}
        return {**struct, "geoloss": np.zeros((0, 0))} if geoloss else struct

    @classmethod
    def from_matlab(cls, struct: Any) -> "Curves":
        """From MATLAB's struct; missing fields are empty. Raises MatFileError for what is not numbers."""
        loss, recall, rankloss = (_numbers(struct, name) for name in ("loss", "recall", "rankloss"))
        columns = [column.copy() for column in recall.T] if recall.size else []
        return cls(loss.ravel().tolist(), columns, rankloss.ravel().tolist())


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
            struct["pretrain"] = {}
            for which in ("val", "train"):
                first = self.pretrain[which]
                tested = {"recall": first.recall[0].reshape(-1, 1), "rankloss": _row(first.rankloss)}
                struct["pretrain"][which] = tested
        return struct

    @classmethod
    def from_matlab(cls, struct: Any) -> "History":
        """From the struct `obj` of a session file; a test before training without recall is none."""
        held = field_of(struct, "pretrain", {})
        held = held if isinstance(held, Mapping) else {}
        pretrain = {which: Curves.from_matlab(held[which]) for which in ("val", "train") if which in held}
        tested = len(pretrain) == 2 and all(curves.recall for curves in pretrain.values())
        train, val = (Curves.from_matlab(field_of(struct, which)) for which in ("train", "val"))
        return cls(train, val, pretrain if tested else None)

    def to_json(self, recall_ns: Sequence[int], test_interval: int = 1) -> dict[str, Any]:
        """Plain data for other tools: losses of batches; tests as {epoch, recall: {N: r}, rankloss}."""
        plain: dict[str, Any] = {"loss": list(self.train.loss)}
        for which, curves in (("train", self.train), ("val", self.val)):
            before = self.pretrain[which] if self.pretrain else Curves()
            epochs = [0] * len(before.recall)
            epochs += [(i + 1) * test_interval for i in range(len(curves.recall))]
            recalls, ranklosses = before.recall + curves.recall, before.rankloss + curves.rankloss
            plain[which] = []
            for epoch, recall, rankloss in zip(epochs, recalls, ranklosses, strict=False):
                by_n = dict(zip(map(str, recall_ns), recall.tolist(), strict=True))
                plain[which].append({"epoch": epoch, "recall": by_n, "rankloss": rankloss})
        return plain


@contextmanager
def reading_state(path: Path) -> Iterator[None]:
    """Turns what is wrong with the contents of a session's file into a SessionError that names the file."""
    try:
        yield
    except (MatFileError, NetworkFormatError) as error:
        raise SessionError(f"{path} is not the state of a training session: {error}") from error


def field_of(struct: Any, name: str, *default: Any) -> Any:
    """A field of a struct, or the default. Raises MatFileError without one, and for what is not a struct."""
    if not isinstance(struct, Mapping):
        raise MatFileError(f"expected a struct with {name}, found {describe(struct)}")
    if name not in struct and not default:
        raise MatFileError(f"it lacks {name}")
    return struct.get(name, *default)


def _row(values: Sequence[float]) -> np.ndarray:
    return np.array([values], dtype=np.float64) if len(values) else np.zeros((0, 0))


def _numbers(struct: Any, name: str) -> np.ndarray:
    array = np.asarray(field_of(struct, name, np.zeros((0, 0))))
    if array.dtype.kind not in "buif":
        raise MatFileError(f"{name} is not numbers")
    return array.astype(np.float64)


DATE_FORMAT = "%d-%b-%Y %H:%M:%S"
FORMAT_VERSION = 1
FIRST_EPOCH_SEED = 43


@dataclass(frozen=True)
class CachedFeatures:
    """Feature files of the training set, and before which batch of an epoch they were made (0: its end)."""

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
    history: History = field(default_factory=History)
    epoch: int = 1
    batch: int = 0
    epoch_done: bool = False
    complete: bool = False
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    features: CachedFeatures | None = None
    epoch_start_times: list[str] = field(default_factory=list)
    trainer: str = ""
    command: str = ""  # the request as text, to compare a later one with it
    has_geo_fields: bool = False

    @property
    def net(self) -> SimpleNN:
        return self.stepper.net

    def begin_epoch(self, queries: int) -> None:
        """Seeds the generator for the epoch, draws the order of its queries and notes the time."""
        self.generator.state = rng(FIRST_EPOCH_SEED - 1 + self.epoch).state
        self.order = np.asarray(self.generator.randperm(queries), dtype=np.int64)
        self.epoch_start_times.append(datetime.now().strftime(DATE_FORMAT))

    def next_epoch(self) -> None:
        self.epoch, self.batch, self.epoch_done, self.order = self.epoch + 1, 0, False, self.order[:0]

    def to_matlab(self) -> dict[str, Any]:
        return {
            "net": network_with_momentum(self.stepper),
            "obj": self.history.to_matlab(self.has_geo_fields),
            "opts": self.options.to_matlab(self.has_geo_fields),
            "auxData": self._aux_data(),
        }

    def to_json(self) -> dict[str, Any]:
        options = self.options
        return {
            "session": options.session,
            "trainer": self.trainer,
            "epoch": self.epoch,
            "batch": self.batch,
            "complete": self.complete,
            "batchSize": options.batch_size,
            "recallNs": [int(n) for n in options.recall_ns],
            **self.history.to_json(options.recall_ns, options.test_interval),
        }

    def _aux_data(self) -> dict[str, Any]:
        features = self.features or CachedFeatures("", "", 0, 0)
        own: dict[str, Any] = {
            "version": float(FORMAT_VERSION),
            "trainer": self.trainer,
            "command": self.command,
        }
        own |= {"epoch": float(self.epoch), "batch": float(self.batch), "epochDone": self.epoch_done}
        own |= {"complete": self.complete, "trainOrder": _ids_to_matlab(self.order).reshape(1, -1)}
        own |= {"qFeatures": features.queries, "dbFeatures": features.database}
        own |= {"featuresEpoch": float(features.epoch), "featuresBatch": float(features.batch)}
        own["speed"] = self.options.ours()
        caches = cell_row([_ids_to_matlab(ids) for ids in self.negative_caches]).T
        draws = {"Type": "twister", "Seed": 0.0, "State": self.generator.state.reshape(-1, 1)}
        times, count = cell_row(self.epoch_start_times), float(len(self.negative_caches))
        held = {"epochStartTime": times, "numTrain": count, "negCache": caches, "rngState": draws}
        return {**held, "deepibl": own}


def network_with_momentum(stepper: Stepper) -> dict[str, Any]:
    """The MATLAB struct of a network in training, as saveNet writes it: ready for tests, with momenta."""
    struct = prepare_for_testing(stepper.net).to_matlab()
    layers = struct["layers"]
    for position, layer in enumerate(stepper.net):
        count = sum((position, index) in stepper.momentum for index in range(len(layer.weights)))
        if count:
            momenta = [stepper.momentum.get((position, index)) for index in range(len(layer.weights))]
            layers.flat[position]["momentum"] = cell_row(layer.weights_to_matlab(momenta))
    return struct


def take_momentum(net: SimpleNN) -> dict[tuple[int, int], torch.Tensor]:
    """Takes the momenta out of the layers of a network that a session file held: by layer and weight."""
    found = {}
    for position, layer in enumerate(net):
        momenta = map(np.asarray, cell_list(layer.fields.get("momentum", [])))
        weights = zip(layer.weight_specs, layer.weights, momenta, strict=False)
        for index, (spec, weight, array) in enumerate(weights):
            if weight is not None and array.size == weight.numel() and array.dtype.kind in "buif":
                found[position, index] = spec.kind.to_torch(array).reshape(weight.shape).to(weight)
        layer.set_field("momentum", None)
    return found


def restore(state: TrainingState, variables: Mapping[str, Any], path: str) -> TrainingState:
    """Sets a state's curves, caches, draws and position to those of a session file's variables; returns it.

    Files of MATLAB's trainers are of the end of their epoch. Raises SessionError for a training of other
    images, MatFileError for variables that are not a session's.
    """
    aux = variables["auxData"]
    caches = [_ids_from_matlab(ids) for ids in cell_list(field_of(aux, "negCache"))]
    if len(caches) != len(state.negative_caches):
        raise SessionError(
            f"{path} is of a training with {len(caches)} queries, but the data set has "
            f"{len(state.negative_caches)}: give the data set that the session was started with"
        )
    state.negative_caches = caches
    state.history = History.from_matlab(variables["obj"])
    state.epoch_start_times = [text(time) for time in cell_list(field_of(aux, "epochStartTime", []))]
    draws = aux.get("rngState")
    if isinstance(draws, Mapping) and np.size(draws.get("State", [])):
        state.generator.state = vector(draws["State"])
    if "deepibl" not in aux:
        state.epoch_done = True
        return state
    own = aux["deepibl"]
    version = scalar(field_of(own, "version"))
    if version != FORMAT_VERSION:
        raise SessionError(f"{path} was written by another version of deepibl (state {version})")
    state.epoch, state.batch = _whole(own, "epoch"), _whole(own, "batch")
    state.epoch_done, state.complete = bool(_whole(own, "epochDone")), bool(_whole(own, "complete"))
    state.order = _ids_from_matlab(field_of(own, "trainOrder"))
    queries, database = (text(field_of(own, name)) for name in ("qFeatures", "dbFeatures"))
    if queries:
        at = (_whole(own, "featuresEpoch"), _whole(own, "featuresBatch"))
        state.features = CachedFeatures(queries, database, *at)
    return state


def _whole(struct: Any, name: str) -> int:
    number = scalar(field_of(struct, name))
    if not math.isfinite(number):
        raise MatFileError(f"{name} is {number}")
    return int(number)


def _ids_to_matlab(ids: np.ndarray) -> np.ndarray:
    """0-based ids as MATLAB's column of doubles, from 1; none as []."""
    return np.asarray(ids, dtype=np.float64).reshape(-1, 1) + 1 if len(ids) else np.zeros((0, 0))


def _ids_from_matlab(ids: Any) -> np.ndarray:
    found = vector(ids) if np.size(ids) else np.zeros(0)
    if not np.isfinite(found).all():
        raise MatFileError("there are ids that are not numbers")
    return found.astype(np.int64) - 1
