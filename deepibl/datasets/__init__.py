"""Geo-tagged image sets: what they hold, who is near whom, and the files they come from."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
