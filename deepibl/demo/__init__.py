"""The demos, and the folder that scripts are tried in after `migrate`."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
