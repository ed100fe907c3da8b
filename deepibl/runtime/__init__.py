"""What every job needs: paths, progress, devices, tensor files, several processes."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
