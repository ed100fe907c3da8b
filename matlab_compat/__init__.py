"""What MATLAB, MatConvNet, relja_matlab and yael gave the original; knows nothing of places.

Every vl_*, relja_* and yael_* function is importable from here under its original name; a name is looked up
in its module when it is first used, so that importing this package loads none of its modules.

>>> from matlab_compat import vl_simplenn_display, relja_PCA, yael_nn
"""

import pkgutil

import lazy_loader

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
# `from matlab_compat import *` brings the functions, not the modules
__all__ = sorted(set(_names) - {module.name for module in pkgutil.iter_modules(__path__)})
