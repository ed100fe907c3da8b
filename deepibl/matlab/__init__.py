"""The original's functions under their exact names, with their arguments, option names and defaults.

Each is a thin door onto `deepibl`; importing this package loads none of them. Options are taken as keywords
(`learningRate=0.001`) or in MATLAB's style (`'learningRate', 0.001`). Indices are Python's: see
docs/for_matlab_users.md for the conventions and the table of all functions.
"""

import importlib
from typing import Any

# original name -> façade module
_EXPORTS = {
    **dict.fromkeys(
        ["localPaths", "setup", "dbBase", "dbPitts", "dbTokyo247", "dbTokyoTimeMachine", "dbTiny", "dbVGG"],
        "deepibl.matlab.datasets",
    ),
    **dict.fromkeys(["dbHolidays", "dbSf0", "closePosition"], "deepibl.matlab.datasets"),
    **dict.fromkeys(
        ["recallAtN", "testCore", "testCoreRank", "testFromFn", "testNet", "rawNnSearch", "getBestEpoch"],
        "deepibl.matlab.evaluation",
    ),
    **dict.fromkeys(["serialAllFeats", "computeRepresentation"], "deepibl.matlab.features"),
    **dict.fromkeys(["convertPngtoJPG"], "deepibl.matlab.images"),
    **dict.fromkeys(
        ["loadNet", "addLayers", "getClusters", "netPrepareForTrain", "netPrepareForTest", "addPCA"],
        "deepibl.matlab.networks",
    ),
    **dict.fromkeys(
        ["trainGaussKernalInd", "trainGaussKernalJoint", "trainCauchyKernelInd", "trainCauchyKernelJoint"],
        "deepibl.matlab.training",
    ),
    **dict.fromkeys(["trainExpKernalInd", "trainExpKernalJoint", "trainWeakly"], "deepibl.matlab.training"),
    **dict.fromkeys(["pickBestNet", "cleanup", "plotResults", "saveNet"], "deepibl.matlab.sessions"),
    **dict.fromkeys(
        ["layerVLAD", "layerVLADv2", "layerTotalMaxPool", "layerTotalAvgPool", "layerWholeL2Normalize"],
        "deepibl.matlab.layers",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'deepibl.matlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


__all__ = [*_EXPORTS]
