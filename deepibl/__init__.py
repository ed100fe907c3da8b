"""Visual place recognition: deepIBL (SARE) and NetVLAD, ported from MATLAB to PyTorch.

>>> import deepibl
>>> net = deepibl.load_network("model.mat")
>>> features = deepibl.extract(net, ["a.jpg", "b.jpg"])          # (2, D) float32

Importing this package reads no file, opens no GPU and loads none of its modules: a name is looked up in its
module when it is first used. The original's functions are here too, under their own names (`deepibl.matlab`).
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# name -> module that holds it
_EXPORTS = {
    "load_network": "deepibl.networks",
    "save_network": "deepibl.networks",
    "extract": "deepibl.features",
    "sare_loss": "deepibl.losses",
    "SARELoss": "deepibl.losses",
    "NetVLAD": "deepibl.layers",
    "PlaceDataset": "deepibl.datasets",
    "load_dbstruct": "deepibl.datasets",
    "recall_at_n": "deepibl.evaluation",
    "PlaceIndex": "deepibl.index",
    "make_city": "deepibl.toycity",
    "DeepIBLError": "deepibl.errors",
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name.startswith("_"):
        raise AttributeError(f"module 'deepibl' has no attribute {name!r}")
    facade = importlib.import_module("deepibl.matlab")
    if name in facade.__all__:
        return getattr(facade, name)
    raise AttributeError(f"module 'deepibl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [*_EXPORTS, "__version__"]
