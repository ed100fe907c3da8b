# ruff: noqa: RUF009
"""The 42 options of the seven trainers: the original's names, order and defaults, and what each does."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError

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
