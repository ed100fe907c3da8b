"""The options of a training: one table of names, MATLAB's names, defaults, allowed values and help.

Session files hold the original's 42 options under MATLAB's names and in its order. `deepibl.matlab` and the
command line take those names, too, and convert by this table. Six more say how fast, and in how much memory,
a network is trained; a session file holds those of them that change the result, in auxData.deepibl.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np

from deepibl.datasets.dbstruct import FIELDS
from deepibl.features.backbone_cache import DTYPES, STORES
from deepibl.runtime.files import from_plain
from matlab_compat.arguments import options as named_options, unknown_option
from matlab_compat.errors import ArgumentError, MatFileError
from matlab_compat.numeric import round_half_away
from matlab_compat.simplenn.tidy import cell_row

PRECISIONS = ("fp32", "bf16")
RECALL_NS = (*range(1, 6), *range(10, 101, 5))

# may differ between two calls that ask for the same training
FREE_OPTIONS = (
    *("num_threads", "print_tuple_losses", "print_batch_losses", "plot", "remark"),
    *("backbone_cache", "backbone_cache_gb", "backbone_cache_keep"),
)

_UNLIMITED = {"recall_sample_size", "save_interval", "refresh_interval", "learning_rate_drop_every"}
_UNLIMITED |= {"test_interval", "backbone_cache_gb", "step_gb"}  # these may be inf
_NOT_COMPARED = ("session", "output_prefix", "start_epoch")
_NOT_GIVEN = object()
_TOLD = "; names, positions, limits: "  # begins the digest of a data set
_ELSEWHERE = ("split", "database_root", "query_root")  # what may change without changing the data set


@dataclass(frozen=True)
class Option:
    """A row of the table.

    matlab: MATLAB's name. help: "" for a field that `train` fills in. least, whole, unit: of a number.
    allowed: words it may be. ours: no option of the original; changes_result: such an option that changes it.
    """

    name: str
    default: Any
    matlab: str
    help: str = ""
    least: float | None = None
    whole: bool = False
    unit: str = ""
    allowed: tuple[str, ...] = ()
    ours: bool = False
    changes_result: bool = False

    @property
    def label(self) -> str:
        """The name, and MATLAB's in brackets where that is another: 'batch_size (batchSize)'."""
        return self.name if self.name == self.matlab else f"{self.name} ({self.matlab})"

    def normalised(self, value: Any) -> Any:
        """A Python or MATLAB value as the option's own type; strings stay, for `check` to refuse."""
        if self.name == "frozen_layers" and isinstance(value, str):
            return tuple(filter(None, map(str.strip, value.strip("[]").split(","))))
        if isinstance(value, str):
            return value
        flat = np.asarray([] if value is None else value).ravel()
        if self.name == "frozen_layers":
            return tuple(map(str, flat))
        if isinstance(self.default, str) and self.least is None:
            return "".join(map(str, flat))
        if self.name == "first_trained_layer" and not flat.size:
            return None
        try:
            if isinstance(self.default, tuple):
                return tuple(map(_number, flat))
            (single,) = flat
            return bool(single) if isinstance(self.default, bool) else _number(single)
        except (TypeError, ValueError):
            kind = "numbers" if isinstance(self.default, tuple) else "one value"
            raise ArgumentError(f"{self.label} takes {kind}, not {value!r:.80}") from None

    def check(self, value: Any) -> None:
        """Raises ArgumentError, naming what is allowed, for a normalised value that is not."""
        if isinstance(self.default, bool) and not isinstance(value, bool):
            raise ArgumentError(f"{self.label} must be True or False; got {value!r}")
        if self.allowed and value not in self.allowed and self.least is None:
            raise ArgumentError(f"{self.label} must be one of {', '.join(self.allowed)}; got {value!r}")
        if self.least is None or value in self.allowed:
            return
        for number in value if isinstance(value, tuple) else [value]:
            wrong = isinstance(number, str) or math.isnan(number) or number < self.least
            if wrong or (self.whole and not math.isinf(number) and int(number) != number):
                kind = f"a {'whole ' if self.whole else ''}number{self.unit and f' of {self.unit}'}"
                kinds = " or ".join([*self.allowed, kind])
                raise ArgumentError(f"{self.label} must be {kinds}, at least {self.least:g}; got {number!r}")
            if math.isinf(number) and self.name not in _UNLIMITED:
                raise ArgumentError(f"{self.label} must be finite")


def _opt(matlab: str, default: Any, help: str = "", **more: Any) -> Any:
    return field(default=default, metadata={"matlab": matlab, "help": help, **more})


_amount, _count = partial(_opt, least=0), partial(_opt, least=1, whole=True)
_ours = partial(_opt, ours=True)


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a training; layers and epochs count from 1 in all of them.

    Values may also be MATLAB's (arrays of one number). `check` raises ArgumentError for others.

    Ported from: deepIBL/trainGaussKernalInd.m, netvlad/trainWeakly.m, netvlad/README_more.md
    """

    network: str = _opt("netID", "caffe", "network to start from: vd16, vd19, caffe, places or a .mat file")
    layer: str = _opt("layerName", "conv5", "its last layer that is kept")
    pooling: str = _opt("method", "vlad_preL2_intra", "vlad, vladv2, gem, max or avg, with _preL2, _intra")
    batch_size: int = _count("batchSize", 4, "tuples in a step (a tuple: query, positive, negatives)")
    learning_rate: float = _amount("learningRate", 0.0001, "learning rate of epoch 1")
    learning_rate_drop_every: float = _count("lrDownFreq", 5, "epochs between drops of the learning rate")
    learning_rate_divisor: float = _amount("lrDownFactor", 2, "divides it and multiplies compFeatsFrequency")
    weight_decay: float = _amount("weightDecay", 0.001, "L2 decay of weights, biases and clusters")
    momentum: float = _amount("momentum", 0.9, "momentum of SGD")
    first_trained_layer: int | str | None = _opt(
        "backPropToLayer", 1, "lowest layer that is trained: its name, or its number from 1"
    )
    frozen_layers: tuple[str, ...] = _opt("fixLayers", (), "names of layers above it that are not trained")
    negatives_per_query: int = _count("nNegChoice", 1000, "negatives drawn at random for a query")
    negatives_cap: int = _count("nNegCap", 10, "hardest negatives that a tuple keeps")
    negatives_cached: int = _count("nNegCache", 10, "hardest negatives kept for the next epoch", least=0)
    epochs: int = _count("nEpoch", 30, "epochs")
    margin: float = _amount("margin", 0.1, "margin of the triplet loss and of the reported rank loss")
    exclude_very_hard: bool = _opt("excludeVeryHard", False, "leave out negatives nearer than the positive")
    jitter_flip: bool = _opt("jitterFlip", False, "mirror a tuple's images with probability 1/2")
    jitter_scales: tuple[float, ...] = _amount("jitterScale", (), "scales; a tuple has one", least=0.01)
    session: str = _opt("sessionID", "", "name of the session; empty: a random one")
    output_prefix: str = _opt("outPrefix", "", "begins every file name; empty: localPaths' outPrefix")
    initial_database_features: str = _opt(
        "dbCheckpoint0", "", "file of the database's features before training; empty: a name is made"
    )
    initial_query_features: str = _opt("qCheckpoint0", "", "the same for the queries")
    initial_val_database_features: str = _opt("dbCheckpoint0val", "", "the same for the validation database")
    initial_val_query_features: str = _opt("qCheckpoint0val", "", "the same for the validation queries")
    geo_centers: str = _opt("geoCenters", "", "a file name that four of the trainers save and none uses")
    initial_features_suffix: str = _opt(
        "checkpoint0suffix", "", "goes into those names, so that sessions do not share these files"
    )
    remark: str = _opt("info", "", "a remark, saved with the options")
    test_before_training: bool = _opt("test0", True, "test before training")
    save_interval: int = _count("saveFrequency", 2000, "queries between saves; an epoch's end is saved, too")
    refresh_interval: int = _count("compFeatsFrequency", 1000, "queries between computing all features again")
    extraction_batch_size: int = _count("computeBatchSize", 10, "images at once when features are computed")
    test_interval: int = _count("epochTestFrequency", 1, "epochs between tests; to find the best one: 1")
    plot: bool = _opt("doDraw", False, "draw the curves as a PNG at every save")
    print_tuple_losses: bool = _opt("printLoss", False, "print every tuple's loss")
    print_batch_losses: bool = _opt("printBatchLoss", False, "print every batch's loss")
    recall_sample_size: float = _count("nTestSample", 1000, "at most this many queries for recall; inf: all")
    rank_loss_sample_size: float = _count("nTestRankSample", 5000, "at most this many queries for rank loss")
    recall_ns: tuple[int, ...] = _count("recallNs", RECALL_NS, "the N of Recall@N")
    use_gpu: bool = _opt("useGPU", True, "compute on a GPU where there is one")
    num_threads: int = _count("numThreads", 12, "threads that read a tuple's images")
    start_epoch: int = _count("startEpoch", 1, "resume the session named with this epoch")

    train_set_name: str = _opt("dbTrainName", "")
    val_set_name: str = _opt("dbValName", "")
    first_trained_layer_name: str = _opt("backPropToLayerName", "")
    trained_depth: int = _opt("backPropDepth", 0)
    initial_database_features_before: str = _opt("dbCheckpoint0_orig", "")
    initial_query_features_before: str = _opt("qCheckpoint0_orig", "")

    backbone_cache: str = _ours(
        "backboneCache",
        "auto",
        "where maps of layers that are not trained are kept: auto, ram, disk, off",
        allowed=STORES,
    )
    backbone_cache_gb: float = _ours(
        "backboneCacheGB", 50.0, "at most this many gigabytes of them", least=0, unit="gigabytes"
    )
    backbone_cache_dtype: str = _ours(
        "backboneCacheDtype",
        "fp32",
        "fp32: exact, or fp16: half the space",
        allowed=tuple(DTYPES),
        changes_result=True,
    )
    backbone_cache_keep: bool = _ours("backboneCacheKeep", False, "leave those on disk for the next training")
    precision: str = _ours(
        "trainPrecision",
        "fp32",
        "of the trained convolutions: fp32 or bf16 (NetVLAD's sums stay fp32)",
        allowed=PRECISIONS,
        changes_result=True,
    )
    step_gb: float | str = _ours(
        "stepGB",
        "auto",
        "tuples of a batch go through the network together up to this many gigabytes; 0: "
        "one by one, as in the original; auto: 2 on a GPU, 0 on a CPU, where it gains nothing",
        allowed=("auto",),
        least=0,
        unit="gigabytes",
        changes_result=True,
    )

    def __post_init__(self) -> None:
        for each in TABLE.values():
            object.__setattr__(self, each.name, each.normalised(getattr(self, each.name)))

    def check(self) -> None:
        """Raises ArgumentError for the first option whose value is not allowed, naming what is."""
        for each in TABLE.values():
            each.check(getattr(self, each.name))
        if not self.recall_ns or tuple(sorted(self.recall_ns)) != self.recall_ns:
            problem = f"must be ascending and not empty; got {[*self.recall_ns]}"
            raise ArgumentError(f"{label('recall_ns')} {problem}")
        if self.learning_rate_divisor == 0:
            raise ArgumentError(f"{label('learning_rate_divisor')} must be above 0")

    def to_matlab(self, with_geo_centers: bool = False) -> dict[str, Any]:
        """The struct `opts` of a session file: numbers as double, strings as char, fixLayers as a cell."""
        struct = {}
        for each in TABLE.values():
            value = getattr(self, each.name)
            optional = each.matlab.endswith("_orig") or (each.name == "geo_centers" and not with_geo_centers)
            if not each.ours and (value or not optional):
                struct[each.matlab] = _matlab_value(each.name, value)
        return struct

    @classmethod
    def from_matlab(cls, *structs: Mapping[str, Any]) -> "TrainingOptions":
        """Options from MATLAB's names, of a session file's `opts` for example; unknown names are left out.

        Raises MatFileError for what is not a struct, and for a value of another type.
        """
        names = {each.matlab: each.name for each in TABLE.values()}
        if not all(isinstance(struct, Mapping) for struct in structs):
            raise MatFileError("the options are not a struct")
        try:
            given = [(names[key], value) for each in structs for key, value in each.items() if key in names]
            return cls(**dict(given))
        except ArgumentError as error:
            raise MatFileError(str(error)) from error

    def ours(self) -> dict[str, Any]:
        """What a session file holds beside `opts`: the options of `ours` that change the result."""
        kept = [each for each in TABLE.values() if each.changes_result]
        return {each.matlab: _matlab_value(each.name, getattr(self, each.name)) for each in kept}


# by name: the options in the original's order, what a trainer fills in, the options that the original has not
TABLE = {each.name: Option(each.name, each.default, **each.metadata) for each in fields(TrainingOptions)}
OPTIONS = {name: option for name, option in TABLE.items() if option.help}
_WORDS = [each for each in OPTIONS.values() if isinstance(each.default, str) and each.least is None]
WORDS = {name.lower() for each in _WORDS for name in (each.name, each.matlab)}  # see `typed_options`


def label(name: str) -> str:
    return TABLE[name].label


def checked_names(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options given, by Python's names; ArgumentError for a name that is not known, with the closest."""
    for name in given:
        if name not in OPTIONS:
            python = next((each.name for each in OPTIONS.values() if each.matlab == name), None)
            named = f"option {name!r} is named {python!r} here"
            raise ArgumentError(named if python else unknown_option(name, [*OPTIONS]))
    return given


def from_matlab_names(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Options given by MATLAB's names in any case, as 'name', value pairs or keywords, by Python's names.

    Keywords may also be Python's names. Raises ArgumentError for a name that is not known.
    """
    matlab = dict.fromkeys((each.matlab for each in OPTIONS.values()), _NOT_GIVEN)
    by_matlab = {name: value for name, value in kwargs.items() if name in matlab or name not in OPTIONS}
    found = vars(named_options(matlab, args, by_matlab))
    pairs = ((each.name, found[each.matlab]) for each in OPTIONS.values())
    given = {name: value for name, value in pairs if value is not _NOT_GIVEN}
    return given | {name: value for name, value in kwargs.items() if name not in by_matlab}


def describe(options: TrainingOptions) -> str:
    lines = [f"{each.label:>50}: {getattr(options, each.name)!r}" for each in TABLE.values()]
    return "\n".join(["options:", *lines])


def schedule(options: TrainingOptions, epoch: int) -> tuple[float, float]:
    """Learning rate of an epoch (from 1), and after how many batches features are computed again.

    The rate is divided at epochs e > 1 with rem(e, learning_rate_drop_every) == 1, so with 1 never.
    """
    rate = float(options.learning_rate)
    refresh = float(np.ceil(options.refresh_interval / options.batch_size))  # which may be inf
    for past in range(2, epoch + 1):
        if past % options.learning_rate_drop_every == 1:
            rate /= options.learning_rate_divisor
            refresh = float(round_half_away(refresh * options.learning_rate_divisor))
    return rate, refresh


@dataclass(frozen=True)
class Request:
    """What decides a training's result: the trainer's name, its data sets, and the options by MATLAB's names.

    A session keeps it as text, to see whether a later request is the same.
    """

    trainer: str
    sets: tuple[str, ...]
    options: dict[str, Any]

    @classmethod
    def of(cls, trainer: str, sets: Sequence[Any], options: TrainingOptions) -> "Request":
        """The request of a call: sets are its `PlaceDataset`s, options as they were given."""
        names = [name for name in OPTIONS if name not in (*FREE_OPTIONS, *_NOT_COMPARED)]
        values = {TABLE[name].matlab: getattr(options, name) for name in names}
        values = {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}
        described = [f"{s.name} ({s.query_count} queries, {s.database_size} images" for s in sets]
        full = [f"{told}{_TOLD}{_digest(each)})" for told, each in zip(described, sets, strict=True)]
        return cls(trainer, tuple(full), values)

    def told_as(self, before: "Request | None") -> "Request":
        """This request; without the digests of its sets if the one before was written without them."""
        if before is None or any(_TOLD in told for told in before.sets):
            return self
        return replace(self, sets=tuple(f"{told.split(_TOLD)[0]})" for told in self.sets))

    @property
    def text(self) -> str:
        return json.dumps([self.trainer, self.sets, self.options])

    @classmethod
    def from_text(cls, text: str) -> "Request | None":
        """The request that `text` is of; None for other text."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return None
        try:
            return cls(*from_plain(tuple[str, tuple[str, ...], dict[str, Any]], values, "the request"))
        except ValueError:
            return None

    def resumed(self, by: "Request", given: Mapping[str, Any]) -> "Request":
        """This request, resumed by another, of whose options those in `given` and useGPU count."""
        new = {TABLE[name].matlab for name in (*given, "use_gpu")}
        changed = {name: value for name, value in by.options.items() if name in new}
        return Request(by.trainer, by.sets, self.options | changed)

    def changes(self, before: "Request") -> list[str]:
        """What differs from the request before: 'learning_rate (learningRate) 0.001 (now 0.0001)'."""
        labels = {each.matlab: each.label for each in OPTIONS.values()}
        names = dict.fromkeys([*self.options, *before.options])
        pairs: list[tuple[str, Any, Any]] = [("trainer", before.trainer, self.trainer)]
        pairs += zip(("training set", "validation set"), before.sets, self.sets, strict=True)
        pairs += [(labels.get(n, n), before.options.get(n), self.options.get(n)) for n in names]
        return [f"{name} {old!r} (now {new!r})" for name, old, new in pairs if old != new]


def _digest(dataset: Any) -> str:
    """A short digest of what a data set says of its images, wherever these are."""
    told = [getattr(dataset, name, None) for name in FIELDS.values() if name not in _ELSEWHERE]
    return hashlib.sha256(json.dumps(told, default=lambda array: array.tolist()).encode()).hexdigest()[:8]


def _matlab_value(name: str, value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if name == "frozen_layers":
        return cell_row(list(value))
    if value is None or value == ():
        return np.zeros((0, 0))
    return np.atleast_2d(np.asarray(value, dtype=np.float64))


def _number(value: Any) -> Any:
    number = float(value)
    return int(number) if number.is_integer() else number
