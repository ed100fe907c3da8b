"""Images for a network: the kinds of files, what becomes of their pixels, decoding, and reading ahead."""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
