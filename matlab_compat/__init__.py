"""What MATLAB, MatConvNet, relja_matlab and yael gave the original; knows nothing of places.

Every vl_*, relja_* and yael_* function is importable from here under its original name; a name is looked up
in its module when it is first used, so that importing this package reads no file and loads none of its
modules.

>>> from matlab_compat import vl_simplenn_display, relja_PCA, yael_nn
"""

import importlib
from typing import Any

_NN = (
    "vl_nnbnorm vl_nnconcat vl_nnconv vl_nnconvt vl_nncrop vl_nndropout vl_nnloss vl_nnnoffset vl_nnnormalize"
    " vl_nnpdist vl_nnpool vl_nnrelu vl_nnsigmoid vl_nnsoftmax vl_nnsoftmaxloss vl_nnspnorm"
)
_RELJA = (
    "relja_dir relja_display relja_displayDateTime relja_endsWith relja_expandUser relja_hrminsec"
    " relja_l2normalize_col relja_progress relja_randomHex relja_startsWith"
)
_EDIT = (
    "relja_cropToLayer relja_layerNames relja_layerTypes relja_netOutputDim relja_netSave relja_simplenn_move"
    " relja_swapLayers relja_swapLayersForEfficiency relja_whichLayer vl_simplenn_move"
)

# module -> the functions it holds
_MODULES = {
    "arguments": "vl_argparse",
    "images": "vl_imreadjpeg",
    "nn": _NN,
    "relja": _RELJA,
    "relja_pca": "relja_PCA",
    "retrieval": "relja_retrievalMAP",
    "simplenn_display": "vl_simplenn_display",
    "simplenn_edit": _EDIT,
    "simplenn_run": "vl_simplenn",
    "simplenn_tidy": "relja_simplenn_tidy vl_simplenn_tidy",
    "yael": "yael_nn",
    "kmeans": "yael_kmeans",
}
_EXPORTS = {name: f"matlab_compat.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'matlab_compat' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


__all__ = list(_EXPORTS)
