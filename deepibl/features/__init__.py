"""Many images to descriptors, in memory or in a file whose extraction can be resumed."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
