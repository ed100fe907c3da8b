from .datasets import (
    closePosition as closePosition,
)
from .datasets import (
    dbBase as dbBase,
)
from .datasets import (
    dbHolidays as dbHolidays,
)
from .datasets import (
    dbPitts as dbPitts,
)
from .datasets import (
    dbSf0 as dbSf0,
)
from .datasets import (
    dbTiny as dbTiny,
)
from .datasets import (
    dbTokyo247 as dbTokyo247,
)
from .datasets import (
    dbTokyoTimeMachine as dbTokyoTimeMachine,
)
from .datasets import (
    dbVGG as dbVGG,
)
from .datasets import (
    localPaths as localPaths,
)
from .datasets import (
    setup as setup,
)
from .evaluation import (
    getBestEpoch as getBestEpoch,
)
from .evaluation import (
    rawNnSearch as rawNnSearch,
)
from .evaluation import (
    recallAtN as recallAtN,
)
from .evaluation import (
    testCore as testCore,
)
from .evaluation import (
    testCoreRank as testCoreRank,
)
from .evaluation import (
    testFromFn as testFromFn,
)
from .evaluation import (
    testNet as testNet,
)
from .networks import (
    addLayers as addLayers,
)
from .networks import (
    addPCA as addPCA,
)
from .networks import (
    computeRepresentation as computeRepresentation,
)
from .networks import (
    convertPngtoJPG as convertPngtoJPG,
)
from .networks import (
    getClusters as getClusters,
)
from .networks import (
    layerTotalAvgPool as layerTotalAvgPool,
)
from .networks import (
    layerTotalMaxPool as layerTotalMaxPool,
)
from .networks import (
    layerVLAD as layerVLAD,
)
from .networks import (
    layerVLADv2 as layerVLADv2,
)
from .networks import (
    layerWholeL2Normalize as layerWholeL2Normalize,
)
from .networks import (
    loadNet as loadNet,
)
from .networks import (
    netPrepareForTest as netPrepareForTest,
)
from .networks import (
    netPrepareForTrain as netPrepareForTrain,
)
from .networks import (
    serialAllFeats as serialAllFeats,
)
from .training import (
    cleanup as cleanup,
)
from .training import (
    pickBestNet as pickBestNet,
)
from .training import (
    plotResults as plotResults,
)
from .training import (
    saveNet as saveNet,
)
from .training import (
    trainCauchyKernelInd as trainCauchyKernelInd,
)
from .training import (
    trainCauchyKernelJoint as trainCauchyKernelJoint,
)
from .training import (
    trainExpKernalInd as trainExpKernalInd,
)
from .training import (
    trainExpKernalJoint as trainExpKernalJoint,
)
from .training import (
    trainGaussKernalInd as trainGaussKernalInd,
)
from .training import (
    trainGaussKernalJoint as trainGaussKernalJoint,
)
from .training import (
    trainWeakly as trainWeakly,
)
