from . import (
    datasets as datasets,
    demo as demo,
    engine as engine,
    errors as errors,
    evaluation as evaluation,
    features as features,
    hloc as hloc,
    images as images,
    layers as layers,
    losses as losses,
    matlab as matlab,
    metric_learning as metric_learning,
    migrate as migrate,
    networks as networks,
    report as report,
    runtime as runtime,
    search as search,
    serve as serve,
    toycity as toycity,
    training as training,
)
from .datasets import (
    PlaceDataset as PlaceDataset,
    load_dbstruct as load_dbstruct,
)
from .errors import DeepIBLError as DeepIBLError
from .evaluation import recall_at_n as recall_at_n
from .features import extract as extract
from .layers import NetVLAD as NetVLAD
from .losses import (
    SARELoss as SARELoss,
    sare_loss as sare_loss,
)
from .matlab import (
    addLayers as addLayers,
    addPCA as addPCA,
    cleanup as cleanup,
    closePosition as closePosition,
    computeRepresentation as computeRepresentation,
    convertPngtoJPG as convertPngtoJPG,
    dbBase as dbBase,
    dbHolidays as dbHolidays,
    dbPitts as dbPitts,
    dbSf0 as dbSf0,
    dbTiny as dbTiny,
    dbTokyo247 as dbTokyo247,
    dbTokyoTimeMachine as dbTokyoTimeMachine,
    dbVGG as dbVGG,
    getBestEpoch as getBestEpoch,
    getClusters as getClusters,
    layerTotalAvgPool as layerTotalAvgPool,
    layerTotalMaxPool as layerTotalMaxPool,
    layerVLAD as layerVLAD,
    layerVLADv2 as layerVLADv2,
    layerWholeL2Normalize as layerWholeL2Normalize,
    loadNet as loadNet,
    localPaths as localPaths,
    netPrepareForTest as netPrepareForTest,
    netPrepareForTrain as netPrepareForTrain,
    pickBestNet as pickBestNet,
    plotResults as plotResults,
    rawNnSearch as rawNnSearch,
    recallAtN as recallAtN,
    saveNet as saveNet,
    serialAllFeats as serialAllFeats,
    setup as setup,
    testCore as testCore,
    testCoreRank as testCoreRank,
    testFromFn as testFromFn,
    testNet as testNet,
    trainCauchyKernelInd as trainCauchyKernelInd,
    trainCauchyKernelJoint as trainCauchyKernelJoint,
    trainExpKernalInd as trainExpKernalInd,
    trainExpKernalJoint as trainExpKernalJoint,
    trainGaussKernalInd as trainGaussKernalInd,
    trainGaussKernalJoint as trainGaussKernalJoint,
    trainWeakly as trainWeakly,
)
from .networks import (
    load_network as load_network,
    save_network as save_network,
)
from .search import PlaceIndex as PlaceIndex

__version__: str
