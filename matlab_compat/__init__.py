"""What MATLAB, MatConvNet, relja_matlab and yael gave the original; knows nothing of places.

Every vl_*, relja_* and yael_* function is importable from here under its original name; a name is looked up
in its module when it is first used, so that importing this package loads none of its modules.

>>> from matlab_compat import vl_simplenn_display, relja_PCA, yael_nn
"""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
