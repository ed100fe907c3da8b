"""MATLAB scripts to Python, and the comparison of features with those that MATLAB computed."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
