"""Visual place recognition: deepIBL (SARE) and NetVLAD, ported from MATLAB to PyTorch.

>>> import deepibl
>>> net = deepibl.load_network("model.mat")  # doctest: +SKIP
>>> deepibl.extract(net, ["a.jpg", "b.jpg"])  # (2, D) float32  # doctest: +SKIP

Importing this package opens no GPU and loads none of its modules: a name of `__init__.pyi` is looked up in its
module when it is first used. The original's functions are here under their own names, too (`deepibl.matlab`).
"""

import pkgutil
from typing import Any

import lazy_loader

__version__ = "0.1.0"

_lazy, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
# `from deepibl import *` brings functions and classes, not the packages, of which some need an extra
__all__ = sorted({*_names, "__version__"} - {module.name for module in pkgutil.iter_modules(__path__)})


def __getattr__(name: str) -> Any:
    try:
        return _lazy(name)
    except AttributeError:
        if name.startswith("_"):
            raise
        from deepibl.errors import did_you_mean

        hint = did_you_mean(name, __dir__())
        raise AttributeError(f"module 'deepibl' has no attribute {name!r}{hint}", name=name) from None
