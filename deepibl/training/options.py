"""The 42 options of the seven trainers: the original's names, order and defaults, and what each does.

The trainers' options that the original has not: how fast, and in how much memory, it is trained.

They stand beside the original's 42 (`deepibl.training.options`), which a session file holds under MATLAB's
names. Of these only those that change digits are saved, in auxData.deepibl.

What a training was asked for, to see whether the same is asked for again, and what is not the same.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np
import torch

from deepibl.features.trunk_cache import DTYPES, STORES
from matlab_compat.errors import ArgumentError
from matlab_compat.matfile.values import scalar, text

RECALL_NS = (*range(1, 6), *range(10, 101, 5))


def _option(default: Any, what: str, least: float | None = None, whole: bool = False) -> Any:
    """An option: its default, a line of help, for numbers the least value and if it must be whole."""
    metadata = {"what": what, "least": least, "whole": whole}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class TrainingOptions:
    """What a trainer may be told; names are MATLAB's, numbers of layers and epochs count from 1 as there.

    Fields after `startEpoch` are no options: a trainer fills them in, and they are saved with the others.
    Raises ArgumentError from `check` when a value cannot be meant.

    Ported from: deepIBL/trainGaussKernalInd.m, netvlad/trainWeakly.m, netvlad/README_more.md
    """

    netID: str = _option("caffe", "network to start from: vd16, vd19, caffe, places, or a .mat file")
    layerName: str = _option("conv5", "its last layer that is kept")
    method: str = _option("vlad_preL2_intra", "pooling: vlad, vladv2, max or avg, with _preL2, _intra")
    batchSize: int = _option(4, "tuples in a step (a tuple: query, positive, negatives)", 1, True)
    learningRate: float = _option(0.0001, "step size in epoch 1", 0)
    lrDownFreq: float = _option(5, "every so many epochs the learning rate goes down", 1, True)
    lrDownFactor: float = _option(2, "by this factor; compFeatsFrequency grows by it", 0)
    weightDecay: float = _option(0.001, "L2 weight decay of weights, biases and clusters", 0)
    momentum: float = _option(0.9, "momentum of SGD", 0)
    backPropToLayer: int | str | None = _option(1, "lowest layer that learns: its name, or its number from 1")
    fixLayers: list[str] = _option([], "names of layers that do not learn though they are above it")
    nNegChoice: int = _option(1000, "negatives drawn at random for a tuple", 1, True)
    nNegCap: int = _option(10, "hardest negatives that a tuple keeps", 1, True)
    nNegCache: int = _option(10, "hardest negatives of a query that its next epoch starts from", 0, True)
    nEpoch: int = _option(30, "epochs", 1, True)
    margin: float = _option(0.1, "margin of the triplet loss, and of the rank loss that tests report", 0)
    excludeVeryHard: bool = _option(False, "leave out negatives nearer than the positive")
    jitterFlip: bool = _option(False, "mirror a tuple's images with probability 1/2")
    jitterScale: list[float] = _option([], "scales, one of which a tuple's images are resized by", 0)
    sessionID: str = _option("", "name of the run; empty: a random one")
    outPrefix: str = _option("", "what every file name begins with; empty: localPaths' outPrefix")
    dbCheckpoint0: str = _option(
        "", "file of the database's features before training; empty: named by itself"
    )
    qCheckpoint0: str = _option("", "the same for the queries")
    dbCheckpoint0val: str = _option("", "the same for the validation database")
    qCheckpoint0val: str = _option("", "the same for the validation queries")
    geoCenters: str = _option("", "a file name that four of the trainers save and none uses")
    checkpoint0suffix: str = _option("", "goes into those names, so that runs do not share these files")
    info: str = _option("", "a remark, saved with the options")
    test0: bool = _option(True, "test before training")
    saveFrequency: int = _option(2000, "save every so many queries, and after every epoch", 1, True)
    compFeatsFrequency: int = _option(1000, "compute all features again every so many queries", 1, True)
    computeBatchSize: int = _option(10, "images at once when features are computed", 1, True)
    epochTestFrequency: int = _option(1, "test every so many epochs; pickBestNet needs 1", 1, True)
    doDraw: bool = _option(False, "draw the curves as a PNG at every save")
    printLoss: bool = _option(False, "print every tuple's loss")
    printBatchLoss: bool = _option(False, "print every batch's loss")
    nTestSample: float = _option(1000, "at most so many queries measure recall; inf: all", 1, True)
    nTestRankSample: float = _option(5000, "at most so many queries measure the rank loss", 1, True)
    recallNs: list[int] = _option(list(RECALL_NS), "the N of recall@N", 1, True)
    useGPU: bool = _option(True, "compute on a GPU where there is one")
    numThreads: int = _option(12, "threads that read a tuple's images", 1, True)
    startEpoch: int = _option(1, "go on with this epoch of session sessionID", 1, True)

    dbTrainName: str = ""
    dbValName: str = ""
    backPropToLayerName: str = ""
    backPropDepth: int = 0
    dbCheckpoint0_orig: str = ""
    qCheckpoint0_orig: str = ""

    def check(self) -> None:
        """Raises ArgumentError for the first option whose value cannot be meant, with what is allowed."""
        for each in fields(self):
            least = each.metadata.get("least")
            if least is None:
                continue
            value = getattr(self, each.name)
            for number in value if isinstance(value, list) else [value]:
                _check_number(each.name, number, least, each.metadata["whole"])
        if not self.recallNs or sorted(self.recallNs) != list(self.recallNs):
            raise ArgumentError(f"recallNs must be ascending and not empty, not {self.recallNs}")
        if math.isinf(self.nTestRankSample):
            raise ArgumentError("nTestRankSample must be finite: so many queries measure the rank loss")
        if self.lrDownFactor == 0:
            raise ArgumentError("lrDownFactor must be above 0: the learning rate is divided by it")

    def to_matlab(self, with_geo_centers: bool = False) -> dict[str, Any]:
        """The struct `opts` of a session file: numbers as double, texts as char, fixLayers as a cell."""
        struct = {}
        for each in fields(self):
            optional = each.name.endswith("_orig") or (each.name == "geoCenters" and not with_geo_centers)
            value = getattr(self, each.name)
            if not (optional and not value):
                struct[each.name] = _matlab_value(each.name, value)
        return struct

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "TrainingOptions":
        """Options from a dict of Python or MATLAB values (matfile's); unknown names are left out."""
        known = {each.name: each for each in fields(cls)}
        return cls(**{name: _python_value(known[name], values[name]) for name in values if name in known})


OPTION_NAMES = tuple(each.name for each in fields(TrainingOptions) if "what" in each.metadata)


def defaults() -> dict[str, Any]:
    """Name -> default of all options, in the original's order."""
    options = TrainingOptions()
    return {name: getattr(options, name) for name in OPTION_NAMES}


def describe(options: TrainingOptions) -> str:
    """The options, one a line, as a trainer prints them before it begins."""
    lines = [f"{each.name:>20}: {getattr(options, each.name)!r}" for each in fields(options)]
    return "\n".join(["opts =", *lines])


def schedule(options: TrainingOptions, epoch: int) -> tuple[float, int]:
    """Learning rate of an epoch (from 1), and after how many batches features are computed again.

    The rate goes down at epochs e > 1 with rem(e, lrDownFreq) == 1, so with lrDownFreq = 1 never.
    """
    from matlab_compat.numeric import round_half_away

    rate = float(options.learningRate)
    refresh = math.ceil(options.compFeatsFrequency / options.batchSize)
    for past in range(2, epoch + 1):
        if past % options.lrDownFreq == 1:
            rate /= options.lrDownFactor
            refresh = int(round_half_away(refresh * options.lrDownFactor))
    return rate, refresh


def _check_number(name: str, number: Any, least: float, whole: bool) -> None:
    wrong = not isinstance(number, int | float | np.number) or math.isnan(number) or number < least
    if wrong or (whole and not math.isinf(number) and int(number) != number):
        kind = "a whole number" if whole else "a number"
        raise ArgumentError(f"{name} must be {kind} of at least {least:g}, not {number!r}")


def _matlab_value(name: str, value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if name == "fixLayers":
        return np.array([value], dtype=object).reshape(1, -1) if value else np.empty((0, 0), dtype=object)
    if value is None or value == []:
        return np.zeros((0, 0))
    return np.atleast_2d(np.asarray(value, dtype=np.float64))


def _python_value(known: Any, value: Any) -> Any:
    """A MATLAB value as the option's own kind: a text, truth value, list of numbers or number."""
    default = known.default_factory() if known.default is MISSING else known.default
    if known.name == "fixLayers":
        return _names(value)
    if isinstance(value, str):
        return value
    flat = np.asarray([] if value is None else value).ravel()
    if isinstance(default, list):
        return [_number(item) for item in flat]
    if isinstance(default, str):
        return "".join(map(str, flat))
    if flat.size != 1:
        if known.name == "backPropToLayer" and not flat.size:
            return None
        raise ArgumentError(f"option {known.name} takes one value, not {value!r:.80}")
    return bool(flat[0]) if isinstance(default, bool) else _number(flat[0])


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    return [str(name) for name in np.asarray([] if value is None else value, dtype=object).ravel()]


def _number(value: Any) -> Any:
    number = float(value)
    return int(number) if number.is_integer() else number


PRECISIONS = ("fp32", "bf16")

STEP_GB_ON_GPU = 2.0  # four tuples of twelve images of 640x480 from conv5_1 on


def _speed_option(
    default: Any, what: str, allowed: tuple[str, ...] = (), changes_digits: bool = False
) -> Any:
    metadata = {"what": what, "allowed": allowed, "changes_digits": changes_digits}
    return field(default=default, metadata=metadata)


@dataclass
class SpeedOptions:
    """What a trainer may be told beside the original's options. `check` raises ArgumentError."""

    trunkCache: str = _speed_option(
        "auto", "where maps of the layers below backPropToLayer are kept: auto, ram, disk, or off", STORES
    )
    trunkCacheGB: float = _speed_option(50.0, "at most so many gigabytes of them are kept")
    trunkCacheDtype: str = _speed_option("fp32", "fp32: exact, or fp16: half the space", tuple(DTYPES), True)
    trunkCacheKeep: bool = _speed_option(False, "leave those on disk when training is done, for the next one")
    trainPrecision: str = _speed_option(
        "fp32", "of the convolutions that learn: fp32, or bf16 (NetVLAD's sums stay fp32)", PRECISIONS, True
    )
    stepGB: float | str = _speed_option(
        "auto",
        "tuples of a batch go through the network together up to so many gigabytes; 0: one by one, as the "
        "original; auto: 2 on a GPU, 0 on a CPU, where it gains nothing",
        (),
        True,
    )

    def check(self) -> None:
        """Raises ArgumentError for the first option whose value cannot be meant, with what is allowed."""
        for each in fields(self):
            value, allowed = getattr(self, each.name), each.metadata["allowed"]
            if allowed and value not in allowed:
                raise ArgumentError(f"{each.name} is one of {', '.join(allowed)}, not {value!r}")
            if isinstance(each.default, bool) and value not in (True, False):
                raise ArgumentError(f"{each.name} is True or False, not {value!r}")
            if each.name.endswith("GB") and not _at_least_zero(value) and value != each.default:
                raise ArgumentError(f"{each.name} is a number of gigabytes, at least 0, not {value!r}")

    def step_gb(self, device: torch.device) -> float:
        """stepGB as a number, on this device."""
        if isinstance(self.stepGB, str):
            return STEP_GB_ON_GPU if device.type == "cuda" else 0.0
        return float(self.stepGB)

    def to_matlab(self) -> dict[str, Any]:
        """Those that change digits, for a session file."""
        return {name: getattr(self, name) for name in DIGIT_OPTIONS}

    def changed(self, values: Mapping[str, Any]) -> "SpeedOptions":
        """A copy with these values, checked; names that are not known are left out."""
        names = (each.name for each in fields(self))
        made = SpeedOptions(**{name: values.get(name, getattr(self, name)) for name in names})
        made.check()
        return made


def saved_speed(own: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a session file's auxData.deepibl holds; none in files of before there were any."""
    saved = own.get("speed", {})
    return {name: _plain(saved[name]) for name in DIGIT_OPTIONS if name in saved}


def _plain(value: Any) -> Any:
    """A MATLAB text or number."""
    return text(value) if isinstance(value, str) else float(scalar(value))


def _at_least_zero(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and not math.isnan(value) and value >= 0


SPEED_OPTION_NAMES = tuple(each.name for each in fields(SpeedOptions))

DIGIT_OPTIONS = tuple(each.name for each in fields(SpeedOptions) if each.metadata["changes_digits"])

# may differ between two calls that mean the same training
FREE_OPTIONS = ("numThreads", "printLoss", "printBatchLoss", "doDraw", "info")

_NAMES_AND_PLACES = ("sessionID", "outPrefix")


@dataclass(frozen=True)
class Request:
    """A trainer's name, its data sets as texts (training, validation), and what options decide the result.

    options: name -> value, defaults included, in the trainers' order.
    """

    trainer: str
    sets: tuple[str, ...]
    options: dict[str, Any]

    @classmethod
    def of(cls, trainer: str, sets: Sequence[Any], given: Mapping[str, Any]) -> "Request":
        """The request of a call: sets are its `PlaceDataset`s, given its options."""
        options = TrainingOptions.from_mapping(given)
        left_out = {*FREE_OPTIONS, *_NAMES_AND_PLACES}
        values = {name: getattr(options, name) for name in OPTION_NAMES if name not in left_out}
        named = (f"{each.name} ({each.numQueries} queries, {each.numImages} images)" for each in sets)
        return cls(trainer, tuple(named), values | SpeedOptions().changed(given).to_matlab())

    @property
    def text(self) -> str:
        """As text, equal for equal requests."""
        return json.dumps([self.trainer, self.sets, self.options])

    @classmethod
    def from_text(cls, text: str) -> "Request | None":
        """The request that `text` came from; None for what is none."""
        try:
            trainer, sets, options = json.loads(text)
            return cls(str(trainer), tuple(map(str, sets)), dict(options))
        except (ValueError, TypeError, RecursionError):
            return None

    def changes(self, before: "Request") -> list[str]:
        """What is other than in the request before: 'learningRate 0.001 (now 0.0001)' and so on.

        An option that only one of the two knows (another version wrote it) is None on the other side.
        """
        names = dict.fromkeys([*self.options, *before.options])
        pairs = [
            ("trainer", before.trainer, self.trainer),
            *zip(("training set", "validation set"), before.sets, self.sets, strict=True),
            *((name, before.options.get(name), self.options.get(name)) for name in names),
        ]
        return [f"{name} {old!r} (now {new!r})" for name, old, new in pairs if old != new]
