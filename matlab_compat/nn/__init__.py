"""MatConvNet's blocks on torch tensors, under their original names."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
