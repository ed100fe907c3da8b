"""Visual place recognition: deepIBL (SARE) and NetVLAD, ported from MATLAB to PyTorch.

>>> import deepibl
>>> net = deepibl.load_network("model.mat")  # doctest: +SKIP
>>> deepibl.extract(net, ["a.jpg", "b.jpg"])  # (2, D) float32  # doctest: +SKIP

Importing this package opens no GPU and loads none of its modules: a name of `__init__.pyi` is looked up in
its module when it is first used. The original's functions are also here under their own names
(`deepibl.matlab`).
"""

from matlab_compat.lazy_names import attach

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__ += ["__version__"]
