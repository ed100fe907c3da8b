"""A batch of images through a network: with torch's operators, oneDNN, int8 or CUDA."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
