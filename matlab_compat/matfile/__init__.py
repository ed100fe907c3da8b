"""MATLAB's .mat files, all versions, read into plain Python and written as version 7."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
