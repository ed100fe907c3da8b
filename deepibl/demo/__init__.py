"""The demos, the networks they start from, and the scripts that `migrate` is tried on."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
