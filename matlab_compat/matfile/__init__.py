"""MATLAB's .mat files, all versions, read into plain Python and written as version 7."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
