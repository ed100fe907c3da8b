from . import (
    datasets as datasets,
)
from . import (
    demo as demo,
)
from . import (
    engine as engine,
)
from . import (
    errors as errors,
)
from . import (
    evaluation as evaluation,
)
from . import (
    features as features,
)
from . import (
    hloc as hloc,
)
from . import (
    images as images,
)
from . import (
    layers as layers,
)
from . import (
    losses as losses,
)
from . import (
    matlab as matlab,
)
from . import (
    metric_learning as metric_learning,
)
from . import (
    migrate as migrate,
)
from . import (
    networks as networks,
)
from . import (
    page as page,
)
from . import (
    processes as processes,
)
from . import (
    report as report,
)
from . import (
    runtime as runtime,
)
from . import (
    search as search,
)
from . import (
    serve as serve,
)
from . import (
    toycity as toycity,
)
from . import (
    training as training,
)
from .datasets import (
    PlaceDataset as PlaceDataset,
)
from .datasets import (
    load_dbstruct as load_dbstruct,
)
from .errors import DeepIBLError as DeepIBLError
from .evaluation import recall_at_n as recall_at_n
from .features import extract as extract
from .layers import NetVLAD as NetVLAD
from .losses import (
    SARELoss as SARELoss,
)
from .losses import (
    sare_loss as sare_loss,
)
from .matlab import (
    addLayers as addLayers,
)
from .matlab import (
    addPCA as addPCA,
)
from .matlab import (
    cleanup as cleanup,
)
from .matlab import (
    closePosition as closePosition,
)
from .matlab import (
    computeRepresentation as computeRepresentation,
)
from .matlab import (
    convertPngtoJPG as convertPngtoJPG,
)
from .matlab import (
    dbBase as dbBase,
)
from .matlab import (
    dbHolidays as dbHolidays,
)
from .matlab import (
    dbPitts as dbPitts,
)
from .matlab import (
    dbSf0 as dbSf0,
)
from .matlab import (
    dbTiny as dbTiny,
)
from .matlab import (
    dbTokyo247 as dbTokyo247,
)
from .matlab import (
    dbTokyoTimeMachine as dbTokyoTimeMachine,
)
from .matlab import (
    dbVGG as dbVGG,
)
from .matlab import (
    getBestEpoch as getBestEpoch,
)
from .matlab import (
    getClusters as getClusters,
)
from .matlab import (
    layerTotalAvgPool as layerTotalAvgPool,
)
from .matlab import (
    layerTotalMaxPool as layerTotalMaxPool,
)
from .matlab import (
    layerVLAD as layerVLAD,
)
from .matlab import (
    layerVLADv2 as layerVLADv2,
)
from .matlab import (
    layerWholeL2Normalize as layerWholeL2Normalize,
)
from .matlab import (
    loadNet as loadNet,
)
from .matlab import (
    localPaths as localPaths,
)
from .matlab import (
    netPrepareForTest as netPrepareForTest,
)
from .matlab import (
    netPrepareForTrain as netPrepareForTrain,
)
from .matlab import (
    pickBestNet as pickBestNet,
)
from .matlab import (
    plotResults as plotResults,
)
from .matlab import (
    rawNnSearch as rawNnSearch,
)
from .matlab import (
    recallAtN as recallAtN,
)
from .matlab import (
    saveNet as saveNet,
)
from .matlab import (
    serialAllFeats as serialAllFeats,
)
from .matlab import (
    setup as setup,
)
from .matlab import (
    testCore as testCore,
)
from .matlab import (
    testCoreRank as testCoreRank,
)
from .matlab import (
    testFromFn as testFromFn,
)
from .matlab import (
    testNet as testNet,
)
from .matlab import (
    trainCauchyKernelInd as trainCauchyKernelInd,
)
from .matlab import (
    trainCauchyKernelJoint as trainCauchyKernelJoint,
)
from .matlab import (
    trainExpKernalInd as trainExpKernalInd,
)
from .matlab import (
    trainExpKernalJoint as trainExpKernalJoint,
)
from .matlab import (
    trainGaussKernalInd as trainGaussKernalInd,
)
from .matlab import (
    trainGaussKernalJoint as trainGaussKernalJoint,
)
from .matlab import (
    trainWeakly as trainWeakly,
)
from .networks import (
    load_network as load_network,
)
from .networks import (
    save_network as save_network,
)
from .search import PlaceIndex as PlaceIndex

__version__: str
