# What type checkers and editors see of training.py, whose trainers take their options from one table.

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from typing_extensions import Unpack

from deepibl.datasets.place import PlaceSet
from deepibl.training.listeners import TrainingListener
from deepibl.training.options import TrainingOptions
from deepibl.training.state import History
from matlab_compat.rng import Generator
from matlab_compat.simplenn.network import SimpleNN

class TrainerOptions(TypedDict, total=False):
    netID: str
    layerName: str
    method: str
    batchSize: int
    learningRate: float
    lrDownFreq: float
    lrDownFactor: float
    weightDecay: float
    momentum: float
    backPropToLayer: int | str | None
    fixLayers: Sequence[str]
    nNegChoice: int
    nNegCap: int
    nNegCache: int
    nEpoch: int
    margin: float
    excludeVeryHard: bool
    jitterFlip: bool
    jitterScale: Sequence[float]
    sessionID: str
    outPrefix: str
    dbCheckpoint0: str
    qCheckpoint0: str
    dbCheckpoint0val: str
    qCheckpoint0val: str
    geoCenters: str
    checkpoint0suffix: str
    info: str
    test0: bool
    saveFrequency: int
    compFeatsFrequency: int
    computeBatchSize: int
    epochTestFrequency: int
    doDraw: bool
    printLoss: bool
    printBatchLoss: bool
    nTestSample: float
    nTestRankSample: float
    recallNs: Sequence[int]
    useGPU: bool
    numThreads: int
    startEpoch: int
    backboneCache: str
    backboneCacheGB: float
    backboneCacheDtype: str
    backboneCacheKeep: bool
    trainPrecision: str
    stepGB: float | str
    verbose: bool
    listeners: Iterable[TrainingListener] | None
    paths: Any
    generator: Generator | None
    keep_momentum: bool
    restart: bool
    weights: str

def trainGaussKernalInd(
    dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]
) -> str: ...
def trainGaussKernalJoint(
    dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]
) -> str: ...
def trainCauchyKernelInd(
    dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]
) -> str: ...
def trainCauchyKernelJoint(
    dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]
) -> str: ...
def trainExpKernalInd(
    dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]
) -> str: ...
def trainExpKernalJoint(
    dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]
) -> str: ...
def trainWeakly(dbTrain: PlaceSet, dbVal: PlaceSet, *args: Any, **options: Unpack[TrainerOptions]) -> str: ...
def pickBestNet(
    sessionID: str,
    N: int = 5,
    verbose: int = 2,
    *,
    paths: Any = None,
    outPrefix: str | None = None,
    show: bool = False,
) -> tuple[int, SimpleNN]: ...
def cleanup(
    sessionID: str, doDelete: bool = False, *, paths: Any = None, outPrefix: str | None = None
) -> list[Path]: ...
def plotResults(
    obj: History | Mapping[str, Any],
    opts: TrainingOptions | Mapping[str, Any],
    auxData: Mapping[str, Any] | None = None,
    startVals: Mapping[str, Any] | None = None,
    w: int | None = None,
    *,
    path: str | Path | None = None,
    show: bool = False,
) -> Path: ...
def saveNet(
    net: SimpleNN | Mapping[str, Any],
    obj: Mapping[str, Any],
    opts: Mapping[str, Any] | TrainingOptions,
    auxData: Mapping[str, Any] | None,
    ID: str,
    description: str = "",
    verbose: bool = False,
    *,
    generator: Generator | None = None,
) -> Path: ...
